"""The frame in which a network reads it, and the tiles that cover what is to be read.

The unit of planning is the block: 16 x 16 reading pixels, the stride of the network's deepest level. Tiles
start and end on block borders, so the network's pooling falls on the same pixels whatever the tile size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import SlideError
from glomseg.geometry import Box

BLOCK = 16
LONGEST_MM = 160.0
"""Longer than any object slide, two inches by three among them; a photograph of 72 dpi is soon longer."""
LARGEST_PX = 40_000_000_000
"""A slide of 50 x 50 mm read at 0.25 um."""


@dataclass(frozen=True, slots=True)
class ReadingFrame:
    """The pixel grid in which a slide is read: square pixels of `mpp` um, origin at the slide's top-left corner.

    `downsample_x` and `downsample_y` are level-0 pixels per reading pixel; `width` and `height` count reading
    pixels and cover the whole slide.
    """

    mpp: float
    downsample_x: float
    downsample_y: float
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int, mpp_x: float, mpp_y: float, mpp: float) -> ReadingFrame:
        """Lay the frame of `mpp` um over a slide of `width` x `height` level-0 pixels.

        Raises SlideError where that is larger than any slide: its pixel size is not what it is said to be.
        """
        long_mm = max(width * mpp_x, height * mpp_y) / 1000
        if long_mm > LONGEST_MM:
            raise SlideError(
                f"{width} x {height} px of {mpp_x:.4g} x {mpp_y:.4g} um would be {long_mm:.0f} mm long, longer than "
                f"any slide ({LONGEST_MM:g}); give `mpp`, the um per pixel that it was scanned at"
            )
        downsample_x, downsample_y = mpp / mpp_x, mpp / mpp_y
        columns, rows = math.ceil(width / downsample_x - 1e-6), math.ceil(height / downsample_y - 1e-6)
        if columns * rows > LARGEST_PX:
            raise SlideError(
                f"{width} x {height} px of {mpp_x:.4g} x {mpp_y:.4g} um, read at {mpp:.4g} um, would be {columns:,} x "
                f"{rows:,} px, more than fits anywhere; give `mpp`, or a model that reads coarser"
            )
        return cls(mpp, downsample_x, downsample_y, max(1, columns), max(1, rows))

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows and columns of blocks that cover the frame."""
        return math.ceil(self.height / BLOCK), math.ceil(self.width / BLOCK)

    def box(self, x: int, y: int, width: int, height: int) -> Box:
        """Give the level-0 box of a rectangle of reading pixels."""
        return Box(
            x * self.downsample_x,
            y * self.downsample_y,
            width * self.downsample_x,
            height * self.downsample_y,
        )


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of reading pixels that one network pass owns, and the halo around it that it only looks at."""

    x: int
    y: int
    width: int
    height: int
    halo: int

    def read_box(self, frame: ReadingFrame) -> Box:
        """Give the level-0 box to read: the tile with its halo."""
        halo = self.halo
        return frame.box(self.x - halo, self.y - halo, self.width + 2 * halo, self.height + 2 * halo)

    def core(self, read: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the owned part out of an array (..., H, W) that covers the tile with its halo."""
        halo = self.halo
        return read[..., halo : halo + self.height, halo : halo + self.width]


def plan_tiles(wanted: NDArray[np.bool_], *, tile_px: int, halo_px: int, stride: int = BLOCK) -> list[Tile]:
    """Cover the `wanted` blocks (rows, columns) with disjoint tiles of at most `tile_px` reading pixels a side.

    Tiles start and end on multiples of a network's `stride`, where that is larger than a block: a tile may then reach
    over the last block. Each cell of the grid shrinks to what is wanted in it, and is cut in two wherever that leaves
    the network fewer pixels, halos included. Tiles of one shape stand together, so that they can share a batch.
    """
    step = math.lcm(BLOCK, stride)
    wanted = _coarser(wanted, step // BLOCK)
    side = max(1, tile_px // step)
    halo = math.ceil(halo_px / step)
    tiles = [
        Tile(left * step, top * step, columns * step, rows * step, halo * step)
        for row in range(0, wanted.shape[0], side)
        for column in range(0, wanted.shape[1], side)
        for top, left, rows, columns in _cover(wanted[row : row + side, column : column + side], row, column, halo)
    ]
    return sorted(tiles, key=lambda tile: (-tile.height, -tile.width, tile.y, tile.x))


def _coarser(wanted: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Reduce (rows, columns) by a factor: what any of factor x factor blocks wants is wanted."""
    if factor == 1:
        return wanted
    rows, columns = (math.ceil(size / factor) for size in wanted.shape)
    padded = np.pad(wanted, ((0, rows * factor - wanted.shape[0]), (0, columns * factor - wanted.shape[1])))
    return np.asarray(padded.reshape(rows, factor, columns, factor).any(axis=(1, 3)))


def _cover(cell: NDArray[np.bool_], top: int, left: int, halo: int) -> list[tuple[int, int, int, int]]:
    """Split a cell into rectangles (top, left, rows, columns), in blocks of the whole frame."""
    extent = _extent(cell)
    if extent is None:
        return []
    rows, columns = extent
    cell, top, left = cell[rows, columns], top + rows.start, left + columns.start
    if cell.all():
        return [(top, left, *cell.shape)]
    cost, axis, at = min(_cuts(cell, halo))
    if cost >= (cell.shape[0] + 2 * halo) * (cell.shape[1] + 2 * halo):
        return [(top, left, *cell.shape)]
    if axis == 0:
        return _cover(cell[:at], top, left, halo) + _cover(cell[at:], top + at, left, halo)
    return _cover(cell[:, :at], top, left, halo) + _cover(cell[:, at:], top, left + at, halo)


def _cuts(cell: NDArray[np.bool_], halo: int) -> list[tuple[int, int, int]]:
    """List (blocks read after the cut, axis, position) of every straight cut through the cell."""
    return [
        (_cost(turned[:at], halo) + _cost(turned[at:], halo), axis, at)
        for axis, turned in enumerate((cell, cell.T))
        for at in range(1, len(turned))
    ]


def _cost(part: NDArray[np.bool_], halo: int) -> int:
    extent = _extent(part)
    if extent is None:
        return 0
    rows, columns = extent
    return int((rows.stop - rows.start + 2 * halo) * (columns.stop - columns.start + 2 * halo))


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Bound what is set in a mask: its rows and columns, or None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
