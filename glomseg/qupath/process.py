"""Find the QuPath of this machine, and run functions in a process of its own that holds QuPath's JVM.

The parent never starts a JVM: QuPath logs to stdout, a process forked after a JVM start hangs, and a JVM that dies
takes its process along.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import re
import shlex
import signal
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from glomseg.child_process import end_with_parent, without_interrupts
from glomseg.errors import QuPathError
from glomseg.qupath.scratch import remove_stale_folders, scratch_folder

REMEDY = "install QuPath from qupath.github.io, or set PAQUO_QUPATH_DIR to its folder"
OLDEST = (0, 5)

_PLACES = ("/opt", "/Applications", "c:/Program Files", "/usr/local", "~/Applications", "~/AppData/Local", "~")
_LAYOUTS = {  # where the jars, the Java runtime and its library lie, below the folder of QuPath
    "linux": ("lib/app", "lib/runtime", "lib/server/libjvm.so"),
    "darwin": ("Contents/app", "Contents/runtime/Contents/Home", "lib/libjli.dylib"),
    "win32": ("app", "runtime", "bin/server/jvm.dll"),
}
_CONDA = {"linux": "opt/QuPath", "darwin": "bin/QuPath.app", "win32": "Library/QuPath"}

P = ParamSpec("P")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class QuPathInfo:
    """An installed QuPath; the version of its Java is None where the installation does not tell it."""

    folder: Path
    version: str
    java_version: str | None


def find_qupath() -> QuPathInfo | None:
    """Find QuPath without starting it: PAQUO_QUPATH_DIR, the conda environment, then the usual places, newest first.

    paquo's own settings (PAQUO_QUPATH_SEARCH_DIRS, PAQUO_QUPATH_SEARCH_CONDA, .paquo.toml) are obeyed. Raises
    QuPathError where PAQUO_QUPATH_DIR names a folder that holds no QuPath.
    """
    if chosen := str(_setting("qupath_dir") or ""):
        info = _inspect(Path(chosen).expanduser())
        if info is None:
            raise QuPathError(f"PAQUO_QUPATH_DIR is {chosen}, which holds no QuPath; {REMEDY}")
        return info
    prefix = os.environ.get("CONDA_PREFIX")
    if prefix and _setting("qupath_search_conda") is not False and (info := _inspect(Path(prefix, _CONDA[_system()]))):
        return info
    places = _setting("qupath_search_dirs")
    places = _PLACES if places is None else [places] if isinstance(places, str) else places
    for place in places:
        if found := qupaths_in(Path(place).expanduser()):
            return found[0]
    return None


def qupaths_in(place: Path) -> list[QuPathInfo]:
    """Find the QuPaths in a folder of programs, the newest first."""
    found = [info for folder in _candidates(place) if (info := _inspect(folder))]
    return sorted(found, key=lambda info: version_numbers(info.version), reverse=True)


def require_qupath() -> QuPathInfo:
    """Find QuPath; raises QuPathError where there is none, or one that is too old."""
    info = find_qupath()
    if info is None:
        raise QuPathError(f"no QuPath was found on this machine; {REMEDY}")
    if version_numbers(info.version) < OLDEST:
        raise QuPathError(f"QuPath {info.version} in {info.folder} is too old; install QuPath 0.6 or newer")
    return info


def version_numbers(version: str) -> tuple[int, ...]:
    """Turn "0.6.0-rc1" into (0, 6, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("-")[0]))


