"""A running QuPath with its windows, driven from outside; without a display on JavaFX's headless platform."""

import itertools
import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from glomseg.qupath.launcher import find_launcher
from glomseg.qupath.process import QuPathInfo, find_qupath, qupaths_in

DRIVER = Path(__file__).parents[1] / "windows" / "driver.groovy"

INTERNAL = ("glass.events", "glass.ui", "glass.ui.headless", "javafx.stage", "javafx.tk.quantum")
_OF_HEADLESS = "HeadlessWindow.clearRect"
"""Where JavaFX's headless platform fails for a window that reaches over its screen until it is put back onto it."""


class NotAnsweredError(AssertionError):
    """QuPath failed, or did not answer in time."""


def installed() -> list[QuPathInfo]:
    """Return each QuPath of this machine, first the one that is taken."""
    one = find_qupath()
    if one is None:
        return []
    return [one, *(info for info in qupaths_in(one.folder.parent) if info.folder != one.folder)]


class Window:
    """One QuPath with a project open; commands are Groovy."""

    def __init__(self, info, home: Path) -> None:
        self.info, self.home, self.commands = info, home, home / "commands"
        self.commands.mkdir(parents=True)
        self.log, self._looked_at = home / "log.txt", 0
        self._numbers = itertools.count()
        self._process = None

    def start(self, project: Path, image: str) -> "Window":
        options = [
            f"-Djava.util.prefs.userRoot={self.home / 'prefs'}",
            f"-Duser.home={self.home}",
            f"-Dqupath.startup.script={DRIVER}",
            f"-Dglomseg.driver={self.commands}",
            "-Dprism.order=sw",
            "-Xmx1g",
            "-XX:TieredStopAtLevel=1",  # a short life: compiling less starts sooner
            "-XX:+UseSerialGC",
            *(
                f"--add-opens=javafx.graphics/com.sun.{name}=ALL-UNNAMED" for name in INTERNAL
            ),  # to know who has the focus
            *_display(self.info),
        ]
        environment = {**os.environ, "JAVA_TOOL_OPTIONS": " ".join(options), "HOME": str(self.home)}
        command = [str(find_launcher(self.info)), "-q", "-l", "INFO", "-p", str(project), "-i", image]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        self._wait(self.commands / "ready", 240)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask(self, kind: str, body: str, seconds: float = 20) -> str:
        """Evaluate Groovy: `fx` on JavaFX's thread, `eval` elsewhere, `run` a script file as the menu does."""
        name = f"{next(self._numbers):06d}"
        temporary = self.commands / f"{name}.part"
        temporary.write_text(f"{kind}\n{body}", "utf-8")
        temporary.rename(self.commands / f"{name}.cmd")
        answer = self.commands / f"{name}.out"
        self._wait(answer, seconds)
        text = answer.read_text("utf-8")
        if text.startswith("!!"):
            raise NotAnsweredError(text)
        return text.removeprefix("=> ")

    def fx(self, body: str, seconds: float = 20) -> str:
        return self.ask("fx", body, seconds)

    def until(self, body: str, wanted: str, seconds: float = 15) -> None:
        """Ask until the answer is as wanted."""
        ends = time.monotonic() + seconds
        while (answer := self.fx(body)) != wanted:
            if time.monotonic() > ends:
                raise NotAnsweredError(f"{answer!r}, not {wanted!r}, after {seconds} s: {body}\n{self._tail()}")
            time.sleep(0.2)

    def failures(self) -> list[str]:
        """Return what failed unseen in our scripts since the last look: what nobody caught, as the log tells it."""
        text = self.log.read_text("utf-8", "replace")
        new, self._looked_at = text[self._looked_at :], len(text)
        entries = re.split(r"^(?=\d\d:\d\d:\d\d\.\d+ \[)", new, flags=re.MULTILINE)
        ours = [entry for entry in entries if "UncaughtExceptionHandler" in entry and "glomseg_" in entry]
        return [entry for entry in ours if _OF_HEADLESS not in entry]

    def settle(self) -> None:
        """Wait until all that is queued on JavaFX's thread is done."""
        for _ in range(3):
            self.fx("1")

    def _wait(self, path: Path, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not path.exists():
            if self._process.poll() is not None:
                raise NotAnsweredError(f"QuPath ended with {self._process.returncode}\n{self._tail()}")
            if time.monotonic() > ends:
                raise NotAnsweredError(f"no {path.name} within {seconds} s\n{self._tail()}")
            time.sleep(0.02)

    def _tail(self) -> str:
        return self.log.read_text("utf-8", "replace")[-3000:]


def _display(info) -> list[str]:
    """Choose JavaFX's headless platform where it has one; else the display; skips the test where there is neither."""
    jars = [path for path in info.folder.rglob("javafx*graphics*.jar") if "sources" not in path.name]
    if not jars:
        pytest.skip(f"{info.folder} has no JavaFX, so no windows")
    for path in jars:
        with zipfile.ZipFile(path) as jar:
            if any(name.startswith("com/sun/glass/ui/headless/") for name in jar.namelist()):
                return ["-Dglass.platform=Headless"]
    if os.environ.get("DISPLAY") or not shutil.which("xdg-open"):
        return []
    pytest.skip("JavaFX of this QuPath has no headless platform, and there is no display")
    return []
