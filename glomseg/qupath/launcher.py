"""Run Groovy scripts in QuPath through its own launcher, and notice the failures that it keeps to its log.

QuPath ends with exit code 0 where no image has the name asked for, and where a script failed on some images of a
project; what happened stands in its log alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import QuPathError
from glomseg.qupath.process import REMEDY, QuPathInfo, find_qupath

_LAUNCHERS = {"linux": "bin/QuPath*", "darwin": "Contents/MacOS/QuPath*", "win32": "QuPath*(console).exe"}
_LOG = re.compile(r"^\d\d:\d\d:\d\d\.\d{3} \[.*?\] \[(\w+) *\] (\S+) - (.*)$")
_RUNNING = re.compile(r"Running script for (.*) \(\d+/\d+\)$")
_JAVA_ITSELF = re.compile(
    r"^(WARNING: (Unknown module|A restricted method|.* has been called by|Use --enable-native-access"
    r"|Restricted methods|A terminally deprecated|Please consider reporting)|Picked up (_JAVA|JAVA_TOOL)_OPTIONS)"
)
_FOLDER = "glomseg-user-folder"
_OTHER = "glomseg-other-start"
_SETTLE = f"""
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs

def manager = UserDirectoryManager.getInstance()
def change = args[2] == "true"
if (change && manager.getUserPath() == null) {{
    def folder = new File(args[0])
    folder.mkdirs()
    manager.setUserPath(folder.toPath())
}}
def folder = manager.getUserPath()
println "{_FOLDER}=" + folder
if (change) {{
    def ours = folder.resolve(args[1]).toString()
    def now = PathPrefs.startupScriptProperty().get()
    if (!now || now == ours || !new File(now).isFile())
        PathPrefs.startupScriptProperty().set(ours)
    else
        println "{_OTHER}=" + now
}}
"""


@dataclass(frozen=True, kw_only=True)
class ScriptRun:
    """What came of a script: on which images it ran, what QuPath logged as errors, and the exit code."""

    images: tuple[str, ...]
    errors: tuple[str, ...]
    code: int


def find_launcher(info: QuPathInfo) -> Path:
    """Return the program of a QuPath that runs scripts without a window; raises QuPathError where there is none."""
    pattern = _LAUNCHERS.get(sys.platform, _LAUNCHERS["linux"])
    found = [path for path in sorted(info.folder.glob(pattern)) if path.is_file()]
    if not found:
        raise QuPathError(f"{info.folder} holds no launcher {pattern}; {REMEDY}")
    return found[0]


def run_script(
    script: Path,
    *,
    project: Path | None = None,
    image: str | None = None,
    arguments: Sequence[str] = (),
    save: bool = False,
    line: Callable[[str, str], None] = lambda level, text: None,
) -> ScriptRun:
    """Run a Groovy script in QuPath, on the image of this name or on every image of a project.

    `line` is told each line as it comes, with its level in QuPath's log, "" for what the script printed, or STDERR for
    what came on standard error; from two threads, never at once for one stream. Raises
    QuPathError where there is no QuPath or no such script.
    """
    info = find_qupath()
    if info is None:
        raise QuPathError(f"no QuPath was found on this machine; {REMEDY}")
    if script.suffix != ".groovy" or not script.is_file():
        raise QuPathError(f"{script} is no Groovy script; name a .groovy file, or one of glomseg's own scripts")
    if len(arguments) == 1 and arguments[0].startswith("[") and arguments[0].endswith("]"):
        raise QuPathError(f"QuPath would split the argument {arguments[0]!r} at its commas; leave the brackets out")
    command = [str(find_launcher(info)), "script"]
    command += [f"--project={project}"] if project else []
    command += [f"--image={image}"] if image else []
    command += [f"--args={argument}" for argument in arguments]
    command += ["--save"] if save else []
    lines: list[str] = []
    with subprocess.Popen(
        [*command, str(script)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        beside = threading.Thread(target=_tell_errors, args=(process.stderr, line), daemon=True)
        beside.start()
        for text in process.stdout:
            lines.append(text.rstrip("\n"))
            line(*_level(lines[-1]))
        beside.join()
    return ScriptRun(images=_images(lines), errors=_errors(lines), code=process.returncode)


def _tell_errors(stream: Iterable[str], line: Callable[[str, str], None]) -> None:
    """Pass on what came on standard error, as level STDERR; what Java says of its own start is nobody's concern."""
    for text in stream:
        if not _JAVA_ITSELF.match(text):
            line("STDERR", text.rstrip("\n"))


