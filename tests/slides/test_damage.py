"""Pixels that were damaged on the way are errors, in every codec whose decoder or bytes can tell."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.slides import draw, strew, write_pyramid

from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides.slide import open_slide

AREA = (20, 20, 980, 980)


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 60, (1024, 1024, 3), dtype=np.uint8)
    return draw((1024, 1024), AREA, strew(AREA, 12, 70, seed=3)) - noise


def damaged(path, target, offset, size):
    shutil.copy(path, target)
    with target.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(size))
    return target


def error_of(path):
    with open_slide(path, mpp=0.5) as slide:
        try:
            slide.read(Box(0, 0, slide.width, slide.height), 0.5)
        except SlideError as error:
            return str(error)
    return None


@pytest.mark.parametrize("size", [600, 4096])
@pytest.mark.parametrize("compression", ["jpeg", "deflate", "lzw", "zstd", "webp", "jpeg2000"])
@pytest.mark.parametrize("tile", [256, None])
def test_a_hole_of_zeros_in_a_tiff(tmp_path, picture, compression, tile, size):
    path = tmp_path / "a.tif"
    shape = {"tile": (tile, tile)} if tile else {"rowsperstrip": 256}
    tifffile.imwrite(path, picture, photometric="rgb", compression=compression, metadata=None, **shape)
    assert error_of(path) is None
    rng = random.Random(size)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        places = [item for item in zip(page.dataoffsets, page.databytecounts, strict=True) if item[1] > size + 1400]
    assert len(places) >= 3
    for offset, count in places[:6]:
        at = rng.randrange(700, count - size - 600)
        said = error_of(damaged(path, tmp_path / "hole.tif", offset + at, size))
        assert said is not None
        assert "damaged or cut off" in said


@pytest.mark.parametrize("kind", ["png", "jpg", "jp2", "webp"])
def test_a_hole_of_zeros_in_a_picture(tmp_path, picture, kind):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(picture).save(path)
    assert error_of(path) is None
    rng = random.Random(0)
    for _ in range(4):
        at = rng.randrange(2000, path.stat().st_size - 5000)
        assert "damaged or cut off" in error_of(damaged(path, tmp_path / f"hole.{kind}", at, 4096))


def test_holes_in_a_real_slide(tmp_path, data):
    """The same tile is named as OpenSlide names it; the pixels of whole files stay what they were."""
    path = data / "slides/CMU-1-Small-Region.svs"
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        tiles = [index for index, count in enumerate(page.databytecounts) if count > 7000][:10]
        places = {index: page.dataoffsets[index] + page.databytecounts[index] // 3 for index in tiles}
    columns = -(-2220 // 240)
    for index, offset in places.items():
        hole = damaged(path, tmp_path / "hole.svs", offset, 4096)
        with open_slide(hole) as slide, pytest.raises(SlideError, match=f"tile {index} of level 0.*damaged or cut off"):
            slide.read(Box(index % columns * 240, index // columns * 240, 240, 240), 0.499)


def test_an_early_end_is_an_error(tmp_path, picture):
    path = write_pyramid(tmp_path / "a.tif", picture, 0.5, factors=(1,), compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages.first.dataoffsets[5], tiff.pages.first.databytecounts[5]
    with path.open("r+b") as file:
        file.seek(offset + count // 2)
        file.write(b"\xff\xd9")
    assert "tile 5 of level 0" in (error_of(path) or "")


@pytest.mark.parametrize("photometric", ["rgb", "ycbcr", "minisblack"])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2), (2, 1)])
def test_jpeg_tiles_have_the_pixels_that_tifffile_gives(tmp_path, picture, photometric, subsampling):
    """Another decoder of the same library: not a grey level of difference."""
    path = tmp_path / "a.tif"
    grey = photometric == "minisblack"
    options = {} if photometric != "ycbcr" else {"subsampling": subsampling}
    tifffile.imwrite(
        path, picture[..., 0] if grey else picture, photometric="rgb" if photometric == "ycbcr" else photometric,
        tile=(256, 256), compression="jpeg", metadata=None, **options,
    )  # fmt: skip
    expected = tifffile.imread(path)
    with open_slide(path, mpp=0.5) as slide:
        pixels = slide.read(Box(0, 0, 1024, 1024), 0.5)
    assert np.array_equal(pixels, np.repeat(expected[..., None], 3, axis=2) if grey else expected)
