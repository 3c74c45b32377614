"""Decode tiled TIFF, BigTIFF, OME-TIFF and Aperio SVS tile by tile, from many threads at once."""

from __future__ import annotations

import logging
import os
import re
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import tifffile

from glomseg.errors import SlideError
from glomseg.slides.readers import (
    BROKEN,
    SUPPORTED,
    Level,
    Mpp,
    OpenSlideReader,
    Pixels,
    PlainReader,
    Reader,
    colours,
    downsample,
    on_white,
    plausible,
    reason,
    vendor_of,
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it says on stderr what we raise as an error


def open_tiff(path: Path) -> Reader:
    """Open a TIFF directly where its tiles can be decoded so, else through OpenSlide, else whole.

    Raises SlideError for what is no brightfield image, and one of BROKEN for a damaged file.
    """
    vendor = vendor_of(path)
    if vendor not in (None, "aperio", "generic-tiff"):
        return OpenSlideReader(path)
    tiff = tifffile.TiffFile(path)
    try:
        page = tiff.pages.first
        check_supported(path, tiff, page)
        if page.is_tiled:
            pages = pyramid(tiff)
            if all(is_direct(level, vendor) for level in pages):
                return TiffReader(path, tiff, pages)
            if vendor is not None:
                tiff.close()
                return OpenSlideReader(path)
        return PlainReader(path, tiff, tiff_mpp(tiff, page))
    except BaseException:
        tiff.close()
        raise


def check_supported(path: Path, tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """Raise SlideError for anything but one plane of 8-bit grey or RGB."""
    if page.dtype != np.uint8:
        raise SlideError(f"{path} has pixels of type {page.dtype}; {SUPPORTED}: convert it to 8-bit RGB")
    if page.photometric not in (1, 2, 6) or page.samplesperpixel not in (1, 2, 3, 4):
        name = getattr(page.photometric, "name", page.photometric)
        raise SlideError(f"{path} has {page.samplesperpixel} channels ({name}); {SUPPORTED}: convert it to 8-bit RGB")
    channels = planes = 1
    if tiff.is_ome:
        pixels = _ome_pixels(page.description) or {}
        channels = int(pixels.get("SizeC", 1))
        planes = int(pixels.get("SizeZ", 1)) * int(pixels.get("SizeT", 1))
    elif tiff.is_imagej:
        metadata = tiff.imagej_metadata or {}
        channels = int(metadata.get("channels", 1))
        planes = int(metadata.get("slices", 1)) * int(metadata.get("frames", 1))
    if planes > 1:
        raise SlideError(f"{path} is a stack of {planes} planes; {SUPPORTED}: export the plane to segment")
    if channels > page.samplesperpixel:
        raise SlideError(f"{path} has {channels} separate channels (fluorescence?); {SUPPORTED}")


def is_direct(page: tifffile.TiffPage, vendor: str | None) -> bool:
    """Tell whether tifffile decodes the tiles right: not all JPEG 2000 or subsampled kinds, nor SVS with gaps."""
    if page.compression == 33003 or (page.is_subsampled and page.compression not in (6, 7, 33007)):
        return False
    return not (vendor == "aperio" and 0 in page.databytecounts)


class TiffReader:
    """Tiled TIFF, BigTIFF, OME-TIFF and SVS; levels are IFDs or SubIFDs of the shape of the first."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> None:
        """Take over an open file, of which `pages` are the levels, all tiled."""
        self._path = path
        self._tiff = tiff
        self._lock = threading.Lock()
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
        self.mpp = tiff_mpp(tiff, full)
        self._decoders = [(page.decode, page.jpegtables, page.jpegheader) for page in pages]
        self._tables = [(page.dataoffsets, page.databytecounts) for page in pages]

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
        offsets, counts = self._tables[level]
        decode, tables, header = self._decoders[level]
        try:
            if counts[index] == 0:
                return None
            data = self._bytes(offsets[index], counts[index])
            options = {} if tables is None and header is None else {"jpegtables": tables, "jpegheader": header}
            tile: Pixels | None = decode(data, index, **options)[0]
        except BROKEN as error:
            raise SlideError(
                f"cannot read tile {index} of level {level} of {self._path}: {reason(error)}; "
                "the file is damaged or cut off: copy it again"
            ) from error
        return None if tile is None else tile[0]

    def _bytes(self, offset: int, count: int) -> bytes:
        """Read a stretch of the file; safe from many threads."""
        handle = self._tiff.filehandle
        if hasattr(os, "pread"):
            data = os.pread(handle.fileno(), count, offset)
        else:
            with self._lock:
                handle.seek(offset)
                data = handle.read(count)
        if len(data) < count:
            raise EOFError("unexpected end of file")
        return data

    def close(self) -> None:
        """Close the file."""
        self._tiff.close()


def pyramid(tiff: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Collect the first page and the smaller tiled pages of its shape, largest first.

    Thumbnails, labels and macro images drop out because they are stored in strips or have another aspect ratio.
    """
    full = tiff.pages.first
    found = [full]
    # The other top-level pages of an OME-TIFF are other images, or planes of this one.
    for page in [*(full.pages or []), *([] if tiff.is_ome else tiff.pages[1:])]:
        page = page.aspage()
        last = found[-1]
        if not page.is_tiled or page.imagewidth >= last.imagewidth or page.imagelength >= last.imagelength:
            continue
        if (page.dtype, page.samplesperpixel, page.photometric) != (full.dtype, full.samplesperpixel, full.photometric):
            continue
        across, down = full.imagewidth / page.imagewidth, full.imagelength / page.imagelength
        slack = across / page.imagewidth + down / page.imagelength  # one pixel more or less in either size
        if abs(across - down) <= slack:
            found.append(page)
    return found


def tiff_mpp(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Mpp:
    """Find um per pixel: Aperio's description, OME-XML, ImageJ's unit, then the resolution tags."""
    if tiff.is_ome:
        return _ome_mpp(page.description)
    aperio = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description) if tiff.is_svs else None
    if aperio:
        value = float(aperio[1])
        return plausible(value, value)
    um_per_unit = {2: 25_400.0, 3: 10_000.0}.get(int(page.tags.valueof(296, 2)))
    if tiff.is_imagej and um_per_unit is None:
        unit = str((tiff.imagej_metadata or {}).get("unit", ""))
        um_per_unit = {"micron": 1.0, "um": 1.0, "µm": 1.0, "\\u00B5m": 1.0, "mm": 1000.0}.get(unit)
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if um_per_unit is None or not x or not y or 0 in (*x, *y):
        return None
    return plausible(um_per_unit * x[1] / x[0], um_per_unit * y[1] / y[0])


def _ome_pixels(description: str) -> dict[str, str]:
    """Give the attributes of the first Pixels element of OME-XML, or none where it cannot be parsed."""
    try:
        root = ET.fromstring(description)
    except ET.ParseError:
        return {}
    return next((dict(node.attrib) for node in root.iter() if node.tag.rpartition("}")[2] == "Pixels"), {})


def _ome_mpp(description: str) -> Mpp:
    """Read PhysicalSizeX and PhysicalSizeY in their units; um where none is named, as OME's schema says."""
    scale = {"µm": 1.0, "\u03bcm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
    pixels = _ome_pixels(description)
    try:
        x, y = (
            float(pixels[f"PhysicalSize{name}"]) * scale[pixels.get(f"PhysicalSize{name}Unit", "µm")] for name in "XY"
        )
    except (KeyError, ValueError):
        return None
    return plausible(x, y)
