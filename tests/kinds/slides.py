"""Kinds of slides and pictures, each with what must come of it: its pixels and their size, or a refusal by name.

Every case shows SCENE, 512 x 384 px, on its main picture. `mpp` is what the file says, None where nothing usable;
`says` must stand in the remarks or the reason; `refusal` in the error of what is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kinds.slide_files import (
    ALPHA,
    GREY,
    MULTIPLIED,
    NOISY,
    OTHER,
    RESOLUTION,
    SCENE,
    WITH_A_GAP,
    animated_png,
    aperio,
    cmyk_jpeg,
    cut,
    damaged,
    dicom,
    encoded,
    encoded8,
    folder_named_so,
    image,
    jpeg_of_exif,
    ome,
    ome_image,
    ome_with_macro,
    ome_xml,
    pages,
    palette_png,
    raw,
    svs,
    tiff,
    turned_jpeg,
    turned_png,
    um,
)
from support.slides import reduce


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


READ = (
    # codecs and layouts
    SlideCase(name="deflate", write=tiff("a.tif", compression="deflate", **RESOLUTION), mpp=0.5),
    SlideCase(name="lzw with predictor", write=tiff("a.tif", compression="lzw", predictor=True)),
    SlideCase(name="zstd", write=tiff("a.tif", compression="zstd")),
    SlideCase(name="packbits", write=tiff("a.tif", compression="packbits")),
    SlideCase(name="jpeg", write=tiff("a.tif", compression="jpeg"), off=4),
    SlideCase(name="webp", write=tiff("a.tif", compression="webp"), off=4),
    SlideCase(name="jpeg 2000", write=tiff("a.tif", compression="jpeg2000"), off=4),
    SlideCase(name="BigTIFF", write=tiff("a.btf", bigtiff=True)),
    SlideCase(name="big-endian", write=tiff("a.tif", byteorder=">")),
    SlideCase(name="strips", write=tiff("a.tif", tile=None)),
    SlideCase(name="planes apart", write=tiff("a.tif", SCENE.transpose(2, 0, 1).copy(), planarconfig="separate")),
    SlideCase(name="grey", write=tiff("a.tif", GREY, photometric="minisblack"), grey=True),
    SlideCase(name="alpha", write=tiff("a.tif", ALPHA, extrasamples=["unassalpha"])),
    SlideCase(name="alpha, multiplied in", write=tiff("a.tif", MULTIPLIED, extrasamples=["assocalpha"])),
    SlideCase(
        name="three channels without names",
        write=tiff("a.tif", photometric="minisblack", planarconfig="contig"),
        says="does not say that its 3 channels are red, green and blue",
    ),
    SlideCase(
        name="a fourth channel", write=tiff("a.tif", ALPHA * np.uint8([1, 1, 1, 0]), extrasamples=["unspecified"])
    ),
    SlideCase(name="no ending", write=tiff("slide")),
    SlideCase(name="the ending of another format", write=tiff("slide.png")),
    # resolution tags
    SlideCase(name="inches", write=tiff("a.tif", resolution=(50_800, 50_800), resolutionunit="INCH"), mpp=0.5),
    SlideCase(name="72 dpi", write=tiff("a.tif", resolution=(72, 72), resolutionunit="INCH"), says="implausible"),
    SlideCase(name="no unit", write=tiff("a.tif", resolution=(20_000, 20_000), resolutionunit="NONE")),
    SlideCase(
        name="oblong pixels",
        write=tiff("a.tif", resolution=(20_000, 40_000), resolutionunit="CENTIMETER"),
        mpp=(0.5, 0.25),
        says="not square",
    ),
    SlideCase(
        name="x and y that contradict",
        write=tiff("a.tif", resolution=(20_000, 2000), resolutionunit="CENTIMETER"),
        says="cannot both be right",
    ),
    SlideCase(
        name="ImageJ's micron",
        write=tiff("a.tif", imagej=True, tile=None, metadata={"unit": "micron"}, resolution=(4, 4)),
        mpp=0.25,
    ),
    # Aperio
    SlideCase(name="Aperio", write=svs("AppMag = 20|MPP = 0.4990"), mpp=0.499),
    SlideCase(name="Aperio, comma", write=svs("AppMag = 20|MPP = 0,4990"), mpp=0.499),
    SlideCase(name="Aperio, exponent", write=svs("AppMag = 20|MPP = 4.99e-1"), mpp=0.499),
    SlideCase(name="Aperio, in a title", write=svs("Title = MPP = 2|AppMag = 40|MPP = 0.2472"), mpp=0.2472),
    SlideCase(name="Aperio, two dots", write=svs("AppMag = 20|MPP = 0.4.99"), says="no number"),
    SlideCase(name="Aperio, twice", write=svs("MPP = 0.25|MPP = 0.5"), says="several pixel sizes"),
    SlideCase(name="Aperio, none", write=svs("AppMag = 20")),
    SlideCase(name="Aperio, objective", write=svs("AppMag = 40|MPP = 1.0"), mpp=1.0, says="objective of 40x"),
    SlideCase(name="Aperio, resized", write=svs("MPP = 0.25", "1024x768"), mpp=0.25, says="was it resized?"),
    SlideCase(
        name="Aperio, 40x of 0.5 um",
        write=svs("AppMag = 40|MPP = 0.5"),
        mpp=0.5,
        says="objective of 40x, which do not",
    ),
    SlideCase(
        name="Aperio, tags that contradict",
        write=tiff("a.svs", description=aperio("AppMag = 40|MPP = 0.25"), software=None, **RESOLUTION),
        mpp=0.25,
        says="0.25 um per pixel in its Aperio description and 0.5 in its resolution tags",
    ),
    # OME
    SlideCase(name="OME", write=ome(um("0.5")), mpp=0.5),
    SlideCase(name="OME, nanometres", write=ome(um("500", "nm")), mpp=0.5),
    SlideCase(name="OME, inches", write=ome(um("0.0000196850394", "in")), mpp=0.5),
    SlideCase(name="OME, comma", write=ome(um("0,5", "µm")), mpp=0.5),
    SlideCase(
        name="OME, tags that contradict",
        write=pages(
            "a.ome.tif", (SCENE, {"description": ome_xml(ome_image("s", 512, 384, um("0.25"), 0)), **RESOLUTION})
        ),
        mpp=0.25,
        says="0.25 um per pixel in its OME-XML and 0.5 in its resolution tags",
    ),
    SlideCase(name="OME, pixels", write=ome(um("0.5", "pixel")), says="no unit of length"),
    SlideCase(name="OME, 12.6 um", write=ome(um("12.6", "µm")), says="12.6 um per pixel, which is implausible"),
    SlideCase(name="OME, one direction", write=ome('PhysicalSizeX="0.5"'), says="one direction alone"),
    SlideCase(name="OME, macro first", write=ome_with_macro(True, True), mpp=0.5),
    SlideCase(name="OME, macro first in the XML", write=ome_with_macro(True, False), mpp=0.5),
    SlideCase(name="OME, macro first in the file", write=ome_with_macro(False, True), mpp=0.5),
    SlideCase(
        name="OME, broken XML",
        write=pages("a.ome.tif", (SCENE, {"description": "<?xml?><OME></OME>"})),
        says="OME-XML",
    ),
    # pages
    SlideCase(name="a level that is marked", write=pages("a.tif", (SCENE, {}), (reduce(SCENE, 2), {"subfiletype": 1}))),
    SlideCase(
        name="a level with a gap",
        write=pages("a.tif", (SCENE, {}), (WITH_A_GAP, {"subfiletype": 1})),
        says="one of these levels has a gap or another picture",
        off=15,
    ),
    SlideCase(name="a level that is not", write=pages("a.tif", (SCENE, {}), (reduce(SCENE, 2), {}))),
    SlideCase(
        name="another section as page 2",
        write=pages("a.tif", (SCENE, {}), (reduce(OTHER, 2), {})),
        says="holds another picture",
    ),
    SlideCase(
        name="another section of the same size",
        write=pages("a.tif", (SCENE, {}), (OTHER, {})),
        says="another picture",
    ),
    SlideCase(
        name="a thumbnail first",
        write=pages("a.tif", (reduce(SCENE, 4), {"tile": None}), (SCENE, {})),
        says="begins with a picture of 128 x 96 px",
    ),
    # pictures
    SlideCase(name="PNG", write=image("a.png", "PNG", dpi=(50_800, 50_800)), mpp=0.5),
    SlideCase(name="PNG of 96 dpi", write=image("a.png", "PNG", dpi=(96, 96)), says="implausible"),
    SlideCase(name="PNG with a palette", write=lambda folder: palette_png(folder), off=0.5),
    SlideCase(name="JPEG", write=image("a.jpe", "JPEG", quality=95), off=4),
    SlideCase(name="progressive JPEG", write=image("a.jpg", "JPEG", quality=95, progressive=True), off=4),
    SlideCase(name="JPEG, resolution in EXIF alone", write=jpeg_of_exif, mpp=0.5, off=4),
    SlideCase(name="grey JPEG", write=image("a.jpg", "JPEG", GREY, quality=95), off=4, grey=True),
    SlideCase(name="JPEG that says it is turned", write=turned_jpeg, off=4, says="orientation 6"),
    SlideCase(name="PNG that says it is turned", write=turned_png, says="orientation 6"),
    SlideCase(
        name="TIFF that says it is turned",
        write=tiff("a.tif", extratags=[(274, 3, 1, 3, True)], **RESOLUTION),
        mpp=0.5,
        says="orientation 3",
    ),
    SlideCase(name="animated PNG", write=animated_png, says="holds 2 pictures"),
    SlideCase(name="PNG with clear parts", write=image("a.png", "PNG", np.dstack([SCENE, GREY * 0 + 255]))),
    SlideCase(name="JPEG XL in TIFF", write=tiff("a.tif", compression="jpegxl"), off=4),
    SlideCase(name="JPEG 2000 picture", write=image("a.j2k", "JPEG2000")),
    SlideCase(name="BMP", write=image("a.bmp", "BMP")),
    SlideCase(name="WebP", write=image("a.webp", "WEBP", lossless=True)),
    # DICOM
    SlideCase(name="DICOM", write=dicom(0.5, ".dcm"), mpp=0.5, off=4),
    SlideCase(name="DICOM without ending", write=dicom(0.5, ""), mpp=0.5, off=4),
    SlideCase(name="DICOM, by its second level", write=dicom(0.5, ".dcm", 1), mpp=0.5, off=4),
)

REFUSED = (
    SlideCase(name="min-is-white", write=tiff("a.tif", GREY, photometric="miniswhite"), refusal="MINISWHITE"),
    SlideCase(
        name="palette TIFF",
        write=tiff("a.tif", GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
        refusal="PALETTE",
    ),
    SlideCase(name="CMYK", write=tiff("a.tif", ALPHA, photometric="separated", extrasamples=()), refusal="SEPARATED"),
    SlideCase(name="16 bit", write=tiff("a.tif", SCENE.astype(np.uint16)), refusal="uint16.*8-bit"),
    SlideCase(name="1 bit", write=tiff("a.tif", GREY > 99, photometric="minisblack"), refusal="bool.*8-bit"),
    SlideCase(name="float", write=tiff("a.tif", SCENE.astype(np.float32)), refusal="float32.*8-bit"),
    SlideCase(
        name="fluorescence",
        write=tiff("a.ome.tif", np.stack([GREY] * 5), photometric="minisblack", ome=True, metadata={"axes": "CYX"}),
        refusal="5 separate channels",
    ),
    SlideCase(
        name="a stack",
        write=tiff("a.ome.tif", np.stack([GREY] * 4), photometric="minisblack", ome=True, metadata={"axes": "ZYX"}),
        refusal="stack of 4 planes",
    ),
    SlideCase(name="CMYK JPEG", write=cmyk_jpeg, refusal="type CMYK"),
    SlideCase(
        name="ImageJ hyperstack",
        write=tiff("a.tif", np.stack([SCENE] * 2)[:, None, None], imagej=True, tile=None, metadata={"axes": "TZCYXS"}),
        refusal="stack of 2 planes",
    ),
    SlideCase(name="JPEG-LS", write=encoded8("a.jpg", "jpegls_encode"), refusal="JPEG-LS.*not read here; save"),
    SlideCase(name="JPEG-LS, its own ending", write=raw("a.jls", b"\xff\xd8\xff\xf7"), refusal="JPEG-LS"),
    SlideCase(name="lossless JPEG", write=encoded8("a.jpg", "ljpeg_encode"), refusal="lossless JPEG.*not read here"),
    SlideCase(
        name="12-bit JPEG",
        write=encoded("a.jpg", "jpeg_encode", bitspersample=12),
        refusal="JPEG of 12 bits.*not read here",
    ),
    SlideCase(name="16-bit PNG", write=image("a.png", "PNG", GREY.astype(np.uint16)), refusal="8-bit"),
    SlideCase(name="16-bit colour PNG", write=encoded("a.png", "png_encode"), refusal="16 bits.*8-bit"),
    SlideCase(name="16-bit JPEG 2000", write=encoded("a.jp2", "jpeg2k_encode", level=0), refusal="16 bits.*8-bit"),
    SlideCase(
        name="four channels without names",
        write=tiff("a.tif", ALPHA, photometric="minisblack", planarconfig="contig"),
        refusal="4 separate channels",
    ),
    SlideCase(
        name="grey and a channel without a name",
        write=tiff("a.tif", ALPHA[..., :2].copy(), photometric="minisblack", extrasamples=["unspecified"]),
        refusal="2 separate channels",
    ),
    SlideCase(
        name="a block of planes",
        write=tiff("a.tif", np.stack([GREY] * 4), photometric="minisblack", tile=(4, 128, 128), volumetric=True),
        refusal="stack of 4 planes",
    ),
    SlideCase(name="LIF", write=raw("a.lif", b"\x70\0\0\0" + bytes(99)), refusal="LIF.*not read here; convert"),
    SlideCase(name="iSyntax", write=raw("a.isyntax", b"<DataObject"), refusal="iSyntax.*not read here; export"),
    SlideCase(name="HEIC", write=raw("a.heic", b"\0\0\0\x18ftypheic"), refusal="not read here; save it as PNG"),
    SlideCase(name="VSI", write=tiff("a.vsi"), refusal="VSI.*not read here; convert"),
    SlideCase(name="GIF", write=image("a.gif", "GIF"), refusal="GIF.*not read here; save"),
    SlideCase(name="Zarr", write=lambda folder: folder_named_so(folder / "a.ome.zarr"), refusal="Zarr.*not read here"),
    SlideCase(name="empty", write=raw("a.svs", b""), refusal="empty"),
    SlideCase(name="a text", write=raw("a.tif", b"404 not found"), refusal="cannot open"),
    SlideCase(name="an empty TIFF", write=raw("a.tif", struct.pack("<2sHI", b"II", 42, 8)), refusal="cannot open"),
    SlideCase(name="hole, jpeg", write=damaged(tiff("a.tif", NOISY, compression="jpeg"), 5, "hole"), broken=True),
    SlideCase(name="early end", write=damaged(tiff("a.tif", NOISY, compression="jpeg"), 5, "end"), broken=True),
    SlideCase(name="hole, lzw", write=damaged(tiff("a.tif", NOISY, compression="lzw"), 5, "hole"), broken=True),
    SlideCase(name="hole, zstd", write=damaged(tiff("a.tif", NOISY, compression="zstd"), 5, "hole"), broken=True),
    SlideCase(
        name="hole, jpeg 2000", write=damaged(tiff("a.tif", NOISY, compression="jpeg2000"), 5, "hole"), broken=True
    ),
    SlideCase(name="cut JPEG", write=cut(image("a.jpg", "JPEG", NOISY), 0.7), broken=True),
    SlideCase(name="cut PNG", write=cut(image("a.png", "PNG", NOISY), 0.7), broken=True),
    SlideCase(name="cut strips", write=cut(tiff("a.tif", NOISY, tile=None), 0.7), broken=True),
)
