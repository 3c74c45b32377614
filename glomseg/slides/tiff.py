"""Decode tiled TIFF, BigTIFF, OME-TIFF and Aperio SVS tile by tile, from many threads at once."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from glomseg.errors import SlideError
from glomseg.listing import first_names
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
from glomseg.slides.tiff_pages import Picture, check_extent, main_picture, other_pictures, pyramid
from glomseg.slides.tiff_segments import Segments, WholeTiff, icc_of

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it says on stderr what we raise as an error

_JPEG = (7, 33007)
_SUBSAMPLED_DIRECT = (6, *_JPEG)
_NO_SUCH = re.compile(
    "is not a valid (PLANARCONFIG|PHOTOMETRIC|COMPRESSION|PREDICTOR|FILLORDER|SAMPLEFORMAT|EXTRASAMPLE)"
)


def open_tiff(path: Path) -> Reader:
    """Open a TIFF directly where its tiles can be decoded so, else through OpenSlide, else whole.

    Raises SlideError for what is no brightfield image, and one of BROKEN for a damaged file.
    """
    vendor = vendor_of(path)
    if vendor not in (None, "aperio", "generic-tiff"):
        return OpenSlideReader(path)
    with _listening() as heard:
        return _open(path, vendor, heard)


def _open(path: Path, vendor: str | None, heard: list[str]) -> Reader:
    """Open a TIFF that no vendor's reader is for; `heard` fills with what its header lacks or contradicts."""
    tiff = tifffile.TiffFile(path)
    try:
        picture = main_picture(path, tiff)
        page = picture.page
        check_supported(path, tiff, page, picture.ome)
        check_extent(page)
        stated = tiff_mpp(tiff, page, picture.ome)
        if page.is_tiled:
            stack = pyramid(tiff, page, lambda level, index: _tile_or_none(tiff, level, index))
            remarks = (*picture.remarks, *stack.remarks, *_odd(picture), *_damage(heard))
            if all(is_direct(level, vendor) for level in stack.levels):
                return TiffReader(path, tiff, stack.levels, stated, remarks)
            if vendor is not None and page is tiff.pages.first:
                tiff.close()
                return OpenSlideReader(path, without=stack.wrong, remarks=remarks)
        return PlainReader(path, WholeTiff(path, tiff, page), stated, (*_remarks(tiff, picture), *_damage(heard)))
    except BaseException:
        tiff.close()
        raise


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collect what tifffile says in this thread of damaged tags: it goes on without them."""
    heard: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if record.thread == thread and (record.levelno >= logging.ERROR or _NO_SUCH.search(said)):
                heard.append(said.partition("> ")[2] or said)

    logger, listener = logging.getLogger("tifffile"), Listener()
    logger.addHandler(listener)
    try:
        yield heard
    finally:
        logger.removeHandler(listener)


def _damage(heard: Sequence[str]) -> tuple[str, ...]:
    said = first_names([" ".join(text.split())[:100] for text in heard], 1)
    return (f"has a damaged header ({said}): compare what is read",) if heard else ()


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
        self.icc = icc_of(full)
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


def _tile_or_none(tiff: tifffile.TiffFile, page: tifffile.TiffPage, index: int) -> npt.NDArray[Any] | None:
    """Decode a tile to compare pictures by; None where it is damaged, which reading it will say."""
    try:
        return Segments(tiff, page).decode(index)
    except BROKEN:
        return None
