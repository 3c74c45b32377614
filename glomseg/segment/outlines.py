"""From the probability of a slide to the outlines of its glomeruli."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import Polygon
from skimage.segmentation import watershed

from glomseg.geometry import Bools, Bytes, small_parts
from glomseg.models.planes import HOVER, SPREAD, hover_of
from glomseg.segment.contours import OutlineSettings, trace
from glomseg.segment.hover_split import margin_px, split_by_hover
from glomseg.segment.large_groups import (
    AROUND,
    LARGE_PX,
    PIECE_PX,
    CoarseMap,
    ConnectedPart,
    ReadRows,
    blocks_to_pixels,
    connected_parts,
    factor_for,
    mostly_of,
)
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK
from glomseg.segment.waist import split_by_waist

Splitter = Callable[[Bools], NDArray[np.int32]]

_NEARLY = 0.8
"""Pixels counted against the minimum area, before the outline tells the area exactly."""

_SPLIT_PX = 4_000_000
"""An object of more pixels is no cluster of glomeruli but a failure of the model; splitting it would take gigabytes."""


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
    # Where any hole is filled, however large, what lies in one must be seen together with what is around it.
    in_parts = high * wide > (PIECE_PX if settings.filled_um2 <= settings.minimum_area_um2 else LARGE_PX)
    if not in_parts:
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
        yield from _outline_part(probability, corner, blocks, part, level, lowest, settings)


def _outline_part(
    probability: ProbabilityMap,
    corner: tuple[int, int],
    blocks: Bools,
    part: ConnectedPart,
    level: ReadRows,
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
    high, wide = (side * BLOCK for side in blocks.shape)
    mostly = np.pad(mostly_of(part, level, high, wide, lowest, factor), 1)
    own = mostly[rows.start + 1 : rows.stop + 1, columns.start + 1 : columns.stop + 1]
    corner = (corner[0] // factor, corner[1] // factor)
    whole = replace(settings, split_depth_um=None, hover=None)
    for outlined in _outline_box(coarse, corner, rows, columns, inside, lowest, whole, seed=own):
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
    seed: tuple[int, int] | Bools | None = None,
) -> Iterator[Glomerulus]:
    """Outline what lies in a box; with `seed` only what touches the part of that (row, column), or those pixels."""
    frame = probability.frame
    left, top = corner[0] + columns.start, corner[1] + rows.start
    classes = _inside_frame(probability, corner, rows, columns, inside)
    del inside
    values = _level(classes, exclusive=settings.exclusive)
    minimum_px = settings.minimum_area_um2 / frame.mpp**2
    components, _ = ndimage.label(
        _without_small_holes(values >= lowest, min(settings.filled_um2 / frame.mpp**2, values.size))
    )
    wanted = None if seed is None else _labels_of(components, values >= lowest, seed)
    for label, component in enumerate(ndimage.find_objects(components), start=1):
        if wanted is not None and label not in wanted:
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
            for outline, touches_edge in trace(levels, lowest, origin, frame, settings):
                yield Glomerulus(outline, confidence, touches_edge, int(np.argmax(means)), means, agreement)


def _labels_of(components: NDArray[np.int32], mask: Bools, seed: tuple[int, int] | Bools) -> set[int]:
    """Return the numbers of the components that are asked for."""
    if isinstance(seed, tuple):
        parts, _ = ndimage.label(mask, AROUND)
        seed = parts == parts[seed]
    return set(np.unique(components[mask & seed]).tolist())


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
        numbers = split_by_hover(
            np.pad(mask, margin), places, hover, mpp, waist_um=depth_um, least_um2=_NEARLY * settings.minimum_area_um2
        )
        return numbers[rows, columns]

    return by_hover
