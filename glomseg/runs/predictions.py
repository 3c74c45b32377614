"""The outlines of a run as they lie in its folder, whatever was done to the file since."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GeoJSONError
from glomseg.qupath.classes import is_candidate
from glomseg.qupath.objects import PathObject, read_geojson, read_objects
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.ownership import FINGERPRINT, RUN, is_corrected, owner
from glomseg.runs.run import Run

_NEAR = 1e-3
"""How far two areas of the same outlines may differ, as they are rounded when they are written."""


def read_predictions(run: Run, entry_id: str) -> tuple[list[PathObject], list[str]]:
    """Read the outlines of an image, and say what is left out or repaired.

    One that does not carry its run is none of the machine's and is left out; one that was changed since is a person's;
    an id that is none becomes a new one.
    Raises GeoJSONError where the file is missing or is no GeoJSON.
    """
    path = run.result_path(entry_id)
    try:
        read = read_objects(path)
    except GeoJSONError as error:
        raise GeoJSONError(f"{error}; or segment the image again with the same command as before") from error
    problems = list(read.remarks)
    kept = [item for item in read.objects if RUN in item.metadata and FINGERPRINT in item.metadata]
    if len(kept) < len(read.objects):
        foreign = len(read.objects) - len(kept)
        problems.append(
            f"{path.name}: left out {foreign} outlines that are not of a run; in QuPath, File > Import objects from "
            "file brings such in"
        )
    if others := sorted({item.metadata[RUN] for item in kept} - {run.run_id}):
        count = sum(item.metadata[RUN] != run.run_id for item in kept)
        problems.append(
            f"{path.name}: {count} of its {len(kept)} outlines are of {', '.join(others)}; they count as this run's"
        )
    if corrected := sum(is_corrected(item) or owner(item) == "person" for item in kept):
        were = "1 outline was" if corrected == 1 else f"{corrected} outlines were"
        problems.append(f"{path.name}: {were} changed since the run wrote this file: a person's from now on")
    record = run.images.get(entry_id, ImageRecord())
    if other := _other_than_found(record, kept, is_changed=bool(corrected or others)):
        problems.append(f"{path.name}: {other}")
    return [item if _is_uuid(item.object_id) else replace(item, object_id=None) for item in kept], problems


def _other_than_found(record: ImageRecord, kept: Sequence[PathObject], *, is_changed: bool) -> str | None:
    """Say that a file holds other outlines than its run found, by their number, or by area where none was changed."""
    counted = [item for item in kept if not is_candidate(item.class_name)]
    if record.glomeruli is None:
        return None
    if len(counted) != record.glomeruli:
        return f"holds {len(counted)} outlines, and the run found {record.glomeruli}"
    if is_changed or record.mpp is None or record.glomerular_area_um2 is None:
        return None
    area = sum(item.geometry.area for item in counted) * record.mpp[0] * record.mpp[1]
    found = record.glomerular_area_um2
    if math.isclose(area, found, rel_tol=_NEAR):
        return None
    return (
        f"its outlines cover {area:.0f} um2, and those that the run found {found:.0f} um2: they may be another image's"
    )


def is_a_persons(path: Path) -> bool:
    """Tell whether a file holds outlines that no run made, or that a person changed since; raises GeoJSONError."""
    return path.is_file() and any(owner(item) == "person" for item in read_geojson(path))


def is_readable(run: Run, entry_id: str) -> bool:
    """Tell whether the outlines of an image are there and can be read."""
    try:
        read_objects(run.result_path(entry_id))
    except GeoJSONError:
        return False
    return True


def _is_uuid(text: str | None) -> bool:
    try:
        return text is None or bool(uuid.UUID(text))
    except ValueError:
        return False
