"""Writes that are recorded, and that the data of an image does not know of: put back, saved over, or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.qupath.image_data import readable_data
from glomseg.runs.changes import is_record_lost, last_write, runs_in, taken_back_at
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.run import Run, instant


def lost_write(runs: Sequence[Run], runs_folder: Path, entry_id: str, data_folder: Path) -> str | None:
    """Name the run that wrote into an image last, where the image's data is not based on that; None where all is well.

    That is so where data of another day was put back by hand or by a sync tool, or where an open QuPath saved over what
    was brought in. What an undo or a restore took away is not lost. Data that cannot be read tell nothing.
    """
    recorded = [run for run in runs if entry_id in run.images and run.images[entry_id].collected is not None]
    try:
        is_there = readable_data(data_folder) is not None
    except ProjectError:
        return None
    return _last_not_standing(recorded, runs_folder, entry_id, data_folder) if is_there else None


def missing_write(runs: Sequence[Run], runs_folder: Path, entry_id: str, data_folder: Path) -> str | None:
    """Name the run that wrote into an image last, where the image has no data at all.

    Their folder was moved away, or the share has not brought it yet; an open QuPath makes it anew for a thumbnail.
    Raises ProjectError where data are there and cannot be read.
    """
    is_there = readable_data(data_folder) is not None
    return None if is_there else _last_not_standing(runs, runs_folder, entry_id, data_folder)


def _last_not_standing(runs: Sequence[Run], runs_folder: Path, entry_id: str, data_folder: Path) -> str | None:
    last: tuple[float, str] | None = None
    for run in runs:
        if (at := written_at(run, entry_id)) is not None:
            last = max(last or (0.0, ""), (at, run.run_id))
    if last is None or last[1] in runs_in(runs_folder, entry_id, data_folder):
        return None
    if is_record_lost(runs_folder, entry_id, data_folder):  # that the run stands there can then not be told
        return None
    taken_back = taken_back_at(runs_folder, entry_id, data_folder, last[1])
    return last[1] if taken_back is None or taken_back < last[0] else None


def written_at(run: Run, entry_id: str) -> float | None:
    """Tell when a run wrote into an image last, in seconds since 1970; None where it changed nothing there.

    A `collect` of what stands already says in the run's record that it added nothing, and an import in QuPath says
    nothing in it: then what was kept of the write tells it. One of ours that was killed before its record is none.
    """
    record = run.images.get(entry_id, ImageRecord())
    collected = record.collected
    if collected is not None and (collected.added or collected.removed):
        return instant(collected.at)
    if record.undone is not None:  # by a restore, which is no write of the run's
        return None
    written = last_write(run.folder, entry_id)
    if written is None or written.kind != "collect" or (collected is None and written.after is not None):
        return None
    return instant(collected.at if collected is not None else written.at or run.started)


def unrecorded_undo(run: Run, entry_id: str, data_folder: Path) -> float | None:
    """Tell when a run was taken back in an image, in seconds since 1970, whose record says that it was brought in.

    The undo was killed before the record knew of it. None where it stands, or was brought in again since.
    """
    record = run.images.get(entry_id, ImageRecord())
    if record.collected is None:
        return None
    at = taken_back_at(run.folder.parent, entry_id, data_folder, run.run_id)
    return at if at is not None and at >= instant(record.collected.at) else None


def older_than(run_id: str) -> str:
    """Say of an image that the write of this run is not in its data."""
    return f"its data is older than the outlines that run {run_id} brought in, or not based on them"
