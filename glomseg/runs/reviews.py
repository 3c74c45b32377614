"""What a person has said of a project's images: what stands where it was reviewed, and what was rejected there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import ModelError, ProjectError
from glomseg.models.card import find_model, read_card
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import Project, ProjectImage, image_state, read_project
from glomseg.runs.changes import read_memory
from glomseg.runs.ownership import VERDICT, gone, owner, split_overlapping
from glomseg.runs.plan import FOLDER
from glomseg.runs.run import Run, list_runs
from glomseg.runs.status import REVIEWED

CLASS_BEFORE = "glomseg.class_before"
"""Where the review script keeps the class that an object had before its verdict."""


@dataclass(frozen=True, kw_only=True)
class Review:
    """One image of which a person reviewed all (`area` None) or a part, in level-0 pixels.

    `objects` are the annotations that stand, without the rejected ones. `rejected` are predictions that a person
    rejected or deleted, where nothing of their class stands now. `mpp` is what the project says, if it does.
    """

    key: str
    name: str
    path: Path
    mpp: tuple[float, float] | None
    area: BaseGeometry | None
    objects: tuple[PathObject, ...]
    rejected: tuple[PathObject, ...]


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """The reviewed images of a project, and why the other images are left out.

    `model` and `species` are those of the newest run; `model_folder` is None where that model is no longer found.
    """

    project: Project
    images: tuple[Review, ...]
    model: str | None
    model_folder: Path | None
    species: str | None
    remarks: tuple[str, ...]


def read_reviews(
    path: Path, *, slides: Sequence[Path] = (), progress: Callable[[str], None] = lambda name: None
) -> Reviews:
    """Read through QuPath what was reviewed in a project.

    Raises ProjectError where nothing was, or where an image cannot be read, and QuPathError where there is no QuPath.
    """
    project = read_project(path, slides=slides)
    found, remarks = [], []
    with qupath_process() as qupath:
        for image in project.images:
            progress(image.name)
            review = _review(qupath, project, image)
            if isinstance(review, str):
                remarks.append(f"{image.name}: {review}; left out")
            else:
                found.append(review)
    if not found:
        raise ProjectError(
            f"nothing in {project.path} is marked as reviewed; mark images or regions with the script review_glomeruli"
        )
    runs = list_runs(project.folder / FOLDER)
    newest = runs[-1].parameters if runs else {}
    return Reviews(
        project=project,
        images=tuple(found),
        model=newest.get("model"),
        model_folder=_model_folder(runs[-1]) if runs else None,
        species=newest.get("species"),
        remarks=tuple(remarks),
    )


def _model_folder(run: Run) -> Path | None:
    """Find the very model of a run: where it lay then, else by its name."""
    for place in (run.details.get("model_folder"), run.parameters.get("model")):
        try:
            folder = find_model(place) if place else None
            if folder and read_card(folder).weights_sha256 == run.parameters.get("model_sha256"):
                return folder
        except ModelError:
            continue
    return None


def _review(qupath: QuPathProcess, project: Project, image: ProjectImage) -> Review | str:
    """Read one image, or say why nothing can be learned from it."""
    stored = image_state(image).sha256 is not None
    objects = qupath.call(read_annotations, project.path, image.entry_id) if stored else []
    regions = [item.geometry for item in objects if REVIEWED in item.metadata]
    if REVIEWED not in image.metadata and not regions:
        return "not marked as reviewed"
    if image.path is None or image.problem:
        return image.problem or f"{image.uri} was not found; name its folder with --slides"
    standing = [item for item in objects if item.metadata.get(VERDICT) != "reject" and REVIEWED not in item.metadata]
    return Review(
        key=image.entry_id,
        name=image.name,
        path=image.path,
        mpp=(image.mpp_x, image.mpp_y) if image.mpp_x and image.mpp_y else None,
        area=None if REVIEWED in image.metadata else shapely.union_all(regions),
        objects=tuple(standing),
        rejected=tuple(_rejected(project, image, objects, standing)),
    )


def _rejected(
    project: Project, image: ProjectImage, objects: Sequence[PathObject], standing: Sequence[PathObject]
) -> list[PathObject]:
    """List the predictions that a person threw out: by a verdict, or by deleting them."""
    judged = [
        replace(item, class_name=item.metadata.get(CLASS_BEFORE) or item.class_name)  # "Rejected" is no rival's class
        for item in objects
        if item.metadata.get(VERDICT) == "reject"
    ]
    machine = [item for item in objects if owner(item) == "machine"]
    deleted = gone(machine, read_memory(project.folder / FOLDER, image.entry_id))
    return split_overlapping([*judged, *deleted], standing)[0]
