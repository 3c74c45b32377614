"""Every way in which people and tools write down a mask, small, each with its right reading or its refusal.

One scene: five discs, two of which touch at a line in numbered masks (and are one object in black and white).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from scipy import ndimage

SIZE = 192
Writer = Callable[[Path], object]


def numbered() -> np.ndarray:
    """Number five discs from 1; 4 and 5 share a border."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    numbers = np.zeros((SIZE, SIZE), np.int64)
    for number, (cx, cy) in enumerate(((40, 40), (120, 45), (45, 130), (110, 130), (138, 130)), 1):
        numbers[((x - cx) ** 2 + (y - cy) ** 2 < 15**2) & (numbers == 0)] = number
    return numbers


NUMBERS = numbered()
THERE = NUMBERS > 0
PX = int(THERE.sum())
WHITE = THERE * np.uint8(255)


@dataclass(frozen=True)
class LabelCase:
    """A mask file: how it is written, and how many objects it has (None: it is refused with `refusal`)."""

    name: str
    write: Writer
    objects: int | None
    refusal: str = ""


def _png(pixels: Any, mode: str | None = None, palette: list[int] | None = None, **options: Any) -> Writer:
    def write(path: Path) -> None:
        image = Image.fromarray(pixels, mode) if mode else Image.fromarray(pixels)
        if palette is not None:
            image.putpalette(palette)
        image.save(path, **options)

    return write


def _tif(pixels: Any, **options: Any) -> Writer:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def _renumbered(*numbers: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.array((0, *numbers), dtype)[NUMBERS]


def _rgba(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([colour, colour, colour, alpha])


def _pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(_renumbered(12, 140, 201, 77, 180), tile=(64, 64), metadata=None)
        tiff.write(_renumbered(12, 140, 201, 77, 180)[::2, ::2].copy(), tile=(64, 64), metadata=None, subfiletype=1)


def _several_pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.where(THERE, 0, 255).astype(np.uint8), metadata=None)
        tiff.write(WHITE, metadata=None)


def _small_page_first(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((48, 48), np.uint8), metadata=None)
        tiff.write(WHITE, metadata=None)


def _lossy(codec: str, **options: Any) -> Writer:
    return _tif(WHITE, compression=codec, compressionargs=options)


def _bit_depth(bits: int) -> Writer:
    def write(path: Path) -> None:
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(WHITE))
        if bits == 4:  # grey levels 0 to 5 of 4 bits, as optimisers of PNG write them
            path.write_bytes(_grey_png(NUMBERS.astype(np.uint8), 4))

    return write


def _grey_png(values: np.ndarray, bits: int) -> bytes:
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packed = (values[:, ::2] << 4 | values[:, 1::2]).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


