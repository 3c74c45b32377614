"""Read blocks of pixels out of image files through OpenSlide or Pillow, and what all readers have in common."""

from __future__ import annotations

import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import openslide
import tifffile
from PIL import Image

from glomseg.errors import SlideError

Pixels = npt.NDArray[np.uint8]
Mpp = tuple[float, float] | None

MAX_WHOLE_PX = 500_000_000  # an image without tiles is decoded at once: 1.5 GB at this size
PLAIN_FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "WEBP")  # not all that Pillow opens: some start other programs
MAX_MPP = 10.0  # coarser "pixel sizes" are print resolutions (72 dpi is 353 um per pixel) and count as absent
PYRAMID_HINT = (
    "convert it to a pyramidal tiled TIFF, for example `vips tiffsave IN OUT.tif --tile --pyramid --compression jpeg`"
)

SUPPORTED = "only 8-bit brightfield images (RGB or grey) are supported"

# What tifffile, imagecodecs, Pillow and OpenSlide raise on damaged files.
BROKEN = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    MemoryError,
    SyntaxError,
    struct.error,
    zlib.error,
    ImportError,
    openslide.OpenSlideError,
    Image.DecompressionBombError,
)

_PILLOW_LIMIT = threading.Lock()  # it is Pillow's, and one for all threads


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of a slide: its size in its own pixels, level-0 pixels per pixel, and the blocks it is read in."""

    width: int
    height: int
    downsample_x: float
    downsample_y: float
    block_width: int
    block_height: int


class Reader(Protocol):
    """What a Slide needs of a file; `block` is called from many threads at once.

    `bounds` is the (x, y, width, height) of the part to be used, in level-0 pixels of the file; `mpp` is um per pixel
    in x and y or None; `block` gives (h, w, 3), cropped at the level's edge or not, or None where nothing is stored.
    """

    levels: tuple[Level, ...]
    bounds: tuple[int, int, int, int]
    mpp: Mpp

    def block(self, level: int, column: int, row: int) -> Pixels | None:
        """Decode the block at a place of a level's grid."""

    def close(self) -> None:
        """Close the file."""


