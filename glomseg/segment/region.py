"""Where glomeruli are looked for: the annotated regions of an image, less what a person told us to ignore."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError
from glomseg.geometry import Box, paint_touched, polygons
from glomseg.qupath.classes import is_class, is_exactly
from glomseg.qupath.objects import PathObject, repair
from glomseg.segment.tiles import BLOCK, ReadingFrame

IGNORED = "Ignore*"
"""QuPath's own class for what is not to be looked at."""


@dataclass(frozen=True)
class Region:
    """Part of a slide, in level-0 pixels: `area` (None for all of the slide) less `ignored`."""

    area: BaseGeometry | None
    ignored: BaseGeometry

    def holds(self, outline: BaseGeometry) -> bool:
        """Tell whether an outline belongs to the region: its centre does. It is kept whole or not at all."""
        centre = outline.centroid
        return (self.area is None or self.area.intersects(centre)) and not self.ignored.intersects(centre)

    def processed(self, width: int, height: int) -> BaseGeometry:
        """Give the part of a slide of `width` x `height` px whose glomeruli a run has looked for."""
        slide = shapely.box(0, 0, width, height)
        return (slide if self.area is None else self.area.intersection(slide)).difference(self.ignored)

    def check_on_image(self, width: int, height: int) -> str:
        """Say how many areas lie off a slide of `width` x `height` px, or in areas to ignore; "" where none does.

        Raises GeoJSONError where nothing is left to look at: that no glomerulus is found would say nothing.
        """
        slide = shapely.box(0, 0, width, height)
        areas = [] if self.area is None else polygons(self.area)
        if areas and self.area is not None and self.area.intersection(slide).area == 0:
            raise GeoJSONError(
                f"no area of `region` or `within` lies on the image, which is {width} x {height} px; draw one on it"
            )
        if self.ignored.covers(slide if self.area is None else self.area.intersection(slide)):
            what = "the whole image" if self.area is None else "all that `region` or `within` says to look inside"
            raise GeoJSONError(f"{what} lies in areas of class {IGNORED}, which are not looked into; leave one out")
        hidden = sum(self.ignored.covers(area) for area in areas)
        said = [off_image(areas, width, height, "areas to look inside")]
        said.append(f"{hidden} of {len(areas)} areas to look inside lie in areas of class {IGNORED}" if hidden else "")
        return "; ".join(filter(None, said))

    def blocks(self, frame: ReadingFrame, margin_um: float) -> NDArray[np.bool_]:
        """Mark the blocks (rows, columns) to look at: the region and `margin_um` around it, to see profiles whole."""
        margin = math.ceil(margin_um / frame.mpp / BLOCK)
        side = 2 * margin + 1
        wanted = ~ndimage.minimum_filter(_touched(self.ignored, frame), side, mode="constant", cval=1)
        if self.area is not None:
            wanted &= ndimage.maximum_filter(_touched(self.area, frame), side)
        return np.asarray(wanted, bool)


def read_region(objects: Iterable[PathObject], class_name: str | None) -> Region | None:
    """Build the region of an image from its annotations: those of `class_name`, less those of the class `Ignore*`.

    Derived classes and near spellings of `class_name` count, see `glomseg.qupath.classes`.
    None where the whole slide is meant: no class asked for and nothing to ignore. Raises GeoJSONError where a class
    is asked for that no annotation has.
    """
    annotations = [item for item in objects if item.object_type == "annotation" and item.class_name]
    ignored = [repair(item.geometry) for item in annotations if is_exactly(item.class_name, IGNORED)]
    if class_name is None:
        return Region(None, shapely.union_all(ignored)) if ignored else None
    areas = [repair(item.geometry) for item in annotations if is_class(item.class_name, class_name)]
    if not areas:
        present = ", ".join(sorted({str(item.class_name) for item in annotations})) or "none"
        raise GeoJSONError(f"no annotation of class {class_name!r} (there: {present}); draw one, or leave --region out")
    return Region(shapely.union_all(areas), shapely.union_all(ignored))


def off_image(shapes: Sequence[BaseGeometry], width: int, height: int, what: str) -> str:
    """Say how many of `shapes`, which are `what`, lie with more than half of their area off an image; "" for none."""
    image = shapely.box(0, 0, width, height)
    off = sum(bool(shape.area > 0 and shape.intersection(image).area < shape.area / 2) for shape in shapes)
    return f"{off} of {len(shapes)} {what} lie off the image, which is {width} x {height} px" if off else ""


def _touched(geometry: BaseGeometry, frame: ReadingFrame) -> NDArray[np.bool_]:
    """Mark the blocks (rows, columns) that a geometry touches, borders included."""
    rows, columns = frame.blocks
    width, height = columns * BLOCK * frame.downsample_x, rows * BLOCK * frame.downsample_y
    return paint_touched(geometry, Box(0, 0, width, height), (rows, columns))
