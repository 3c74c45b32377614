"""Candidates: what is not sure enough to count, kept beside the outlines of a run, or among them under another name."""

from __future__ import annotations

import uuid
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from glomseg.errors import GeoJSONError
from glomseg.qupath.classes import candidate_class, is_candidate
from glomseg.qupath.objects import Color, PathObject, read_geojson, write_geojson
from glomseg.runs.ownership import FINGERPRINT, MODEL, RUN, stamp
from glomseg.runs.run import Run

CandidateChoice = Literal["none", "review", "all"]
"""Drop candidates, keep them in the run folder for the review, or put them into the project as well."""

COLOR: Color = (150, 150, 150)
CLASS_BEFORE = "glomseg.class_before"
"""Where the review script keeps the class that an object had before its verdict."""


def write_outlines(
    run: Run, entry_id: str, counted: Sequence[PathObject], candidates: Sequence[PathObject], choice: CandidateChoice
) -> None:
    """Write what a run found on an image: what counts, and of its candidates what `choice` says.

    Both are stamped. The candidates are written first, so that a result that is there is complete; `all` adds them to
    the result under a class that no command counts.
    """
    path = run.candidates_path(entry_id)
    if candidates and choice != "none":
        write_geojson(path, candidates)
    else:
        path.unlink(missing_ok=True)  # of an earlier attempt
    shown = [as_candidate(item) for item in candidates] if choice == "all" else []
    write_geojson(run.result_path(entry_id), [*counted, *shown])


def as_candidate(item: PathObject) -> PathObject:
    """Return a stamped outline of a run as it stands in a project that shows candidates: grey, and of a class apart."""
    class_name = candidate_class(item.class_name or "")
    name = f"Candidate: {item.name}" if item.name else None
    run = item.metadata[RUN]
    shown = stamp(
        replace(item, class_name=class_name, color=COLOR, name=name), run=run, model=item.metadata.get(MODEL, "")
    )
    identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{run} {shown.metadata[FINGERPRINT]}")
    return replace(shown, object_id=str(identity))


def candidate_marks(run: Run, entry_id: str) -> frozenset[str]:
    """Return the fingerprints of the candidates that a run kept of an image; none where they cannot be read."""
    try:
        return _marks(read_geojson(run.candidates_path(entry_id)))
    except GeoJSONError:
        return frozenset()


def was_candidate(item: PathObject, marks: Container[str]) -> bool:
    """Tell whether an object was a candidate, by `candidate_marks`, that a person accepted: no run brought it in."""
    return item.metadata.get(FINGERPRINT) in marks or is_candidate(item.metadata.get(CLASS_BEFORE))


def found_marks(run: Run, entry_id: str) -> frozenset[str]:
    """Return the fingerprints of the outlines that a run found on an image; none where they cannot be read."""
    try:
        return _marks(counted_outlines(run, entry_id))
    except GeoJSONError:
        return frozenset()


def _marks(items: Iterable[PathObject]) -> frozenset[str]:
    return frozenset(item.metadata[FINGERPRINT] for item in items if FINGERPRINT in item.metadata)


def counted_outlines(run: Run, entry_id: str) -> list[PathObject]:
    """Read the outlines of an image that count; raises GeoJSONError."""
    return [item for item in read_geojson(run.result_path(entry_id)) if not is_candidate(item.class_name)]


def choose_candidates(run: Run, entry_id: str, choice: CandidateChoice) -> bool:
    """Put the candidates of a finished image where `choice` says; False where they were not kept or cannot be read."""
    record = run.images[entry_id]
    path = run.candidates_path(entry_id)
    try:
        counted = counted_outlines(run, entry_id)
        candidates = read_geojson(path) if path.is_file() else []
    except GeoJSONError:
        return False
    if choice != "none" and len(candidates) != (record.candidates or 0):
        return False
    shown = sum(is_candidate(item.class_name) for item in read_geojson(run.result_path(entry_id)))
    if shown != (len(candidates) if choice == "all" else 0) or (choice == "none" and candidates):
        write_outlines(run, entry_id, counted, candidates, choice)
    return True
