"""The other way to put a slide together: windows that overlap, all of each counted, and their mean (Cap 2025).

Ours reads each tile with a halo and takes its core, so that a pixel is decided once. Here a pixel is the mean of every
window that shows it, its edges included. Sums are kept for one row of windows at a time, as wide as the slide.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from glomseg.geometry import Bools, Bytes
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, Tile


def plan_windows(wanted: Bools, *, window_px: int, overlap: float, stride: int = BLOCK) -> list[Tile]:
    """Cover the `wanted` blocks (rows, columns) with squares of `window_px` that share `overlap` of their side.

    They stand in rows, from the top. Sides and steps are multiples of a network's `stride`; the last window of a row or
    column is moved back to the edge, and one that shows nothing wanted is left out.
    """
    step = math.lcm(BLOCK, stride)
    side = max(1, window_px // step) * (step // BLOCK)
    hop = max(step // BLOCK, round(side * (1 - overlap) / (step // BLOCK)) * (step // BLOCK))
    return [
        Tile(left * BLOCK, top * BLOCK, side * BLOCK, side * BLOCK, 0)
        for top in _starts(wanted.shape[0], side, hop, step // BLOCK)
        for left in _starts(wanted.shape[1], side, hop, step // BLOCK)
        if wanted[top : top + side, left : left + side].any()
    ]


def _starts(length: int, side: int, hop: int, unit: int) -> list[int]:
    last = max(0, -(-(length - side) // unit) * unit)
    return [*range(0, last, hop), last]


class MeanOfWindows:
    """Sums what windows say, and writes the mean of each row of the map once no window below can change it."""

    def __init__(self, values: ProbabilityMap, wanted: Bools, planes: int) -> None:
        """Take the map to write into, and the blocks that are wanted; the others stay zero."""
        self._values, self._wanted = values, wanted
        self._top, self._sums = 0, np.zeros((planes, 0, 0), np.int32)
        self._counts: NDArray[np.int32] = np.zeros((0, 0), np.int32)

    def add(self, window: Tile, planes: Bytes) -> None:
        """Add what the network says of a window (planes, H, W); windows come in rows, from the top."""
        if window.y > self._top:
            self._write(window.y)
        if window.height > self._counts.shape[0]:
            self._sums = np.zeros((len(self._sums), window.height, self._width(window)), np.int32)
            self._counts = np.zeros(self._sums.shape[1:], np.int32)
        where = np.s_[window.y - self._top :, window.x : window.x + window.width]
        high, wide = self._counts[where].shape
        self._sums[(slice(None), *where)] += planes[:, :high, :wide]
        self._counts[where] += 1

    def finish(self) -> None:
        """Write what is left."""
        self._write(self._top + self._counts.shape[0])

    def _width(self, window: Tile) -> int:
        return max(int(self._wanted.shape[1]) * BLOCK, window.width)

    def _write(self, until: int) -> None:
        """Write the rows up to one, which no window below touches, and let the rest move up."""
        ready = min(until - self._top, self._counts.shape[0])
        if ready:
            rows = slice(self._top // BLOCK, (self._top + ready) // BLOCK)
            mine = self._wanted[rows].repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
            high, wide = mine.shape
            counts = np.maximum(self._counts[:high, :wide], 1)
            mean = ((self._sums[:, :high, :wide] + counts // 2) // counts).astype(np.uint8) * mine
            if high:
                self._values.write(Tile(0, self._top, wide, high, 0), mean)
            self._sums[:, :-ready] = self._sums[:, ready:].copy()
            self._sums[:, -ready:] = 0
            self._counts[:-ready] = self._counts[ready:].copy()
            self._counts[-ready:] = 0
        self._top = until
