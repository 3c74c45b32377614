"""Which tiles to export of an image, at which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import TrainingError
from glomseg.geometry import Box
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import LeftOutObjects, best_class, is_area, is_class, is_exactly, left_out
from glomseg.qupath.objects import PathObject, repair
from glomseg.qupath.review_mark import REVIEWED
from glomseg.runs.colour_profiles import profile_of
from glomseg.runs.reviewed import is_rejected, unjudged
from glomseg.segment.region import IGNORED
from glomseg.slides.readers import Pixels
from glomseg.slides.slide import Slide, open_slide
from glomseg.training.tiles.choice import (
    annotated,
    boxes_around,
    boxes_over,
    draw_background,
    grid,
    inside,
    not_inside,
    stem_of,
    tile_name,
)

CLASSES = ("Glomerulus", "Glomerulus: Sclerotic")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to export: label 1 is the first class, and so on; a derived class that is not named counts as its parent.

    `tile_mpp` (um per pixel) goes before `downsample`. `negatives` is the number of background tiles for one
    annotated tile; None takes all empty tiles of a reviewed image, and none of another.
    """

    classes: tuple[str, ...] = CLASSES
    tile_mpp: float | None = None
    downsample: float = 2.0
    size_px: int = 512
    overlap_px: int = 32
    region: str | None = None
    negatives: float | None = None
    reviewed_only: bool = False
    layout: Literal["beside", "subdir"] = "beside"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no tile can be; raises TrainingError."""
        if not 0 <= self.overlap_px < self.size_px:
            raise TrainingError(
                f"an overlap of {self.overlap_px} px does not fit tiles of {self.size_px} px; make it less"
            )
        if not 0 < len(self.classes) < 255 or len(set(self.classes)) < len(self.classes):
            raise TrainingError(
                f"the classes {', '.join(self.classes) or 'none'} cannot be numbered; name each one once"
            )


@dataclass(frozen=True, kw_only=True)
class TileRequest:
    """The tiles that are asked of one image; its pixel size in the project goes before the file's own.

    `folder` is where they belong, below the export's; without one it is the name without its extension. `around`
    are points (x, y) to cut a tile around each, instead of QuPath's grid. With `known`, the area of which something
    is known, tiles cover that instead of lying whole on the image, and the rest has the last label, `Ignore*`. Areas
    that a person gave that class have it too.
    """

    image: AnnotatedImage
    folder: str = ""
    around: tuple[tuple[float, float], ...] | None = None
    known: BaseGeometry | None = None

    @property
    def reviewed(self) -> bool:
        """Tell whether what holds no annotation is known to be background."""
        return self.known is not None or self.image.is_reviewed


@dataclass(frozen=True, kw_only=True)
class TilePlan:
    """One image on its way: the tiles that were chosen, and how many of them are annotated.

    `ignored` are the outlines that have the label `Ignore*`, over all others; `colour_profile` describes the image's
    ICC profile where it would change its colours.
    """

    request: TileRequest
    downsample: float
    mpp: float | None
    shapes: tuple[tuple[BaseGeometry, ...], ...] = ()
    boxes: tuple[Box, ...] = ()
    annotated: int = 0
    ignored: tuple[BaseGeometry, ...] = ()
    colour_profile: str | None = None

    @property
    def folder(self) -> str:
        """Name the folder of its tiles, below the export's."""
        return self.request.folder or stem_of(self.request.image.name)


def choose_tiles(slide: Slide, request: TileRequest, settings: ExportSettings) -> TilePlan:
    """Choose the tiles of one image; raises TrainingError where their scale cannot be had."""
    items = [item for item in request.image.objects if counts(item)]
    labels = [best_class(item.class_name, settings.classes) for item in items]
    shapes = tuple(
        tuple(item.geometry for item, label in zip(items, labels, strict=True) if label == name)
        for name in settings.classes
    )
    wanted = any(shapes) or request.reviewed
    own = (slide.mpp_x + slide.mpp_y) / 2 if slide.mpp_x and slide.mpp_y else None
    downsample = _downsample(own, settings) if wanted else settings.downsample
    plan = TilePlan(
        request=request,
        downsample=downsample,
        mpp=own and own * downsample,
        shapes=shapes,
        ignored=_ignored(slide, request, items, settings),
        colour_profile=profile_of(slide),
    )
    if not wanted:
        return plan
    boxes = _boxes(slide, request, settings, downsample)
    if settings.region is not None:
        areas = [item.geometry for item in items if is_class(item.class_name, settings.region)]
        boxes = inside(boxes, shapely.union_all(areas))
    drawn = [shape for group in shapes for shape in group]
    if plan.ignored:
        area = shapely.union_all(plan.ignored)
        drawn = [part for shape in drawn if (part := shape.difference(area)).area > 0]
        boxes = not_inside(boxes, area)
    marks = annotated(boxes, drawn)
    asked = request.around is not None
    chosen = set(range(len(boxes)) if asked else _background(slide, plan, boxes, marks, settings))
    kept = [box for position, box in enumerate(boxes) if marks[position] or position in chosen]
    return replace(plan, boxes=tuple(kept), annotated=sum(marks))


