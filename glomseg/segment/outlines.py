"""From the probability of a slide to the outlines of its glomeruli.

Pixels have area: reading pixel (i, j) covers the square [j, j + 1] x [i, i + 1], so a square of 100 x 100 px has
an area of 10,000 px and a contour runs where the interpolated probability crosses the threshold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely.affinity import affine_transform
from shapely.geometry import Polygon, box
from skimage.segmentation import watershed

from glomseg.geometry import Bools, Bytes, polygons, small_parts
from glomseg.models.planes import HOVER, SPREAD, hover_of
from glomseg.segment.hover_split import margin_px, split_by_hover
from glomseg.segment.large_groups import (
    LARGE_PX,
    CoarseMap,
    ConnectedPart,
    blocks_to_pixels,
    connected_parts,
    factor_for,
)
from glomseg.segment.post import HoverSplit
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame
from glomseg.segment.waist import split_by_waist

Splitter = Callable[[Bools], NDArray[np.int32]]

_NEARLY = 0.8
"""Pixels counted against the minimum area, before the outline tells the area exactly."""

_SPLIT_PX = 4_000_000
"""An object of more pixels is no cluster of glomeruli but a failure of the model; splitting it would take gigabytes."""


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


@dataclass(frozen=True, slots=True)
class Glomerulus:
    """One profile: outline in level-0 pixels, mean probability inside it, cut by the slide's edge or not.

    `class_index` is its class, `probabilities` the mean of each class inside it. `agreement` says how much several
    models agree on it: 1 less the mean range of their probabilities inside; None of one model. `merged_px` is more
    than 1 where it is so large that its outline was traced on means of so many reading pixels a side.
    """

    geometry: Polygon
    confidence: float
    touches_edge: bool
    class_index: int = 0
    probabilities: tuple[float, ...] = ()
    agreement: float | None = None
    merged_px: int = 1


def find_glomeruli(probability: ProbabilityMap, settings: OutlineSettings) -> list[Glomerulus]:
    """Outline the glomeruli of a map, in reading order (top to bottom, then left to right).

    With several classes, something is there where the highest probability reaches the threshold, or the sum where
    the classes are `exclusive`. A pixel there is of its most probable class; an island of one class that is smaller
    than the minimum area goes to its surroundings. The class of an object is that of the highest mean.
    """
    lowest = max(1, math.ceil(settings.threshold * 255))
    share = probability.shape[0] if settings.exclusive else 1  # a sum may reach what no class alone does
    labels, _ = ndimage.label(probability.peaks >= math.ceil(lowest / share), np.ones((3, 3)))
    glomeruli = [
        glomerulus
        for label, where in enumerate(ndimage.find_objects(labels), start=1)
        for glomerulus in _outline(probability, labels[where] == label, where, lowest, settings)
    ]
    return sorted(glomeruli, key=lambda glomerulus: (glomerulus.geometry.bounds[1], glomerulus.geometry.bounds[0]))


def _outline(
    probability: ProbabilityMap,
    blocks: Bools,
    where: tuple[slice, slice],
    lowest: int,
    settings: OutlineSettings,
) -> Iterator[Glomerulus]:
    """Outline what lies in one group of touching blocks."""
    corner, (high, wide) = (where[1].start * BLOCK, where[0].start * BLOCK), (side * BLOCK for side in blocks.shape)
    if high * wide <= LARGE_PX:
        rows, columns = range(-1, high + 1), range(-1, wide + 1)
        yield from _outline_box(
            probability, corner, rows, columns, blocks_to_pixels(blocks, rows, columns), lowest, settings
        )
        return

    def level(first: int, count: int) -> Bytes:
        rows, columns = range(first, first + count), range(wide)
        inside = blocks_to_pixels(blocks, rows, columns)
        return _level(_inside_frame(probability, corner, rows, columns, inside), exclusive=settings.exclusive)

    for part in connected_parts(level, high, wide, lowest):
        if part.box_px < _NEARLY * settings.minimum_area_um2 / probability.frame.mpp**2:
            continue
        yield from _outline_part(probability, corner, blocks, part, lowest, settings)


def _outline_part(
    probability: ProbabilityMap,
    corner: tuple[int, int],
    blocks: Bools,
    part: ConnectedPart,
    lowest: int,
    settings: OutlineSettings,
) -> Iterator[Glomerulus]:
    """Outline one connected part of a large group; on merged pixels where it is itself too large."""
    if part.box_px <= LARGE_PX:
        rows, columns = range(part.top - 1, part.bottom + 1), range(part.left - 1, part.right + 1)
        inside, seed = blocks_to_pixels(blocks, rows, columns), (part.row - rows.start, part.column - columns.start)
        yield from _outline_box(probability, corner, rows, columns, inside, lowest, settings, seed=seed)
        return
    coarse = CoarseMap(probability, factor_for(part.box_px))
    factor = coarse.factor
    rows = range(part.top // factor - 1, -(-part.bottom // factor) + 1)
    columns = range(part.left // factor - 1, -(-part.right // factor) + 1)
    inside = blocks_to_pixels(blocks, rows, columns, BLOCK // factor)
    corner = (corner[0] // factor, corner[1] // factor)
    whole = replace(settings, split_depth_um=None, hover=None)
    for outlined in _outline_box(coarse, corner, rows, columns, inside, lowest, whole, seed="largest"):
        yield replace(outlined, merged_px=factor)


def _inside_frame(
    probability: ProbabilityMap | CoarseMap, corner: tuple[int, int], rows: range, columns: range, inside: Bools
) -> Bytes:
    """Read rows and columns, counted from a corner (classes, H, W); zero off the frame and where not `inside`."""
    frame, left, top = probability.frame, corner[0] + columns.start, corner[1] + rows.start
    classes = probability.read(left, top, len(columns), len(rows))
    classes *= inside
    classes[:, max(0, frame.height - top) :, :] = 0
    classes[:, :, max(0, frame.width - left) :] = 0
    return classes


def _outline_box(
    probability: ProbabilityMap | CoarseMap,
    corner: tuple[int, int],
    rows: range,
    columns: range,
    inside: Bools,
    lowest: int,
    settings: OutlineSettings,
    *,
    seed: tuple[int, int] | Literal["largest"] | None = None,
) -> Iterator[Glomerulus]:
    """Outline what lies in a box; with `seed` only what is connected to that (row, column), or the largest part."""
    frame = probability.frame
    left, top = corner[0] + columns.start, corner[1] + rows.start
    classes = _inside_frame(probability, corner, rows, columns, inside)
    del inside
    values = _level(classes, exclusive=settings.exclusive)
    minimum_px = settings.minimum_area_um2 / frame.mpp**2
    components, _ = ndimage.label(
        _without_small_holes(values >= lowest, min(settings.filled_um2 / frame.mpp**2, values.size))
    )
    wanted = _label_of(components, seed)
    for label, component in enumerate(ndimage.find_objects(components), start=1):
        if wanted not in (None, label):
            continue
        crop = _grown(component)
        mask = components[crop] == label
        if mask.sum() < _NEARLY * minimum_px:
            continue
        inner = classes[:, *crop]
        origin = (left + crop[1].start, top + crop[0].start)
        regions = _regions(mask, inner, _NEARLY * minimum_px, _splitter(probability, origin, settings))
        spread = _spread(probability, origin, mask.shape)
        # What is above the threshold but of no region of this component is another's.
        own = values[crop] * ((values[crop] < lowest) | mask)
        count = int(regions.max())
        for region in range(1, count + 1):
            mine = regions == region
            # Another region's pixels count as just outside, so that neighbours meet and do not overlap.
            levels = own if count == 1 else own * (mine | (regions == 0))
            means = tuple(float(plane[mine].mean()) / 255 for plane in inner)
            confidence = float(own[mine].mean()) / 255
            agreement = None if spread is None else 1 - float(spread[mine].mean()) / 255
            del mine
            for outline, touches_edge in _polygons(levels, lowest, origin, frame, settings):
                yield Glomerulus(outline, confidence, touches_edge, int(np.argmax(means)), means, agreement)


def _label_of(components: NDArray[np.int32], seed: tuple[int, int] | Literal["largest"] | None) -> int | None:
    """Return the number of the component that is asked for, None for all of them."""
    if seed is None:
        return None
    if seed != "largest":
        return int(components[seed])
    boxes = ndimage.find_objects(components)
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes]
    return 1 + int(np.argmax(areas)) if areas else 0


def _spread(probability: ProbabilityMap | CoarseMap, origin: tuple[int, int], shape: tuple[int, ...]) -> Bytes | None:
    """Return by how much several models differ (H, W), None where the map is of one."""
    if SPREAD not in probability.extras:
        return None
    return np.asarray(probability.read_extras((SPREAD,), *origin, shape[1], shape[0])[0])


def _level(classes: Bytes, *, exclusive: bool) -> Bytes:
    """Return how probable it is that a pixel is of any class (H, W), of the probabilities (classes, H, W)."""
    if len(classes) == 1:
        return np.asarray(classes[0])
    if exclusive:
        return np.asarray(np.minimum(classes.sum(axis=0, dtype=np.uint16), 255), np.uint8)
    return np.asarray(classes.max(axis=0), np.uint8)


def _regions(mask: Bools, classes: Bytes, minimum_px: float, split: Splitter | None) -> NDArray[Any]:
    """Number the objects of one connected mask: its parts by class, each split further."""
    if len(classes) == 1 and (split is None or not _has_room(mask, minimum_px)):
        return mask.view(np.uint8)
    regions = np.zeros(mask.shape, np.int32)
    for part in _parts_by_class(mask, classes, minimum_px):
        lobes = part.astype(np.int32)
        if split is not None and _has_room(part, minimum_px):
            lobes = split(part)
        regions[part] = lobes[part] + regions.max()
    return regions


def _has_room(part: Bools, minimum_px: float) -> bool:
    """Say whether two objects have room in one, which is not all of the slide."""
    return bool(2 * minimum_px < part.sum() < _SPLIT_PX)


def _parts_by_class(mask: Bools, classes: Bytes, minimum_px: float) -> Iterator[Bools]:
    """Yield the parts of a mask that are each of one class; what is smaller than `minimum_px` joins its neighbour."""
    if len(classes) == 1:
        yield mask
        return
    of_class, islands = classes.argmax(axis=0), np.zeros(mask.shape, np.int32)
    for index in np.unique(of_class[mask]):
        mine = mask & (of_class == index)
        labels, _ = ndimage.label(mine & ~small_parts(mine, minimum_px))
        islands = np.where(labels > 0, labels + islands.max(), islands)
    if islands.max() <= 1:
        yield mask
        return
    joined = watershed(np.zeros(mask.shape), islands, mask=mask)
    for number in range(1, int(joined.max()) + 1):
        yield joined == number


def _grown(region: tuple[slice, slice]) -> tuple[slice, slice]:
    rows, columns = region
    return slice(max(0, rows.start - 1), rows.stop + 1), slice(max(0, columns.start - 1), columns.stop + 1)


def _without_small_holes(mask: Bools, area_px: float) -> Bools:
    return mask | small_parts(ndimage.binary_fill_holes(mask) & ~mask, area_px)


def _splitter(
    probability: ProbabilityMap | CoarseMap, origin: tuple[int, int], settings: OutlineSettings
) -> Splitter | None:
    """Return what numbers the objects of a mask whose corner lies at `origin`, None where they are never split."""
    mpp, hover, depth_um = probability.frame.mpp, settings.hover, settings.split_depth_um
    if hover is None:
        return None if depth_um is None else lambda mask: split_by_waist(mask, depth_um / mpp)
    margin = margin_px(hover, mpp)

    def by_hover(mask: Bools) -> NDArray[np.int32]:
        rows, columns = (slice(margin, margin + side) for side in mask.shape)
        high, wide = (side + 2 * margin for side in mask.shape)
        places = hover_of(probability.read_extras(HOVER, origin[0] - margin, origin[1] - margin, wide, high))
        return split_by_hover(np.pad(mask, margin), places, hover, mpp, waist_um=depth_um)[rows, columns]

    return by_hover


def _polygons(
    values: Bytes,
    lowest: int,
    origin: tuple[int, int],
    frame: ReadingFrame,
    settings: OutlineSettings,
) -> Iterator[tuple[Polygon, bool]]:
    """Contour one region: outlines, and whether the slide's edge cuts them.

    `origin` is the (x, y) reading pixel of its first value.
    """
    um2 = frame.mpp**2
    scale_x, scale_y = frame.downsample_x, frame.downsample_y
    for outer in _contours(values, lowest - 0.5):
        holes = [ring for ring in outer.interiors if Polygon(ring).area * um2 >= settings.filled_um2]
        outline = Polygon(outer.exterior, holes).simplify(settings.tolerance_um / frame.mpp)
        outline = affine_transform(
            outline,
            (scale_x, 0, 0, scale_y, (origin[0] + 0.5) * scale_x, (origin[1] + 0.5) * scale_y),
        )
        slide = box(0, 0, frame.width * scale_x, frame.height * scale_y)
        outline = max(polygons(outline.intersection(slide)), key=lambda part: part.area, default=Polygon())
        area_um2 = outline.area / (scale_x * scale_y) * um2
        if area_um2 < max(settings.minimum_area_um2, um2):
            continue
        if outline.area < settings.minimum_solidity * outline.convex_hull.area:
            continue
        edge = box(*slide.bounds).buffer(-max(scale_x, scale_y))
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
