"""The probability of a whole slide, kept on disk so that memory does not grow with the slide."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import RunError
from glomseg.files import replacing
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile

TILE_PX = 256
PREFIX = ".probability-"


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left in `folder`: its canvas, a probability half kept. None may be in use there."""
    for path in (*folder.glob(f"{PREFIX}*"), *(folder / "probability").glob(".*")):
        path.unlink(missing_ok=True)


class Canvas:
    """Probabilities (0..255) of a slide in its reading frame, zero where nothing was written.

    The values lie in a sparse temporary file that goes with the canvas; `peaks` holds the highest value of each
    block (rows, columns), which is enough to know where to look. A mapping is opened for each reading and closed
    after it, so that its pages do not stay in memory; writing goes past it, because a full disk kills a process
    that writes to a mapping.
    """

    def __init__(self, frame: ReadingFrame, folder: Path | None = None) -> None:
        """Lay out an empty canvas for `frame`, its file in `folder` (the system's temporary folder by default)."""
        rows, columns = frame.blocks
        self.frame = frame
        self.shape = (rows * BLOCK, columns * BLOCK)
        self.peaks: NDArray[np.uint8] = np.zeros((rows, columns), np.uint8)
        handle, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
        self._path = Path(name)
        self._file = os.fdopen(handle, "r+b", buffering=0)
        self._file.truncate(self.shape[0] * self.shape[1])

    def write(self, tile: Tile, values: NDArray[np.uint8]) -> None:
        """Store the values (H, W) that a tile owns; raises RunError where the disk is full."""
        rows, columns = slice(tile.y, tile.y + tile.height), slice(tile.x, tile.x + tile.width)
        peaks = values.reshape(tile.height // BLOCK, BLOCK, tile.width // BLOCK, BLOCK).max(axis=(1, 3))
        self.peaks[tile.y // BLOCK : rows.stop // BLOCK, tile.x // BLOCK : columns.stop // BLOCK] = peaks
        if not peaks.any():
            return
        try:
            for index in range(tile.height):
                self._file.seek((tile.y + index) * self.shape[1] + tile.x)
                self._file.write(values[index].tobytes())
        except OSError as error:
            raise RunError(f"cannot keep probabilities in {self._path}: {error.strerror}; free space") from error

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return the values (height, width) of a rectangle of reading pixels; zero outside the canvas."""
        result = np.zeros((height, width), np.uint8)
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, self.shape[1]), min(y + height, self.shape[0])
        if left < right and top < bottom:
            values = np.memmap(self._path, np.uint8, "r", shape=self.shape)
            result[top - y : bottom - y, left - x : right - x] = values[top:bottom, left:right]
        return result

    def save(self, path: Path) -> None:
        """Keep the values as a pyramidal 8-bit OME-TIFF of the frame's mpp, whole or not at all; raises RunError."""
        import tifffile

        rows, columns = self.shape
        levels = [
            factor for factor in (1, 2, 4, 8, 16, 32, 64) if factor == 1 or max(rows, columns) // factor >= TILE_PX
        ]
        with replacing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as tiff:
            for factor in levels:
                height, width = rows // factor, columns // factor
                mpp = self.frame.mpp * factor
                tiff.write(
                    self._tiles(height, width, factor),
                    shape=(height, width),
                    dtype=np.uint8,
                    tile=(TILE_PX, TILE_PX),
                    compression="deflate",
                    subifds=len(levels) - 1 if factor == 1 else 0,
                    subfiletype=int(factor > 1),
                    resolution=(1e4 / mpp, 1e4 / mpp),
                    resolutionunit="CENTIMETER",
                    metadata={"axes": "YX", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp} if factor == 1 else None,
                )

    def _tiles(self, height: int, width: int, factor: int) -> Iterator[NDArray[np.uint8]]:
        """Yield the tiles of a level that is `factor` times smaller, means of the values, row by row."""
        side = TILE_PX * factor
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                values = self.read(left * factor, top * factor, side, side)
                yield values.reshape(TILE_PX, factor, TILE_PX, factor).mean(axis=(1, 3)).round().astype(np.uint8)

    def close(self) -> None:
        """Drop the values and their file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Canvas:
        """Return the canvas itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the canvas."""
        self.close()
