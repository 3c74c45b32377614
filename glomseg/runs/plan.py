"""Before a run over a project: which images to segment, and where on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import shapely

from glomseg.errors import GeoJSONError, GlomsegError, ProjectError, QuPathError
from glomseg.listing import first_names
from glomseg.qupath.annotations import AnnotatedImage, read_annotated_images
from glomseg.qupath.classes import describe_spellings, is_area, is_class, is_exactly, left_out
from glomseg.qupath.objects import GeoJSONObjects, PathObject, read_objects
from glomseg.qupath.process import find_qupath
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state
from glomseg.runs.segment_batch import Job
from glomseg.segment.region import IGNORED, Region, read_region
from glomseg.slides.slide import open_slide

_COPIED = " (whether there are any is not known of data whose times are others than QuPath saved: copy with `cp -a`)"


@dataclass(frozen=True, kw_only=True)
class ProjectPlan:
    """What to do with a project: images to segment, those that cannot be (entry id to reason), and remarks to make.

    `states` says how each image's data stood when it was read, so that a change since is noticed.
    """

    jobs: tuple[Job, ...]
    refused: Mapping[str, str]
    remarks: tuple[str, ...]
    states: Mapping[str, ImageState]

    def without(self, refused: Mapping[str, str]) -> ProjectPlan:
        """Return the plan without some images, by entry id with the reason why they are refused."""
        jobs = tuple(job for job in self.jobs if job.entry_id not in refused)
        return replace(self, jobs=jobs, refused={**self.refused, **refused})


def choose_images(project: Project, names: Iterable[str]) -> tuple[ProjectImage, ...]:
    """Return the images of these names or entry ids, or all; `id=2` and `name=2` say which of both is meant.

    Raises ProjectError for an unknown one, for the name of one that is the id of another, or where there is no image.
    """
    project.require_images()
    wanted = list(names)
    if not wanted:
        return project.images
    chosen = {image.entry_id for text in wanted for image in _named(project, text)}
    return tuple(image for image in project.images if image.entry_id in chosen)


def _named(project: Project, text: str) -> list[ProjectImage]:
    by_id = [image for image in project.images if image.entry_id == text]
    by_name = [image for image in project.images if image.name == text]
    if by_id and (others := [image for image in by_name if image not in by_id]):
        raise ProjectError(
            f"{text!r} is the id of {by_id[0].name}, and the name of the image of id {others[0].entry_id}; say which: "
            f"id={text} or name={text}"
        )
    how, _, value = text.partition("=")
    if not by_id and not by_name and how in ("id", "name"):
        by_id = [image for image in project.images if (image.entry_id if how == "id" else image.name) == value]
    if not by_id and not by_name:
        raise ProjectError(f"{project.path} has no image {text!r}; list its images with: glomseg status PROJECT")
    return by_id or by_name


def plan_project(
    project: Project,
    images: Iterable[ProjectImage],
    *,
    region_class: str | None,
    mpp: tuple[float, float] | None,
    within: Iterable[PathObject] = (),
) -> ProjectPlan:
    """Prepare the images of a project: where they lie, how large their pixels are, and which part to look at.

    A pixel size set in QuPath wins over the file's, and the file's over `mpp`. Annotations are read through QuPath,
    and only from images that have some that matter: of `region_class`, or of a class to ignore. `within` are areas
    to look at instead of a class, the same for all images. Raises QuPathError where a region is asked for and there
    is no QuPath.
    """
    images, within = list(images), list(within)
    states, refused = _states(images)
    images = [image for image in images if image.entry_id in states]
    with_regions = [image for image in images if _may_have_regions(states[image.entry_id], region_class)]
    annotated, remarks = _annotated(project, with_regions, region_class)
    remarks += _looked_into(states.values())
    unread = [image for image in images if image.entry_id not in annotated]
    remarks += [f"{image.name}: {remark}" for image in unread for remark in image.remarks]
    remarks += [f"{image.name}: {remark}" for image in annotated.values() for remark in image.remarks]
    if region_class is not None:
        objects = [item for image in annotated.values() for item in image.objects]
        remarks += describe_spellings(objects, (region_class,))
    jobs = []
    for image in images:
        try:
            _check_region(states[image.entry_id], region_class)
            jobs.append(_job(image, _objects(annotated.get(image.entry_id)), region_class, mpp, within))
        except GlomsegError as error:
            refused[image.entry_id] = str(error)
    return ProjectPlan(jobs=tuple(jobs), refused=refused, remarks=tuple(remarks), states=states)


def _states(images: Iterable[ProjectImage]) -> tuple[dict[str, ImageState], dict[str, str]]:
    """Say how the data of images stands, and why that of others cannot be read; both by entry id."""
    states, refused = {}, {}
    for image in images:
        try:
            states[image.entry_id] = image_state(image)
        except ProjectError as error:
            refused[image.entry_id] = str(error)
    return states, refused


def _may_have_regions(state: ImageState, region_class: str | None) -> bool:
    """Tell whether an image has annotations that say where to look, or data of which its summary says nothing."""
    if state.sha256 is not None and state.object_count is None:
        return True
    names = state.annotation_counts
    return any(
        is_exactly(name, IGNORED) or (region_class is not None and is_class(name, region_class)) for name in names
    )


def _looked_into(states: Iterable[ImageState]) -> list[str]:
    """Say which areas are looked into though their class is spelled much like that of areas to ignore."""
    names = {name for state in states for name in state.annotation_counts}
    near = sorted(name for name in names if is_class(name, IGNORED) and not is_exactly(name, IGNORED))
    return [f"areas of class {name!r} are looked into; name the class {IGNORED} to leave them out" for name in near]


def _annotated(
    project: Project, images: list[ProjectImage], region_class: str | None
) -> tuple[dict[str, AnnotatedImage], list[str]]:
    """Read the annotations of images, by entry id; tell what could not be read at all."""
    if not images:
        return {}, []
    if find_qupath() is None:
        if region_class is not None:
            raise QuPathError(f"`region` {region_class} needs QuPath to read the annotations, and there is none here")
        names = first_names(image.name for image in images)
        said = f"without QuPath the areas to ignore ({IGNORED}) cannot be read; segmenting all of: {names}"
        unknown = any(image_state(image).object_count is None for image in images)
        return {}, [said + (_COPIED if unknown else "")]
    return {image.entry_id: image for image in read_annotated_images(project, images)}, []


def _objects(annotated: AnnotatedImage | None) -> tuple[PathObject, ...]:
    """Give the annotations of an image, none for one that had none to read; raises ProjectError where that failed."""
    if annotated is not None and annotated.data_problem is not None:
        raise ProjectError(annotated.data_problem)
    return annotated.objects if annotated else ()


def _check_region(state: ImageState, region_class: str | None) -> None:
    if region_class is not None and not _may_have_regions(state, region_class):
        present = ", ".join(sorted(state.annotation_counts)) or "none"
        raise ProjectError(
            f"no annotation of class {region_class!r} (there: {present}); draw one, or leave `region` out"
        )


def _job(
    image: ProjectImage,
    objects: Iterable[PathObject],
    region_class: str | None,
    mpp: tuple[float, float] | None,
    within: list[PathObject],
) -> Job:
    path, job_mpp = image.readable_path, image.mpp
    if job_mpp is None and mpp is not None:
        with open_slide(path) as slide:
            job_mpp = None if slide.mpp_x else mpp
    return Job(
        entry_id=image.entry_id,
        name=image.name,
        path=path,
        mpp=job_mpp,
        size=image.size_px,
        region=_region(objects, region_class, within),
    )


def _region(objects: Iterable[PathObject], region_class: str | None, within: Sequence[PathObject]) -> Region | None:
    region = read_region(objects, region_class)
    if not within:
        return region
    ignored = [item.geometry for item in within if is_exactly(item.class_name, IGNORED)]
    areas = [item.geometry for item in within if not is_exactly(item.class_name, IGNORED)]
    return Region(shapely.union_all(areas), shapely.union_all([*ignored, *([region.ignored] if region else [])]))


def read_areas(path: Path) -> GeoJSONObjects:
    """Read the areas to look inside from a GeoJSON file, and those of class `Ignore*`, which are not looked into.

    Only annotations are areas, no cells and other detections. Raises GeoJSONError where it holds none to look inside.
    """
    content = read_objects(path)
    areas = tuple(item for item in content.objects if is_area(item))
    unused = left_out(content.objects, is_area)
    ignored = sum(is_exactly(item.class_name, IGNORED) for item in areas)
    if len(areas) == ignored:
        but = f" but of class {IGNORED}" if ignored else ""
        said = f" ({unused})" if unused else ""
        raise GeoJSONError(f"{path} holds no area{but}{said}; draw an annotation in QuPath, and export it as GeoJSON")
    remarks = list(content.remarks)
    if ignored:
        remarks.append(f"{path.name}: {ignored} areas of class {IGNORED} are not looked into")
    if unused:
        remarks.append(f"{path.name}: {unused}")
    return GeoJSONObjects(objects=areas, remarks=tuple(remarks))
