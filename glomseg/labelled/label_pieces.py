"""Find masks whose pieces are no objects: outlines alone, borders with numbers of their own, specks of smoothing.

How often that is wrong was counted on drawn masks of 25 objects (discs, ellipses, waves, squares, crescents, objects
with a hole of up to half their radius, apart and touching; numbers, classes, black and white). Of 576 that are filled,
360 of them resized to the nearest pixel, none was refused. Of 432 of lines 1 to 3 px wide, alone or as a class around a
core, none was read; of 144 of lines 4 px wide, which fill more than half of the small objects, 21 were. Of 600 that
were resized with smoothing none was read with another number of objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.errors import LabelError
from glomseg.labelled.label_objects import Runs, components, merged, touching_rows
from glomseg.labelled.label_values import INTERPOLATED

_HOLLOW = 0.5  # of what an outline encloses is drawn, at most; a line a quarter of a radius wide has 0.44
_MOST = 0.5  # of the objects
_BORDERS = 1 / 3  # of the objects are borders, where each has one
_SPECKLED = 0.1  # of the objects that can have specks have some; painting over others leaves a third of that
_THICK_PX = 2
_LARGER = 4
_WITHIN = 0.9  # of its border lies on one other object, which goes around it
_NESTED = 1 / 3  # of the objects lie within others
_LEAST_PX = 30  # enclosed; below it nothing can be told
_MOST_PX = 25_000_000  # around an object that is filled to look at it
_LOOKED_AT = 200


def refuse_pieces(runs: Runs, size: tuple[int, int], path: Path, *, named: bool = False) -> None:
    """Raise LabelError where objects of a mask are rings with nothing within, or around other numbers, or specks.

    `runs` are those of the whole mask, of `size` (width, height), in reading order. Where what the numbers mean is
    `named`, one may be around another.
    """
    if not len(runs):
        return
    width = size[0]
    there = runs.copy()
    there[:, 3] = 1
    if _share_of_rings(merged([there]), width) > _MOST:
        raise LabelError(
            f"{path} holds outlines alone, with nothing within, and areas and overlaps would be those of the lines: "
            "fill them (in ImageJ: Process > Binary > Fill Holes), or export the polygons as GeoJSON"
        )
    if (runs[:, 3] == runs[0, 3]).all():
        return
    if _share_with_specks(runs, size) > _SPECKLED:
        raise LabelError(f"{path} {INTERPOLATED}")
    if not named and _share_within(runs, width) >= _NESTED:
        raise LabelError(
            f"{path} has numbers that lie within another, as a class of background or of tissue around glomeruli does, "
            "or a part of each: every piece would count as an object; write 0 for what is no glomerulus, and one "
            "number for an object with all that is in it"
        )
    if not named and _share_of_rings(runs, width) > _BORDERS:
        raise LabelError(
            f"{path} has numbers that go around others, as a class for borders does, and each ring would count as an "
            "object: write one number for an object, its border included"
        )


def _share_of_rings(runs: Runs, width: int) -> float:
    """Give the part of the objects that are rings; what is too small to be one does not count."""
    labels = components(runs, width)
    area = np.bincount(labels, runs[:, 2] - runs[:, 1])
    enclosed = _enclosed(runs, labels, len(area))
    large = int((enclosed >= _LEAST_PX).sum())
    hollow = np.flatnonzero((enclosed >= _LEAST_PX) & (area < _HOLLOW * enclosed))
    if len(hollow) <= _BORDERS * large:
        return 0.0
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(area) + 1))
    seen = hollow[:: 1 + len(hollow) // _LOOKED_AT]
    rings = sum(_is_ring(runs[order[starts[index] : starts[index + 1]]]) for index in seen)
    return rings / len(seen) * len(hollow) / large


def _share_with_specks(runs: Runs, size: tuple[int, int]) -> float:
    """Give the part of the objects that have specks of a smaller number at their border.

    A speck is a piece one or two pixels thick, off the image's edge, that touches a far larger one of a larger number.
    The objects of the smallest number can have none.
    """
    width, height = size
    labels = components(runs, width)
    count = int(labels.max()) + 1
    area = np.bincount(labels, runs[:, 2] - runs[:, 1], count)
    value = np.zeros(count, np.int64)
    value[labels] = runs[:, 3]
    low, high = np.full((2, count), width + height), np.zeros((2, count), np.int64)
    for axis, (first, last) in enumerate(((runs[:, 0], runs[:, 0] + 1), (runs[:, 1], runs[:, 2]))):
        np.minimum.at(low[axis], labels, first)
        np.maximum.at(high[axis], labels, last)
    thin = area <= _THICK_PX * (high - low).max(axis=0)
    thin &= (low > 0).all(axis=0) & (high[0] < height) & (high[1] < width)
    below, over = touching_rows(runs, width)
    beside = np.flatnonzero((runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] == runs[:-1, 2]))
    ones, others = labels[np.concatenate([below, beside])], labels[np.concatenate([over, beside + 1])]
    small, large = np.where(value[ones] < value[others], (ones, others), (others, ones))
    specked = thin[small] & (value[small] < value[large]) & (area[large] >= _LARGER * area[small])
    able = int(((value > value.min()) & ~thin).sum())
    return len(np.unique(large[specked])) / able if able else 0.0


def _share_within(runs: Runs, width: int) -> float:
    """Give the part of the objects whose border lies on one larger object of another number, nearly all of it."""
    labels = components(runs, width)
    count = int(labels.max()) + 1
    length = runs[:, 2] - runs[:, 1]
    area = np.bincount(labels, length, count)
    border = np.bincount(labels, 2 * length + 2, count)
    below, over = touching_rows(runs, width)
    shared = np.minimum(runs[below, 2], runs[over, 2]) - np.maximum(runs[below, 1], runs[over, 1])
    beside = np.flatnonzero((runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] == runs[:-1, 2]))
    ones, others = labels[np.concatenate([below, beside])], labels[np.concatenate([over, beside + 1])]
    sides = np.concatenate([np.maximum(shared, 0), np.ones(len(beside), np.int64)])
    same = ones == others
    border -= 2 * np.bincount(ones[same], sides[same], count)
    small, large = np.where(area[ones] < area[others], (ones, others), (others, ones))[:, ~same]
    pairs, place = np.unique(small * count + large, return_inverse=True)
    within = pairs // count
    on_it = np.bincount(place, sides[~same], len(pairs))
    enough = (area[within] >= _LEAST_PX) & (on_it >= _WITHIN * border[within])
    return len(np.unique(within[enough])) / max(1, int((area >= _LEAST_PX).sum()))


def _enclosed(runs: Runs, labels: NDArray[np.intp], count: int) -> NDArray[Any]:
    """Add up for each object how far its rows reach, from its first pixel to its last."""
    order = np.lexsort((runs[:, 1], runs[:, 0], labels))
    rows = np.column_stack([labels[order], runs[order, 0]])
    first = np.flatnonzero(np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)]))
    last = np.concatenate([first[1:], [len(rows)]]) - 1
    return np.bincount(rows[first, 0], runs[order[last], 2] - runs[order[first], 1], count)


def _is_ring(runs: Runs) -> bool:
    """Tell whether filling an object's holes makes it larger than twice what is drawn of it."""
    top, left = int(runs[0, 0]), int(runs[:, 1].min())
    height, width = int(runs[-1, 0]) - top + 1, int(runs[:, 2].max()) - left
    if height * width > _MOST_PX:
        return False
    drawn = np.zeros((height, width), np.bool_)
    for row, start, end, _ in runs.tolist():
        drawn[row - top, start - left : end - left] = True
    return bool(drawn.sum() < _HOLLOW * ndimage.binary_fill_holes(drawn).sum())
