"""TIFF headers and OME-XML at random: the right picture, a refusal by name, or a word; never a traceback, never silent.

What a damaged header may still say without a contradiction (another unit of length, another place of the pixels) is
not looked at here; what is: sizes, kinds and numbers of samples, levels, images and planes.
"""

import random
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from kinds.labels import NUMBERS
from kinds.slide_files import OTHER, SCENE, aperio, ome_image, ome_xml
from support.slides import reduce

from glomseg.errors import GlomsegError
from glomseg.geometry import Box
from glomseg.labelled.masks import look_at, read_mask
from glomseg.slides.slide import open_slide

TILED = {"photometric": "rgb", "metadata": None, "tile": (128, 128)}
MM = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
SIZE_UM = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
USUAL = [*range(9), 16, 64, 127, 128, 255, 256, 383, 385, 511, 512, 513, 4096, 65_535, 65_536]
NUMBERS_AT_HAND = [*USUAL, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
TAGS = [254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339,
        347, 530, 32_997, 65_420]  # fmt: skip
FEW, MANY = 12, 400


def pyramid(path: Path, *, compression: str | None = None, **file: object) -> None:
    with tifffile.TiffWriter(path, **file) as tiff:
        tiff.write(SCENE, **TILED, **MM, compression=compression)
        tiff.write(reduce(SCENE, 2), **TILED, compression=compression, subfiletype=1)


def sub_levels(path: Path) -> None:
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(SCENE, **TILED, subifds=1, description=ome_xml(ome_image("s", 512, 384, SIZE_UM, 0)))
        tiff.write(reduce(SCENE, 2), **TILED, subfiletype=1)


def strips(path: Path) -> None:
    tifffile.imwrite(path, SCENE, **{**TILED, **MM, "tile": None}, rowsperstrip=64, compression="lzw")


def planes(path: Path) -> None:
    tifffile.imwrite(path, SCENE.transpose(2, 0, 1).copy(), **TILED, **MM, planarconfig="separate")


def svs(path: Path) -> None:
    said = aperio("AppMag = 20|MPP = 0.5")
    tifffile.imwrite(path, SCENE, **TILED, compression="jpeg", description=said, software=None)


WRITERS: dict[str, Callable[[Path], None]] = {
    "pyramid.tif": pyramid,
    "big-endian.tif": lambda path: pyramid(path, byteorder=">", compression="lzw"),
    "big.btf": lambda path: pyramid(path, bigtiff=True, compression="deflate"),
    "levels.ome.tif": sub_levels,
    "strips.tif": strips,
    "planes.tif": planes,
    "a.svs": svs,
}
MASKS: dict[str, Callable[[Path], None]] = {
    "tiles.tif": lambda path: tifffile.imwrite(path, NUMBERS.astype(np.uint8), tile=(64, 64), compression="deflate"),
    "strips.tif": lambda path: tifffile.imwrite(path, NUMBERS.astype(np.uint16), rowsperstrip=16, compression="lzw"),
    "plain.tif": lambda path: tifffile.imwrite(path, NUMBERS.astype(np.uint16), tile=(64, 64)),
}


def entries(data: bytes) -> list[tuple[str, int, bool]]:
    """List where the entries of the first directory lie: byte order, place, and whether it is of BigTIFF."""
    order, big = "<" if data[:2] == b"II" else ">", data[2 if data[:2] == b"II" else 3] == 43
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first, size = start + (8 if big else 2), 20 if big else 12
    return [(order, first + size * index, big) for index in range(count)]


def changed(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a tag, type, count or value of one or two entries by others, or leave one out."""
    content, places = bytearray(data), entries(data)
    for _ in range(rng.choice((1, 1, 2))):
        order, at, big = rng.choice(places)
        if struct.unpack_from(order + "H", content, at)[0] in (282, 283, 296, 270):
            continue
        number = rng.choice(NUMBERS_AT_HAND)
        match rng.randrange(6):
            case 0:
                struct.pack_into(order + "H", content, at, rng.choice(TAGS))
            case 1:
                struct.pack_into(order + "H", content, at + 2, rng.randrange(19))
            case 2:
                struct.pack_into(order + ("Q" if big else "I"), content, at + 4, number)
            case _:
                struct.pack_into(order + ("Q" if big else "I"), content, at + (12 if big else 8), number)
    return bytes(content)


def refused_by_name(work: Callable[[], object], path: Path) -> bool:
    """Do it; where it is refused, in one line that names the file, tell so."""
    try:
        work()
    except GlomsegError as error:
        said = str(error)
    else:
        return False
    assert str(path) in said
    assert "\n" not in said
    return True


def looked_over(path: Path) -> None:
    """Open and read: SCENE or a part of it at 0.5 um per pixel, or a remark."""
    with open_slide(path) as slide:
        assert slide.mpp_x is None or 0.02 <= slide.mpp_x <= 10
        slide.overview(64)
        if slide.remarks or slide.width * slide.height > 4_000_000:
            return
        pixels = slide.read_downsampled(Box(0, 0, slide.width, slide.height), 1, 1).astype(int)
        height, width = min(384, slide.height), min(512, slide.width)
        if (slide.width, slide.height) == (512, 384):
            assert np.abs(pixels[:height, :width] - SCENE[:height, :width]).mean() < 4


def shuffled(writers: dict[str, Callable[[Path], None]], name: str, folder: Path, times: int) -> list[Path]:
    folder.mkdir()
    whole = folder / name
    writers[name](whole)
    data, rng = whole.read_bytes(), random.Random(name)
    paths = []
    for number in range(times):
        path = folder / f"{number}-{name}"
        path.write_bytes(changed(data, rng))
        paths.append(path)
    return paths


@pytest.mark.parametrize("times", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", WRITERS)
def test_any_directory_of_a_slide(name: str, times: int, tmp_path: Path) -> None:
    paths = shuffled(WRITERS, name, tmp_path / "files", times)
    refusals = [refused_by_name(lambda path=path: looked_over(path), path) for path in paths]
    assert 0 < sum(refusals) < len(paths)


@pytest.mark.parametrize("times", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MASKS)
def test_any_directory_of_a_mask(name: str, times: int, tmp_path: Path) -> None:
    for path in shuffled(MASKS, name, tmp_path / "files", times):
        refused = refused_by_name(lambda path=path: read_mask(path), path)
        assert refused_by_name(lambda path=path: look_at(path), path) == refused


ODD = ["", "0", "1", "-1", "2", "3", "512", "384", "1e3", "0.5", "nan", "inf", "9999999999999", "½", "0x10", " 3 "]
NAMES = ["scan", "macro image", "Scan label", "Label", "overview", "", "labelled section"]
ATTRIBUTES = ["SizeX", "SizeY", "SizeC", "SizeZ", "SizeT", "IFD", "PlaneCount", "SamplesPerPixel", "Type", "Name"]


@pytest.mark.parametrize("times", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_any_two_images_in_ome_xml(times: int, tmp_path: Path) -> None:
    """The larger picture at its own pixel size, unless a remark says otherwise."""
    rng, path = random.Random(times), tmp_path / "a.ome.tif"
    small = np.ascontiguousarray(OTHER[:200, :300])
    for _ in range(times):
        elements = [
            ome_image(rng.choice(NAMES), 512, 384, SIZE_UM, 0),
            ome_image(rng.choice(NAMES), 300, 200, SIZE_UM.replace("0.5", "5"), 1),
        ]
        rng.shuffle(elements)
        for _ in range(rng.randrange(3)):
            which, name = rng.randrange(2), rng.choice(ATTRIBUTES)
            elements[which] = re.sub(rf'\b{name}="[^"]*"', f'{name}="{rng.choice(ODD)}"', elements[which], count=1)
        if rng.random() < 0.2:
            elements.pop(rng.randrange(2))
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(SCENE, **TILED, description=ome_xml(*elements))
            tiff.write(small, **TILED)

        def look() -> None:
            with open_slide(path) as slide:
                assert slide.remarks or ((slide.width, slide.height), slide.known_mpp) == ((512, 384), (0.5, 0.5))

        refused_by_name(look, path)
