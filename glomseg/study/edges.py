"""Which edges cut a profile, and how far it lies from the glass.

A profile is cut where its outline reaches the image's edge, crosses the border of the reference region or of an ignored
area, or lies along glass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Box, paint
from glomseg.qupath.objects import PathObject
from glomseg.segment.region import Region
from glomseg.segment.tissue import TissueMask, find_tissue
from glomseg.slides.slide import Slide

EDGE_PX = 1.0
"""An outline this near to the image's edge, in level-0 pixels, is cut by it."""

ALONG_GLASS = 0.1
"""The part of an outline beside glass from which a profile is cut by the section's edge."""


@dataclass(frozen=True)
class Ground:
    """Tissue without what is ignored; `depth_um` is the distance to the nearest glass."""

    tissue: TissueMask
    depth_um: NDArray[np.float64]
    area_um2: float


def find_ground(opened: Slide, region: Region) -> Ground:
    """Find the tissue of a slide; raises MissingMppError, SlideError."""
    tissue = find_tissue(opened, margin_um=0)
    rows, columns = tissue.mask.shape
    step_x, step_y = tissue.downsample_x * opened.pixel_size[0], tissue.downsample_y * opened.pixel_size[1]
    frame = Box(0, 0, columns * tissue.downsample_x, rows * tissue.downsample_y)
    ignored = paint(region.ignored, frame, (rows, columns))
    depth = ndimage.distance_transform_edt(tissue.mask, sampling=(step_y, step_x))
    if tissue.mask.all():
        depth = np.full(tissue.mask.shape, math.inf)
    return Ground(tissue, depth, float((tissue.mask & ~ignored).sum()) * step_x * step_y)


def seen_share(ground: Ground, region: Region, seen: BaseGeometry) -> float:
    """Return how much of the tissue of a region lies in an area (0..1); 1 where there is no tissue."""
    tissue = ground.tissue
    rows, columns = tissue.mask.shape
    frame = Box(0, 0, columns * tissue.downsample_x, rows * tissue.downsample_y)
    asked = tissue.mask & ~paint(region.ignored, frame, (rows, columns))
    if region.area is not None:
        asked &= paint(region.area, frame, (rows, columns))
    return float((asked & paint(seen, frame, (rows, columns))).sum() / asked.sum()) if asked.any() else 1.0


def edges_that_cut(
    item: PathObject, outline: BaseGeometry, size: tuple[int, int] | None, region: Region, ground: Ground | None
) -> tuple[str, ...]:
    """Name the edges that cut an outline: image, region, ignored, section; `size` is (width, height) in px."""
    left, top, right, bottom = outline.bounds
    at_border = left <= EDGE_PX or top <= EDGE_PX
    if size is not None:
        at_border |= right >= size[0] - EDGE_PX or bottom >= size[1] - EDGE_PX
    reasons = {
        "image": at_border or item.measurements.get("Touches edge", 0) > 0,
        "region": region.area is not None and _crosses(outline, region.area),
        "ignored": _crosses(outline, region.ignored),
        "section": ground is not None and _glass_beside(ground, outline) >= ALONG_GLASS,
    }
    return tuple(name for name, cut in reasons.items() if cut)


def _crosses(outline: BaseGeometry, area: BaseGeometry) -> bool:
    """Tell whether an outline lies partly in and partly out of an area, by more than a thousandth of itself."""
    if not area.intersects(outline):
        return False
    within = outline.intersection(area).area / outline.area
    return bool(0.001 < within < 0.999)


def _glass_beside(ground: Ground, outline: BaseGeometry) -> float:
    """Tell which part of an outline lies in glass, or in a pixel of the tissue mask that borders on it."""
    step = min(ground.tissue.downsample_x, ground.tissue.downsample_y)
    rim = shapely.segmentize(outline.boundary, step / 2)
    points = shapely.get_coordinates(rim)
    rows, columns = _grid(ground, points)
    mask = ground.tissue.mask
    core = ndimage.binary_erosion(
        mask[_window(rows, mask.shape[0])][:, _window(columns, mask.shape[1])], border_value=1
    )
    return float(1 - core[rows - max(0, rows.min() - 2), columns - max(0, columns.min() - 2)].mean())


def _window(at: NDArray[np.int64], size: int) -> slice:
    return slice(max(0, int(at.min()) - 2), min(size, int(at.max()) + 3))


def depth_um(ground: Ground | None, outline: BaseGeometry) -> float | None:
    """Return how far the centre of an outline lies from glass; None where that is unknown or there is no glass."""
    if ground is None:
        return None
    rows, columns = _grid(ground, np.array(outline.centroid.coords))
    depth = float(ground.depth_um[rows[0], columns[0]])
    return depth if math.isfinite(depth) else None


def _grid(ground: Ground, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = ground.tissue.mask.shape
    down = np.clip(points[:, 1] / ground.tissue.downsample_y, 0, rows - 1).astype(np.int64)
    across = np.clip(points[:, 0] / ground.tissue.downsample_x, 0, columns - 1).astype(np.int64)
    return down, across
