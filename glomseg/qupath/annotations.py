"""The images of a project with their annotations as they stand, read in one loop for all who need them.

Geometry is in level-0 pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from glomseg.errors import ConflictError, GlomsegError
from glomseg.qupath.classes import ANNOTATION, LeftOutObjects, left_out
from glomseg.qupath.image_data import readable_data, say_other_copies
from glomseg.qupath.java import ImageObjects, read_image_objects
from glomseg.qupath.objects import PathObject, read_objects
from glomseg.qupath.process import QuPathProcess, find_qupath, qupath_process
from glomseg.qupath.project import ImageState, Project, ProjectImage, folder_state, image_state, usable_path
from glomseg.qupath.review_mark import (
    REVIEWED,
    is_mark_lost,
    is_region_moved,
    is_region_outdated,
    is_review_outdated,
    say_mark_lost,
    say_moved,
    say_outdated,
)
from glomseg.qupath.write_mark import stand_of


@dataclass(frozen=True, kw_only=True)
class AnnotatedImage:
    """An image with its annotations as they stand.

    `path`, `size_px` (width, height) and `mpp` (x, y) are None where they are not known, `state` where no project
    holds the image. `problem` says why the pixels cannot be read; `data_problem` why the annotations could not be,
    and then there are no `objects`. `stand` is the write whose outcome stands there, None where no project holds the
    image, `is_review_outdated` says that other outlines stand there than were reviewed, and `is_mark_lost` that its
    data alone tell of a review. `others` counts the objects that are no annotations, such as detections, and `remarks`
    say which object could not be read, or was repaired.
    """

    entry_id: str
    name: str
    path: Path | None = None
    problem: str | None = None
    size_px: tuple[int, int] | None = None
    mpp: tuple[float, float] | None = None
    objects: tuple[PathObject, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: ImageState | None = None
    data_problem: str | None = None
    stand: str | None = None
    is_review_outdated: bool = False
    is_mark_lost: bool = False
    others: LeftOutObjects = field(default_factory=LeftOutObjects)
    remarks: tuple[str, ...] = ()

    @property
    def is_reviewed(self) -> bool:
        """Tell whether a person marked the whole image as reviewed, as it stands."""
        return REVIEWED in self.metadata and not self.is_review_outdated

    @property
    def reviewed_regions(self) -> tuple[BaseGeometry, ...]:
        """List the regions that a person marked as reviewed, as they stand."""
        marked = [item for item in self.objects if REVIEWED in item.metadata]
        standing = [item for item in marked if not is_region_outdated(item.metadata, self.stand)]
        return tuple(item.geometry for item in standing if not is_region_moved(item.metadata, item.geometry))

    @property
    def outdated_reviews(self) -> tuple[str, ...]:
        """Say of what was marked as reviewed why it does not count as that now, and the way out."""
        regions = [item.metadata for item in self.objects if is_region_outdated(item.metadata, self.stand)]
        image = [say_outdated(self.metadata)] if self.is_review_outdated else []
        image += [say_mark_lost()] if self.is_mark_lost else []
        moved = [item.metadata for item in self.objects if is_region_moved(item.metadata, item.geometry)]
        said = [*(say_outdated(metadata, of_region=True) for metadata in regions), *map(say_moved, moved)]
        return tuple(dict.fromkeys([*image, *said]))

    @property
    def readable_path(self) -> Path:
        """Return where the pixels lie; raises ProjectError where they cannot be read."""
        return usable_path(self.path, self.problem)


def read_annotated_images(
    project: Project,
    images: Iterable[ProjectImage] | None = None,
    *,
    without_qupath: Callable[[ProjectImage], Iterable[PathObject]] | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> tuple[AnnotatedImage, ...]:
    """Read `images` of a project, all by default, through one process of QuPath.

    An image whose annotations cannot be read is in the result with its `data_problem`, and the others go on. Where
    no QuPath is installed each image has the objects that `without_qupath` gives for it; without that function
    QuPathError is raised.
    """
    asked = project.images if images is None else tuple(images)
    read: Callable[[ProjectImage], ImageObjects]
    with ExitStack() as stack:
        if without_qupath is not None and find_qupath() is None:
            read = partial(_given, without_qupath)
        else:
            read = _reader(stack.enter_context(qupath_process()), project)
        annotated = []
        for image in asked:
            progress(image.name)
            annotated.append(_read(image, read))
    return tuple(annotated)


def check_as_read(image: AnnotatedImage, data_folder: Path) -> None:
    """Raise ConflictError where an image of a project was saved since it was read.

    What is found out of its data after that, such as which write stands there, is not true of the objects that were
    read: what a run has brought in meanwhile would look as if a person had deleted it.
    """
    if image.state is not None and folder_state(data_folder) != image.state:
        raise ConflictError(f"{image.name} was saved by somebody else while it was read; run the same command again")


def read_annotated_slide(slide: Path, geojson: Path) -> AnnotatedImage:
    """Read the annotations of a slide from a GeoJSON file; raises GeoJSONError."""
    content = read_objects(geojson)
    return AnnotatedImage(
        entry_id=slide.name,
        name=slide.name,
        path=slide,
        objects=tuple(item for item in content.objects if item.object_type == ANNOTATION),
        others=left_out(content.objects, lambda item: item.object_type == ANNOTATION),
        remarks=content.remarks,
    )


def _reader(qupath: QuPathProcess, project: Project) -> Callable[[ProjectImage], ImageObjects]:
    def read(image: ProjectImage) -> ImageObjects:
        if readable_data(image.data_folder) is None:  # nothing to start a JVM for
            return ImageObjects()
        return qupath.call(read_image_objects, project.path, image.entry_id)

    return read


def _given(objects: Callable[[ProjectImage], Iterable[PathObject]], image: ProjectImage) -> ImageObjects:
    return ImageObjects(annotations=tuple(objects(image)))


def _read(image: ProjectImage, read: Callable[[ProjectImage], ImageObjects]) -> AnnotatedImage:
    state: ImageState | None = None
    content = ImageObjects()
    problem: str | None = None
    stand, is_outdated, is_lost = None, False, False
    try:
        state = image_state(image)
        data = readable_data(image.data_folder)
        stand, is_outdated = stand_of(data), is_review_outdated(image.metadata, data)
        is_lost = is_mark_lost(image.metadata, data)
        content = read(image)
    except GlomsegError as error:
        problem = str(error)
    annotated = AnnotatedImage(
        entry_id=image.entry_id,
        name=image.name,
        path=image.path,
        problem=image.problem,
        size_px=image.size_px,
        mpp=image.mpp,
        objects=content.annotations,
        metadata=image.metadata,
        state=state,
        data_problem=problem,
        stand=stand,
        is_review_outdated=is_outdated,
        is_mark_lost=is_lost,
        others=content.others,
    )
    copies = say_other_copies(image.data_folder)
    planes = _other_planes(content.annotations)
    return replace(annotated, remarks=(*image.remarks, *annotated.outdated_reviews, *copies, *planes, *content.remarks))


def _other_planes(objects: Iterable[PathObject]) -> list[str]:
    """Say how many annotations lie on other planes of a stack than the first, which is the one that is read."""
    count = sum(item.is_off_plane for item in objects)
    lie = "annotation lies on another plane" if count == 1 else "annotations lie on other planes"
    return [f"{count} {lie} than the first, and {'counts' if count == 1 else 'count'} as if there"] if count else []
