"""What a person has said of a project's images: what was reviewed, what stands there, and what was rejected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError, GlomsegError, ModelError, ProjectError
from glomseg.models.store import find_model, read_card
from glomseg.qupath.annotations import AnnotatedImage, check_as_read, read_annotated_images
from glomseg.qupath.classes import is_candidate
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.qupath.project import Project, ProjectImage, read_project, usable_path
from glomseg.qupath.review_mark import REVIEWED
from glomseg.qupath.same_slides import same_slides
from glomseg.runs.candidates import CLASS_BEFORE
from glomseg.runs.each_image import doubt
from glomseg.runs.lost_writes import lost_write, older_than
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import Deletions, deletions, owner, verdict_of
from glomseg.runs.rivals import split_overlapping
from glomseg.runs.run import FOLDER, Run, RunParameters
from glomseg.runs.run_list import last_standing, read_runs
from glomseg.runs.same_image import without_data_of_others, without_strangers


@dataclass(frozen=True, kw_only=True)
class ReviewedImage:
    """One image of which a person reviewed all (`area` None) or a part, in level-0 pixels.

    `rejected` are predictions that a person rejected or deleted, where nothing of their class stands now. `candidates`
    are what a run was not sure of and nobody has judged, in the image or offered to the review, in what was reviewed.
    """

    image: AnnotatedImage
    area: BaseGeometry | None
    rejected: tuple[PathObject, ...]
    candidates: tuple[PathObject, ...] = ()

    @property
    def standing(self) -> tuple[PathObject, ...]:
        """List the annotations that stand: neither rejected ones nor the marks of reviewed regions."""
        return tuple(item for item in self.image.objects if not is_rejected(item) and REVIEWED not in item.metadata)


@dataclass(frozen=True, kw_only=True)
class ReviewedProject:
    """The reviewed images of a project, and why the other images are left out.

    `model` and `species` are those of the newest run that was not taken back; `model_folder` is None where that model
    is no longer found.
    """

    project: Project
    images: tuple[ReviewedImage, ...]
    model: str | None
    model_folder: Path | None
    species: str | None
    remarks: tuple[str, ...]


def is_rejected(item: PathObject) -> bool:
    """Tell whether a person's verdict on an object is to reject it."""
    return verdict_of(item) == "reject"


def without_rejected(image: AnnotatedImage) -> AnnotatedImage:
    """Return an image without the objects that a person rejected."""
    return replace(image, objects=tuple(item for item in image.objects if not is_rejected(item)))


def unjudged(
    objects: Sequence[PathObject], *, offered: Sequence[PathObject] = (), deleted: Sequence[PathObject] = ()
) -> list[PathObject]:
    """List the candidates among what stands, or `offered` beside it, where nothing stands and nothing was `deleted`."""
    shown = [item for item in objects if is_candidate(item.class_name) and not is_rejected(item)]
    judged = [*(item for item in objects if not is_candidate(item.class_name) or is_rejected(item)), *deleted]
    return split_overlapping([*shown, *split_overlapping(offered, shown)[0]], judged)[0]


def persons_objects(image: AnnotatedImage) -> frozenset[int]:
    """Give the positions of the objects that a person drew or changed."""
    return frozenset(position for position, item in enumerate(image.objects) if owner(item) == "person")


def reviewed_objects(image: AnnotatedImage) -> frozenset[int]:
    """Give the positions of what a person marked as reviewed: all of an image, or all whose centre is in a region."""
    if image.is_reviewed:
        return frozenset(range(len(image.objects)))
    regions = shapely.union_all(image.reviewed_regions)
    return frozenset(index for index, item in enumerate(image.objects) if regions.intersects(item.geometry.centroid))


def read_reviewed(
    path: Path,
    *,
    slides: Sequence[Path] = (),
    believe_deletions: bool = False,
    progress: Callable[[str], None] = lambda name: None,
) -> ReviewedProject:
    """Read through QuPath what was reviewed in a project.

    An image that cannot be read is left out with a remark, and one from which all outlines of a run are gone at once,
    unless `believe_deletions` says that it was on purpose. Raises ProjectError where nothing was reviewed, and
    QuPathError where there is no QuPath.
    """
    project = read_project(path, slides=slides)
    reviewed: list[ReviewedImage] = []
    remarks: list[str] = []
    unusable: list[str] = []
    runs, left_alone = readable_runs(project)
    remarks += left_alone
    same = same_slides(project.images)
    remarks += same.remarks(project.images)
    images = read_own_annotations(project, same.left(project.images), progress=progress)
    for image in images:
        try:
            reviewed.append(_reviewed(image, runs, project.folder / FOLDER, remarks, believe=believe_deletions))
        except GlomsegError as error:
            remarks.append(f"{image.name}: {error}; left out")
            is_marked = image.is_reviewed or image.reviewed_regions or image.outdated_reviews
            if image.data_problem is None and is_marked:
                unusable.append(f"{image.name}: {error}")
    if not reviewed:
        if unusable:
            raise ProjectError(f"nothing that is marked as reviewed can be used: {'; '.join(unusable)}")
        unread = "; ".join(f"{image.name}: {image.data_problem}" for image in images if image.data_problem)
        raise ProjectError(
            f"nothing in {project.path} is marked as reviewed; mark images or regions with the script review_glomeruli"
            + (f" (not read: {unread})" if unread else "")
        )
    newest = last_standing(runs)
    parameters = newest.parameters if newest else RunParameters()
    return ReviewedProject(
        project=project,
        images=tuple(reviewed),
        model=parameters.model,
        model_folder=model_folder(newest) if newest else None,
        species=parameters.species,
        remarks=tuple(remarks),
    )


