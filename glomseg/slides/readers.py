"""Read blocks of pixels out of image files through OpenSlide or Pillow, and what all readers have in common."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import openslide
import tifffile
from PIL import Image, ImageCms

from glomseg.errors import SlideError
from glomseg.slides import jpeg
from glomseg.slides.jpeg2000 import check_jpeg2000
from glomseg.slides.pixel_size import StatedMpp, fits_objective, parse_number, stated_mpp
from glomseg.slides.png import check_png

Pixels = npt.NDArray[np.uint8]

MAX_WHOLE_PX = 500_000_000  # an image without tiles is decoded at once: 1.5 GB at this size
MAX_TILE_PX = 2**26
PLAIN_FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "WEBP")  # not all that Pillow opens: some start other programs
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

ORIENTATION = 274  # the tag of EXIF and TIFF
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

    `bounds` is the (x, y, width, height) of the part to be used, in level-0 pixels of the file; `stated` what the file
    says of its pixels' size; `remarks`, which fit behind the file's name, what of it is not read or was guessed;
    `block` gives (h, w, 3), cropped at the level's edge or not, or None where nothing is stored; `icc` is the ICC
    profile of these colours, as it is stored, None where there is none.
    """

    levels: tuple[Level, ...]
    bounds: tuple[int, int, int, int]
    stated: StatedMpp
    remarks: tuple[str, ...]
    icc: bytes | None

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


def colours(pixels: npt.NDArray[Any], page: tifffile.TiffPage) -> npt.NDArray[Any]:
    """Drop the last sample of (h, w, samples) where the TIFF does not call it alpha: it may hold anything.

    Colours that alpha was multiplied into already (associated alpha, 1) are laid on white here.
    """
    if pixels.shape[2] not in (2, 4):
        return pixels
    match tuple(page.extrasamples or ())[:1]:
        case (1,):
            light: npt.NDArray[np.uint16] = pixels[:, :, :-1].astype(np.uint16) + (255 - pixels[:, :, -1:])
            return np.minimum(light, 255).astype(np.uint8)
        case (2,):
            return pixels
    return pixels[:, :, :-1]


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

    def __init__(self, path: Path, *, without: Collection[tuple[int, int]] = (), remarks: tuple[str, ...] = ()) -> None:
        """Open through OpenSlide, `without` the levels of these (width, height); raises one of BROKEN if it cannot."""
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
            if (w, h) not in without
        )
        self._numbers = [at for at, size in enumerate(self._slide.level_dimensions) if size not in without]
        _check_tiles(properties, self._slide.level_count)
        self.bounds = bounds_of(properties, (0, 0, width, height))
        self.stated = stated_by(properties)
        self.remarks = remarks
        self.icc = _icc_of(self._slide)

    def block(self, level: int, column: int, row: int) -> Pixels | None:
        """Read one block on white ground.

        Blocks lie on a fixed grid because OpenSlide places a level's pixels by level-0 pixels, to a fraction.
        """
        shape = self.levels[level]
        x, y = column * shape.block_width, row * shape.block_height
        size = (min(shape.block_width, shape.width - x), min(shape.block_height, shape.height - y))
        number = self._numbers[level]
        scale = self._slide.level_downsamples[number]
        try:
            tile = self._slide.read_region((round(x * scale), round(y * scale)), number, size)
        except BROKEN as error:
            raise SlideError(
                f"cannot read {self._path} at {x}, {y} of level {level}: {reason(error)}; "
                "the file is damaged or cut off: copy it again"
            ) from error
        return on_white(np.asarray(tile), self._path)

    def close(self) -> None:
        """Close the slide."""
        self._slide.close()


def _icc_of(slide: openslide.OpenSlide) -> bytes | None:
    """Return the ICC profile that OpenSlide found, b"" for one that is damaged."""
    try:
        profile = slide.color_profile
    except (ImageCms.PyCMSError, OSError):
        return b""
    return None if profile is None else bytes(profile.tobytes())


def _check_tiles(properties: Any, levels: int) -> None:
    """Raise ValueError for tiles of a size that no slide has: OpenSlide would end the whole process over the memory."""
    for level in range(levels):
        sides = [int(properties.get(f"openslide.level[{level}].tile-{side}", 1)) for side in ("width", "height")]
        if sides[0] * sides[1] > MAX_TILE_PX:
            raise ValueError(f"it says that its tiles are {sides[0]} x {sides[1]} px, which no slide's are")


def stated_by(properties: Any) -> StatedMpp:
    """Read the pixel size out of OpenSlide's properties, and what contradicts it."""
    texts = [properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
    x, y = (parse_number(text) for text in texts)
    if x is None or y is None:
        said = [text for text in texts if text is not None]
        return StatedMpp(remark=f"says a pixel size of {' x '.join(said)!r}, which is none" if said else None)
    return fits_objective(stated_mpp(x, y), parse_number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER)))


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


class WholeFile(Protocol):
    """A picture that is decoded at once: its size in pixels, and its pixels (h, w, 3)."""

    width: int
    height: int
    icc: bytes | None

    def decode(self) -> Pixels:
        """Decode to (h, w, 3); raises one of BROKEN."""

    def close(self) -> None:
        """Close the file."""