class QuPathProcess:
    """A process that holds QuPath's JVM; what it is given to call is a function of a module."""

    def __init__(self, start: Callable[[], ProcessPoolExecutor], info: QuPathInfo) -> None:
        """Take what makes the executor of one such process."""
        self._start = start
        self._executor = start()
        self.info = info

    def call(self, function: Callable[P, _T], *args: P.args, **kwargs: P.kwargs) -> _T:
        """Run `function` there and return its result; raises what it raises, and QuPathError where the JVM dies.

        The next call then has a new process: what ends one on an image does not stop the others.
        """
        try:
            with without_interrupts():  # the first call starts the process
                result = self._executor.submit(_translating, functools.partial(function, *args, **kwargs))
            return result.result()
        except BrokenProcessPool as error:
            self.close()
            self._executor = self._start()
            raise QuPathError(
                f"QuPath {self.info.version} in {self.info.folder} ended unexpectedly; see its messages above, and "
                "try again with more memory free"
            ) from error

    def close(self) -> None:
        """Wait for the call in progress, and end the process."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def kill(self) -> None:
        """End the process at once, and come back when it is gone: what it was writing is as before, or as after."""
        for worker in list((self._executor._processes or {}).values()):
            worker.kill()
        self._executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def qupath_process() -> Iterator[QuPathProcess]:
    """Hold a process with QuPath's JVM, started at the first call; raises QuPathError where there is none.

    What QuPath prints goes to stderr. Ctrl-C does not reach the process: leaving the block waits until the call in
    progress is through, so that no write is cut short; Ctrl-C once more ends the process.
    """
    info = require_qupath()
    remove_stale_folders()
    with scratch_folder("qupath") as preferences:
        options = ["-Xrs", "-Djava.awt.headless=true", f"-Djava.util.prefs.userRoot={preferences}"]
        if version_numbers(info.java_version or "0") >= (22,):  # else Java warns of its own start
            options.append("--enable-native-access=ALL-UNNAMED")
        options += ["-XX:MaxRAMPercentage=50", *_java_options()]
        process = QuPathProcess(
            functools.partial(
                ProcessPoolExecutor,
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_settle,
                initargs=(str(info.folder), options),
            ),
            info,
        )
        try:
            yield process
        finally:
            try:
                process.close()
            except KeyboardInterrupt:  # asked again while a call was waited for
                process.kill()
                raise


def _settle(folder: str, options: Sequence[str]) -> None:
    """Prepare the new process: its stdout, signals and settings; the JVM starts when paquo is first imported."""
    if sys.stdout is not None:
        sys.stdout.flush()
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "setsid"):
        os.setsid()
    os.environ["PAQUO_QUPATH_DIR"] = folder
    os.environ["PAQUO_JAVA_OPTS"] = json.dumps(options, ensure_ascii=False)  # read as TOML, which has no surrogates
    end_with_parent()


def _java_options() -> list[str]:
    """Return Java's options of PAQUO_JAVA_OPTS or .paquo.toml; they come after ours, so that they win.

    Raises QuPathError for what is no list of options.
    """
    given = _setting("java_opts") or ()
    try:
        return shlex.split(given) if isinstance(given, str) else [str(option) for option in given]
    except (ValueError, TypeError) as error:
        raise QuPathError(f"Java's options {given!r} cannot be read ({error}); set PAQUO_JAVA_OPTS again") from None


def _translating(function: Callable[[], _T]) -> _T:
    """Call `function`; an exception of Java's, which cannot leave its process, becomes a QuPathError."""
    try:
        return function()
    except Exception as error:
        if type(error).__module__.startswith(("java", "qupath", "org.")):
            if any(said in str(error) for said in ("No space left on device", "Disk quota exceeded")):
                raise QuPathError(
                    f"QuPath could not write ({error}); free space in {tempfile.gettempdir()}, or "
                    "set TMPDIR to a folder on another disk"
                ) from None
            raise QuPathError(f"QuPath failed ({error}); see its messages above, and report it") from None
        raise


def _setting(name: str) -> Any:
    """Return one of paquo's settings from the environment or from .paquo.toml, None where it is not set."""
    text = os.environ.get(f"PAQUO_{name.upper()}")
    if text is not None:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    try:
        return tomllib.loads(Path(".paquo.toml").read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError):
        return None


def _candidates(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.name.lower().startswith("qupath") and path.is_dir())
    except OSError:
        return []


def _inspect(folder: Path) -> QuPathInfo | None:
    app, runtime, library = (Path(part) for part in _LAYOUTS[_system()])
    if not (folder / runtime / library).is_file():
        return None
    jars = sorted((folder / app).glob("qupath-core-[0-9]*.jar"))
    if not jars:
        return None
    try:
        release = (folder / runtime / "release").read_text(encoding="utf-8")
    except (OSError, ValueError):
        release = ""
    java = re.search(r'^JAVA_VERSION="(.*)"', release, re.MULTILINE)
    return QuPathInfo(
        folder=folder,
        version=jars[-1].stem.removeprefix("qupath-core-"),
        java_version=java[1] if java else None,
    )


def _system() -> str:
    return sys.platform if sys.platform in _LAYOUTS else "linux"
