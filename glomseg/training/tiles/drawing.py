"""Draw labels pixel for pixel as QuPath's LabeledImageServer does, so that tiles do not depend on who exports them.

QuPath fills outlines with Java2D without antialiasing. A pixel belongs to an outline where the pixel's top-left corner
does; coordinates are kept in 1/1024 pixel, and an edge is followed down the rows in steps rounded to that. QuPath
draws in blocks of 512 x 512 label pixels and cuts its tiles from them, so what lies off a block is clipped first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Box, polygons

Labels = NDArray[np.uint8]
_Point = tuple[float, float]

BLOCK_PX = 512
ONE = 1024  # one pixel in fixed point
NONE = np.empty((0, 2), np.int64)
_EPSILON = 1 / ONE


class LabelDrawer:
    """Draws the labels of one image; `shapes` holds the outlines of each label, 1, 2 and so on, in drawing order.

    A later label lies over an earlier one. `size` is the image's (width, height) in level-0 pixels.
    """

    def __init__(self, shapes: Sequence[Sequence[BaseGeometry]], size: tuple[int, int], downsample: float) -> None:
        """Take the outlines, in level-0 pixels."""
        self._shapes = [(label, shape, shape.bounds) for label, group in enumerate(shapes, 1) for shape in group]
        self._downsample = downsample
        self._width, self._height = (max(1, int(side / downsample)) for side in size)
        self._blocks: dict[tuple[int, int], Labels] = {}

    def tile(self, box: Box, side: int) -> Labels:
        """Draw the (side, side) labels of a box of whole level-0 pixels."""
        labels = self._cut(round_half_up(box.x / self._downsample), round_half_up(box.y / self._downsample), side)
        rows, columns = (_stretch(round_half_up(span / self._downsample), side) for span in (box.height, box.width))
        return labels[rows][:, columns]

    def _cut(self, left: int, top: int, side: int) -> Labels:
        """Cut (side, side) labels out of QuPath's blocks."""
        out = np.zeros((side, side), np.uint8)
        for row in range(top // BLOCK_PX, (top + side - 1) // BLOCK_PX + 1):
            for column in range(left // BLOCK_PX, (left + side - 1) // BLOCK_PX + 1):
                block = self._block(column, row)
                x0, y0 = column * BLOCK_PX - left, row * BLOCK_PX - top
                target = out[max(0, y0) : y0 + block.shape[0], max(0, x0) : x0 + block.shape[1]]
                source = block[max(0, -y0) :, max(0, -x0) :]
                target[:] = source[: target.shape[0], : target.shape[1]]
        return out

    def _block(self, column: int, row: int) -> Labels:
        """Draw one of QuPath's blocks; the last one drawn at each place of a row is kept for the next tile."""
        if (column, row) not in self._blocks:
            self._blocks = {key: block for key, block in self._blocks.items() if key[1] >= row - 1}
            self._blocks[column, row] = self._draw(column * BLOCK_PX, row * BLOCK_PX)
        return self._blocks[column, row]

    def _draw(self, left: int, top: int) -> Labels:
        width, height = (
            max(0, min(BLOCK_PX, size - start)) for size, start in ((self._width, left), (self._height, top))
        )
        out = np.zeros((height, width), np.uint8)
        x, y = round_half_up(left * self._downsample), round_half_up(top * self._downsample)
        reach = (BLOCK_PX + 1) * self._downsample
        for label, shape, (x_min, y_min, x_max, y_max) in self._shapes:
            if x_max >= x - 1 and y_max >= y - 1 and x_min <= x + reach and y_min <= y + reach and out.size:
                out[filled(_rings(shape, x, y, self._downsample), width, height)] = label
        return out


def round_half_up(value: float) -> int:
    """Round as Java's Math.round does."""
    return int(np.floor(value + 0.5))


def _stretch(read: int, side: int) -> NDArray[np.intp]:
    """Tell which of `side` pixels stands at each place, where QuPath's rounding makes it read one more or one less.

    It stretches them to what it reads, and back to what was asked for, each time to the nearest pixel.
    """
    return _nearest(side, read)[_nearest(read, side)]


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    places = (np.arange(target) - target / 2) / (target / source) + source / 2
    return np.clip(places.astype(np.intp), 0, source - 1)


def _rings(shape: BaseGeometry, x: int, y: int, downsample: float) -> Iterator[NDArray[np.float32]]:
    """Give the closed rings of a shape, (n, 2), in pixels of a block whose corner is (x, y)."""
    scale = 1.0 / downsample
    for part in polygons(shape):
        for ring in (part.exterior, *part.interiors):
            points = np.asarray(ring.coords, np.float32)[:, :2].astype(np.float64)
            yield (points * scale + np.array([-x * scale, -y * scale])).astype(np.float32)


def filled(rings: Iterator[NDArray[np.float32]], width: int, height: int) -> NDArray[np.bool_]:
    """Fill rings by the even-odd rule: (height, width)."""
    crossings: list[NDArray[np.int64]] = []
    for ring in rings:
        for start, end in zip(ring[:-1].tolist(), ring[1:].tolist(), strict=True):
            for first, last in _clipped(tuple(start), tuple(end), width, height):
                crossings.append(_crossings(first, last))
    out = np.zeros((height, width), np.bool_)
    points = np.concatenate(crossings or [NONE])
    if not len(points):
        return out
    points = points[np.lexsort((points[:, 1], points[:, 0]))]
    starts = np.flatnonzero(np.diff(points[:, 0], prepend=-1))
    for low, high in zip(starts, [*starts[1:], len(points)], strict=True):
        row = int(points[low, 0])
        if 0 <= row < height:
            _fill_row(out[row], points[low:high, 1].tolist())
    return out


def _fill_row(row: NDArray[np.bool_], crossings: list[int]) -> None:
    """Fill between every two crossings; from an odd last one to the end, where the right part was clipped off."""
    for left, right in zip(crossings[::2], [*crossings[1::2], None], strict=False):
        begin = max(0, (left + ONE - 1) >> 10)
        row[begin : len(row) if right is None else max(0, ((right - 1) >> 10) + 1)] = True


def _crossings(start: tuple[int, int], end: tuple[int, int]) -> NDArray[np.int64]:
    """Give (row, x) where an edge in fixed point crosses the rows, its upper end included."""
    (x0, y0), (x1, y1) = sorted((start, end), key=lambda point: point[1])
    first, past = -(-y0 // ONE), -(-y1 // ONE)
    if first >= past:
        return NONE
    across, down = x1 - x0, y1 - y0
    begin = x0 + _quotient(across * (first * ONE - y0), down)
    rows = np.arange(first, past)
    return np.stack([rows, begin + (rows - first) * _quotient(across * ONE, down)], axis=1)


def _quotient(value: int, by: int) -> int:
    """Divide towards zero."""
    return value // by if value >= 0 else -(-value // by)


def _clipped(start: _Point, end: _Point, width: int, height: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Clip an edge to a block, and give what is left of it in fixed point.

    What lies off the left side is moved onto it, as it still counts for what is inside; off the right side it goes.
    """
    low, top, bottom = -0.5, -0.5, height - 0.5 - _EPSILON
    right = width - 0.5 - _EPSILON
    (y0, x0), (y1, x1) = (start[1], start[0]), (end[1], end[0])
    if max(y0, y1) < top or min(y0, y1) > bottom:
        return
    y0, x0 = _onto(y0, x0, y1, x1, top, bottom)
    y1, x1 = _onto(y1, x1, y0, x0, top, bottom)
    if min(x0, x1) > right:
        return
    if max(x0, x1) < low:
        yield _fixed(low, y0), _fixed(low, y1)
        return
    new_x0, new_y0 = _onto(x0, y0, x1, y1, low, right)
    if x0 < low:
        yield _fixed(new_x0, y0), _fixed(new_x0, new_y0)
    new_x1, new_y1 = _onto(x1, y1, new_x0, new_y0, low, right)
    yield _fixed(new_x0, new_y0), _fixed(new_x1, new_y1)
    if x1 < low:
        yield _fixed(new_x1, new_y1), _fixed(new_x1, y1)


def _onto(a: float, b: float, other_a: float, other_b: float, low: float, high: float) -> _Point:
    """Move an end (a, b) of an edge along it until `a` lies between `low` and `high`, in single precision."""
    if low <= a <= high:
        return a, b
    limit = low if a < low else high
    moved = b + (float(np.float32(limit)) - a) * float(np.float32(other_b - b)) / float(np.float32(other_a - a))
    return float(np.float32(limit)), float(np.float32(moved))


def _fixed(x: float, y: float) -> tuple[int, int]:
    return int(x * ONE), int(y * ONE)
