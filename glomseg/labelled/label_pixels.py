"""The values of a mask file as they are stored, whole or a part at a time, and what the file says of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin

from glomseg.errors import EvaluationError
from glomseg.labelled.label_values import COLOUR, SaidOfValues
from glomseg.slides.pixel_size import Mpp
from glomseg.slides.readers import BROKEN, reason
from glomseg.slides.tiff_mpp import tiff_mpp

MAX_STRIP_PX = 500_000_000
WORKERS = 2
_LOSSY = (6, 7, 33007)  # JPEG in TIFF
_CCITT = (2, 3, 4)
_BLOCK_ROWS = 64
_PLUGINS: dict[bytes, Callable[[Path], Image.Image]] = {
    b"\x89PNG": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}
_SCALED = {"L;2": 85, "L;4": 17}  # Pillow spreads grey levels of few bits over 0 to 255


@dataclass(frozen=True, slots=True)
class LabelBlock:
    """A part of a mask: stored `values` (H, W), its corner, and whether its channels differed a little (JPEG)."""

    values: NDArray[Any]
    x: int
    y: int
    coloured: bool = False


class LabelPixels(Protocol):
    """An open mask file; `size` is (width, height)."""

    size: tuple[int, int]
    mpp: Mpp
    said: SaidOfValues

    def blocks(self) -> Iterator[LabelBlock]:
        """Give the parts of the file; those that it does not store are left out, and are 0."""

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        """Give the stored values of a part (H, W), 0 off the image."""

    def close(self) -> None:
        """Close the file."""


@contextmanager
def open_label(path: Path) -> Iterator[LabelPixels]:
    """Open a mask file for a while; raises EvaluationError where it cannot be read, then or while it is read."""
    try:
        pixels = label_pixels(path)
        try:
            yield pixels
        finally:
            pixels.close()
    except BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> EvaluationError:
    return EvaluationError(f"{path} cannot be read as a mask ({reason(error)}); export it again")


def label_pixels(path: Path) -> LabelPixels:
    """Open a mask by what its first bytes say; raises EvaluationError, or what its reader does where it is damaged."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic[:2] not in (b"II", b"MM"):
        return _plain(path, magic)
    tiff = tifffile.TiffFile(path)
    try:
        page = tiff.pages.first
        _check_planes(path, tiff, page)
        if page.compression in _CCITT:
            return _fax(path, tiff, page)
        return _TiffLabel(path, tiff, page)
    except BaseException:
        tiff.close()
        raise


def one_channel(values: NDArray[Any], path: Path, *, exact: bool = False) -> NDArray[Any]:
    """Take the first channel of (H, W, C); raises EvaluationError where it is not like the others."""
    return _grey(values, path, alpha=False, exact=exact)[0]


def _grey(values: NDArray[Any], path: Path, *, alpha: bool, exact: bool) -> tuple[NDArray[Any], bool]:
    """Take the one channel of (H, W, C), the last of which may be `alpha`; tell whether the channels differed."""
    colour = values[..., :-1] if alpha else values
    first = colour[..., 0]
    apart = 0
    for channel in range(1, colour.shape[2]):
        other = colour[..., channel]
        apart = max(apart, int(np.where(first > other, first - other, other - first).max(initial=0)))
    if apart and (colour.shape[2] == 2 or apart > COLOUR):
        raise EvaluationError(f"{path} is a colour picture and no mask; export labels in grey, 0 for background")
    if alpha:
        _check_alpha(first, values[..., -1], path)
    return first, bool(apart) and not exact


def _check_alpha(grey: NDArray[Any], opacity: NDArray[Any], path: Path) -> None:
    """Raise EvaluationError where transparency says something else than the grey beneath it."""
    full = 1 if opacity.dtype == np.bool_ else np.iinfo(opacity.dtype).max
    hidden = opacity != full
    if not hidden.any() or (not grey[hidden].any() and grey.any()):
        return
    raise EvaluationError(
        f"{path} is transparent in part, where it is not black: is the mask the colour or the transparency? write it "
        "in grey, 0 for background and 255 for glomerulus, without an alpha channel"
    )


class _WholeLabel:
    """A mask that was decoded at once."""

    def __init__(self, values: NDArray[Any], mpp: Mpp, said: SaidOfValues, coloured: bool) -> None:
        self._values, self._coloured = values, coloured
        self.size = (int(values.shape[1]), int(values.shape[0]))
        self.mpp = mpp
        self.said = said

    def blocks(self) -> Iterator[LabelBlock]:
        yield LabelBlock(self._values, 0, 0, self._coloured)

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        stored = np.zeros((height, width), self._values.dtype)
        _paste(stored, self._values, x, y, 0, 0)
        return stored

    def close(self) -> None:
        self._values = np.zeros((0, 0), self._values.dtype)