_SOFT = ndimage.gaussian_filter(WHITE.astype(float), 1).astype(np.uint8)
_STEPS = np.clip(ndimage.gaussian_filter(THERE * 100.0, 2), 0, 255).astype(np.uint8)
_IN_TISSUE = np.pad(THERE[8:-8, 8:-8] + np.uint8(1), 8)  # 0 for what was not looked at, 1 tissue, 2 glomeruli
_RING = THERE & ~ndimage.binary_erosion(THERE, iterations=2)
_HALF = (SIZE // 2, SIZE // 2)
_BLACK_WHITE = [0, 0, 0, 255, 255, 255]
_RED_WHITE, _PURPLE_BLACK = [255, 0, 0, 255, 255, 255], [128, 0, 128, 0, 0, 0]
_WHITE_8 = np.array([[255] + [0] * 255] * 3, np.uint16)
_QUPATH = [255, 255, 255, 200, 0, 0, 0, 120, 0, 0, 0, 200, 90, 90, 0, 0, 90, 90]
_RAMP = [grey for grey in range(256) for _ in range(3)]
_OBJECTS, _TOUCHING = 5, 4

LABELS = (
    LabelCase("white_on_black.png", _png(WHITE), _TOUCHING),
    LabelCase("zero_one.png", _png(THERE * np.uint8(1)), _TOUCHING),
    LabelCase("one_number_37.png", _png(THERE * np.uint8(37)), _TOUCHING),
    LabelCase("one_number_127.png", _png(THERE * np.uint8(127)), _TOUCHING),
    LabelCase("one_number_128.png", _png(THERE * np.uint8(128)), _TOUCHING),
    LabelCase("one_bit.png", _png(THERE), _TOUCHING),
    LabelCase("four_bits.png", _bit_depth(4), _OBJECTS),
    LabelCase("numbers.png", _png(_renumbered(1, 2, 3, 4, 5)), _OBJECTS),
    LabelCase("numbers_from_128.png", _png(_renumbered(130, 255, 3, 128, 200)), _OBJECTS),
    LabelCase("numbers_of_a_slide.png", _png(_renumbered(12, 140, 201, 77, 180)), _OBJECTS),
    LabelCase("classes.png", _png(_renumbered(1, 2, 1, 2, 1)), _OBJECTS),
    LabelCase("numbers_16.png", _png(_renumbered(300, 301, 302, 303, 900, dtype=np.uint16)), _OBJECTS),
    LabelCase("white_16.png", _png(THERE * np.uint16(65535)), _TOUCHING),
    LabelCase("zero_one_16.png", _png(THERE * np.uint16(1)), _TOUCHING),
    LabelCase("zero_one_32.tif", _tif(THERE.astype(np.int32)), _TOUCHING),
    LabelCase("zero_one_64.tif", _tif(THERE.astype(np.int64)), _TOUCHING),
    LabelCase("numbers_16.tif", _tif(_renumbered(1, 2, 3, 4, 5, dtype=np.uint16)), _OBJECTS),
    LabelCase("numbers_32.tif", _tif(_renumbered(70_000, 2, 3, 4, 5, dtype=np.uint32)), _OBJECTS),
    LabelCase("bool.tif", _tif(THERE), _TOUCHING),
    LabelCase(
        "luma_and_chroma.tif",
        _tif(np.dstack([WHITE, *[np.full_like(WHITE, 128)] * 2]), photometric="ycbcr", subsampling=(1, 1)),
        _TOUCHING,
    ),
    LabelCase("white_is_zero_8.tif", _tif(255 - WHITE, photometric="miniswhite"), _TOUCHING),
    LabelCase("inverting_table_8.tif", _tif(WHITE, photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_1.tif", _tif(~THERE, photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_numbers.tif", _tif(_renumbered(1, 2, 3, 4, 5), photometric="miniswhite"), _OBJECTS),
    LabelCase("white_is_zero_01.tif", _tif((~THERE).astype(np.uint8), photometric="miniswhite"), _TOUCHING),
    LabelCase("inverting_table_01.tif", _tif(THERE.astype(np.uint8), photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_01_16.tif", _tif((~THERE).astype(np.uint16), photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_01_32.tif", _tif((~THERE).astype(np.int32), photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_100.tif", _tif((~THERE) * np.uint8(100), photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_12_bits.tif", _tif((~THERE) * np.uint16(4095), photometric="miniswhite"), _TOUCHING),
    LabelCase("white_is_zero_empty.tif", _tif(np.ones_like(WHITE), photometric="miniswhite"), 0),
    LabelCase(
        "white_is_zero_5_less.tif",
        _tif((5 - NUMBERS).astype(np.uint8), photometric="miniswhite"),
        None,
        "which value is background",
    ),
    LabelCase(
        "white_is_zero_5_less_32.tif",
        _tif((5 - NUMBERS).astype(np.int32), photometric="miniswhite"),
        None,
        "which value is background",
    ),
    LabelCase("fax.tif", _png(THERE, compression="group4"), _TOUCHING),
    LabelCase("lzw_strips.tif", _tif(_renumbered(9, 150, 201, 77, 180), rowsperstrip=1, compression="lzw"), _OBJECTS),
    LabelCase("tiles_pyramid.tif", _pyramid, _OBJECTS),
    LabelCase("jpeg_tiles.tif", _tif(WHITE, tile=(64, 64), compression="jpeg"), _TOUCHING),
    LabelCase("planes.tif", _tif(np.stack([WHITE] * 3), photometric="rgb", planarconfig="separate"), _TOUCHING),
    LabelCase("palette_tiff.tif", _png(THERE * np.uint8(1), "P", _BLACK_WHITE), _TOUCHING),
    LabelCase("palette_white_first.tif", _png((~THERE).astype(np.uint8), "P", _BLACK_WHITE[::-1]), _TOUCHING),
    LabelCase("palette_of_8_bits.tif", _tif(~THERE * np.uint8(1), photometric="palette", colormap=_WHITE_8), _TOUCHING),
    LabelCase("white.jpg", _png(WHITE, quality=60), _TOUCHING),
    LabelCase("white_rgb.jpg", _png(np.dstack([WHITE] * 3), quality=60), _TOUCHING),
    LabelCase("jpeg_saved_as.png", lambda path: _resaved(path), _TOUCHING),
    LabelCase("soft_edges.png", _png(_SOFT), _TOUCHING),
    LabelCase("rgb.png", _png(np.dstack([WHITE] * 3)), _TOUCHING),
    LabelCase("rgba.png", _png(_rgba(WHITE, np.full_like(WHITE, 255))), _TOUCHING),
    LabelCase("see_through_background.png", _png(_rgba(WHITE, WHITE)), _TOUCHING),
    LabelCase("palette_black_first.png", _png(THERE * np.uint8(1), "P", _BLACK_WHITE), _TOUCHING),
    LabelCase("palette_white_first.png", _png((~THERE).astype(np.uint8), "P", _BLACK_WHITE[::-1]), _TOUCHING),
    LabelCase("palette_of_qupath.png", _png(NUMBERS.astype(np.uint8), "P", _QUPATH), _OBJECTS),
    LabelCase("white.bmp", _png(WHITE), _TOUCHING),
    LabelCase("empty.png", _png(np.zeros_like(WHITE)), 0),
    LabelCase("empty_palette.png", _png(np.zeros_like(WHITE), "P", _QUPATH), 0),
    LabelCase("ones.jpg", _png(THERE * np.uint8(1), quality=95), None, "cannot be told from noise"),
    LabelCase("number_100.jpg", _png(THERE * np.uint8(100), quality=95), None, "cannot be told from noise"),
    LabelCase("smoothed_100.png", _png(_STEPS), None, "cannot be told from noise"),
    LabelCase("background_255.png", _png(np.where(THERE, 1, 255).astype(np.uint8)), None, "has no background"),
    LabelCase("void_255.png", _png(_renumbered(1, 1, 1, 255, 255)), None, "255: is that an object"),
    LabelCase("no_background.png", _png(np.where(THERE, 2, 1).astype(np.uint8)), None, "has no background"),
    LabelCase("bilinear.png", lambda path: _halved(Image.Resampling.BILINEAR).save(path), None, "resized so"),
    LabelCase("bicubic.png", lambda path: _halved(Image.Resampling.BICUBIC).save(path), None, "resized so"),
    LabelCase("area.png", lambda path: _halved(Image.Resampling.BOX).save(path), None, "resized so"),
    LabelCase("zoomed.tif", lambda path: _tif(ndimage.zoom(40 * NUMBERS.astype(np.uint16), 0.7))(path), None, "steps"),
    LabelCase("trimap.png", _png(_renumbered(128, 255, 255, 128, 255)), None, "how sure somebody was"),
    LabelCase("alpha_alone.png", _png(_rgba(0 * WHITE, WHITE)), None, "transparent in part"),
    LabelCase("alpha_white.png", _png(_rgba(255 + 0 * WHITE, WHITE)), None, "transparent in part"),
    LabelCase("green.png", _png(np.dstack([0 * WHITE, WHITE, 0 * WHITE])), None, "colour picture"),
    LabelCase("black_class.png", _png(THERE * np.uint8(1), "P", _BLACK_WHITE[::-1] + [0] * 3), None, "which is backgr"),
    LabelCase("black_class_empty.png", _png(0 * WHITE, "P", _BLACK_WHITE[::-1]), None, "which is backgr"),
    LabelCase("palette_mostly_white.png", _png((~THERE) * np.uint8(1), "P", _BLACK_WHITE), None, "which is backgr"),
    LabelCase("palette_red_white.png", _png((~THERE) * np.uint8(1), "P", _RED_WHITE), None, "which is backgr"),
    LabelCase("palette_purple_black.png", _png((~THERE) * np.uint8(1), "P", _PURPLE_BLACK), None, "which is backgr"),
    LabelCase("palette_red_white_few.png", _png(THERE * np.uint8(1), "P", _RED_WHITE), _TOUCHING),
    LabelCase("palette_white.png", _png(np.ones_like(WHITE), "P", _BLACK_WHITE), None, "which is backgr"),
    LabelCase("palette_mostly_white.tif", _png((~THERE) * np.uint8(1), "P", _BLACK_WHITE), None, "which is backgr"),
    LabelCase("grey_ramp_palette.png", _png(_renumbered(1, 255, 3, 4, 200), "P", _RAMP), _OBJECTS),
    LabelCase("grey_alpha.png", _png(np.dstack([WHITE, np.full_like(WHITE, 255)]), "LA"), _TOUCHING),
    LabelCase("big_endian_16.tif", _tif(_renumbered(1, 2, 3, 4, 5, dtype=np.uint16), byteorder=">"), _OBJECTS),
    LabelCase("bigtiff.tif", _tif(WHITE, bigtiff=True, tile=(64, 64), compression="deflate"), _TOUCHING),
    LabelCase("float.tif", _tif(THERE.astype(np.float32)), _TOUCHING),
    LabelCase("float_white.tif", _tif(WHITE.astype(np.float64), tile=(64, 64)), _TOUCHING),
    LabelCase("float_numbers.tif", _tif(NUMBERS.astype(np.float32), compression="deflate", predictor=3), _OBJECTS),
    LabelCase("float_half.tif", _tif(THERE.astype(np.float16)), _TOUCHING),
    # as label tools write them
    LabelCase("labelme_voc.png", _png(THERE * np.uint8(1), "P", [0, 0, 0, 128, 0, 0]), _TOUCHING),
    LabelCase("cvat_numbers.png", _png(NUMBERS.astype(np.uint8), "P", [0, 0, 0, *range(30, 45)]), _OBJECTS),
    LabelCase("red.png", _png(np.dstack([WHITE, 0 * WHITE, 0 * WHITE])), None, "colour picture"),
    LabelCase(
        "coco_panoptic.png",
        _png(np.dstack([NUMBERS, 0 * NUMBERS, 0 * NUMBERS]).astype(np.uint8)),
        None,
        "channels that differ",
    ),
    LabelCase("ilastik_classes.tif", _tif((1 + THERE).astype(np.uint8)), None, "has no background"),
    LabelCase(
        "ilastik_probabilities.tif",
        _tif(np.stack([THERE * 0.9] * 2).astype(np.float32), imagej=True, metadata={"axes": "CYX"}),
        None,
        "2 planes or channels",
    ),
    LabelCase("napari_one_plane.tif", _tif(NUMBERS[None].astype(np.int64)), _OBJECTS),
    LabelCase("cellpose_16.png", _png(NUMBERS.astype(np.uint16)), _OBJECTS),
    LabelCase("imagej_counts.tif", _tif(NUMBERS.astype(np.float32), imagej=True), _OBJECTS),
    LabelCase("imagej_inverting.tif", _tif(WHITE, imagej=True, photometric="miniswhite"), _TOUCHING),
    LabelCase("unknown_below_zero.tif", _tif(np.where(THERE, 1, -1).astype(np.int8)), None, "values below 0"),
    LabelCase("cmyk.jpg", lambda path: Image.fromarray(WHITE).convert("CMYK").save(path, quality=95), _TOUCHING),
    LabelCase("numbers.jpg", _png((50 * NUMBERS).astype(np.uint8), quality=95), None, "mostly grey"),
    LabelCase(
        "clear_white.png", _png(THERE * np.uint8(1), "P", _BLACK_WHITE[::-1], transparency=0), None, "which is backgr"
    ),
    LabelCase("probabilities.tif", _tif((THERE * 0.7).astype(np.float32)), None, "as probabilities have"),
    LabelCase("float_nan.tif", _tif(np.where(THERE, 1, np.nan).astype(np.float32)), None, "values such as nan"),
    LabelCase("complex.tif", _tif(THERE.astype(np.complex64)), None, "values of type complex64"),
    LabelCase("one_number_smoothed.png", lambda path: _smoothed(2).save(path), None, "resized so"),
    LabelCase("two_numbers_smoothed.png", lambda path: _smoothed(1, 3).save(path), None, "resized so"),
    LabelCase("grey_smoothed.png", lambda path: _smoothed(100).save(path), None, "cannot be told from noise"),
    LabelCase("border_class.png", lambda path: _bordered(path), None, "resized so"),
    LabelCase("below_zero.tif", _tif(NUMBERS.astype(np.int16) - 1), None, "values below 0"),
    LabelCase("channels.tif", _several_pages, None, "2 planes or channels"),
    LabelCase(
        "imagej_stack.tif",
        _tif(np.stack([0 * WHITE, WHITE, WHITE]), imagej=True, metadata={"axes": "CYX"}),
        None,
        "3 planes or channels",
    ),
    LabelCase("ome_channels.ome.tif", _tif(np.stack([WHITE, WHITE]), metadata={"axes": "CYX"}), None, "2 planes"),
    LabelCase("picture.png", _png(np.tile(np.arange(SIZE, dtype=np.uint8), (SIZE, 1))), None, "mostly grey"),
    LabelCase("animated.png", lambda path: _animated(path), None, "holds 2 pictures"),
    LabelCase(
        "tuft_in_its_capsule.png",
        _png(np.where(ndimage.binary_erosion(THERE, iterations=5), 2, THERE).astype(np.uint8)),
        None,
        "numbers that lie within another",
    ),
    LabelCase("tissue_around.png", _png(_IN_TISSUE), None, "numbers that lie within another"),
    LabelCase("rings.png", _png(_RING * np.uint8(255)), None, "holds outlines alone"),
    LabelCase(
        "rings_of_numbers.tif", _tif(np.where(_RING, NUMBERS, 0).astype(np.uint16)), None, "holds outlines alone"
    ),
    LabelCase(
        "ring_around_a_core.png", _png(np.where(_RING, 2, THERE).astype(np.uint8)), None, "numbers that go around"
    ),
    LabelCase(
        "grey_class_of_jpeg.png",
        lambda path: _resaved(path, _renumbered(255, 255, 255, 128, 128)),
        None,
        "regions of grey",
    ),
    LabelCase("lossy_jpeg2000.tif", _lossy("jpeg2000", level=40, reversible=False), _TOUCHING),
    LabelCase("lossy_jpegxl.tif", _lossy("jpegxl", level=50), _TOUCHING),
    LabelCase("small_page_first.tif", _small_page_first, None, "begins with a page of 48 x 48 px"),
    LabelCase("text.png", lambda path: path.write_text("II*\0 no image"), None, "cannot be read"),
)


def _resaved(path: Path, pixels: np.ndarray = WHITE) -> None:
    """Write as PNG what JPEG has blurred before."""
    blurred = path.with_suffix(".jpg")
    Image.fromarray(pixels).save(blurred, quality=60)
    with Image.open(blurred) as image:
        image.save(path)
    blurred.unlink()


def _halved(how: Image.Resampling) -> Image.Image:
    """Resize numbers as if they were brightness."""
    return Image.fromarray(NUMBERS.astype(np.uint8)).resize(_HALF, how)


def _smoothed(*numbers: int) -> Image.Image:
    """Enlarge one or two numbers as if they were brightness."""
    values = np.array((0, *(numbers * 5)[:5]), np.uint8)[NUMBERS]
    return Image.fromarray(values).resize((SIZE * 3 // 2,) * 2, Image.Resampling.BILINEAR)


def _bordered(path: Path) -> None:
    """Give each object a border of another number, as networks with a class for borders want it."""
    inner = ndimage.binary_erosion(THERE, iterations=2)
    Image.fromarray((THERE + inner.astype(np.uint8)).astype(np.uint8)).save(path)


def _animated(path: Path) -> None:
    frames = [Image.fromarray(WHITE), Image.fromarray(255 - WHITE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
