"""One slide as a task for another process, on this machine or elsewhere: all that it needs, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import RunError
from glomseg.progress import ProgressCount
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.listener import Listener
from glomseg.runs.run import Run, checked_entry_id
from glomseg.runs.segment_batch import Job, segment_one
from glomseg.runs.segmenter import Segmenter, SegmentOptions


@dataclass(frozen=True, kw_only=True)
class Task:
    """One image to segment into a run folder; `before` is what the run knows of it, `batch` overrules the options'."""

    job: Job
    before: ImageRecord | None
    run_folder: Path
    run_id: str
    options: SegmentOptions
    batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What is known of an image now, and what is to be said of it."""

    record: ImageRecord
    warnings: tuple[str, ...] = ()


class _RunOfOne(Run):
    """What a worker sees of a run: one image. Its record goes back to the process that keeps the run."""

    def save(self) -> None:
        """Leave run.json to its keeper."""


def run_task(task: Task, segmenter: Segmenter, *, tiles: ProgressCount = lambda done, total: None) -> TaskResult:
    """Segment an image; whatever goes wrong with it stands in its record. The files are written here."""
    images = {} if task.before is None else {task.job.entry_id: task.before}
    run = _RunOfOne(task.run_folder, task.run_id, images=images)
    warnings: list[str] = []
    listener = Listener(tiles=tiles, warning=warnings.append)
    settings = replace(segmenter.settings, batch_size=task.batch or segmenter.settings.batch_size)
    with _scratch_of(task) as scratch:
        segment_one(task.job, segmenter.model, run, settings, segmenter.extras(scratch), listener)
    return TaskResult(record=run.images[task.job.entry_id], warnings=tuple(warnings))


@contextmanager
def _scratch_of(task: Task) -> Iterator[Path]:
    """Make the folder for what a task needs while it works, so that it can be found when the task is killed."""
    folder = _scratch_path(task)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}; free space or choose another folder") from error
    try:
        yield folder
    finally:
        _remove_scratch(task)


def _scratch_path(task: Task) -> Path:
    # no folder that tasks share: one that ends would remove it under another that begins
    return task.run_folder / f".work-{checked_entry_id(task.job.entry_id)}"


def _remove_scratch(task: Task) -> None:
    scratch = _scratch_path(task)
    for path in scratch.glob("*"):
        path.unlink(missing_ok=True)
    with suppress(OSError):  # gone
        scratch.rmdir()


def remove_leftovers_of(task: Task) -> None:
    """Remove what a task that was killed left half done; whole results stay."""
    _remove_scratch(task)
    half = re.compile(rf"\.{re.escape(task.job.entry_id[:80])}\.\w{{8}}\.(geojson|tif|png)")
    for name in ("", "candidates", "overlay", "probability"):
        for path in (task.run_folder / name).glob(".*"):
            if half.fullmatch(path.name):
                path.unlink(missing_ok=True)
