"""What stands where in a project, from the files alone: no QuPath, no JVM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glomseg.errors import ProjectError
from glomseg.qupath.annotations import REVIEWED
from glomseg.qupath.project import ImageState, ProjectImage, image_state
from glomseg.runs.ownership import RUN, VERDICT
from glomseg.runs.run import Run

REVIEW = "glomseg.review"
"""Metadata of an image in which review_glomeruli.groovy keeps how far the review is."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whose annotations stand in an image, None where that is unknown.

    `current` is False where the image was saved since these numbers were taken, at the last write by glomseg.
    """

    machine: int | None = None
    persons: int | None = None
    verdicts: Mapping[str, int] | None = None
    current: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageStatus:
    """One image: its annotations by class, whose they are, its runs (id, state, glomeruli) and what went wrong."""

    image: ProjectImage
    annotations: Mapping[str, int]
    saved: datetime | None
    standing: Standing
    review: str | None
    reviewed: str | None
    runs: tuple[tuple[str, str, int | None], ...]
    conflict: str | None
    problem: str | None


def describe_image(image: ProjectImage, runs: Sequence[Run]) -> ImageStatus:
    """Gather what the project's files and the records of `runs`, the oldest first, say about an image."""
    records = [(run, run.images[image.entry_id]) for run in runs if image.entry_id in run.images]
    try:
        state, problem = image_state(image), image.problem
    except ProjectError as error:
        state, problem = ImageState(sha256=None), str(error)
    return ImageStatus(
        image=image,
        annotations=state.annotation_counts,
        saved=None if state.saved_ms is None else datetime.fromtimestamp(state.saved_ms / 1000),
        standing=_standing(image, state, [record for _, record in records]),
        review=image.metadata.get(REVIEW),
        reviewed=image.metadata.get(REVIEWED),
        runs=tuple((run.run_id, _run_state(record), record.get("glomeruli")) for run, record in records),
        conflict=next((str(record["reason"]) for _, record in reversed(records) if _in_conflict(record)), None),
        problem=problem,
    )


def _standing(image: ProjectImage, state: ImageState, records: Sequence[Mapping[str, Any]]) -> Standing:
    """Say whose the annotations are: exactly where none is ours or nobody saved since the last write."""
    if state.sha256 is None:
        return Standing(machine=0, persons=0, verdicts={}, current=True)
    written = [record["standing"] for record in records if record.get("standing")]
    last = max(written, key=lambda standing: str(standing["at"]), default=None)
    if last is not None and last["data_sha256"] == state.sha256:
        return Standing(machine=last["machine"], persons=last["persons"], verdicts=last["verdicts"], current=True)
    data = (image.data_folder / "data.qpdata").read_bytes()  # holds text as it is, though little else is readable
    if RUN.encode() not in data:
        verdicts: dict[str, int] | None = None if VERDICT.encode() in data else {}
        return Standing(machine=0, persons=sum(state.annotation_counts.values()), verdicts=verdicts, current=True)
    if last is None:
        return Standing()
    return Standing(machine=last["machine"], persons=last["persons"], verdicts=last["verdicts"])


def _run_state(record: Mapping[str, Any]) -> str:
    if record.get("outcome"):
        return str(record["outcome"])
    if record.get("collected") and record.get("state") == "done":
        return "collected"
    return "undone" if record.get("undone") else str(record.get("state", ""))


def _in_conflict(record: Mapping[str, Any]) -> bool:
    return bool(record.get("outcome") and record.get("conflict"))
