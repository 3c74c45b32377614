"""Levels that are one in most places and differ in one: found where they are read, and true copies are not accused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile
from support.slides import draw, reduce, strew

from glomseg.geometry import Box
from glomseg.segment.tissue import find_tissue
from glomseg.slides.slide import open_slide

AREA = (40, 40, 2000, 2000)
TILED = {"photometric": "rgb", "tile": (128, 128), "metadata": None}
SMALL = {**TILED, "tile": (32, 32), "subfiletype": 1}
LEVEL = {**TILED, "tile": (64, 64), "subfiletype": 1}
SAID = "levels has a gap or another picture"


def scene(seed):
    noise = np.random.default_rng(seed).integers(0, 40, (2048, 2048, 3), dtype=np.uint8)
    return draw((2048, 2048), AREA, strew(AREA, 30, 90, seed=seed)) - noise


@pytest.fixture(scope="module")
def section():
    return scene(1)


def write(path, *pages):
    with tifffile.TiffWriter(path) as tiff:
        for picture, how in pages:
            tiff.write(picture, **{"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER", **how})
    return path


def read_all(path, *downsamples):
    with open_slide(path) as slide:
        for downsample in downsamples:
            slide.read_downsampled(Box(0, 0, slide.width, slide.height), downsample, downsample)
        return " | ".join(slide.remarks)


@pytest.mark.parametrize("compression", [None, "jpeg"])
@pytest.mark.parametrize("how", ["mean", "nearest", "lighter", "shifted"])
def test_true_copies_are_not_accused(tmp_path, section, compression, how):
    def level(factor):
        if how == "mean":
            return reduce(section, factor)
        if how == "lighter":
            return np.clip(reduce(section, factor).astype(int) * 1.1 + 15, 0, 255).astype(np.uint8)
        return section[::factor, ::factor] if how == "nearest" else reduce(np.roll(section, factor // 2, 1), factor)

    jpeg = {"compression": compression, "compressionargs": {"level": 50}} if compression else {}
    for ratios in ((4, 16), (2, 8, 16), (16,)):
        levels = [(level(ratio), {**LEVEL, **jpeg}) for ratio in ratios]
        path = write(tmp_path / "a.tif", (section, {**TILED, **jpeg}), *levels)
        assert read_all(path, 1, *ratios) == ""


def spoilt(picture, what, top=64, left=64, side=64):
    picture, there = picture.copy(), np.s_[top : top + side, left : left + side]
    picture[there] = {"black": 0, "white": 255}.get(what, picture[300 : 300 + side, 300 : 300 + side][::-1])
    if what == "another place":
        picture[there] = np.where(picture[there] > 140, 60, 230)
    return picture


@pytest.mark.parametrize("what", ["black", "white", "another place"])
def test_a_place_of_a_lower_level_that_differs_is_said_where_it_is_read(tmp_path, section, what):
    """The middle level is the one that a model reads; the base and the lowest are right."""
    middle, low = reduce(section, 4), reduce(section, 16)
    path = write(tmp_path / "a.tif", (section, TILED), (spoilt(middle, what), LEVEL), (low, SMALL))
    said = read_all(path, 4)
    assert SAID in said
    assert "512 x 512 px and 128 x 128 px in one place (the first at 256, 256)" in said
    elsewhere = Box(1024, 1024, 512, 512)
    with open_slide(path) as slide:
        slide.read_downsampled(elsewhere, 4, 4)
        assert slide.remarks == ()  # what is not read hides nothing


def test_a_tile_that_is_not_stored_is_no_glass_where_there_is_tissue(tmp_path, section):
    tiles = reduce(section, 4).reshape(8, 64, 8, 64, 3).swapaxes(1, 2).reshape(64, 64, 64, 3)
    stored = (None if index == 9 else tile for index, tile in enumerate(tiles))
    shape = {**LEVEL, "shape": (512, 512, 3), "dtype": np.uint8}
    path = write(tmp_path / "a.tif", (section, TILED), (stored, shape), (reduce(section, 16), SMALL))
    assert SAID in read_all(path, 4)


@pytest.mark.parametrize("what", ["black", "white"])
def test_a_gap_in_the_lowest_level_is_said_where_tissue_is_looked_for(tmp_path, section, what):
    """There nothing is outlined, for no tissue is seen: nothing else would tell."""
    low = spoilt(reduce(section, 8), what, 64, 64, 32)
    path = write(tmp_path / "a.tif", (section, TILED), (reduce(section, 2), LEVEL), (low, SMALL))
    with open_slide(path) as slide:
        assert slide.remarks == ()
        find_tissue(slide)
        assert SAID in " ".join(slide.remarks)


def test_zeros_in_a_base_without_compression_are_said(tmp_path, section):
    """Nothing is decoded there that could fail: only the copy tells."""
    base = spoilt(section, "black", 512, 640, 128)
    path = write(tmp_path / "a.tif", (base, TILED), (reduce(section, 4), LEVEL))
    assert "2048 x 2048 px and 512 x 512 px in one place (the first at 640, 512)" in read_all(path, 1)


def test_a_damaged_level_that_is_not_needed_fails_nothing(tmp_path, section):
    jpeg = {"compression": "jpeg"}
    path = write(tmp_path / "a.tif", (section, {**TILED, **jpeg}), (reduce(section, 4), {**LEVEL, **jpeg}))
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[1]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    content = bytearray(path.read_bytes())
    for offset, size in itertools.islice(places, 20, 24):
        content[offset + size // 2 : offset + size] = bytes(size - size // 2)
    path.write_bytes(content)
    assert read_all(path, 1) == ""
