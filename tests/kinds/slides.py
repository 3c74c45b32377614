"""Kinds of slides and pictures, each with what must come of it: its pixels and their size, or a refusal by name.

Every case shows SCENE, 512 x 384 px, on its main picture. `mpp` is what the file says, None where nothing usable;
`says` must stand in the remarks or the reason; `refusal` in the error of what is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from support.dicom import dicom_slide
from support.slides import draw, reduce, strew

Pixels = NDArray[np.uint8]
_AREA = (20, 20, 470, 340)
SCENE: Pixels = draw((512, 384), _AREA, strew(_AREA, 7, 40, seed=5))
OTHER: Pixels = draw((512, 384), _AREA, strew(_AREA, 7, 40, seed=6))
GREY: Pixels = SCENE[..., 1].copy()
TILE = {"tile": (128, 128)}


@dataclass(frozen=True, kw_only=True)
class SlideCase:
    """One kind of file: how it is written (to a folder, giving the file to open) and what must come of it."""

    name: str
    write: Callable[[Path], Path]
    mpp: float | tuple[float, float] | None = None
    says: str = ""
    refusal: str = ""
    broken: bool = False  # opens, and says so when its pixels are read
    off: float = 0.5  # mean difference to the scene in grey levels that its coding may make
    grey: bool = False


def _tiff(name: str, picture: NDArray[np.generic] = SCENE, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        how = {"photometric": "rgb", "metadata": None, **TILE, **options}
        tifffile.imwrite(folder / name, picture, **how)
        return folder / name

    return write


def _pages(name: str, *pages: tuple[Pixels, dict[str, object]]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with tifffile.TiffWriter(folder / name) as tiff:
            for picture, how in pages:
                tiff.write(picture, **{"photometric": "rgb", "metadata": None, **TILE, **how})
        return folder / name

    return write


def _image(name: str, form: str, picture: Pixels = SCENE, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(picture).save(folder / name, form, **options)
        return folder / name

    return write


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def aperio(fields: str, size: str = "512x384") -> str:
    """Write a description as Aperio does."""
    return f"Aperio Image Library v11.2.1\r\n{size} [0,0 {size}] (128x128) JPEG/RGB Q=90|{fields}"


def _svs(fields: str, size: str = "512x384") -> Callable[[Path], Path]:
    return _tiff("a.svs", description=aperio(fields, size), software=None)


def ome_xml(*images: str) -> bytes:
    """Write OME-XML of some Image elements."""
    space = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{space}">{"".join(images)}</OME>'.encode()


def ome_image(name: str, width: int, height: int, size: str, ifd: int) -> str:
    """Write an Image element; `size` holds its attributes of physical size."""
    return (
        f'<Image ID="Image:{ifd}" Name="{name}"><Pixels ID="Pixels:{ifd}" DimensionOrder="XYCZT" Type="uint8" '
        f'SizeX="{width}" SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1" {size}>'
        f'<Channel ID="Channel:{ifd}:0" SamplesPerPixel="3"/><TiffData IFD="{ifd}" PlaneCount="1"/></Pixels></Image>'
    )


def _um(value: str, unit: str | None = None) -> str:
    named = "" if unit is None else f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    return f'PhysicalSizeX="{value}" PhysicalSizeY="{value}"{named}'


def _ome(size: str) -> Callable[[Path], Path]:
    return _pages("a.ome.tif", (SCENE, {"description": ome_xml(ome_image("scan", 512, 384, size, 0))}))


def _ome_with_macro(first_in_xml: bool, first_in_file: bool) -> Callable[[Path], Path]:
    macro, scan = np.ascontiguousarray(OTHER[:200, :300]), SCENE
    place = (0, 1) if first_in_file else (1, 0)
    elements = [ome_image("macro image", 300, 200, _um("20"), place[0]), ome_image("s", 512, 384, _um("0.5"), place[1])]
    xml = ome_xml(*(elements if first_in_xml else elements[::-1]))
    pages = (macro, scan) if first_in_file else (scan, macro)
    return _pages("a.ome.tif", (pages[0], {"description": xml}), (pages[1], {}))


def _dicom(mpp: float | None, ending: str, open_level: int = 0) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return dicom_slide(folder, SCENE, mpp, levels=2, ending=ending)[open_level]

    return write


def _damaged(write: Callable[[Path], Path], tile: int, how: str) -> Callable[[Path], Path]:
    def damage(folder: Path) -> Path:
        path = write(folder)
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            offset, count = page.dataoffsets[tile], page.databytecounts[tile]
        with path.open("r+b") as file:
            file.seek(offset + count // 2)
            file.write(bytes(count // 4) if how == "hole" else b"\xff\xd9")
        return path

    return damage


def _cut(write: Callable[[Path], Path], share: float) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return cut


def _turned_png(folder: Path) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SCENE).save(folder / "a.png", exif=exif)
    return folder / "a.png"


def _encoded(name: str, codec: str, **options: object) -> Callable[[Path], Path]:
    """Write 16 bits that hold 12, as cameras do."""
    return lambda folder: _bytes(name, getattr(imagecodecs, codec)(SCENE.astype(np.uint16) * 16, **options))(folder)


def _encoded8(name: str, codec: str) -> Callable[[Path], Path]:
    return lambda folder: _bytes(name, getattr(imagecodecs, codec)(GREY))(folder)


def _turned_jpeg(folder: Path) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SCENE).save(folder / "a.jpg", quality=95, exif=exif, dpi=(0, 0))
    return folder / "a.jpg"


def _jpeg_of_exif(folder: Path) -> Path:
    exif = Image.Exif()
    exif[282] = exif[283] = 50_800.0
    exif[296] = 2
    Image.fromarray(SCENE).save(folder / "a.jpg", quality=95, exif=exif)
    return folder / "a.jpg"


def _cmyk_jpeg(folder: Path) -> Path:
    Image.fromarray(SCENE).convert("CMYK").save(folder / "a.jpg")
    return folder / "a.jpg"


def _animated_png(folder: Path) -> Path:
    Image.fromarray(SCENE).save(folder / "a.png", save_all=True, append_images=[Image.fromarray(OTHER)])
    return folder / "a.png"


_NOISY: Pixels = SCENE - np.random.default_rng(0).integers(0, 60, SCENE.shape, dtype=np.uint8)
_RESOLUTION = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
_ALPHA = np.dstack([SCENE, np.full(SCENE.shape[:2], 255, np.uint8)])
_CLEARED = SCENE.min(axis=2, keepdims=True) // 2
_MULTIPLIED = np.dstack([SCENE - _CLEARED, 255 - _CLEARED])  # what it leaves of white is SCENE
_EMPTY_FOURTH = np.dstack([SCENE, np.zeros(SCENE.shape[:2], np.uint8)])

READ = (
    # codecs and layouts
    SlideCase(name="deflate", write=_tiff("a.tif", compression="deflate", **_RESOLUTION), mpp=0.5),
    SlideCase(name="lzw with predictor", write=_tiff("a.tif", compression="lzw", predictor=True)),
    SlideCase(name="zstd", write=_tiff("a.tif", compression="zstd")),
    SlideCase(name="packbits", write=_tiff("a.tif", compression="packbits")),
    SlideCase(name="jpeg", write=_tiff("a.tif", compression="jpeg"), off=4),
    SlideCase(name="webp", write=_tiff("a.tif", compression="webp"), off=4),
    SlideCase(name="jpeg 2000", write=_tiff("a.tif", compression="jpeg2000"), off=4),
    SlideCase(name="BigTIFF", write=_tiff("a.btf", bigtiff=True)),
    SlideCase(name="big-endian", write=_tiff("a.tif", byteorder=">")),
    SlideCase(name="strips", write=_tiff("a.tif", tile=None)),
    SlideCase(name="planes apart", write=_tiff("a.tif", SCENE.transpose(2, 0, 1).copy(), planarconfig="separate")),
    SlideCase(name="grey", write=_tiff("a.tif", GREY, photometric="minisblack"), grey=True),
    SlideCase(name="alpha", write=_tiff("a.tif", _ALPHA, extrasamples=["unassalpha"])),
    SlideCase(name="alpha, multiplied in", write=_tiff("a.tif", _MULTIPLIED, extrasamples=["assocalpha"])),
    SlideCase(
        name="three channels without names",
        write=_tiff("a.tif", photometric="minisblack", planarconfig="contig"),
        says="does not say that its 3 channels are red, green and blue",
    ),
    SlideCase(
        name="a fourth channel", write=_tiff("a.tif", _ALPHA * np.uint8([1, 1, 1, 0]), extrasamples=["unspecified"])
    ),
    SlideCase(name="no ending", write=_tiff("slide")),
    SlideCase(name="the ending of another format", write=_tiff("slide.png")),
    # resolution tags
    SlideCase(name="inches", write=_tiff("a.tif", resolution=(50_800, 50_800), resolutionunit="INCH"), mpp=0.5),
    SlideCase(name="72 dpi", write=_tiff("a.tif", resolution=(72, 72), resolutionunit="INCH"), says="implausible"),
    SlideCase(name="no unit", write=_tiff("a.tif", resolution=(20_000, 20_000), resolutionunit="NONE")),
    SlideCase(
        name="oblong pixels",
        write=_tiff("a.tif", resolution=(20_000, 40_000), resolutionunit="CENTIMETER"),
        mpp=(0.5, 0.25),
        says="not square",
    ),
    SlideCase(
        name="x and y that contradict",
        write=_tiff("a.tif", resolution=(20_000, 2000), resolutionunit="CENTIMETER"),
        says="cannot both be right",
    ),
    SlideCase(
        name="ImageJ's micron",
        write=_tiff("a.tif", imagej=True, tile=None, metadata={"unit": "micron"}, resolution=(4, 4)),
        mpp=0.25,
    ),
    # Aperio
    SlideCase(name="Aperio", write=_svs("AppMag = 20|MPP = 0.4990"), mpp=0.499),
    SlideCase(name="Aperio, comma", write=_svs("AppMag = 20|MPP = 0,4990"), mpp=0.499),
    SlideCase(name="Aperio, exponent", write=_svs("AppMag = 20|MPP = 4.99e-1"), mpp=0.499),
    SlideCase(name="Aperio, in a title", write=_svs("Title = MPP = 2|AppMag = 40|MPP = 0.2472"), mpp=0.2472),
    SlideCase(name="Aperio, two dots", write=_svs("AppMag = 20|MPP = 0.4.99"), says="no number"),
    SlideCase(name="Aperio, twice", write=_svs("MPP = 0.25|MPP = 0.5"), says="several pixel sizes"),
    SlideCase(name="Aperio, none", write=_svs("AppMag = 20")),
    SlideCase(name="Aperio, objective", write=_svs("AppMag = 40|MPP = 1.0"), mpp=1.0, says="objective of 40x"),
    SlideCase(name="Aperio, resized", write=_svs("MPP = 0.25", "1024x768"), mpp=0.25, says="was it resized?"),
    SlideCase(
        name="Aperio, 40x of 0.5 um",
        write=_svs("AppMag = 40|MPP = 0.5"),
        mpp=0.5,
        says="objective of 40x, which do not",
    ),
    SlideCase(
        name="Aperio, tags that contradict",
        write=_tiff("a.svs", description=aperio("AppMag = 40|MPP = 0.25"), software=None, **_RESOLUTION),
        mpp=0.25,
        says="0.25 um per pixel in its Aperio description and 0.5 in its resolution tags",
    ),
    # OME
    SlideCase(name="OME", write=_ome(_um("0.5")), mpp=0.5),
    SlideCase(name="OME, nanometres", write=_ome(_um("500", "nm")), mpp=0.5),
    SlideCase(name="OME, inches", write=_ome(_um("0.0000196850394", "in")), mpp=0.5),
    SlideCase(name="OME, comma", write=_ome(_um("0,5", "µm")), mpp=0.5),
    SlideCase(
        name="OME, tags that contradict",
        write=_pages(
            "a.ome.tif", (SCENE, {"description": ome_xml(ome_image("s", 512, 384, _um("0.25"), 0)), **_RESOLUTION})
        ),
        mpp=0.25,
        says="0.25 um per pixel in its OME-XML and 0.5 in its resolution tags",
    ),
    SlideCase(name="OME, pixels", write=_ome(_um("0.5", "pixel")), says="no unit of length"),
    SlideCase(name="OME, 12.6 um", write=_ome(_um("12.6", "µm")), says="12.6 um per pixel, which is implausible"),
    SlideCase(name="OME, one direction", write=_ome('PhysicalSizeX="0.5"'), says="one direction alone"),
    SlideCase(name="OME, macro first", write=_ome_with_macro(True, True), mpp=0.5),
    SlideCase(name="OME, macro first in the XML", write=_ome_with_macro(True, False), mpp=0.5),
    SlideCase(name="OME, macro first in the file", write=_ome_with_macro(False, True), mpp=0.5),
    SlideCase(
        name="OME, broken XML",
        write=_pages("a.ome.tif", (SCENE, {"description": "<?xml?><OME></OME>"})),
        says="OME-XML",
    ),
    # pages
    SlideCase(
        name="a level that is marked", write=_pages("a.tif", (SCENE, {}), (reduce(SCENE, 2), {"subfiletype": 1}))
    ),
    SlideCase(name="a level that is not", write=_pages("a.tif", (SCENE, {}), (reduce(SCENE, 2), {}))),
    SlideCase(
        name="another section as page 2",
        write=_pages("a.tif", (SCENE, {}), (reduce(OTHER, 2), {})),
        says="holds another picture",
    ),
    SlideCase(
        name="another section of the same size", write=_pages("a.tif", (SCENE, {}), (OTHER, {})), says="another picture"
    ),
    SlideCase(
        name="a thumbnail first",
        write=_pages("a.tif", (reduce(SCENE, 4), {"tile": None}), (SCENE, {})),
        says="begins with a picture of 128 x 96 px",
    ),
    # pictures
    SlideCase(name="PNG", write=_image("a.png", "PNG", dpi=(50_800, 50_800)), mpp=0.5),
    SlideCase(name="PNG of 96 dpi", write=_image("a.png", "PNG", dpi=(96, 96)), says="implausible"),
    SlideCase(name="PNG with a palette", write=lambda folder: _palette(folder), off=0.5),
    SlideCase(name="JPEG", write=_image("a.jpe", "JPEG", quality=95), off=4),
    SlideCase(name="progressive JPEG", write=_image("a.jpg", "JPEG", quality=95, progressive=True), off=4),
    SlideCase(name="JPEG, resolution in EXIF alone", write=_jpeg_of_exif, mpp=0.5, off=4),
    SlideCase(name="grey JPEG", write=_image("a.jpg", "JPEG", GREY, quality=95), off=4, grey=True),
    SlideCase(name="JPEG that says it is turned", write=_turned_jpeg, off=4, says="orientation 6"),
    SlideCase(name="PNG that says it is turned", write=_turned_png, says="orientation 6"),
    SlideCase(
        name="TIFF that says it is turned",
        write=_tiff("a.tif", extratags=[(274, 3, 1, 3, True)], **_RESOLUTION),
        mpp=0.5,
        says="orientation 3",
    ),
    SlideCase(name="animated PNG", write=_animated_png, says="holds 2 pictures"),
    SlideCase(name="PNG with clear parts", write=_image("a.png", "PNG", np.dstack([SCENE, GREY * 0 + 255]))),
    SlideCase(name="JPEG XL in TIFF", write=_tiff("a.tif", compression="jpegxl"), off=4),
    SlideCase(name="JPEG 2000 picture", write=_image("a.j2k", "JPEG2000")),
    SlideCase(name="BMP", write=_image("a.bmp", "BMP")),
    SlideCase(name="WebP", write=_image("a.webp", "WEBP", lossless=True)),
    # DICOM
    SlideCase(name="DICOM", write=_dicom(0.5, ".dcm"), mpp=0.5, off=4),
    SlideCase(name="DICOM without ending", write=_dicom(0.5, ""), mpp=0.5, off=4),
    SlideCase(name="DICOM, by its second level", write=_dicom(0.5, ".dcm", 1), mpp=0.5, off=4),
)

REFUSED = (
    SlideCase(name="min-is-white", write=_tiff("a.tif", GREY, photometric="miniswhite"), refusal="MINISWHITE"),
    SlideCase(
        name="palette TIFF",
        write=_tiff("a.tif", GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
        refusal="PALETTE",
    ),
    SlideCase(name="CMYK", write=_tiff("a.tif", _ALPHA, photometric="separated", extrasamples=()), refusal="SEPARATED"),
    SlideCase(name="16 bit", write=_tiff("a.tif", SCENE.astype(np.uint16)), refusal="uint16.*8-bit"),
    SlideCase(name="1 bit", write=_tiff("a.tif", GREY > 99, photometric="minisblack"), refusal="bool.*8-bit"),
    SlideCase(name="float", write=_tiff("a.tif", SCENE.astype(np.float32)), refusal="float32.*8-bit"),
    SlideCase(
        name="fluorescence",
        write=_tiff("a.ome.tif", np.stack([GREY] * 5), photometric="minisblack", ome=True, metadata={"axes": "CYX"}),
        refusal="5 separate channels",
    ),
    SlideCase(
        name="a stack",
        write=_tiff("a.ome.tif", np.stack([GREY] * 4), photometric="minisblack", ome=True, metadata={"axes": "ZYX"}),
        refusal="stack of 4 planes",
    ),
    SlideCase(name="CMYK JPEG", write=_cmyk_jpeg, refusal="type CMYK"),
    SlideCase(
        name="ImageJ hyperstack",
        write=_tiff("a.tif", np.stack([SCENE] * 2)[:, None, None], imagej=True, tile=None, metadata={"axes": "TZCYXS"}),
        refusal="stack of 2 planes",
    ),
    SlideCase(name="JPEG-LS", write=_encoded8("a.jpg", "jpegls_encode"), refusal="JPEG-LS.*not read here; save"),
    SlideCase(name="JPEG-LS, its own ending", write=_bytes("a.jls", b"\xff\xd8\xff\xf7"), refusal="JPEG-LS"),
    SlideCase(name="lossless JPEG", write=_encoded8("a.jpg", "ljpeg_encode"), refusal="lossless JPEG.*not read here"),
    SlideCase(
        name="12-bit JPEG",
        write=_encoded("a.jpg", "jpeg_encode", bitspersample=12),
        refusal="JPEG of 12 bits.*not read here",
    ),
    SlideCase(name="16-bit PNG", write=_image("a.png", "PNG", GREY.astype(np.uint16)), refusal="8-bit"),
    SlideCase(name="16-bit colour PNG", write=_encoded("a.png", "png_encode"), refusal="16 bits.*8-bit"),
    SlideCase(name="16-bit JPEG 2000", write=_encoded("a.jp2", "jpeg2k_encode", level=0), refusal="16 bits.*8-bit"),
    SlideCase(
        name="four channels without names",
        write=_tiff("a.tif", _ALPHA, photometric="minisblack", planarconfig="contig"),
        refusal="4 separate channels",
    ),
    SlideCase(
        name="grey and a channel without a name",
        write=_tiff("a.tif", _ALPHA[..., :2].copy(), photometric="minisblack", extrasamples=["unspecified"]),
        refusal="2 separate channels",
    ),
    SlideCase(
        name="a block of planes",
        write=_tiff("a.tif", np.stack([GREY] * 4), photometric="minisblack", tile=(4, 128, 128), volumetric=True),
        refusal="stack of 4 planes",
    ),
    SlideCase(name="LIF", write=_bytes("a.lif", b"\x70\0\0\0" + bytes(99)), refusal="LIF.*not read here; convert"),
    SlideCase(name="iSyntax", write=_bytes("a.isyntax", b"<DataObject"), refusal="iSyntax.*not read here; export"),
    SlideCase(name="HEIC", write=_bytes("a.heic", b"\0\0\0\x18ftypheic"), refusal="not read here; save it as PNG"),
    SlideCase(name="VSI", write=_tiff("a.vsi"), refusal="VSI.*not read here; convert"),
    SlideCase(name="GIF", write=_image("a.gif", "GIF"), refusal="GIF.*not read here; save"),
    SlideCase(name="Zarr", write=lambda folder: _folder(folder / "a.ome.zarr"), refusal="Zarr.*not read here"),
    SlideCase(name="empty", write=_bytes("a.svs", b""), refusal="empty"),
    SlideCase(name="a text", write=_bytes("a.tif", b"404 not found"), refusal="cannot open"),
    SlideCase(name="an empty TIFF", write=_bytes("a.tif", struct.pack("<2sHI", b"II", 42, 8)), refusal="cannot open"),
    SlideCase(name="hole, jpeg", write=_damaged(_tiff("a.tif", _NOISY, compression="jpeg"), 5, "hole"), broken=True),
    SlideCase(name="early end", write=_damaged(_tiff("a.tif", _NOISY, compression="jpeg"), 5, "end"), broken=True),
    SlideCase(name="hole, lzw", write=_damaged(_tiff("a.tif", _NOISY, compression="lzw"), 5, "hole"), broken=True),
    SlideCase(name="hole, zstd", write=_damaged(_tiff("a.tif", _NOISY, compression="zstd"), 5, "hole"), broken=True),
    SlideCase(
        name="hole, jpeg 2000", write=_damaged(_tiff("a.tif", _NOISY, compression="jpeg2000"), 5, "hole"), broken=True
    ),
    SlideCase(name="cut JPEG", write=_cut(_image("a.jpg", "JPEG", _NOISY), 0.7), broken=True),
    SlideCase(name="cut PNG", write=_cut(_image("a.png", "PNG", _NOISY), 0.7), broken=True),
    SlideCase(name="cut strips", write=_cut(_tiff("a.tif", _NOISY, tile=None), 0.7), broken=True),
)


def _palette(folder: Path) -> Path:
    Image.fromarray(SCENE).quantize(64).save(folder / "a.png")
    return folder / "a.png"


def _folder(path: Path) -> Path:
    (path / "0").mkdir(parents=True)
    return path
