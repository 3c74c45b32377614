"""How far two outlines run apart."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import scale
from shapely.geometry.base import BaseGeometry

POINTS = 720
"""Most points at which the distance from one outline to the other is taken, evenly along it; at most 1 px apart."""


@dataclass(frozen=True, slots=True)
class BoundaryDistance:
    """Distances between two outlines in um: 95 % Hausdorff, and the mean over both."""

    hausdorff95_um: float
    mean_um: float


def boundary_distance(first: BaseGeometry, second: BaseGeometry, mpp_x: float, mpp_y: float) -> BoundaryDistance:
    """Compare the outlines, holes included, of two polygons given in level-0 pixels.

    With d(a) the distance of a point a on one outline to the nearest point of the other outline, taken at points
    evenly spread over each: the 95 % Hausdorff distance is the larger of the two directions' 95th percentiles
    (Huttenlocher 1993), the mean surface distance is the mean of d over both outlines, each weighted by its length.
    Distances are exact to the segment.
    """
    a = scale(first, mpp_x, mpp_y, origin=(0, 0)).boundary
    b = scale(second, mpp_x, mpp_y, origin=(0, 0)).boundary
    step = math.sqrt(mpp_x * mpp_y)
    there, back = _distances(a, b, step), _distances(b, a, step)
    mean = (there.mean() * a.length + back.mean() * b.length) / (a.length + b.length)
    return BoundaryDistance(float(max(np.percentile(there, 95), np.percentile(back, 95))), float(mean))


def _distances(line: BaseGeometry, other: BaseGeometry, step: float) -> NDArray[np.float64]:
    count = max(32, min(POINTS, math.ceil(line.length / step)))
    points = _points(line, count)
    segments = _segments(other)
    _, distances = shapely.STRtree(segments).query_nearest(points, return_distance=True, all_matches=False)
    return np.asarray(distances, dtype=np.float64)


def _points(line: BaseGeometry, count: int) -> NDArray[np.object_]:
    """Spread points over all rings of a boundary, in proportion to their lengths."""
    rings = [ring for ring in shapely.get_parts(line) if ring.length > 0]
    parts = []
    for ring in rings:
        number = max(8, round(count * ring.length / line.length))
        parts.append(shapely.line_interpolate_point(ring, (np.arange(number) + 0.5) * ring.length / number))
    return np.concatenate(parts)


def _segments(line: BaseGeometry) -> NDArray[np.object_]:
    pieces = []
    for ring in shapely.get_parts(line):
        corners = shapely.get_coordinates(ring)
        pieces.append(np.stack([corners[:-1], corners[1:]], axis=1))
    return np.asarray(shapely.linestrings(np.concatenate(pieces)))
