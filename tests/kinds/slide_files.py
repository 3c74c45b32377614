"""How files of slides and pictures are written of which the kinds are made."""

from __future__ import annotations

from collections.abc import Callable
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
WITH_A_GAP: Pixels = reduce(SCENE, 2)
WITH_A_GAP[64:128, 64:128] = 0  # as where a file was not copied whole


def tiff(name: str, picture: NDArray[np.generic] = SCENE, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        how = {"photometric": "rgb", "metadata": None, **TILE, **options}
        tifffile.imwrite(folder / name, picture, **how)
        return folder / name

    return write


def pages(name: str, *written: tuple[Pixels, dict[str, object]]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        with tifffile.TiffWriter(folder / name) as tiff:
            for picture, how in written:
                tiff.write(picture, **{"photometric": "rgb", "metadata": None, **TILE, **how})
        return folder / name

    return write


def image(name: str, form: str, picture: Pixels = SCENE, **options: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        Image.fromarray(picture).save(folder / name, form, **options)
        return folder / name

    return write


def raw(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def aperio(fields: str, size: str = "512x384") -> str:
    """Write a description as Aperio does."""
    return f"Aperio Image Library v11.2.1\r\n{size} [0,0 {size}] (128x128) JPEG/RGB Q=90|{fields}"


def svs(fields: str, size: str = "512x384") -> Callable[[Path], Path]:
    return tiff("a.svs", description=aperio(fields, size), software=None)


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


def um(value: str, unit: str | None = None) -> str:
    named = "" if unit is None else f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    return f'PhysicalSizeX="{value}" PhysicalSizeY="{value}"{named}'


def ome(size: str) -> Callable[[Path], Path]:
    return pages("a.ome.tif", (SCENE, {"description": ome_xml(ome_image("scan", 512, 384, size, 0))}))


def ome_with_macro(first_in_xml: bool, first_in_file: bool) -> Callable[[Path], Path]:
    macro, scan = np.ascontiguousarray(OTHER[:200, :300]), SCENE
    place = (0, 1) if first_in_file else (1, 0)
    elements = [ome_image("macro image", 300, 200, um("20"), place[0]), ome_image("s", 512, 384, um("0.5"), place[1])]
    xml = ome_xml(*(elements if first_in_xml else elements[::-1]))
    first, second = (macro, scan) if first_in_file else (scan, macro)
    return pages("a.ome.tif", (first, {"description": xml}), (second, {}))


def dicom(mpp: float | None, ending: str, open_level: int = 0) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        return dicom_slide(folder, SCENE, mpp, levels=2, ending=ending)[open_level]

    return write


def damaged(write: Callable[[Path], Path], tile: int, how: str) -> Callable[[Path], Path]:
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


def cut(write: Callable[[Path], Path], share: float) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        path = write(folder)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        return path

    return cut


def turned_png(folder: Path) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SCENE).save(folder / "a.png", exif=exif)
    return folder / "a.png"


def encoded(name: str, codec: str, **options: object) -> Callable[[Path], Path]:
    """Write 16 bits that hold 12, as cameras do."""
    return lambda folder: raw(name, getattr(imagecodecs, codec)(SCENE.astype(np.uint16) * 16, **options))(folder)


def encoded8(name: str, codec: str) -> Callable[[Path], Path]:
    return lambda folder: raw(name, getattr(imagecodecs, codec)(GREY))(folder)


def turned_jpeg(folder: Path) -> Path:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(SCENE).save(folder / "a.jpg", quality=95, exif=exif, dpi=(0, 0))
    return folder / "a.jpg"


def jpeg_of_exif(folder: Path) -> Path:
    exif = Image.Exif()
    exif[282] = exif[283] = 50_800.0
    exif[296] = 2
    Image.fromarray(SCENE).save(folder / "a.jpg", quality=95, exif=exif)
    return folder / "a.jpg"


def cmyk_jpeg(folder: Path) -> Path:
    Image.fromarray(SCENE).convert("CMYK").save(folder / "a.jpg")
    return folder / "a.jpg"


def animated_png(folder: Path) -> Path:
    Image.fromarray(SCENE).save(folder / "a.png", save_all=True, append_images=[Image.fromarray(OTHER)])
    return folder / "a.png"


NOISY: Pixels = SCENE - np.random.default_rng(0).integers(0, 60, SCENE.shape, dtype=np.uint8)
RESOLUTION = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
ALPHA = np.dstack([SCENE, np.full(SCENE.shape[:2], 255, np.uint8)])
_CLEARED = SCENE.min(axis=2, keepdims=True) // 2
MULTIPLIED = np.dstack([SCENE - _CLEARED, 255 - _CLEARED])  # what it leaves of white is SCENE
EMPTY_FOURTH = np.dstack([SCENE, np.zeros(SCENE.shape[:2], np.uint8)])


def palette_png(folder: Path) -> Path:
    Image.fromarray(SCENE).quantize(64).save(folder / "a.png")
    return folder / "a.png"


def folder_named_so(path: Path) -> Path:
    (path / "0").mkdir(parents=True)
    return path
