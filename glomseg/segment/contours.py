"""Outlines as polygons in level-0 pixels: where interpolated probabilities cross the threshold, and what counts.

Pixels have area: reading pixel (i, j) covers the square [j, j + 1] x [i, i + 1], so a square of 100 x 100 px has
an area of 10,000 px and a contour runs where the interpolated probability crosses the threshold.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import contourpy
import numpy as np
from shapely.affinity import affine_transform
from shapely.geometry import Polygon, box

from glomseg.geometry import Bytes, polygons
from glomseg.segment.post import HoverSplit
from glomseg.segment.tiles import ReadingFrame


@dataclass(frozen=True, kw_only=True)
class OutlineSettings:
    """What becomes a glomerulus.

    `threshold` is the probability on the outline; holes smaller than `minimum_area_um2` are filled, objects
    smaller than it or less solid (area / convex area) than `minimum_solidity` dropped; two lobes are split where
    the waist between them is narrower than the lobes by `split_depth_um` (None: never), and by what the map says of
    places in objects where `hover` says how; outlines are simplified by at most `tolerance_um`. `exclusive` says that a
    pixel is of one class at most, so that its probabilities add up. With `holes_um2` other holes are filled: those
    smaller than that.
    """

    threshold: float
    minimum_area_um2: float
    minimum_solidity: float = 0.0
    split_depth_um: float | None
    tolerance_um: float
    exclusive: bool = False
    hover: HoverSplit | None = None
    holes_um2: float | None = None

    @property
    def filled_um2(self) -> float:
        """The area below which a hole is filled."""
        return self.minimum_area_um2 if self.holes_um2 is None else self.holes_um2


def trace(
    values: Bytes,
    lowest: int,
    origin: tuple[int, int],
    frame: ReadingFrame,
    settings: OutlineSettings,
) -> Iterator[tuple[Polygon, bool]]:
    """Yield the outlines of one region, and whether the slide's edge cuts them.

    `origin` is the (x, y) reading pixel of its first value.
    """
    um2 = frame.mpp**2
    scale_x, scale_y = frame.downsample_x, frame.downsample_y
    slide = box(0, 0, frame.width * scale_x, frame.height * scale_y)
    edge = box(*slide.bounds).buffer(-max(scale_x, scale_y))
    for outer in _contours(values, lowest - 0.5):
        holes = [ring for ring in outer.interiors if Polygon(ring).area * um2 >= settings.filled_um2]
        outline = Polygon(outer.exterior, holes).simplify(settings.tolerance_um / frame.mpp)
        outline = affine_transform(
            outline,
            (scale_x, 0, 0, scale_y, (origin[0] + 0.5) * scale_x, (origin[1] + 0.5) * scale_y),
        )
        outline = max(polygons(outline.intersection(slide)), key=lambda part: part.area, default=Polygon())
        area_um2 = outline.area / (scale_x * scale_y) * um2
        if area_um2 < max(settings.minimum_area_um2, um2):
            continue
        if outline.area < settings.minimum_solidity * outline.convex_hull.area:
            continue
        yield outline, not edge.contains(outline)


def _contours(values: Bytes, level: float) -> list[Polygon]:
    """Trace where the values cross `level`: polygons with their holes, pixel centres at whole numbers."""
    generator = contourpy.contour_generator(z=values, fill_type=contourpy.FillType.OuterOffset)
    points, offsets = cast(tuple[list[Any], list[Any]], generator.filled(level, np.inf))
    return [
        Polygon(rings[0], rings[1:])
        for vertices, starts in zip(points, offsets, strict=True)
        for rings in [[vertices[first:last] for first, last in itertools.pairwise(starts)]]
    ]
