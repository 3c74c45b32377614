"""From the probability of a slide to the outlines of its glomeruli.

Pixels have area: reading pixel (i, j) covers the square [j, j + 1] x [i, i + 1], so a square of 100 x 100 px has
an area of 10,000 px and a contour runs where the interpolated probability crosses the threshold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import contourpy
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.affinity import affine_transform
from shapely.geometry import Polygon, box
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from glomseg.segment.probability_map import Canvas
from glomseg.segment.tiles import BLOCK, ReadingFrame

_NEARLY = 0.8
"""Pixels counted against the minimum area, before the outline tells the area exactly."""

_SPLIT_PX = 4_000_000
"""An object of more pixels is no cluster of glomeruli but a failure of the model; splitting it would take gigabytes."""


@dataclass(frozen=True, kw_only=True)
class PolygonSettings:
    """What becomes a glomerulus.

    `threshold` is the probability on the outline; holes smaller than `minimum_area_um2` are filled, objects
    smaller than it or less solid (area / convex area) than `minimum_solidity` dropped; two lobes are split where
    the waist between them is narrower than the lobes by `split_depth_um`; outlines are simplified by at most
    `tolerance_um`.
    """

    threshold: float
    minimum_area_um2: float
    minimum_solidity: float = 0.0
    split_depth_um: float
    tolerance_um: float


@dataclass(frozen=True, slots=True)
class Glomerulus:
    """One glomerular profile: outline in level-0 pixels, mean probability inside it, cut by the slide's edge or not."""

    geometry: Polygon
    confidence: float
    touches_edge: bool


def find_glomeruli(canvas: Canvas, settings: PolygonSettings) -> list[Glomerulus]:
    """Outline the glomeruli on a canvas, in reading order (top to bottom, then left to right)."""
    lowest = max(1, math.ceil(settings.threshold * 255))
    labels, _ = ndimage.label(canvas.peaks >= lowest, np.ones((3, 3)))
    found = [
        glomerulus
        for label, where in enumerate(ndimage.find_objects(labels), start=1)
        for glomerulus in _outline(canvas, labels[where] == label, where, lowest, settings)
    ]
    return sorted(found, key=lambda glomerulus: (glomerulus.geometry.bounds[1], glomerulus.geometry.bounds[0]))


def _outline(
    canvas: Canvas,
    blocks: NDArray[np.bool_],
    where: tuple[slice, slice],
    lowest: int,
    settings: PolygonSettings,
) -> Iterator[Glomerulus]:
    """Outline what lies in one group of touching blocks."""
    frame = canvas.frame
    height, width = blocks.shape[0] * BLOCK, blocks.shape[1] * BLOCK
    left, top = where[1].start * BLOCK - 1, where[0].start * BLOCK - 1
    inside = np.pad(blocks.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1), 1)
    values = np.where(inside, canvas.read(left, top, width + 2, height + 2), 0).astype(np.uint8)
    values[max(0, frame.height - top) :, :] = 0
    values[:, max(0, frame.width - left) :] = 0
    minimum_px = settings.minimum_area_um2 / frame.mpp**2
    components, _ = ndimage.label(_without_small_holes(values >= lowest, minimum_px))
    for label, component in enumerate(ndimage.find_objects(components), start=1):
        crop = _grown(component)
        mask = components[crop] == label
        if mask.sum() < _NEARLY * minimum_px:
            continue
        regions = mask.astype(np.int32)
        if 2 * _NEARLY * minimum_px < mask.sum() < _SPLIT_PX:  # room for two, and not all of the slide
            regions = _split(mask, settings.split_depth_um / frame.mpp)
        origin = (left + crop[1].start, top + crop[0].start)
        # What is above the threshold but of no region of this component is another's.
        own = np.where((values[crop] < lowest) | mask, values[crop], 0).astype(np.uint8)
        for region in range(1, int(regions.max()) + 1):
            yield from _trace(own, regions, region, lowest, origin, frame, settings)


