"""Which values a mask holds, how often, and how they lie: counted block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 100_000
_FLAT = 1 / 3  # the least part of a number's pixels that lie inside a flat region; small objects are mostly edge
_STEPS = 3  # fewer values in steps are no soft edge
_ROUGH = 0.1  # the most pixels of a numbered mask whose values are in steps
_BETWEEN = 0.1  # the most steps at borders that a mask of numbers has; touching objects have some
_FEW_BETWEEN = 16


class TooManyValues(Exception):
    """More values than a mask has."""


@dataclass
class LabelCensus:
    """How often each stored value occurs in the parts of a mask that were added, and how it lies there.

    `between` counts pixels that lie alone on a border with a smaller value on one side and a larger on the other, and
    `borders` all places where the value changes.
    """

    pixels: dict[int, int] = field(default_factory=dict)
    compared: dict[int, int] = field(default_factory=dict)
    flat: dict[int, int] = field(default_factory=dict)
    edge: dict[int, int] = field(default_factory=dict)
    between: dict[int, int] = field(default_factory=dict)
    borders: int = 0
    coloured: bool = False

    def add(self, values: NDArray[Any], *, x: int = 0, y: int = 0, size: tuple[int, int] | None = None) -> None:
        """Count a part (H, W) with its corner at (x, y) of an image of `size` (width, height); then `fill_up`.

        Raises TooManyValues.
        """
        if not values.any():
            return  # `fill_up` counts it
        height, width = values.shape
        across, down = size or (width, height)
        _count(self.pixels, values)
        inner = values[:-1, :-1] if height > 1 else values[:, :-1]
        alike = inner == (values[:-1, 1:] if height > 1 else values[:, 1:])
        if height > 1:
            alike &= inner == values[1:, :-1]
        self._add_borders(values)
        self._add_borders(values.T)
        _count(self.compared, inner)
        _count(self.flat, inner[alike])
        for line, at_edge in (
            (values[0], y == 0),
            (values[-1], y + height == down),
            (values[:, 0], x == 0),
            (values[:, -1], x + width == across),
        ):
            if at_edge:
                _count(self.edge, line)
        if len(self.pixels) > MAX_VALUES:
            raise TooManyValues(len(self.pixels))

    def _add_borders(self, values: NDArray[Any]) -> None:
        if values.dtype == np.bool_:
            return
        changes = values[:, 1:] != values[:, :-1]
        self.borders += int(np.count_nonzero(changes))
        rows, columns = np.nonzero(changes[:, 1:] & changes[:, :-1])
        before, here, after = (values[rows, columns + step] for step in range(3))
        _count(self.between, here[(before < here) == (here < after)])

    def fill_up(self, size: tuple[int, int]) -> None:
        """Count what was not added of an image of `size` (width, height), because no file stores it: it is 0."""
        width, height = size
        blank = width * height - sum(self.pixels.values())
        blank_edge = 2 * (width + height) - sum(self.edge.values())
        for counts, more in ((self.pixels, blank), (self.compared, blank), (self.flat, blank), (self.edge, blank_edge)):
            if more:
                counts[0] = counts.get(0, 0) + more

    def seen_through(self, table: Mapping[int, int]) -> LabelCensus:
        """Count the same pixels under other values."""
        census = LabelCensus(coloured=self.coloured, borders=self.borders)
        for mine, theirs in (
            (self.pixels, census.pixels),
            (self.compared, census.compared),
            (self.flat, census.flat),
            (self.edge, census.edge),
            (self.between, census.between),
        ):
            for value, count in mine.items():
                theirs[table[value]] = theirs.get(table[value], 0) + count
        return census

    def share(self, marked: Iterable[int]) -> float:
        """Give the part of all pixels that has one of some values."""
        return sum(self.pixels.get(value, 0) for value in marked) / max(1, sum(self.pixels.values()))

    def edge_share(self, marked: Iterable[int]) -> float:
        """Give the part of the pixels at the image's edge that has one of some values."""
        return sum(self.edge.get(value, 0) for value in marked) / max(1, sum(self.edge.values()))

    def is_soft(self) -> bool:
        """Tell whether values run in steps rather than in flat regions: most of them, or many of the pixels.

        The soft edge of a large object has few pixels and many values; the slivers that a tile's edge leaves of
        numbered objects are few of both.
        """
        marked = [value for value in self.pixels if value]
        rough = [value for value in marked if self._is_rough(value)]
        share = sum(self.pixels[value] for value in rough) / max(1, sum(self.pixels[value] for value in marked))
        return len(rough) >= _STEPS and (len(rough) > len(marked) - len(rough) or share > _ROUGH)

    def is_interpolated(self) -> bool:
        """Tell whether the borders of numbers have numbers between them, as resizing with smoothing leaves them.

        A class that is a thin line everywhere, as a border between objects, is none.
        """
        total = sum(self.between.values())
        if total < _FEW_BETWEEN or total <= _BETWEEN * self.borders:
            return False
        lines = sum(count for value, count in self.between.items() if self._is_rough(value))
        return lines < total / 2 or len(self.between) >= _STEPS

    def _is_rough(self, value: int) -> bool:
        return self.flat.get(value, 0) < _FLAT * self.compared.get(value, 0)


def _count(into: dict[int, int], values: NDArray[Any]) -> None:
    if values.dtype == np.bool_ or values.dtype == np.uint8:
        counts = np.bincount(values.ravel().view(np.uint8), minlength=2)
        there = np.flatnonzero(counts)
        amounts = counts[there]
    else:
        there, amounts = np.unique(values, return_counts=True)
    for value, amount in zip(there.tolist(), amounts.tolist(), strict=True):
        into[value] = into.get(value, 0) + amount
