"""Outlines with the marks of a run that a person brought into an image: copied from another one, or out of a file.

They are marked as the machine's, and yet no run has put them there: whoever did wants them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GeoJSONError, RunError
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.runs.ownership import FINGERPRINT, RUN, Memory
from glomseg.runs.run import RECORD, checked_entry_id, load_run


def with_brought(existing: Sequence[PathObject], memory: Memory, runs_folder: Path, entry_id: str) -> list[PathObject]:
    """Return what stands in an image, where `is_brought` is set on what a person has brought in.

    That is an outline of a run which no write of ours left there, as `memory` says, and which that run has not found on
    this image, or of a run of another place. Where no write of ours is in the data, what runs of other places found is
    not known; nor is what is remembered where the memory is lost.
    """
    known = {item.metadata.get(FINGERPRINT) for item in memory.predictions}
    foreign = [item for item in existing if RUN in item.metadata and item.metadata.get(FINGERPRINT) not in known]
    if memory.lost is not None or not foreign:
        return list(existing)
    elsewhere = frozenset[str | None]() if memory.is_of_data else None
    found = {run: _found_by(runs_folder, run, entry_id, elsewhere) for run in {item.metadata[RUN] for item in foreign}}
    brought = {
        id(item)
        for item in foreign
        if (marks := found[item.metadata[RUN]]) is not None and item.metadata.get(FINGERPRINT) not in marks
    }
    return [replace(item, is_brought=True) if id(item) in brought else item for item in existing]


def _found_by(
    runs_folder: Path, run_id: str, entry_id: str, elsewhere: frozenset[str | None] | None
) -> frozenset[str | None] | None:
    """Return the fingerprints of what a run found on an image, `elsewhere` for one of another place.

    None where that is not known.
    """
    try:
        folder = runs_folder / checked_entry_id(run_id)
        if not folder.exists():
            return elsewhere
        if not (folder / RECORD).is_file():
            return None
        run = load_run(folder)
        paths = [path for path in (run.result_path(entry_id), run.candidates_path(entry_id)) if path.is_file()]
        if not paths and entry_id in run.images:
            return None
        return frozenset(_marks(item for path in paths for item in read_geojson(path)))
    except (RunError, GeoJSONError):
        return None


def _marks(items: Iterable[PathObject]) -> Iterable[str | None]:
    return (item.metadata.get(FINGERPRINT) for item in items)