def _plain(path: Path, magic: bytes) -> _WholeLabel:
    opener = next((opener for start, opener in _PLUGINS.items() if magic.startswith(start)), None)
    if opener is None:
        raise EvaluationError(f"{path} cannot be read as a mask (only PNG, JPEG, BMP and TIFF); export it again")
    with opener(path) as image:  # Pillow's limit on sizes is on Image.open; ours follows
        if image.width * image.height > MAX_STRIP_PX:
            raise EvaluationError(
                f"{path} is {image.width} x {image.height} px in one piece; write it in tiles: "
                "vips tiffsave IN OUT.tif --tile"
            )
        if getattr(image, "n_frames", 1) > 1:
            raise EvaluationError(
                f"{path} holds {getattr(image, 'n_frames', 1)} pictures; export the one that is meant"
            )
        scale = _SCALED.get(_raw_mode(image), 1)
        palette = _palette(image)
        lossy = image.format == "JPEG"
        mode = image.mode
        values = np.asarray(image.convert("RGB") if mode in ("CMYK", "YCbCr", "LAB", "HSV") else image)
    if mode == "1":
        values = values.view(np.uint8) > 0  # Pillow hands out 255 for yes
    elif mode.startswith("I;16"):
        values = values.astype(np.uint16)
    coloured = False
    if values.ndim == 3:
        values, coloured = _grey(values, path, alpha=values.shape[2] in (2, 4), exact=lossy)
    if scale > 1:
        values = values // np.uint8(scale)
    return _WholeLabel(values, None, SaidOfValues(dtype=values.dtype, lossy=lossy, palette=palette), coloured)


def _raw_mode(image: Image.Image) -> str:
    tile = getattr(image, "tile", None)
    said = tile[0][3] if tile else ""
    return str(said[0] if isinstance(said, tuple) and said else said)


def _palette(image: Image.Image) -> tuple[tuple[int, int, int], ...] | None:
    if image.mode != "P":
        return None
    flat = image.getpalette("RGB") or []
    return tuple((flat[at], flat[at + 1], flat[at + 2]) for at in range(0, len(flat) - 2, 3))


def _check_planes(path: Path, tiff: tifffile.TiffFile, page: Any) -> None:
    """Raise EvaluationError for a TIFF of other values than whole numbers, or of several planes."""
    if page.dtype is None or page.dtype.kind not in "uib":
        raise EvaluationError(f"{path} has values of type {page.dtype}; a mask holds whole numbers: convert it")
    size = page.imagewidth, page.imagelength
    alike = sum((other.imagewidth, other.imagelength) == size for other in map(_page, tiff.pages))
    planes = max(alike, page.imagedepth)
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        planes = max(planes, *(int(said.get(name, 1)) for name in ("images", "channels", "slices", "frames")))
    if planes > 1:
        raise EvaluationError(
            f"{path} holds {planes} planes or channels of one size; export the one that shows the glomeruli"
        )


def _page(page: Any) -> Any:
    return page.aspage() if hasattr(page, "aspage") else page


def _fax(path: Path, tiff: tifffile.TiffFile, page: Any) -> _WholeLabel:
    """Decode a CCITT-coded page through Pillow, which turns min-is-white around itself."""
    mpp = tiff_mpp(tiff, page).mpp
    tiff.close()
    with Image.open(path, formats=("TIFF",)) as image:
        values = np.asarray(image).view(np.uint8) > 0
    if page.photometric == 0:
        values = ~values
    said = SaidOfValues(dtype=values.dtype, min_is_white=page.photometric == 0)
    return _WholeLabel(values, mpp, said, False)


