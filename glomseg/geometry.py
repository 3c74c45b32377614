"""Geometry in level-0 pixels, (x, y): boxes, lists of outlines, outlines painted on a grid, and parts of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Geometries = NDArray[np.object_]
Numbers = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]

_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in level-0 pixels, (x, y) its top-left corner; it may reach off the slide."""

    x: float
    y: float
    width: float
    height: float


def geometries(items: Sequence[shapely.Geometry]) -> Geometries:
    """Put geometries into an array, also where there are none."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def polygons(geometry: BaseGeometry) -> list[Polygon]:
    """Return the polygons of a geometry that has area; lines, points and empty parts of a collection are left out."""
    parts = shapely.get_parts(shapely.get_parts(geometry))  # a collection may hold multi-polygons
    return [part for part in parts if isinstance(part, Polygon) and not part.is_empty]


def small_parts(mask: NDArray[np.bool_], area_px: float, *, diagonal: bool = False) -> NDArray[np.bool_]:
    """Mark the connected parts of a mask that are smaller than `area_px`; `diagonal` neighbours may connect too."""
    largest = math.ceil(area_px) - 1
    if largest < 1:
        return np.zeros_like(mask)
    labels, count = ndimage.label(mask, np.ones((3, 3)) if diagonal else None)
    sizes = np.zeros(count + 1, np.int64)
    for rows in np.array_split(labels, max(1, labels.size // _AT_ONCE)):  # bincount copies to eight bytes a pixel
        sizes += np.bincount(rows.ravel(), minlength=count + 1)
    small = sizes <= largest
    small[0] = False
    return np.asarray(small[labels])


def paint(geometry: BaseGeometry, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels of a (rows, columns) grid over `box` whose centres lie in a geometry, both in level-0 pixels."""
    mask = np.zeros(shape, bool)
    for part in polygons(geometry.intersection(_around(box))):
        inside = _fill(part.exterior.coords, box, shape)
        for ring in part.interiors:
            inside &= ~_fill(ring.coords, box, shape)
        mask |= inside
    return mask


def paint_touched(geometry: BaseGeometry, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels of a (rows, columns) grid over `box` that a geometry touches, its borders included."""
    from PIL import Image, ImageDraw

    picture = Image.new("1", (shape[1], shape[0]))
    draw = ImageDraw.Draw(picture)
    step = np.array([box.width / shape[1], box.height / shape[0]])
    for part in sorted(polygons(geometry), key=lambda part: -part.area):  # an island after the hole that it lies in
        rings = [(part.exterior, 1), *((ring, 0) for ring in part.interiors)]
        for ring, fill in rings:
            points = (np.asarray(ring.coords)[:, :2] - (box.x, box.y)) / step - 0.5
            draw.polygon([tuple(point) for point in points], fill=fill, outline=1)
    return np.asarray(picture)


def _around(box: Box) -> BaseGeometry:
    margin = 0.5 * max(box.width, box.height)
    return shapely.box(box.x - margin, box.y - margin, box.x + box.width + margin, box.y + box.height + margin)


def _fill(ring: object, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.draw import polygon2mask

    points = np.asarray(ring, float)[:, :2]
    rows = (points[:, 1] - box.y) * shape[0] / box.height - 0.5
    columns = (points[:, 0] - box.x) * shape[1] / box.width - 0.5
    return np.asarray(polygon2mask(shape, np.column_stack([rows, columns])), bool)