class PlainReader:
    """PNG, JPEG and untiled TIFF, decoded whole at the first read; a JPEG's EXIF rotation is ignored, as in QuPath."""

    def __init__(
        self,
        path: Path,
        whole: WholeFile | None = None,
        stated: StatedMpp | None = None,
        remarks: tuple[str, ...] = (),
    ) -> None:
        """Look at the size and kind without decoding; raises SlideError for what cannot be read."""
        self._path = path
        self._pixels: Pixels | None = None
        self._lock = threading.Lock()
        if whole is None:
            whole = picture = PillowFile(path)
            stated, remarks = picture.stated, picture.remarks
        self._whole = whole
        self.stated, self.remarks = stated or StatedMpp(), remarks
        self.icc = whole.icc
        width, height = whole.width, whole.height
        if width * height > MAX_WHOLE_PX:
            raise SlideError(
                f"{path} is {width} x {height} px without tiles, too large to be decoded at once; {PYRAMID_HINT}"
            )
        self.levels: tuple[Level, ...] = (Level(width, height, 1.0, 1.0, width, height),)
        self.bounds = (0, 0, width, height)

    def block(self, level: int, column: int, row: int) -> Pixels:
        """Give the whole image."""
        with self._lock:
            if self._pixels is None:
                try:
                    self._pixels = self._whole.decode()
                except BROKEN as error:
                    raise SlideError(
                        f"cannot read {self._path}: {reason(error)}; the file is damaged or cut off: copy it again"
                    ) from error
            return self._pixels

    def close(self) -> None:
        """Let go of the pixels and the file."""
        self._pixels = None
        self._whole.close()


def turned(orientation: object) -> tuple[str, ...]:
    """Say that a picture is shown turned or mirrored by other programs; QuPath and we read it as it is stored."""
    if not isinstance(orientation, int) or orientation not in range(2, 9):
        return ()
    return (
        f"is to be shown turned or mirrored (orientation {orientation}), and is read as it is stored, as by QuPath",
    )


def _bits(path: Path, image: Image.Image) -> int:
    """Tell the bits of a sample of PNG and JPEG 2000, of which Pillow hands out 8 whatever there are."""
    if image.format not in ("PNG", "JPEG2000"):
        return 8
    with path.open("rb") as file:
        head = file.read(4096)
    if image.format == "PNG":
        return head[24]  # in IHDR, which comes first
    size = head.find(b"\xff\x51")  # SIZ, the first segment of the code stream
    return 8 if size < 0 or len(head) < size + 41 else (head[size + 40] & 0x7F) + 1


class PillowFile:
    """PNG, JPEG, JPEG 2000, BMP or WebP."""

    def __init__(self, path: Path) -> None:
        """Read the header; raises SlideError for pixels of another type."""
        self._path = path
        if said := jpeg.unread_kind(path):
            raise SlideError(f"{path} is {said}, which is not read here; save it as 8-bit PNG or TIFF")
        with self._open() as image:
            bits = _bits(path, image)
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA") or bits > 8:
                kind = image.mode if bits <= 8 else f"{image.mode} of {bits} bits"
                raise SlideError(f"{path} has pixels of type {kind}; {SUPPORTED}")
            dpi = image.info.get("dpi", (0, 0))
            self.stated = stated_mpp(25_400 / dpi[0], 25_400 / dpi[1]) if dpi[0] and dpi[1] else StatedMpp()
            self.width, self.height = image.width, image.height
            self.icc: bytes | None = image.info.get("icc_profile")
            frames = getattr(image, "n_frames", 1)
            several = (f"holds {frames} pictures, of which the first is read",) if frames > 1 else ()
            at_hand = image.format in ("JPEG", "MPO", "WEBP") or "exif" in image.info  # others decode for it
            exif = image.getexif() if at_hand else {}
            self.remarks = (*several, *turned(exif.get(ORIENTATION)))

    def _open(self) -> Image.Image:
        """Open lazily through Pillow, whose own limit on sizes is below ours."""
        with _PILLOW_LIMIT:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                return Image.open(self._path, formats=PLAIN_FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit

    def decode(self) -> Pixels:
        """Decode to (h, w, 3); raises one of BROKEN."""
        with self._open() as image:
            if image.format == "JPEG2000":
                check_jpeg2000(self._path.read_bytes())
            if image.format == "WEBP":
                jpeg.check_holes(self._path.read_bytes())
            if image.format == "PNG":
                check_png(self._path.read_bytes())
            if image.format == "JPEG" and image.mode in ("L", "RGB"):
                data = jpeg.joined(self._path.read_bytes(), None, stored_as_rgb=False)
                if data is not None:
                    return on_white(jpeg.decode(data, grey=image.mode == "L"), self._path)
            alpha = image.mode in ("LA", "RGBA") or "transparency" in image.info
            return on_white(np.asarray(image.convert("RGBA" if alpha else "RGB")), self._path)

    def close(self) -> None:
        """Nothing stays open."""
