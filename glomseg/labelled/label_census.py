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
_PART_BETWEEN = 0.2  # of one number's borders that has another number, one pixel wide, before it
_PART_LINED = 0.4  # of the borders of all numbers, which have such a line
_LINE_PX = 4  # the width of what is a line around a number
_ENOUGH = 20  # places of a number's border that tell
_ALL_AROUND = 0.6  # of its borders that have a line before them


class TooManyValues(Exception):
    """More values than a mask has."""


@dataclass
class LabelCensus:
    """How often each stored value occurs in the parts of a mask that were added, and how it lies there.

    `between` counts pixels that lie alone on a border with a smaller value on one side and a larger on the other, and
    `borders` all places where the value changes. `upper` counts those places by the larger value, `before` and `lined`
    those of them where another value lies between, one pixel or a few pixels wide.
    """

    pixels: dict[int, int] = field(default_factory=dict)
    compared: dict[int, int] = field(default_factory=dict)
    flat: dict[int, int] = field(default_factory=dict)
    edge: dict[int, int] = field(default_factory=dict)
    between: dict[int, int] = field(default_factory=dict)
    upper: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)
    lined: dict[int, int] = field(default_factory=dict)
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
        rows, columns = np.nonzero(values[:, 1:] != values[:, :-1])
        self.borders += len(rows)
        _count(self.upper, np.maximum(values[rows, columns], values[rows, columns + 1]))
        width = np.where(rows[1:] == rows[:-1], np.diff(columns), _LINE_PX + 1)
        narrow = np.flatnonzero(width <= _LINE_PX)
        rows, first, last = rows[narrow], columns[narrow], columns[narrow + 1]
        low, here, high = values[rows, first], values[rows, last], values[rows, last + 1]
        inside = (low < here) == (here < high)
        alone = inside & (width[narrow] == 1)
        top = np.maximum(low, high)
        _count(self.between, here[alone])
        _count(self.before, top[alone])
        _count(self.lined, top[inside])

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

        Looked at as a whole, and for each number but the smallest: numbers that have a line of another number all
        around them are no objects beside others, whoever drew that line.
        """
        total = sum(self.between.values())
        if total >= _FEW_BETWEEN and total > _BETWEEN * self.borders:
            return True
        smallest = min((value for value in self.pixels if value > 0), default=0)
        others = {value: many for value, many in self.upper.items() if value > smallest}
        lined = sum(
            many
            for value, many in others.items()
            if self.before.get(value, 0) > _PART_BETWEEN * max(many, _ENOUGH)
            or self.lined.get(value, 0) > _ALL_AROUND * max(many, _ENOUGH)
        )
        return lined > _PART_LINED * sum(others.values())

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