def downsample(full: int, part: int) -> float:
    """Give level-0 pixels per level pixel along one axis, a whole number where the level's size allows it.

    Scanners cut off or round up what does not divide: 4443 px halved are 2221 px, and the pixels are still 2 wide.
    """
    whole = round(full / part)
    return float(whole) if part in (full // whole, -(-full // whole)) else full / part


def plausible(x: float, y: float) -> Mpp:
    """Accept a pixel size in um that a microscope can have, else None."""
    return (x, y) if 0 < x < MAX_MPP and 0 < y < MAX_MPP else None


def colours(pixels: npt.NDArray[Any], page: tifffile.TiffPage) -> npt.NDArray[Any]:
    """Drop the last sample of (h, w, samples) where the TIFF does not call it alpha: it may hold anything."""
    alpha = tuple(page.extrasamples or ())[:1] in ((1,), (2,))
    return pixels[:, :, :-1] if pixels.shape[2] in (2, 4) and not alpha else pixels


def on_white(pixels: npt.NDArray[Any], path: Path) -> Pixels:
    """Turn grey, grey with alpha, RGB or RGBA (h, w, samples) into RGB on a white ground."""
    samples = pixels.shape[2]
    if samples in (2, 4):
        alpha = pixels[:, :, -1:].astype(np.uint16)
        colour = pixels[:, :, :-1]
        if not (alpha == 255).all():
            mixed = colour * alpha + 255 * (255 - alpha)
            colour = ((mixed + 127) // 255).astype(np.uint8)
        pixels, samples = colour, samples - 1
    if samples == 1:
        return np.repeat(pixels, 3, axis=2)
    if samples != 3:
        raise SlideError(f"{path} has {samples} channels; {SUPPORTED}")
    return pixels


def reason(error: BaseException) -> str:
    """Give the first line of a library's message, or the error's name where that says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines and " " in lines[0] else f"{type(error).__name__} {''.join(lines)}".strip()


def vendor_of(path: Path) -> str | None:
    """Name the vendor whose format OpenSlide sees in a file; None where it sees none."""
    vendor: str | None = openslide.OpenSlide.detect_format(str(path))
    return vendor


class OpenSlideReader:
    """Vendors' formats; the bounds that the scanner wrote become the image, as in QuPath."""

    def __init__(self, path: Path) -> None:
        """Open through OpenSlide; raises one of BROKEN when it cannot."""
        self._path = path
        self._slide = openslide.OpenSlide(str(path))
        width, height = self._slide.dimensions
        properties = self._slide.properties
        self.levels = tuple(
            Level(
                w,
                h,
                downsample(width, w),
                downsample(height, h),
                _block_size(properties.get(f"openslide.level[{index}].tile-width")),
                _block_size(properties.get(f"openslide.level[{index}].tile-height")),
            )
            for index, (w, h) in enumerate(self._slide.level_dimensions)
        )
        self.bounds = bounds_of(properties, (0, 0, width, height))
        try:
            self.mpp = plausible(
                float(properties[openslide.PROPERTY_NAME_MPP_X]), float(properties[openslide.PROPERTY_NAME_MPP_Y])
            )
        except (KeyError, ValueError):
            self.mpp = None

    def block(self, level: int, column: int, row: int) -> Pixels | None:
        """Read one block on white ground.

        Blocks lie on a fixed grid because OpenSlide places a level's pixels by level-0 pixels, to a fraction.
        """
        shape = self.levels[level]
        x, y = column * shape.block_width, row * shape.block_height
        size = (min(shape.block_width, shape.width - x), min(shape.block_height, shape.height - y))
        scale = self._slide.level_downsamples[level]
        try:
            tile = self._slide.read_region((round(x * scale), round(y * scale)), level, size)
        except BROKEN as error:
            raise SlideError(
                f"cannot read {self._path} at {x}, {y} of level {level}: {reason(error)}; "
                "the file is damaged or cut off: copy it again"
            ) from error
        return on_white(np.asarray(tile), self._path)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def _block_size(tile: str | None) -> int:
    """Read in the scanner's own tiles where they have a reasonable size."""
    return int(tile) if tile is not None and 128 <= int(tile) <= 2048 else 512


def bounds_of(properties: Any, whole: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Give the scanned region that the scanner wrote, all four values or none, as QuPath's OpenslideImageServer."""
    try:
        x, y, width, height = (int(properties[f"openslide.bounds-{name}"]) for name in ("x", "y", "width", "height"))
    except (KeyError, ValueError):
        return whole
    return (x, y, width, height) if width > 0 and height > 0 else whole


class PlainReader:
    """PNG, JPEG and untiled TIFF, decoded whole at the first read; a JPEG's EXIF rotation is ignored, as in QuPath."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile | None = None, mpp: Mpp = None) -> None:
        """Look at the size and kind without decoding; raises SlideError for what cannot be read."""
        self._path = path
        self._tiff = tiff
        self._pixels: Pixels | None = None
        self._lock = threading.Lock()
        if tiff is None:
            width, height, self.mpp = self._look()
        else:
            page = tiff.pages.first
            width, height, self.mpp = page.imagewidth, page.imagelength, mpp
        if width * height > MAX_WHOLE_PX:
            raise SlideError(
                f"{path} is {width} x {height} px without tiles, too large to be decoded at once; {PYRAMID_HINT}"
            )
        self.levels: tuple[Level, ...] = (Level(width, height, 1.0, 1.0, width, height),)
        self.bounds = (0, 0, width, height)

    def _look(self) -> tuple[int, int, Mpp]:
        """Read the header through Pillow."""
        with self._open() as image:
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise SlideError(f"{self._path} has pixels of type {image.mode}; {SUPPORTED}")
            dpi = image.info.get("dpi", (0, 0))
            mpp = plausible(25_400 / dpi[0], 25_400 / dpi[1]) if dpi[0] and dpi[1] else None
            return image.width, image.height, mpp

    def _open(self) -> Image.Image:
        """Open lazily through Pillow, whose own limit on sizes is below ours."""
        with _PILLOW_LIMIT:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(self._path, formats=PLAIN_FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit

    def block(self, level: int, column: int, row: int) -> Pixels:
        """Give the whole image."""
        with self._lock:
            if self._pixels is None:
                try:
                    self._pixels = self._decode()
                except BROKEN as error:
                    raise SlideError(
                        f"cannot read {self._path}: {reason(error)}; the file is damaged or cut off: copy it again"
                    ) from error
            return self._pixels

    def _decode(self) -> Pixels:
        """Decode to (h, w, 3)."""
        if self._tiff is not None:
            page = self._tiff.pages.first
            pixels = page.asarray()
            if pixels.ndim == 3 and page.planarconfig == 2:
                pixels = pixels.transpose(1, 2, 0)
            return on_white(colours(pixels[:, :, None] if pixels.ndim == 2 else pixels, page), self._path)
        with self._open() as image:
            alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
            return on_white(np.asarray(image.convert("RGBA" if alpha else "RGB")), self._path)

    def close(self) -> None:
        """Let go of the pixels and the file."""
        self._pixels = None
        if self._tiff is not None:
            self._tiff.close()
