"""The probabilities of a whole slide, kept on disk so that memory does not grow with the slide."""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from glomseg.errors import RunError
from glomseg.files import replacing
from glomseg.geometry import Bytes
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile

TILE_PX = 256
PREFIX = ".probability-"
_OURS = re.compile(rf"{re.escape(PREFIX)}\w{{8}}|\..+\.\w{{8}}\.tif")
"""What this module calls its files while they are not whole: eight letters of tempfile's stand in each."""


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left in `folder`: its map, a probability half kept. None may be in use there.

    Other people's hidden files and folders stay.
    """
    for path in (*folder.glob(f"{PREFIX}*"), *(folder / "probability").glob(".*")):
        if _OURS.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


class ProbabilityMap:
    """Probabilities (classes, H, W), 0..255, of a slide in its reading frame, zero where nothing was written.

    The values lie in a sparse temporary file that goes with the map, one class after the other; `peaks` holds the
    highest value of each block (rows, columns), which is enough to know where to look. A mapping is opened for each
    reading and closed after it, so that its pages do not stay in memory; writing goes past it, because a full disk
    kills a process that writes to a mapping.

    More planes may lie behind the classes, such as places in objects; `extras` names them, see `glomseg.models.planes`.
    """

    def __init__(
        self, frame: ReadingFrame, classes: int = 1, folder: Path | None = None, extras: Sequence[str] = ()
    ) -> None:
        """Lay out an empty map for `frame`, its file in `folder` (the system's temporary folder by default).

        Raises RunError where no file can be made there.
        """
        rows, columns = frame.blocks
        self.frame = frame
        self.shape = (classes, rows * BLOCK, columns * BLOCK)
        self.extras = tuple(extras)
        self._all = (classes + len(self.extras), *self.shape[1:])
        self.peaks: Bytes = np.zeros((rows, columns), np.uint8)
        self._path = folder or Path(tempfile.gettempdir())
        try:
            handle, name = tempfile.mkstemp(prefix=PREFIX, dir=folder)
            self._path = Path(name)
            self._file = os.fdopen(handle, "r+b", buffering=0)
            self._file.truncate(math.prod(self._all))
        except OSError as error:
            if self._path.name.startswith(PREFIX):
                self._path.unlink(missing_ok=True)
            raise self._cannot_keep(error) from error

    def write(self, tile: Tile, values: Bytes) -> None:
        """Store the values (planes, H, W) from a tile's corner on; raises RunError where the disk is full."""
        top, left = tile.y // BLOCK, tile.x // BLOCK
        peaks = _peaks(values[0] if self.shape[0] == 1 else values[: self.shape[0]].max(axis=0))
        self.peaks[top : top + peaks.shape[0], left : left + peaks.shape[1]] = peaks
        if peaks.any():
            for index, plane in enumerate(values):
                self._store(index, tile.x, tile.y, plane)

    def _store(self, index: int, x: int, y: int, plane: Bytes) -> None:
        """Write the values (H, W) of one class at (x, y), all of them: a full disk may take a part of a row."""
        _, height, width = self.shape
        try:
            for row, values in enumerate(plane):
                self._file.seek((index * height + y + row) * width + x)
                left = memoryview(values.tobytes())
                while left:
                    left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise self._cannot_keep(error) from error

    def _cannot_keep(self, error: OSError) -> RunError:
        return RunError(f"cannot keep probabilities in {self._path}: {error.strerror}; free space")

    def read(self, x: int, y: int, width: int, height: int) -> Bytes:
        """Return the values (classes, height, width) of a rectangle of reading pixels; zero outside the map."""
        return self._read(slice(0, self.shape[0]), x, y, width, height)

    def read_extras(self, names: Sequence[str], x: int, y: int, width: int, height: int) -> Bytes:
        """Return the values (names, height, width) of some of the extras, as `read` does those of the classes."""
        first = self.shape[0] + self.extras.index(names[0])
        return self._read(slice(first, first + len(names)), x, y, width, height)

    def _read(self, planes: slice, x: int, y: int, width: int, height: int) -> Bytes:
        _, rows, columns = self.shape
        result = np.zeros((planes.stop - planes.start, height, width), np.uint8)
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, columns), min(y + height, rows)
        if left < right and top < bottom:
            values = np.memmap(self._path, np.uint8, "r", shape=self._all)
            result[:, top - y : bottom - y, left - x : right - x] = values[planes, top:bottom, left:right]
        return result

    def save(self, path: Path, class_names: Sequence[str] = ()) -> None:
        """Keep the values as a pyramidal 8-bit OME-TIFF of the frame's mpp, whole or not at all; raises RunError.

        Several classes, and the extras after them, are its channels, under their names.
        """
        import tifffile

        planes, rows, columns = self._all
        several = planes > 1
        levels = [
            factor for factor in (1, 2, 4, 8, 16, 32, 64) if factor == 1 or max(rows, columns) // factor >= TILE_PX
        ]
        with replacing(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as tiff:
            for factor in levels:
                height, width = rows // factor, columns // factor
                mpp = self.frame.mpp * factor
                metadata = {"axes": "CYX" if several else "YX", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
                names = {"Channel": {"Name": [*class_names, *self.extras]}} if several and class_names else {}
                tiff.write(
                    self._tiles(height, width, factor),
                    shape=(planes, height, width) if several else (height, width),
                    dtype=np.uint8,
                    photometric="minisblack",
                    tile=(TILE_PX, TILE_PX),
                    compression="deflate",
                    subifds=len(levels) - 1 if factor == 1 else 0,
                    subfiletype=int(factor > 1),
                    resolution=(1e4 / mpp, 1e4 / mpp),
                    resolutionunit="CENTIMETER",
                    metadata=metadata | names | self._identity(path.stem) if factor == 1 else None,
                )

    def _identity(self, name: str) -> dict[str, str]:
        """Return the id of the file, the same for the same values under the same name, so that the same is written."""
        content = hashlib.sha256(repr((name, self.frame, self._all)).encode() + self.peaks.tobytes())
        return {"UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, content.hexdigest()))}

    def _tiles(self, height: int, width: int, factor: int) -> Iterator[Bytes]:
        """Yield the tiles of a level that is `factor` times smaller, means of the values, class by class."""
        side = TILE_PX * factor
        for index in range(self._all[0]):
            for top in range(0, height, TILE_PX):
                for left in range(0, width, TILE_PX):
                    values = self._read(slice(index, index + 1), left * factor, top * factor, side, side)[0]
                    yield values.reshape(TILE_PX, factor, TILE_PX, factor).mean(axis=(1, 3)).round().astype(np.uint8)

    @classmethod
    def kept(
        cls,
        path: Path,
        frame: ReadingFrame,
        classes: int = 1,
        folder: Path | None = None,
        extras: Sequence[str] = (),
    ) -> ProbabilityMap:
        """Lay out what `save` kept at `path` again; raises RunError where it is of another image, scale or model."""
        import tifffile

        kept = cls(frame, classes, folder, extras)
        try:
            with tifffile.TiffFile(path) as file:
                pages = [page for page in file.series[0].levels[0].pages if page is not None]
                if (len(pages), *pages[0].shape) != kept._all:
                    raise RunError(f"{path} is of another image, scale or model; predict into a new folder")
                for index, page in enumerate(pages):
                    for values, (_, _, y, x, _), _ in page.segments():
                        if values is not None:  # a tile at the edge is whole, the rest of it empty
                            kept._lay(index, x, y, values[0, : kept.shape[1] - y, : kept.shape[2] - x, 0])
        except (OSError, tifffile.TiffFileError, ValueError, RuntimeError, IndexError) as error:
            kept.close()
            raise RunError(f"{path}: no probabilities that can be read ({error}); predict again") from error
        except BaseException:
            kept.close()
            raise
        return kept

    def _lay(self, index: int, x: int, y: int, plane: Bytes) -> None:
        peaks, top, left = _peaks(plane), y // BLOCK, x // BLOCK
        here = self.peaks[top : top + peaks.shape[0], left : left + peaks.shape[1]]
        if index < self.shape[0]:
            np.maximum(here, peaks, out=here)
        if peaks.any():
            self._store(index, x, y, plane)

    def close(self) -> None:
        """Drop the values and their file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> ProbabilityMap:
        """Return the map itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the map."""
        self.close()


def _peaks(plane: Bytes) -> Bytes:
    """Return the highest value of each block of (H, W)."""
    height, width = plane.shape
    rows = plane.reshape(height // BLOCK, BLOCK, width).max(axis=1)  # along rows of memory, which is far faster
    return np.asarray(rows.reshape(height // BLOCK, width // BLOCK, BLOCK).max(axis=2))
