"""The runs in a folder: which there are, which cannot be read, and the one that a command is about."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from glomseg.errors import RunError
from glomseg.runs.rights import say_no_right
from glomseg.runs.run import RECORD, Run, RunParameters, checked_entry_id, instant, load_run, now

_NO_RUNS = ("memory", "backup", "measurements", "gallery")
"""What else lies beside the folders of the runs."""

_RUN_ID = re.compile(r"\d{8}-\d{6}(-\d+)?")
"""What a run is called that a command began; another folder may be a person's own."""


@dataclass(frozen=True)
class UnreadableRun:
    """A run whose record cannot be read, and why, or the copy of a run's folder."""

    folder: Path
    problem: str
    is_copy: bool = False

    def has_result(self, entry_id: str) -> bool:
        """Tell whether it left outlines of an image, as far as this user may see that."""
        with suppress(PermissionError):
            return (self.folder / f"{checked_entry_id(entry_id)}.geojson").is_file()
        return False

    def is_newer(self, run: Run) -> bool:
        """Tell whether it was at work after another began, as far as its record still says when, else by its name."""
        try:
            said = re.findall(rb'"(?:started|ended|at)": *"([^"]+)"', (self.folder / RECORD).read_bytes())
        except OSError:
            said = []
        at = max((instant(text.decode("utf-8", "replace")) for text in said), default=0.0)
        return at > instant(run.started) if at else self.folder.name > run.run_id


def read_runs(folder: Path) -> tuple[list[Run], list[UnreadableRun]]:
    """Read the runs of a project's `glomseg` folder, the oldest first, and name those that cannot be read.

    A copy of a run's folder beside it is none of its own: two records of one run would contradict each other.
    """
    runs: dict[str, Run] = {}
    unreadable = []
    for place in _folders_in(folder):
        try:
            if not (place / RECORD).is_file():
                unreadable += _without_record(place)
                continue
            run = load_run(place)
        except (RunError, PermissionError) as error:  # no obstacle to a new run
            problem = str(error) if isinstance(error, RunError) else say_no_right(place)
            unreadable.append(UnreadableRun(place, problem))
            continue
        same = [run, *filter(None, [runs.get(run.run_id)])]
        runs[run.run_id], *copies = sorted(same, key=lambda run: run.folder.name != run.run_id)
        for copy in copies:
            problem = f"{copy.folder} is a copy of run {run.run_id} and does not count; move it out of {folder}"
            unreadable.append(UnreadableRun(copy.folder, problem, is_copy=True))
    return sorted(runs.values(), key=lambda run: (instant(run.started), run.run_id)), unreadable


def _without_record(place: Path) -> list[UnreadableRun]:
    """Name a folder as a run where it has the name of one and wrote into the project, but its record is gone.

    One that has outlines alone may be of a run that was killed, or is at work, before its first record.
    """
    if not _RUN_ID.fullmatch(place.name) or not any(place.glob("changes/*/*.json")):
        return []
    problem = (
        f"{place / RECORD} is gone, so that what run {place.name} found and wrote is not known; put that file back, or "
        f"move the folder out of {place.parent}"
    )
    return [UnreadableRun(place, problem)]


def _folders_in(folder: Path) -> list[Path]:
    """List the folders that may be of runs; raises RunError where this user may not see which there are."""
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in _NO_RUNS]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise RunError(say_no_right(folder)) from error


def list_runs(folder: Path) -> list[Run]:
    """List the readable runs of a project's `glomseg` folder, the oldest first."""
    return read_runs(folder)[0]


def last_standing(runs: Sequence[Run]) -> Run | None:
    """Return the run that was last at work of those that were not taken back in each of their images; else of all."""
    standing = [run for run in runs if not run.images or any(record.undone is None for record in run.images.values())]
    return max(standing or runs, key=lambda run: run.last_at, default=None)


def find_run(folder: Path, run_id: str | None) -> Run:
    """Find a run of a project by its id, by default the one that was last at work; raises RunError where there is none.

    Raises RunError too where that one cannot be read: an older one never takes its place unasked.
    """
    runs, unreadable = read_runs(folder)
    runs.sort(key=lambda run: run.last_at)
    problems = {run.folder.name: run.problem for run in unreadable if not run.is_copy}
    if run_id is None and runs:
        for run in (run for run in unreadable if not run.is_copy and run.is_newer(runs[-1])):
            raise RunError(f"{run.problem}. The newest run that can be read is {runs[-1].run_id}; name it to use it")
    chosen = [run for run in runs if run_id in (None, run.run_id)]
    if chosen:
        return chosen[-1]
    if run_id in problems or (problems and not runs):
        raise RunError(problems[run_id if run_id in problems else max(problems)])
    if not runs:
        raise RunError(f"no run in {folder}; make one with: glomseg annotate PROJECT")
    raise RunError(f"no run {run_id!r} in {folder}; there are: {', '.join(run.run_id for run in runs)}")


def resume_or_start(folder: Path, parameters: RunParameters, *, restart: bool, resume: bool = False) -> Run:
    """Go on with the newest run in `folder` that has these parameters, or start one in a folder of its own.

    Raises RunError where `resume` says that there must be one, and there is none.
    """
    alike = [run for run in list_runs(folder) if run.parameters == parameters]
    if alike and not restart:
        return alike[-1]
    if resume:
        raise RunError(f"no run in {folder} was made with these settings; leave `resume` out to start one")
    second = datetime.now().strftime("%Y%m%d-%H%M%S")
    ids = (second if number == 1 else f"{second}-{number}" for number in itertools.count(1))
    run_id = next(run_id for run_id in ids if not (folder / run_id).exists())
    return Run(folder / run_id, run_id, parameters, started=now())


def resume_or_start_in(folder: Path, parameters: RunParameters, *, restart: bool, resume: bool = False) -> Run:
    """Go on with the run that `folder` itself holds, or start it there; raises RunError for other parameters.

    Raises RunError too where `resume` says that there must be one, and there is none.
    """
    if not restart and (folder / RECORD).exists():
        run = load_run(folder)
        if changed := run.parameters.differing(parameters):
            raise RunError(
                f"{folder} holds results made with another {', '.join(changed)}; choose another `output`, or `restart`"
            )
        return run
    if resume:
        raise RunError(f"{folder} holds no run to go on with; leave `resume` out to start one")
    return Run(folder, datetime.now().strftime("%Y%m%d-%H%M%S"), parameters, started=now())
