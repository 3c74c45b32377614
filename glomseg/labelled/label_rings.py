"""Find masks whose objects are drawn as outlines alone: counts are right in them, areas and overlaps are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.errors import LabelError
from glomseg.labelled.label_objects import Runs, components, merged

_HOLLOW = 0.5  # of what an outline encloses is drawn, at most; a line a quarter of a radius wide has 0.44
_MOST = 0.5  # of the objects
_BORDERS = 1 / 3  # of the objects are borders, where each has one
_LEAST_PX = 30  # enclosed; below it nothing can be told
_MOST_PX = 25_000_000  # around an object that is filled to look at it
_LOOKED_AT = 200


def refuse_rings(runs: Runs, width: int, path: Path, *, named: bool = False) -> None:
    """Raise LabelError where objects of a mask are rings with nothing within, or around other numbers.

    `runs` are those of the whole mask, of `width` px, in reading order. Where what the numbers mean is `named`, one may
    be around another.
    """
    if not len(runs):
        return
    there = runs.copy()
    there[:, 3] = 1
    if _share_of_rings(merged([there]), width) > _MOST:
        raise LabelError(
            f"{path} holds outlines alone, with nothing within, and areas and overlaps would be those of the lines: "
            "fill them (in ImageJ: Process > Binary > Fill Holes), or export the polygons as GeoJSON"
        )
    if not named and (runs[:, 3] != runs[0, 3]).any() and _share_of_rings(runs, width) > _BORDERS:
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
