"""The outlines of a run as they lie in its folder, whatever was done to the file since."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GeoJSONError
from glomseg.qupath.objects import PathObject, read_geojson, read_objects
from glomseg.runs.ownership import FINGERPRINT, RUN, is_corrected, owner
from glomseg.runs.run import Run


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
    return [item if _is_uuid(item.object_id) else replace(item, object_id=None) for item in kept], problems


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