class _TiffLabel:
    """The first page of a TIFF, decoded tile by tile or some strips at a time."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile, page: Any) -> None:
        self._path, self._tiff, self._page = path, tiff, page
        self.size = (int(page.imagewidth), int(page.imagelength))
        width, height = self.size
        self._across = -(-width // page.tilewidth) if page.is_tiled else 1
        self._block = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
        self._down = -(-height // self._block[0])
        if min(self._block[0] * self._block[1], width * height) > MAX_STRIP_PX:
            raise EvaluationError(
                f"{path} is {width} x {height} px in one piece; write it in tiles: vips tiffsave IN OUT.tif --tile"
            )
        self.mpp = tiff_mpp(tiff, page).mpp
        self.said = SaidOfValues(
            dtype=page.dtype,
            lossy=page.compression in _LOSSY,
            min_is_white=page.photometric == 0,
            palette=self._colours(),
        )
        options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._options = {name: value for name, value in options.items() if value is not None}
        self._segment = _segment_reader(page)
        self._extra = tuple(page.extrasamples or ())

    def _colours(self) -> tuple[tuple[int, int, int], ...] | None:
        if self._page.photometric != 3:
            return None
        table = np.asarray(self._page.colormap) // 257
        return tuple((int(red), int(green), int(blue)) for red, green, blue in table.T)

    def blocks(self) -> Iterator[LabelBlock]:
        rows = max(1, _BLOCK_ROWS // self._block[0]) if self._across == 1 else 1
        starts = [(row, column) for row in range(0, self._down, rows) for column in range(self._across)]
        with ThreadPoolExecutor(WORKERS) as pool:
            for first in range(0, len(starts), 64):
                stored = pool.map(lambda at: self._joined(at[0], at[1], rows), starts[first : first + 64])
                yield from (block for block in stored if block is not None)

    def _joined(self, row: int, column: int, rows: int) -> LabelBlock | None:
        """Decode some strips, one below the other, or a tile; None where nothing of them is stored."""
        parts = [self._decoded(at, column) for at in range(row, min(row + rows, self._down))]
        if all(part is None for part in parts):
            return None
        height, width = self._block
        y, x = row * height, column * width
        bottom, right = min(y + rows * height, self.size[1]), min(x + width, self.size[0])
        values = np.zeros((bottom - y, right - x), self._page.dtype)
        for index, part in enumerate(parts):
            if part is not None:
                _paste(values, part[0], 0, 0, 0, index * height)
        return LabelBlock(values, x, y, any(part is not None and part[1] for part in parts))

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        stored = np.zeros((height, width), self._page.dtype)
        down, across = self._block
        for row in range(max(0, y // down), min(self._down, -(-(y + height) // down))):
            for column in range(max(0, x // across), min(self._across, -(-(x + width) // across))):
                part = self._decoded(row, column)
                if part is not None:
                    _paste(stored, part[0], x, y, column * across, row * down)
        return stored

    def _decoded(self, row: int, column: int) -> tuple[NDArray[Any], bool] | None:
        """Decode one tile or strip, cut at the image's edge; None for one that is not stored."""
        page, index = self._page, row * self._across + column
        step = self._across * self._down
        samples = range(page.samplesperpixel if page.planarconfig != 1 else 1)
        planes = [self._plane(index + step * sample) for sample in samples]
        if any(plane is None for plane in planes):
            return None
        values = np.concatenate([plane for plane in planes if plane is not None], axis=2)
        height, width = self._block
        values = values[: self.size[1] - row * height, : self.size[0] - column * width]
        if values.shape[2] == 1:
            return values[..., 0], False
        alpha = self._extra[:1] in ((1,), (2,)) and values.shape[2] in (2, 4)
        return _grey(values, self._path, alpha=alpha, exact=self.said.lossy)

    def _plane(self, index: int) -> NDArray[Any] | None:
        data = self._segment(index)
        segment = None if data is None else self._page.decode(data, index, **self._options)[0]
        return None if segment is None else segment[0]

    def close(self) -> None:
        self._tiff.close()


def _paste(into: NDArray[Any], values: NDArray[Any], x: int, y: int, left: int, top: int) -> None:
    """Copy what `values`, whose corner lies at (left, top), shares with `into`, whose corner lies at (x, y)."""
    x0, y0 = max(x, left), max(y, top)
    x1, y1 = min(x + into.shape[1], left + values.shape[1]), min(y + into.shape[0], top + values.shape[0])
    if x0 < x1 and y0 < y1:
        into[y0 - y : y1 - y, x0 - x : x1 - x] = values[y0 - top : y1 - top, x0 - left : x1 - left]


def _segment_reader(page: Any) -> Callable[[int], bytes | None]:
    """Return a function that reads the bytes of a tile or strip, safe in threads; None for one that is not stored."""
    handle, lock = page.parent.filehandle, threading.Lock()

    def read(index: int) -> bytes | None:
        offset, size = page.dataoffsets[index], page.databytecounts[index]
        if not size:
            return None
        if hasattr(os, "pread"):
            data = os.pread(handle.fileno(), size, offset)
        else:
            with lock:
                handle.seek(offset)
                data = handle.read(size)
        if len(data) < size:
            raise EOFError("unexpected end of file")
        return data

    return read
