"""Groups of blocks too large to be looked at in one piece: their connected parts, and a coarser look at what is one.

Memory is bounded whatever the group: its parts are told apart strip by strip, and each is then outlined in its own box.
A part whose box is itself too large is no glomerulus but a failure of the model; it is outlined on merged pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.geometry import Bools, Bytes
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame

PIECE_PX = 250_000
"""Pixels of a group from which on its parts are outlined apart: most of its box is empty."""
LARGE_PX = 10_000_000
"""Pixels that are outlined in one piece, at up to forty bytes each, most of them contourpy's."""
AROUND = np.ones((3, 3))
_STRIP_PX = 2_000_000


@dataclass(slots=True)
class ConnectedPart:
    """A connected part of a group: its first pixel (row, column), and its box, in pixels from the group's corner."""

    row: int
    column: int
    top: int
    left: int
    bottom: int
    right: int

    @property
    def box_px(self) -> int:
        """Pixels of its box."""
        return (self.bottom - self.top) * (self.right - self.left)

    def join(self, other: ConnectedPart) -> None:
        """Take in what turns out to be connected."""
        self.top, self.left = min(self.top, other.top), min(self.left, other.left)
        self.bottom, self.right = max(self.bottom, other.bottom), max(self.right, other.right)


ReadRows = Callable[[int, int], Bytes]
"""Gives the values (rows, width) of a group from a first row on, so many rows of them."""


def connected_parts(level: ReadRows, height: int, width: int, lowest: int) -> list[ConnectedPart]:
    """List the parts of a group that are at least `lowest`.

    Diagonal neighbours are of one part, so that a hole that is closed by both is in the box of one.
    """
    parts, parents = _pieces(level, height, width, lowest)
    for index, part in enumerate(parts):
        root = _root(parents, index)
        if root != index:
            parts[root].join(part)
    return [part for index, part in enumerate(parts) if parents[index] == index]


def mostly_of(part: ConnectedPart, level: ReadRows, height: int, width: int, lowest: int, factor: int) -> Bools:
    """Say which pixels that are merged of `factor` x `factor` are of a part for at least a half."""
    pieces, parents = _pieces(level, height, width, lowest)
    places = ((piece.row, piece.column) for piece in pieces)
    wanted = next(index for index, place in enumerate(places) if place == (part.row, part.column))
    is_wanted = np.array([_root(parents, index) == wanted for index in range(len(pieces))])
    counts, start = np.zeros((-(-height // factor), -(-width // factor)), np.uint16), 0
    for first, labels, number in _strips(level, height, width, lowest):
        rows, columns = np.nonzero(np.append(False, is_wanted[start : start + number])[labels])
        np.add.at(counts, ((rows + first) // factor, columns // factor), 1)
        start += number
    return np.asarray(2 * counts >= factor**2)


def _strips(level: ReadRows, height: int, width: int, lowest: int) -> Iterator[tuple[int, NDArray[np.int32], int]]:
    """Yield the first row of each strip, its parts numbered from 1 on (rows, width), and how many they are."""
    rows = max(BLOCK, _STRIP_PX // width)
    for first in range(0, height, rows):
        yield first, *ndimage.label(level(first, min(rows, height - first)) >= lowest, AROUND)


def _pieces(level: ReadRows, height: int, width: int, lowest: int) -> tuple[list[ConnectedPart], list[int]]:
    """List the parts of all strips one after the other, and for each another of which it is one, or itself."""
    pieces: list[ConnectedPart] = []
    parents: list[int] = []
    above = np.zeros(width, np.int64)  # numbers of the pieces in the last row, from 1 on
    for first, labels, _ in _strips(level, height, width, lowest):
        start = len(pieces)
        for number, (tall, wide) in enumerate(ndimage.find_objects(labels), start=1):
            column = wide.start + int(np.argmax(labels[tall.start, wide] == number))
            top, bottom = first + tall.start, first + tall.stop
            pieces.append(ConnectedPart(top, column, top, wide.start, bottom, wide.stop))
            parents.append(len(parents))
        for one, other in _touching(above, labels[0]):
            one, other = sorted((_root(parents, one - 1), _root(parents, other + start - 1)))
            parents[other] = one
        above = np.where(labels[-1] > 0, labels[-1].astype(np.int64) + start, 0)
    return pieces, parents


def _touching(above: NDArray[np.int64], below: NDArray[np.int32]) -> set[tuple[int, int]]:
    """Pair the numbers of parts that meet between two rows, straight or diagonally."""
    pairs: set[tuple[int, int]] = set()
    for shift in (-1, 0, 1):
        one, other = (
            above[max(0, shift) : len(above) + min(0, shift)],
            below[max(0, -shift) : len(below) - max(0, shift)],
        )
        meet = (one > 0) & (other > 0)
        pairs |= set(zip(one[meet].tolist(), other[meet].tolist(), strict=True))
    return pairs


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


class CoarseMap:
    """A map of probabilities whose pixels are means of `factor` x `factor` of another's, a divisor of BLOCK."""

    def __init__(self, fine: ProbabilityMap, factor: int) -> None:
        """Look at a map through larger pixels."""
        frame = fine.frame
        self.factor, self.shape, self.extras = factor, fine.shape, fine.extras
        self.frame = ReadingFrame(
            frame.mpp * factor,
            frame.downsample_x * factor,
            frame.downsample_y * factor,
            math.ceil(frame.width / factor),
            math.ceil(frame.height / factor),
        )
        self._fine = fine

    def read(self, x: int, y: int, width: int, height: int) -> Bytes:
        """Return the values (classes, height, width) of a rectangle of these pixels, as `ProbabilityMap.read` does."""
        return self._merged(self._fine.read, self.shape[0], x, y, width, height)

    def read_extras(self, names: Sequence[str], x: int, y: int, width: int, height: int) -> Bytes:
        """Return the values (names, height, width) of some of the extras."""
        return self._merged(lambda *box: self._fine.read_extras(names, *box), len(names), x, y, width, height)

    def _merged(
        self, read: Callable[[int, int, int, int], Bytes], planes: int, x: int, y: int, width: int, height: int
    ) -> Bytes:
        factor, result = self.factor, np.zeros((planes, height, width), np.uint8)
        rows = max(1, _STRIP_PX // (width * factor**2))
        for top in range(0, height, rows):
            tall = min(rows, height - top)
            values = read(x * factor, (y + top) * factor, width * factor, tall * factor)
            means = values.reshape(planes, tall, factor, width, factor).mean(axis=(2, 4), dtype=np.float32)
            result[:, top : top + tall] = means.round()
        return result


def factor_for(box_px: int) -> int:
    """Tell how many pixels a side to merge, so that a box is small enough to be outlined in one piece."""
    factor = 2
    while box_px > LARGE_PX * factor**2 and factor < BLOCK:
        factor *= 2
    return factor


def blocks_to_pixels(blocks: Bools, rows: range, columns: range, side: int = BLOCK) -> Bools:
    """Say which pixels (rows, columns) lie in marked blocks of `side` pixels; those off the blocks do not."""
    padded = np.pad(blocks, 1)
    down, across = (np.asarray(each) // side + 1 for each in (rows, columns))
    return np.asarray(padded[np.ix_(down, across)])
