"""Pixels that were damaged on the way are errors, in every codec whose decoder or bytes can tell."""

from __future__ import annotations

import random
import shutil

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support.slides import draw, strew, write_pyramid

from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides.jpeg2000 import check_jpeg2000
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


@pytest.mark.parametrize("size", [64, 200])
def test_a_small_hole_in_jpeg_2000(tmp_path, data, size):
    """No tile of a real slide looks damaged; each does with a few bytes gone."""
    path = data / "slides/tcga_no_mpp.svs"
    with tifffile.TiffFile(path) as tiff:
        page, rng = tiff.pages.first, random.Random(size)
        tiles = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    whole = path.read_bytes()
    for offset, count in tiles:
        check_jpeg2000(whole[offset : offset + count])
    columns = -(-page.imagewidth // page.tilewidth)
    large = [index for index, (_, count) in enumerate(tiles) if count > 4000]
    for index in large[:: len(large) // 6]:
        offset, count = tiles[index]
        at = offset + rng.randrange(400, count - 400)
        x, y = index % columns * page.tilewidth, index // columns * page.tilelength
        with (
            open_slide(damaged(path, tmp_path / "hole.svs", at, size), mpp=0.5) as slide,
            pytest.raises(SlideError, match=f"tile {index} of level 0.*damaged or cut off"),
        ):
            slide.read(Box(x, y, 8, 8), 0.5)


@pytest.mark.parametrize("size", [64, 200])
def test_a_small_hole_in_a_made_jpeg_2000(picture, size):
    rng = random.Random(size)
    flat = np.full((256, 256, 3), 244, np.uint8)
    for pixels in (picture[:256, :256].copy(), flat):
        for options in ({}, {"level": 40, "reversible": False}, {"resolutions": 2}):
            whole = imagecodecs.jpeg2k_encode(pixels, **options)
            check_jpeg2000(whole)
            if pixels is flat:
                continue
            for at in (rng.randrange(300, len(whole) - size - 10) for _ in range(20)):
                with pytest.raises(ValueError, match="zeros"):
                    check_jpeg2000(whole[:at] + bytes(size) + whole[at + size :])
            with pytest.raises(ValueError, match="ends early"):
                check_jpeg2000(whole[: len(whole) // 2])


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