def check_run(done: ScriptRun, *, image: str | None) -> None:
    """Raise QuPathError where a script failed on any image, or ran on none."""
    if done.errors:
        more = f" (and {len(done.errors) - 1} more, see above)" if len(done.errors) > 1 else ""
        raise QuPathError(f"QuPath: {done.errors[0]}{more}")
    if done.code != 0:
        raise QuPathError(f"QuPath ended with exit code {done.code}; see its messages above")
    if not done.images:
        raise QuPathError(f"QuPath ran the script on no image; there is none named {image!r}, or the project is empty")


@dataclass(frozen=True, kw_only=True)
class UserFolder:
    """QuPath's user folder, and the script that QuPath starts with where that is another than our menu."""

    path: Path
    other_start: str | None


def user_folder(info: QuPathInfo) -> Path:
    """Ask QuPath for its user folder, which holds `scripts`; where it has none yet, tell its default."""
    answer = _ask("null", _default_user_folder(info), change=False)
    return _default_user_folder(info) if answer.path == Path("null") else answer.path


def settle_in(info: QuPathInfo, start_with: str) -> UserFolder:
    """Give QuPath its default user folder where it has none, and let it start with a script of that folder.

    `start_with` is the script's path below the user folder. A script of a person's that QuPath starts with already is
    left, and told.
    """
    return _ask(start_with, _default_user_folder(info), change=True)


def _default_user_folder(info: QuPathInfo) -> Path:
    return Path.home() / "QuPath" / f"v{'.'.join(info.version.split('.')[:2])}"


def _ask(start_with: str, default: Path, *, change: bool) -> UserFolder:
    answers: list[str] = []
    with tempfile.TemporaryDirectory(prefix="glomseg-") as scratch:
        script = Path(scratch) / "folder.groovy"
        script.write_text(_SETTLE, encoding="utf-8")
        arguments = [str(default), start_with, str(change).lower()]
        done = run_script(script, arguments=arguments, line=lambda level, text: answers.append(text))
    told = {text.partition("=")[0]: text.partition("=")[2] for text in answers if text.startswith("glomseg-")}
    if _FOLDER not in told:
        raise QuPathError(f"QuPath did not tell its user folder ({'; '.join(done.errors) or done.code})")
    return UserFolder(path=Path(told[_FOLDER]), other_start=told.get(_OTHER) or None)


def _level(text: str) -> tuple[str, str]:
    found = _LOG.match(text)
    if found:
        return found[1], found[3]
    return (
        "TRACE" if re.match(r"^\s+at |^\s*\.\.\. \d+ |^Caused by: |^[\w.$]+(Exception|Error)\b", text) else "",
        text,
    )


def _images(lines: Sequence[str]) -> tuple[str, ...]:
    running = [_RUNNING.match(found[3]) for text in lines if (found := _LOG.match(text))]
    return tuple(found[1] for found in running if found)


def _errors(lines: Sequence[str]) -> tuple[str, ...]:
    """Pick the errors of the log, each with the exception that is named after it.

    What the readers of images log is left out: QuPath tries one after another, and reports the last failure itself. So
    is that the user's folder of its settings is gone: it goes on without.
    """
    errors = []
    for number, text in enumerate(lines):
        found = _LOG.match(text)
        if found and found[1] == "ERROR" and not found[2].endswith(("ServerBuilder", "UserDirectoryManager")):
            following = lines[number + 1] if number + 1 < len(lines) else ""
            is_cause = not _LOG.match(following) and _level(following)[0] == "TRACE"
            cause = following.strip() if is_cause and found[3] not in following else ""
            errors.append(f"{found[3]}: {cause}" if cause else found[3])
    return tuple(dict.fromkeys(errors))