def _trace(
    values: NDArray[np.uint8],
    regions: NDArray[np.int32],
    region: int,
    lowest: int,
    origin: tuple[int, int],
    frame: ReadingFrame,
    settings: PolygonSettings,
) -> Iterator[Glomerulus]:
    """Outline one region; another region's pixels count as just outside, so that neighbours meet and do not overlap."""
    mine = regions == region
    levels = np.where(mine | (regions == 0), values, 0).astype(np.uint8)
    yield from _polygons(levels, lowest, origin, frame, settings, float(values[mine].mean()) / 255)


def _grown(region: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = region
    return slice(rows.start - 1, rows.stop + 1), slice(columns.start - 1, columns.stop + 1)


def _without_small_holes(mask: NDArray[np.bool_], area_px: float) -> NDArray[np.bool_]:
    holes, count = ndimage.label(~mask)
    areas = ndimage.sum_labels(~mask, holes, np.arange(count + 1))
    small = areas < area_px
    small[holes[0, 0]] = False  # the surroundings
    return np.asarray(mask | small[holes])


def _split(mask: NDArray[np.bool_], depth_px: float) -> NDArray[np.int32]:
    """Label the lobes of one object, where the waist between two is `depth_px` narrower than they are."""
    distance = np.where(mask, ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0), -depth_px - 1)
    # The summits of the distance after cutting `depth_px` off: a ridge between two peaks joins them, a waist does not.
    summits = local_maxima(reconstruction(distance - depth_px, distance))
    peaks, _ = ndimage.label(summits & mask, np.ones((3, 3)))
    return np.asarray(watershed(-distance, peaks, mask=mask), np.int32)


def _polygons(
    values: NDArray[np.uint8],
    lowest: int,
    origin: tuple[int, int],
    frame: ReadingFrame,
    settings: PolygonSettings,
    confidence: float,
) -> Iterator[Glomerulus]:
    """Contour one region; `origin` is the (x, y) reading pixel of its first value."""
    um2 = frame.mpp**2
    scale_x, scale_y = frame.downsample_x, frame.downsample_y
    for outer in _contours(values, lowest - 0.5):
        holes = [ring for ring in outer.interiors if Polygon(ring).area * um2 >= settings.minimum_area_um2]
        outline = Polygon(outer.exterior, holes).simplify(settings.tolerance_um / frame.mpp)
        outline = affine_transform(
            outline,
            (scale_x, 0, 0, scale_y, (origin[0] + 0.5) * scale_x, (origin[1] + 0.5) * scale_y),
        )
        slide = box(0, 0, frame.width * scale_x, frame.height * scale_y)
        outline = _largest(outline.intersection(slide))
        area_um2 = outline.area / (scale_x * scale_y) * um2
        if area_um2 < max(settings.minimum_area_um2, um2):
            continue
        if outline.area < settings.minimum_solidity * outline.convex_hull.area:
            continue
        edge = box(*slide.bounds).buffer(-max(scale_x, scale_y))
        yield Glomerulus(outline, confidence, not edge.contains(outline))


def _contours(values: NDArray[np.uint8], level: float) -> list[Polygon]:
    """Trace where the values cross `level`: polygons with their holes, pixel centres at whole numbers."""
    generator = contourpy.contour_generator(z=values, fill_type=contourpy.FillType.OuterOffset)
    points, offsets = cast(tuple[list[Any], list[Any]], generator.filled(level, np.inf))
    return [
        Polygon(rings[0], rings[1:])
        for vertices, starts in zip(points, offsets, strict=True)
        for rings in [[vertices[first:last] for first, last in itertools.pairwise(starts)]]
    ]


def _largest(geometry: shapely.Geometry) -> Polygon:
    """Take the largest polygon of a geometry that clipping may have broken up."""
    parts = [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]
    return max(parts, key=lambda part: part.area, default=Polygon())
