"""The tiles and strips of a page of a TIFF, decoded one by one or at once; damage is an error."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from glomseg.slides import jpeg
from glomseg.slides.readers import Pixels, colours, on_white

_JPEG = (7, 33007)
_ICC = 34675  # the tag of the profile
_POSITION = threading.Lock()  # of a file, where it is read without pread; one for all files does
_UNCONVERTED = (1, 5, 8, 32773, 32946, 50000)  # codecs that leave YCbCr as it is stored


class Segments:
    """The tiles or strips of one page, decoded from many threads; damage that a decoder can see is an error."""

    def __init__(self, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
        """Look up what decoding needs."""
        self._handle = tiff.filehandle
        self._page = page
        self._decode = page.decode
        self._tables, self._header = page.jpegtables, page.jpegheader
        if not isinstance(self._tables, bytes | None):
            raise ValueError("its tables for JPEG are none")
        self._offsets, self._counts = page.dataoffsets, page.databytecounts
        self._is_jpeg = page.compression in _JPEG and page.samplesperpixel in (1, 3) and self._header is None
        self._stored_as_rgb = page.photometric == 2 and page.planarconfig == 1 and not page.is_jfif
        self._is_grey = page.photometric == 1 or page.planarconfig != 1
        self._is_blind = page.compression in jpeg.BLIND_TO_HOLES

    def __len__(self) -> int:
        """Count them."""
        return len(self._offsets)

    def decode(self, index: int) -> Pixels | None:
        """Decode one to (h, w, samples), None where nothing is stored; raises one of BROKEN."""
        if self._counts[index] == 0:
            return None
        data = self._bytes(self._offsets[index], self._counts[index])
        if self._is_blind:
            jpeg.check_holes(data, self._page.compression)
        if self._is_jpeg:
            whole = jpeg.joined(data, self._tables, stored_as_rgb=self._stored_as_rgb)
            pixels = None if whole is None else jpeg.decode(whole, grey=self._is_grey)
            if pixels is not None and pixels.shape[:2] == (self._page.tilelength, self._page.tilewidth):
                return pixels
            if pixels is not None and self._page.is_tiled:
                self._check_covered(index, pixels.shape)
        options = {} if self._tables is None and self._header is None else self._jpeg_options()
        tile: npt.NDArray[Any] | None = self._decode(data, index, **options)[0]
        return None if tile is None else as_rgb(tile[0], self._page)

    def _check_covered(self, index: int, shape: tuple[int, ...]) -> None:
        """Raise ValueError where a tile that is smaller than said leaves a part of the picture out."""
        page = self._page
        across, down = -(-page.imagewidth // page.tilewidth), -(-page.imagelength // page.tilelength)
        row, column = divmod(index % (across * down), across)
        seen = (
            min(page.tilelength, page.imagelength - row * page.tilelength),
            min(page.tilewidth, page.imagewidth - column * page.tilewidth),
        )
        if shape[0] < seen[0] or shape[1] < seen[1]:
            raise ValueError(f"it has {shape[1]} x {shape[0]} px, and {seen[1]} x {seen[0]} are needed")

    def _jpeg_options(self) -> dict[str, Any]:
        return {"jpegtables": self._tables, "jpegheader": self._header}

    def _bytes(self, offset: int, count: int) -> bytes:
        """Read a stretch of the file; safe from many threads."""
        if hasattr(os, "pread"):
            data = os.pread(self._handle.fileno(), count, offset)
        else:
            with _POSITION:
                self._handle.seek(offset)
                data = self._handle.read(count)
        if len(data) < count:
            raise EOFError("unexpected end of file")
        return data


def _check_places(page: tifffile.TiffPage, file_size: int) -> None:
    """Raise ValueError where strips lie partly in each other or beyond the end: what is not there is decoded as 0."""
    places = sorted(
        {(offset, size) for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size}
    )
    ends = [offset + size for offset, size in places]
    if (
        any(end > following for end, (following, _) in zip(ends, places[1:], strict=False))
        or max(ends, default=0) > file_size
    ):
        raise ValueError("its strips are said to lie in each other or beyond the end")


def icc_of(page: tifffile.TiffPage) -> bytes | None:
    """Return the ICC profile of a page as it is stored, b"" for one that is no bytes, None where there is none."""
    profile = page.tags.valueof(_ICC)
    return profile if profile is None or isinstance(profile, bytes) else b""


class WholeTiff:
    """A page without tiles, or with tiles that only tifffile decodes, to be decoded at once."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
        """Take over an open file."""
        self._path, self._tiff, self._page = path, tiff, page
        self.width, self.height = int(page.imagewidth), int(page.imagelength)
        self.icc = icc_of(page)

    def decode(self) -> Pixels:
        """Decode to (h, w, 3); raises one of BROKEN."""
        page = self._page
        _check_places(page, self._tiff.filehandle.size)
        segments = Segments(self._tiff, page)
        if page.compression in (*_JPEG, *jpeg.BLIND_TO_HOLES):  # decoded a second time, for the sake of the errors
            for index in range(len(segments)):
                segments.decode(index)
        pixels = page.asarray()
        if pixels.ndim == 3 and page.planarconfig == 2:
            pixels = pixels.transpose(1, 2, 0)
        pixels = as_rgb(pixels[:, :, None] if pixels.ndim == 2 else pixels, page)
        return on_white(colours(pixels, page), self._path)

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def as_rgb(pixels: npt.NDArray[Any], page: tifffile.TiffPage) -> npt.NDArray[Any]:
    """Turn YCbCr (h, w, 3) that a codec without colours stored into RGB; TIFF 6.0, section 21."""
    if page.photometric != 6 or page.compression not in _UNCONVERTED or pixels.shape[2] != 3:
        return pixels
    luma, blue, red = np.moveaxis(pixels.astype(np.float32), 2, 0)
    blue, red = blue - 128, red - 128
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=2)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)
