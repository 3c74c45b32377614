"""Turn numbers into polygons.

A mask is cut into runs: stretches of one value in one row. Runs that touch, corners included, are one object (as
KPIs' own tools join them), whose polygon follows the pixels' edges: its area is its number of pixels, whatever tiles
the file has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glomseg.errors import LabelError
from glomseg.geometry import Geometries, geometries

Runs = NDArray[np.int64]
"""(N, 4): row, first column, column after the last, value."""

MAX_RUNS = 10_000_000
MAX_OBJECT_RUNS = 200_000
"""More pieces than any object has: the noise of a picture."""
_PIECES = {True: 2.0, False: 1.25}
_INSTANCES = 3
"""A mask with fewer numbers than this in 8 bits is of classes, whose pieces are objects of their own."""


def runs_of(values: NDArray[Any], x: int, y: int) -> Runs:
    """Cut an array (H, W) whose corner lies at (x, y) into runs of one value other than 0, row by row."""
    if not values.size or not values.max():
        return np.zeros((0, 4), np.int64)
    busy = np.flatnonzero(values.max(axis=1))
    edged = np.zeros((len(busy), values.shape[1] + 2), values.dtype)
    edged[:, 1:-1] = values[busy]
    rows, columns = np.nonzero(edged[:, 1:] != edged[:, :-1])
    inside = edged[rows, columns + 1]
    starts = np.flatnonzero(inside != 0)
    return np.column_stack(
        [busy[rows[starts]] + y, columns[starts] + x, columns[starts + 1] + x, inside[starts].astype(np.int64)]
    ).astype(np.int64)


def merged(parts: list[Runs]) -> Runs:
    """Put the runs of all tiles in reading order, and join those that a tile's border cuts."""
    runs = np.concatenate([np.zeros((0, 4), np.int64), *parts])
    runs = runs[np.lexsort((runs[:, 1], runs[:, 0]))]
    if not len(runs):
        return runs
    goes_on = (runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] == runs[:-1, 2]) & (runs[1:, 3] == runs[:-1, 3])
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    last = np.concatenate([first[1:], [len(runs)]]) - 1
    joined = runs[first].copy()
    joined[:, 2] = runs[last, 2]
    return joined


def objects_of(runs: Runs, width: int, path: Path, *, wide: bool) -> tuple[Geometries, NDArray[np.int64]]:
    """Join runs to objects and outline them; returns the outlines and their values, in reading order.

    Where nearly every number is in one piece, numbers are objects, and the pieces of one are joined: more often so in
    a mask of more than 8 bits (`wide`). Elsewhere numbers are classes, and each piece is an object. Raises
    LabelError for what is a picture.
    """
    if not len(runs):
        return geometries([]), np.zeros(0, np.int64)
    labels = components(runs, width)
    values, by_value = np.unique(runs[:, 3], return_inverse=True)
    pieces = int(labels.max()) + 1
    if len(values) >= (2 if wide else _INSTANCES) and pieces <= _PIECES[wide] * len(values):
        labels = by_value
    if np.bincount(labels).max() > MAX_OBJECT_RUNS or len(runs) > MAX_RUNS:
        raise LabelError(f"{path} has objects in {len(runs)} pieces; is it a mask, and not a picture?")
    order = np.argsort(labels, kind="stable")
    firsts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    rows, left, right = runs[order, 0], runs[order, 1], runs[order, 2]
    boxes = shapely.box(left, rows, right, rows + 1)
    shapes = [shapely.union_all(group) for group in np.split(boxes, firsts[1:])]
    return geometries([shapely.simplify(item, 0) for item in shapes]), runs[order[firsts], 3]


def components(runs: Runs, width: int) -> NDArray[np.intp]:
    """Number the objects: runs of one value in neighbouring rows that touch, corners included."""
    below, over = touching_rows(runs, width)
    alike = runs[below, 3] == runs[over, 3]
    graph = coo_array((np.ones(int(alike.sum()), np.int8), (below[alike], over[alike])), shape=(len(runs), len(runs)))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def touching_rows(runs: Runs, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair each run with those of the row above that it touches, corners included, whatever their values."""
    row, left, right, _ = runs.T
    stride = width + 2
    above = (row - 1) * stride
    low = np.searchsorted(row * stride + right, above + left, "left")
    high = np.searchsorted(row * stride + left, above + right, "right")
    counts = np.maximum(high - low, 0)
    below = np.repeat(np.arange(len(runs)), counts)
    skip = np.repeat(np.cumsum(counts) - counts, counts)
    return below, np.repeat(low, counts) + np.arange(len(below)) - skip
