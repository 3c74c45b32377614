"""Geometry in level-0 pixels, (x, y): boxes, lists of outlines, and outlines painted on a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

Geometries = NDArray[np.object_]
Numbers = NDArray[np.float64]


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


def paint(geometry: BaseGeometry, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mark the pixels of a (rows, columns) grid over `box` whose centres lie in a geometry, both in level-0 pixels."""
    mask = np.zeros(shape, bool)
    for part in shapely.get_parts(geometry.intersection(_around(box))):
        if isinstance(part, Polygon) and not part.is_empty:
            inside = _fill(part.exterior.coords, box, shape)
            for ring in part.interiors:
                inside &= ~_fill(ring.coords, box, shape)
            mask |= inside
    return mask


def _around(box: Box) -> BaseGeometry:
    margin = 0.5 * max(box.width, box.height)
    return shapely.box(box.x - margin, box.y - margin, box.x + box.width + margin, box.y + box.height + margin)


def _fill(ring: object, box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.draw import polygon2mask

    points = np.asarray(ring, float)[:, :2]
    rows = (points[:, 1] - box.y) * shape[0] / box.height - 0.5
    columns = (points[:, 0] - box.x) * shape[1] / box.width - 0.5
    return np.asarray(polygon2mask(shape, np.column_stack([rows, columns])), bool)