def read_own_annotations(
    project: Project, images: Sequence[ProjectImage], *, progress: Callable[[str], None] = lambda name: None
) -> tuple[AnnotatedImage, ...]:
    """Read images of a project as `read_annotated_images` does, without what stands there of another image."""
    annotated = read_annotated_images(project, images, progress=progress)
    runs_folder = project.folder / FOLDER
    return without_data_of_others(annotated, project.images, read_runs(runs_folder)[0], runs_folder)


def readable_runs(project: Project) -> tuple[list[Run], list[str]]:
    """Read the runs of a project, without what they found on other images; and say what is left alone."""
    runs, unreadable = read_runs(project.folder / FOLDER)
    runs, strangers = without_strangers(runs, project.images)
    return runs, [*strangers, *(f"a run is left alone: {run.problem}" for run in unreadable if not run.is_copy)]


def model_folder(run: Run) -> Path | None:
    """Find the very model of a run: where it lay then, else by its name."""
    for place in (run.model_folder, run.parameters.model):
        try:
            folder = find_model(place) if place else None
            if folder and read_card(folder).weights_sha256 == run.parameters.model_sha256:
                return folder
        except ModelError:
            continue
    return None


def _reviewed(
    image: AnnotatedImage, runs: Sequence[Run], runs_folder: Path, remarks: list[str], *, believe: bool
) -> ReviewedImage:
    """Say what was reviewed of an image, and what is not known; raises GlomsegError where nothing can be learned."""
    if image.data_problem is not None:
        raise ProjectError(image.data_problem)
    regions = image.reviewed_regions
    if not image.is_reviewed and not regions:
        raise ProjectError("; ".join(image.outdated_reviews) or "not marked as reviewed")
    usable_path(image.path, image.problem)
    reviewed = ReviewedImage(image=image, area=None if image.is_reviewed else shapely.union_all(regions), rejected=())
    gone = deletions_of(image, runs, runs_folder, remarks, believe=believe)
    area, found = reviewed.area, unjudged(image.objects, offered=_offered(runs, image, remarks), deleted=gone.rejected)
    return replace(
        reviewed,
        rejected=tuple(_rejected(reviewed, gone.rejected)),
        candidates=tuple(item for item in found if area is None or area.intersects(item.geometry.centroid)),
    )


def deletions_of(
    image: AnnotatedImage, runs: Sequence[Run], runs_folder: Path, remarks: list[str], *, believe: bool
) -> Deletions:
    """Say which predictions were deleted from an image; raise ProjectError where what stands there is no review.

    That is so where its data are those of before a run, and where all outlines of a run are gone at once, unless
    `believe` says that it was on purpose.
    """
    data_folder = runs_folder.parent / "data" / image.entry_id
    if lost := lost_write(runs, runs_folder, image.entry_id, data_folder):
        raise ProjectError(
            f"{older_than(lost)}; bring its data back (`glomseg restore PROJECT {image.entry_id}` lists backups), "
            f"or those outlines (`glomseg collect PROJECT {lost}`), and look at it again"
        )
    memory = read_memory(runs_folder, image.entry_id, data_folder)
    check_as_read(image, data_folder)
    if memory.lost is not None:
        remarks.append(f"{image.name}: which outlines were deleted from it is not known ({memory.lost})")
    gone = deletions(image.objects, memory, believe=believe)
    if gone.doubtful:
        raise ProjectError(doubt(gone.doubtful))
    return gone


def _offered(runs: Sequence[Run], image: AnnotatedImage, remarks: list[str]) -> list[PathObject]:
    """Read the candidates that the review offers of an image: those of the newest run that was not taken back there."""
    found = [run for run in runs if run.has_result(image.entry_id) and run.images[image.entry_id].undone is None]
    path = found[-1].candidates_path(image.entry_id) if found else None
    if path is None or not path.is_file():
        return []
    try:
        return read_geojson(path)
    except GeoJSONError as error:
        remarks.append(f"{image.name}: which candidates nobody judged is not known ({error})")
        return []


def _rejected(reviewed: ReviewedImage, deleted: Sequence[PathObject]) -> list[PathObject]:
    """List the predictions that a person threw out: by a verdict, or by deleting them."""
    objects = reviewed.image.objects
    judged = [
        replace(item, class_name=item.metadata.get(CLASS_BEFORE) or item.class_name)  # "Rejected" is no rival's class
        for item in objects
        if is_rejected(item)
    ]
    return split_overlapping([*judged, *deleted], reviewed.standing)[0]
