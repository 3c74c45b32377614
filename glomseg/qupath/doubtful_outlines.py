"""Say which outlines of an image may not be one object each: those on another, of several parts, or of no size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Geometries, geometries

SPECK = 0.01
"""Of the area of the largest object of an image; glomeruli differ less."""
_ON_ANOTHER = 0.5  # of the smaller one; outlines of neighbours overlap less
_PART = 0.25  # of the largest part; what is smaller is a scrap of it


def describe_doubtful(outlines: Sequence[BaseGeometry]) -> list[str]:
    """Say how many valid outlines lie on another, as after a second import, and how many have parts of their own.

    They count as they stand: whose they are, and whether they are one, a person knows.
    """
    shapes = geometries(outlines)
    said = []
    if doubled := _on_others(shapes):
        are = "outline lies on another" if len(doubled) == 1 else "outlines lie on others"
        said.append(f"{len(doubled)} {are}, and each counts ({_place(shapes[doubled[0]])}): delete what is there twice")
    parted = [index for index, shape in enumerate(shapes) if _has_parts(shape)]
    if parted:
        have = "outline has several parts and counts" if len(parted) == 1 else "outlines have several parts and count"
        once = "once" if len(parted) == 1 else "once each"
        said.append(f"{len(parted)} {have} {once} ({_place(shapes[parted[0]])}): split what is more than one object")
    return said


def describe_specks(outlines: Sequence[BaseGeometry], smallest: float) -> list[str]:
    """Say how many outlines are of less than a hundredth of the largest, or of less than `smallest`, px of area.

    A click in QuPath leaves such a speck, which counts as an object.
    """
    shapes = geometries(outlines)
    areas = shapely.area(shapes)
    specks = np.flatnonzero(areas < max(smallest, SPECK * areas.max(initial=0.0)))
    if not len(specks):
        return []
    are = "outline is far too small and counts" if len(specks) == 1 else "outlines are far too small and count"
    return [f"{len(specks)} {are} ({_place(shapes[specks[0]])}): delete what is no glomerulus"]


def _on_others(shapes: Geometries) -> list[int]:
    """Give the numbers of the outlines of which one before them covers more than half, or lies on them so."""
    first, second = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    first, second = first[first < second], second[first < second]
    area = shapely.area(shapes)
    shared = shapely.area(shapely.intersection(shapes[first], shapes[second]))
    on_it = shared > _ON_ANOTHER * np.minimum(area[first], area[second])
    return [int(index) for index in np.unique(second[on_it])]


def _has_parts(shape: BaseGeometry) -> bool:
    """Tell whether two parts of a like size lie apart; those of a ring that crosses itself touch."""
    parts = sorted(shapely.get_parts(shape), key=lambda part: -part.area)[:2]
    return len(parts) == 2 and parts[1].area > _PART * parts[0].area and parts[0].distance(parts[1]) > 1


def _place(shape: BaseGeometry) -> str:
    place = shape.representative_point()
    return f"at {place.x:.0f}, {place.y:.0f} px"
