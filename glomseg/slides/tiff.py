"""Decode tiled TIFF, BigTIFF, OME-TIFF and Aperio SVS tile by tile, from many threads at once."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from glomseg.errors import SlideError
from glomseg.slides import jpeg
from glomseg.slides.ome import OmeImage
from glomseg.slides.pixel_size import StatedMpp
from glomseg.slides.readers import (
    BROKEN,
    ORIENTATION,
    SUPPORTED,
    Level,
    OpenSlideReader,
    Pixels,
    PlainReader,
    Reader,
    colours,
    downsample,
    on_white,
    reason,
    turned,
    vendor_of,
)
from glomseg.slides.tiff_mpp import tiff_mpp
from glomseg.slides.tiff_pages import Picture, main_picture, other_pictures, pyramid

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it says on stderr what we raise as an error

_JPEG = (7, 33007)
_SUBSAMPLED_DIRECT = (6, *_JPEG)
_POSITION = threading.Lock()  # of a file, where it is read without pread; one for all files does
_UNCONVERTED = (1, 5, 8, 32773, 32946, 50000)  # codecs that leave YCbCr as it is stored


def open_tiff(path: Path) -> Reader:
    """Open a TIFF directly where its tiles can be decoded so, else through OpenSlide, else whole.

    Raises SlideError for what is no brightfield image, and one of BROKEN for a damaged file.
    """
    vendor = vendor_of(path)
    if vendor not in (None, "aperio", "generic-tiff"):
        return OpenSlideReader(path)
    tiff = tifffile.TiffFile(path)
    try:
        picture = main_picture(path, tiff)
        page = picture.page
        check_supported(path, tiff, page, picture.ome)
        stated = tiff_mpp(tiff, page, picture.ome)
        if page.is_tiled:
            levels, said = pyramid(tiff, page, lambda level, index: _tile_or_none(tiff, level, index))
            if all(is_direct(level, vendor) for level in levels):
                return TiffReader(path, tiff, levels, stated, (*picture.remarks, *said, *_odd(picture)))
            if vendor is not None and page is tiff.pages.first:
                tiff.close()
                return OpenSlideReader(path)
        return PlainReader(path, WholeTiff(path, tiff, page), stated, _remarks(tiff, picture))
    except BaseException:
        tiff.close()
        raise


def _remarks(tiff: tifffile.TiffFile, picture: Picture) -> tuple[str, ...]:
    return (*picture.remarks, *other_pictures(tiff, picture.page), *_odd(picture))


def _odd(picture: Picture) -> tuple[str, ...]:
    page = picture.page
    guessed = page.photometric == 1 and page.samplesperpixel == 3
    said = ("does not say that its 3 channels are red, green and blue, and is read so",) if guessed else ()
    return (*said, *turned(page.tags.valueof(ORIENTATION)))


def check_supported(path: Path, tiff: tifffile.TiffFile, page: tifffile.TiffPage, ome: OmeImage | None = None) -> None:
    """Raise SlideError for anything but one plane of 8-bit grey or RGB."""
    if page.dtype != np.uint8:
        raise SlideError(f"{path} has pixels of type {page.dtype}; {SUPPORTED}: convert it to 8-bit RGB")
    if page.photometric not in (1, 2, 6) or page.samplesperpixel not in (1, 2, 3, 4):
        name = getattr(page.photometric, "name", page.photometric)
        raise SlideError(f"{path} has {page.samplesperpixel} channels ({name}); {SUPPORTED}: convert it to 8-bit RGB")
    if page.photometric == 1 and page.samplesperpixel in (2, 4) and not _has_alpha(page):
        raise SlideError(f"{path} has {page.samplesperpixel} separate channels (fluorescence?); {SUPPORTED}")
    if page.imagedepth > 1:
        raise SlideError(f"{path} is a stack of {page.imagedepth} planes; {SUPPORTED}: export the plane to segment")
    channels = planes = 1
    if ome is not None:
        channels, planes = ome.channels, ome.planes
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        channels = int(metadata.get("channels", 1))
        planes = int(metadata.get("slices", 1)) * int(metadata.get("frames", 1))
    if planes > 1:
        raise SlideError(f"{path} is a stack of {planes} planes; {SUPPORTED}: export the plane to segment")
    if channels > page.samplesperpixel:
        raise SlideError(f"{path} has {channels} separate channels (fluorescence?); {SUPPORTED}")


def _has_alpha(page: tifffile.TiffPage) -> bool:
    return tuple(page.extrasamples or ())[-1:] in ((1,), (2,))


def is_direct(page: tifffile.TiffPage, vendor: str | None) -> bool:
    """Tell whether tiles are decoded right here: not all JPEG 2000 or subsampled kinds, nor SVS with gaps."""
    if page.compression == 33003 or (page.is_subsampled and page.compression not in _SUBSAMPLED_DIRECT):
        return False
    return not (vendor == "aperio" and 0 in page.databytecounts)


class TiffReader:
    """Tiled TIFF, BigTIFF, OME-TIFF and SVS; levels are IFDs or SubIFDs of the shape of the first."""

    def __init__(
        self,
        path: Path,
        tiff: tifffile.TiffFile,
        pages: Sequence[tifffile.TiffPage],
        stated: StatedMpp | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        """Take over an open file, of which `pages` are the levels, all tiled."""
        self._path = path
        self._tiff = tiff
        self._pages = pages
        full = pages[0]
        self.levels = tuple(
            Level(
                page.imagewidth,
                page.imagelength,
                downsample(full.imagewidth, page.imagewidth),
                downsample(full.imagelength, page.imagelength),
                page.tilewidth,
                page.tilelength,
            )
            for page in pages
        )
        self.bounds = (0, 0, full.imagewidth, full.imagelength)
        self.stated = stated or StatedMpp()
        self.remarks = remarks
        self._segments = [Segments(tiff, page) for page in pages]

    def block(self, level: int, column: int, row: int) -> Pixels | None:
        """Decode one tile; None where the file holds none."""
        page, shape = self._pages[level], self.levels[level]
        across = -(-shape.width // shape.block_width)
        index = row * across + column
        if page.planarconfig == 1:
            tile = self._segment(level, index)
            return None if tile is None else on_white(colours(tile, self._pages[0]), self._path)
        plane = across * -(-shape.height // shape.block_height)
        parts = [self._segment(level, index + plane * sample) for sample in range(page.samplesperpixel)]
        tiles = [part for part in parts if part is not None]
        if len(tiles) < len(parts):
            return None
        return on_white(colours(np.concatenate(tiles, axis=2), self._pages[0]), self._path)

    def _segment(self, level: int, index: int) -> Pixels | None:
        """Read and decode one stored tile to (h, w, samples)."""
        try:
            return self._segments[level].decode(index)
        except BROKEN as error:
            raise SlideError(
                f"cannot read tile {index} of level {level} of {self._path}: {reason(error)}; "
                "the file is damaged or cut off: copy it again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


class Segments:
    """The tiles or strips of one page, decoded from many threads; damage that a decoder can see is an error."""

    def __init__(self, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
        """Look up what decoding needs."""
        self._handle = tiff.filehandle
        self._page = page
        self._decode = page.decode
        self._tables, self._header = page.jpegtables, page.jpegheader
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
        options = {} if self._tables is None and self._header is None else self._jpeg_options()
        tile: npt.NDArray[Any] | None = self._decode(data, index, **options)[0]
        return None if tile is None else as_rgb(tile[0], self._page)

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


class WholeTiff:
    """A page without tiles, or with tiles that only tifffile decodes, to be decoded at once."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
        """Take over an open file."""
        self._path, self._tiff, self._page = path, tiff, page
        self.width, self.height = int(page.imagewidth), int(page.imagelength)

    def decode(self) -> Pixels:
        """Decode to (h, w, 3); raises one of BROKEN."""
        page = self._page
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


def _tile_or_none(tiff: tifffile.TiffFile, page: tifffile.TiffPage, index: int) -> npt.NDArray[Any] | None:
    """Decode a tile to compare pictures by; None where it is damaged, which reading it will say."""
    try:
        return Segments(tiff, page).decode(index)
    except BROKEN:
        return None