def _boxes(slide: Slide, request: TileRequest, settings: ExportSettings, downsample: float) -> list[Box]:
    """List the tiles that an image can have."""
    size = slide.width, slide.height
    if request.around is not None:
        return boxes_around(request.around, *size, downsample, settings.size_px)
    if request.known is not None:
        area = request.known.intersection(shapely.box(0, 0, *size))
        return boxes_over(area, *size, downsample, settings.size_px, settings.overlap_px)
    return list(grid(*size, downsample, settings.size_px, settings.overlap_px))


def _ignored(
    slide: Slide, request: TileRequest, items: Sequence[PathObject], settings: ExportSettings
) -> tuple[BaseGeometry, ...]:
    """List what is labelled `Ignore*`: all of which nothing is known, or candidates, and what has that class."""
    if request.known is not None:
        return (shapely.box(0, 0, slide.width, slide.height).difference(request.known),)
    if any(is_exactly(name, IGNORED) for name in settings.classes):
        return ()
    ignored = [item for item in items if is_exactly(item.class_name, IGNORED)]
    return tuple(repair(item.geometry) for item in [*ignored, *unjudged(request.image.objects)])


def _downsample(own: float | None, settings: ExportSettings) -> float:
    if settings.tile_mpp is None:
        return settings.downsample
    if own is None:
        raise TrainingError(
            "its pixel size is not known, so `tile_mpp` cannot be met; set it in QuPath, or use `downsample`"
        )
    if settings.tile_mpp < own * (1 - 1e-6):
        asked = f"`tile_mpp` {settings.tile_mpp:g}"
        raise TrainingError(f"its pixels are {own:g} um, coarser than {asked}; give {own:g} or more")
    return max(1.0, settings.tile_mpp / own)


def _background(
    slide: Slide, plan: TilePlan, boxes: Sequence[Box], marks: Sequence[bool], settings: ExportSettings
) -> list[int]:
    """Choose among the empty boxes; returns their positions."""
    empty = [position for position, mark in enumerate(marks) if not mark]
    if settings.negatives is None:
        return empty if plan.request.reviewed else []
    stem = stem_of(plan.request.image.name)
    names = [tile_name(stem, boxes[position], plan.downsample) for position in empty]
    count = int(settings.negatives * max(1, sum(marks)) + 0.5)

    def read(position: int) -> Pixels:
        return read_tile(slide, boxes[empty[position]], settings.size_px)

    return [empty[position] for position in draw_background(names, count, settings.seed, read)]


def read_tile(slide: Slide, box: Box, size_px: int) -> Pixels:
    """Read the pixels of a tile."""
    return slide.read_downsampled(box, box.width / size_px, box.height / size_px)


def open_image(image: AnnotatedImage) -> Slide:
    """Open an image with the pixel size that is known of it; raises SlideError, ProjectError."""
    return open_slide(image.readable_path, mpp=image.mpp)


def counts(item: PathObject) -> bool:
    """Tell whether an object is an annotation with an area that nobody rejected."""
    return is_area(item) and not is_rejected(item)


def unused(request: TileRequest, settings: ExportSettings) -> LeftOutObjects:
    """Count the objects of an image that neither give labels nor say where to look, and that nobody rejected."""
    wanted = (*settings.classes, *([settings.region] if settings.region else []))

    def used(item: PathObject) -> bool:
        is_named = best_class(item.class_name, wanted) is not None or is_exactly(item.class_name, IGNORED)
        named = is_area(item) and is_named
        return named or is_rejected(item) or REVIEWED in item.metadata

    return left_out(request.image.objects, used) + request.image.others
