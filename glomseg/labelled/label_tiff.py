"""Masks in TIFF files: the first page, decoded tile by tile or some strips at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from glomseg.errors import LabelError
from glomseg.labelled.label_block import LabelBlock, LabelPixels, WholeLabel, grey_of, paste
from glomseg.labelled.label_values import SaidOfValues
from glomseg.slides import jpeg
from glomseg.slides.readers import ORIENTATION, turned
from glomseg.slides.tiff_mpp import tiff_mpp
from glomseg.slides.tiff_pages import check_extent, has_shape_of
from glomseg.slides.tiff_segments import as_rgb

MAX_STRIP_PX = 500_000_000
WORKERS = 2
_LOSSY = (6, 7, 33007)  # JPEG in TIFF
_CCITT = (2, 3, 4)
_BLOCK_ROWS = 64
_MOST = 2**31 - 1
_AS_NUMBERS = "tifffile.imwrite('mask.tif', labels.astype('uint16'))"


def tiff_label(path: Path) -> LabelPixels:
    """Open a mask in a TIFF; raises LabelError, or what tifffile does where it is damaged."""
    tiff = tifffile.TiffFile(path)
    try:
        page = tiff.pages.first
        _check_planes(path, tiff, page)
        check_extent(page)
        if page.compression in _CCITT:
            return _fax(path, tiff, page)
        return _TiffLabel(path, tiff, page)
    except BaseException:
        tiff.close()
        raise


def _check_planes(path: Path, tiff: tifffile.TiffFile, page: Any) -> None:
    """Raise LabelError for a TIFF of other values than numbers, or of several planes."""
    if page.dtype is None or page.dtype.kind not in "uibf":
        raise LabelError(f"{path} has values of type {page.dtype}; a mask holds whole numbers: {_AS_NUMBERS}")
    size = page.imagewidth, page.imagelength
    sizes = [(other.imagewidth, other.imagelength) for other in map(_page, tiff.pages)]
    alike = sizes.count(size)
    if odd := next((other for other in sizes if not _is_level(size, other)), None):
        raise LabelError(
            f"{path} begins with a page of {size[0]} x {size[1]} px and holds another of {odd[0]} x {odd[1]} px, which "
            "is no smaller version of it; export the one that is meant"
        )
    planes = max(alike, page.imagedepth)
    if tiff.is_imagej:
        said = tiff.imagej_metadata or {}
        planes = max(planes, *(int(said.get(name, 1)) for name in ("images", "channels", "slices", "frames")))
    if planes > 1:
        raise LabelError(
            f"{path} holds {planes} planes or channels of one size; export the one that shows the glomeruli"
        )


def _is_level(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Tell whether a page has the shape of the first, and is not larger."""
    return size[0] >= other[0] and size[1] >= other[1] and has_shape_of(size, other)


def _page(page: Any) -> Any:
    return page.aspage() if hasattr(page, "aspage") else page


def _fax(path: Path, tiff: tifffile.TiffFile, page: Any) -> WholeLabel:
    """Decode a CCITT-coded page through Pillow, which turns min-is-white around itself."""
    mpp = tiff_mpp(tiff, page).mpp
    tiff.close()
    with Image.open(path, formats=("TIFF",)) as image:
        values = np.asarray(image).view(np.uint8) > 0
    if page.photometric == 0:
        values = ~values
    said = SaidOfValues(dtype=values.dtype, min_is_white=page.photometric == 0)
    return WholeLabel(values, mpp, said, False)


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
            raise LabelError(
                f"{path} is {width} x {height} px in one piece; write it in tiles: vips tiffsave IN OUT.tif --tile"
            )
        self.mpp = tiff_mpp(tiff, page).mpp
        self._dtype = np.dtype(np.int32) if page.dtype.kind == "f" else page.dtype
        self.said = SaidOfValues(
            dtype=self._dtype,
            lossy=page.compression in _LOSSY,
            min_is_white=page.photometric == 0,
            palette=self._colours(),
            turned=bool(turned(page.tags.valueof(ORIENTATION))),
        )
        options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._options = {name: value for name, value in options.items() if value is not None}
        self._segment = _segment_reader(page)
        self._extra = tuple(page.extrasamples or ())

    def _colours(self) -> tuple[tuple[int, int, int], ...] | None:
        if self._page.photometric != 3:
            return None
        table = np.asarray(self._page.colormap)
        if table.max(initial=0) > 255:  # of 16 bits, where 255 is 65535 or 65280; some writers leave it at 8 bits
            table = table >> 8
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
        values = np.zeros((bottom - y, right - x), self._dtype)
        for index, part in enumerate(parts):
            if part is not None:
                paste(values, part[0], 0, 0, 0, index * height)
        return LabelBlock(values, x, y, any(part is not None and part[1] for part in parts))

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        stored = np.zeros((height, width), self._dtype)
        down, across = self._block
        for row in range(max(0, y // down), min(self._down, -(-(y + height) // down))):
            for column in range(max(0, x // across), min(self._across, -(-(x + width) // across))):
                part = self._decoded(row, column)
                if part is not None:
                    paste(stored, part[0], x, y, column * across, row * down)
        return stored

    def _decoded(self, row: int, column: int) -> tuple[NDArray[Any], bool] | None:
        """Decode one tile or strip, cut at the image's edge; None for one that is not stored."""
        page, index = self._page, row * self._across + column
        step = self._across * self._down
        samples = range(page.samplesperpixel if page.planarconfig != 1 else 1)
        planes = [self._plane(index + step * sample) for sample in samples]
        if any(plane is None for plane in planes):
            return None
        values = as_rgb(np.concatenate([plane for plane in planes if plane is not None], axis=2), page)
        height, width = self._block
        values = values[: self.size[1] - row * height, : self.size[0] - column * width]
        if values.dtype.kind == "f":
            values = _whole_numbers(values, self._path)
        if values.shape[2] == 1:
            return values[..., 0], False
        alpha = self._extra[:1] in ((1,), (2,)) and values.shape[2] in (2, 4)
        return grey_of(values, self._path, alpha=alpha, exact=self.said.lossy)

    def _plane(self, index: int) -> NDArray[Any] | None:
        data = self._segment(index)
        if data is None:
            return None
        self._check(data)
        segment = self._page.decode(data, index, **self._options)[0]
        return None if segment is None else segment[0]

    def _check(self, data: bytes) -> None:
        """Raise ValueError for damage of which the decoder makes pixels."""
        page = self._page
        if page.compression in jpeg.BLIND_TO_HOLES:
            jpeg.check_holes(data, page.compression)
        if page.compression in _LOSSY and page.samplesperpixel in (1, 3) and page.jpegheader is None:
            whole = jpeg.joined(data, page.jpegtables, stored_as_rgb=page.photometric == 2 and page.planarconfig == 1)
            if whole is not None:
                jpeg.decode(whole, grey=page.samplesperpixel == 1 or page.planarconfig != 1)

    def close(self) -> None:
        self._tiff.close()


def _whole_numbers(values: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """Turn numbers with a decimal point that are whole into such; raises LabelError for what is between them."""
    exact = values.astype(np.float64)
    whole = np.isfinite(exact) & (np.abs(exact) <= _MOST)
    whole &= np.where(whole, exact, 0) == np.floor(np.where(whole, exact, 0))
    if not whole.all():
        odd = values[~whole].flat[0]
        raise LabelError(
            f"{path} has values such as {odd:.3g}, as probabilities have; a mask holds whole numbers: choose where "
            "a glomerulus begins, tifffile.imwrite('mask.tif', (values >= 0.5).astype('uint8'))"
        )
    return values.astype(np.int32)


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
