"""Slides of every kind: size, levels, bounds, holes and threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from support.slides import reduce, whole, write_pyramid

from glomseg.geometry import Box
from glomseg.slides import readers, slide
from glomseg.slides.pixel_size import StatedMpp
from glomseg.slides.readers import Level, OpenSlideReader
from glomseg.slides.slide import Slide, open_slide

# --- formats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize(("kind", "name"), [("tiff", "a.tif"), ("ome", "a.ome.tif"), ("svs", "a.svs")])
def test_pyramids_of_every_kind_give_their_pixels(tmp_path, picture, kind, name, bigtiff):
    path = write_pyramid(tmp_path / name, picture, 0.25, kind=kind, bigtiff=bigtiff, tile=128)
    with open_slide(path) as opened:
        assert (opened.width, opened.height) == (803, 610)
        assert opened.pixel_size == (0.25, 0.25)
        assert [(level.width, level.downsample_x, level.downsample_y) for level in opened.levels] == [
            (803, 1, 1),
            (401, 2, 2),
            (200, 4, 4),
        ]
        assert np.array_equal(opened.read(whole(opened), 0.25), picture)


@pytest.mark.parametrize(("kind", "name"), [("strips", "a.tif"), ("png", "a.png")])
def test_images_without_tiles(tmp_path, picture, kind, name):
    path = write_pyramid(tmp_path / name, picture, None, kind=kind)
    with open_slide(path, mpp=0.5) as opened:
        assert np.array_equal(opened.read(whole(opened), 0.5), picture)
        assert np.array_equal(opened.read(Box(100, 50, 400, 300), 1.0), reduce(picture[50:350, 100:500], 2))


def test_grey_and_transparent_images_become_rgb(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "grey.tif", grey, tile=(16, 16))
    clear = np.zeros((10, 20, 4), np.uint8)
    clear[:, 10:, 3] = 255
    Image.fromarray(clear).save(tmp_path / "clear.png")
    tifffile.imwrite(tmp_path / "clear.tif", clear, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16))
    for name in ("grey.png", "grey.tif"):
        with open_slide(tmp_path / name, mpp=1) as opened:
            assert np.array_equal(opened.read(whole(opened), 1), np.repeat(grey[:, :, None], 3, axis=2))
    for name in ("clear.png", "clear.tif"):
        with open_slide(tmp_path / name, mpp=1) as opened:
            pixels = opened.read(whole(opened), 1)
            assert (pixels[:, :10] == 255).all()
            assert (pixels[:, 10:] == 0).all()


def test_planes_stored_apart(tmp_path, picture):
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    options = {"photometric": "rgb", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(tmp_path / "tiled.tif", planes, tile=(128, 128), **options)
    tifffile.imwrite(tmp_path / "strips.tif", planes, **options)
    for name in ("tiled.tif", "strips.tif"):
        with open_slide(tmp_path / name, mpp=1) as opened:
            assert np.array_equal(opened.read(whole(opened), 1), picture)


def test_tiles_that_are_not_stored_are_white(tmp_path):
    path = tmp_path / "sparse.tif"
    tile = np.zeros((256, 256, 3), np.uint8)
    write_pyramid(path, lambda x, y, *_: tile if (x, y) == (512, 256) else None, 0.5, size=(1024, 768), factors=(1,))
    with open_slide(path) as opened:
        pixels = opened.read(whole(opened), 0.5)
        assert (pixels[256:512, 512:768] == 0).all()
        assert (pixels[:, 768:] == 255).all()


def test_pages_that_are_no_levels_are_left_out(tmp_path, picture):
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        options = {"photometric": "rgb", "metadata": None}
        tiff.write(picture, tile=(128, 128), **options)
        tiff.write(reduce(picture, 4), **options)  # a thumbnail in strips
        tiff.write(reduce(picture, 2), tile=(128, 128), **options)
        tiff.write(picture[:150, :700], tile=(128, 128), **options)  # a label
    with open_slide(tmp_path / "slide.tif") as opened:
        assert [level.width for level in opened.levels] == [803, 401]


@pytest.mark.parametrize("name", ["slides/CMU-1-Small-Region.svs", "slides/tcga_no_mpp.svs", "qupath/kidney_01.tif"])
def test_tiles_decoded_directly_equal_openslides(data, name):
    with open_slide(data / name) as opened, openslide.OpenSlide(data / name) as other:
        assert (opened.width, opened.height) == other.dimensions
        assert len(opened.levels) == other.level_count
        for index, level in enumerate(opened.levels):
            box = Box(0, 0, level.width * level.downsample_x, level.height * level.downsample_y)
            pixels = opened.read_downsampled(box, level.downsample_x, level.downsample_y)
            expected = other.read_region((0, 0), index, (level.width, level.height)).convert("RGB")
            assert np.array_equal(pixels, np.asarray(expected))


def test_openslide_reads_what_the_direct_reader_reads(tmp_path, picture):
    path = write_pyramid(tmp_path / "slide.tif", picture[:600, :800], 0.25, tile=128)
    with open_slide(path) as direct, Slide(path, OpenSlideReader(path), (0.25, 0.25)) as other:
        for box, mpp in [(whole(direct), 0.25), (Box(-31, 17.5, 480, 300), 0.6), (Box(700, 500, 200, 200), 0.5)]:
            assert np.array_equal(direct.read(box, mpp), other.read(box, mpp))


def test_svs_with_gaps_is_left_to_openslide(tmp_path):
    """Where an Aperio level lacks a tile, OpenSlide fills it from the level below."""
    tile = np.full((256, 256, 3), (120, 40, 90), np.uint8)

    def paint(x, y, width, height, factor):
        return None if factor == 2 and x == 256 else tile[:height, :width]

    path = write_pyramid(tmp_path / "gaps.svs", paint, 0.25, size=(1024, 768), kind="svs", compression="jpeg")
    with open_slide(path) as opened:
        assert isinstance(opened._reader, OpenSlideReader)
        assert opened.pixel_size == (0.25, 0.25)
        pixels = opened.read(whole(opened), 0.5)
    assert np.abs(pixels.astype(int) - (120, 40, 90)).max() <= 4


def test_reading_without_pread(pyramid, picture, monkeypatch):
    monkeypatch.delattr(os, "pread")
    with open_slide(pyramid) as opened, ThreadPoolExecutor(4) as pool:
        for pixels in pool.map(lambda _: opened.read(whole(opened), 0.25), range(4)):
            assert np.array_equal(pixels, picture)


# --- OpenSlide's bounds and holes --------------------------------------------------------------------------------


class BoundedReader:
    """A scanner's file: 400 x 300 px, of which bounds use 201 x 101 from (50, 30); a level at half the size."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.full = rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)
        self.levels = (Level(400, 300, 1, 1, 128, 128), Level(200, 150, 2, 2, 128, 128))
        self.bounds = (50, 30, 201, 101)
        self.stated = StatedMpp((1.0, 1.0))
        self.remarks = ()
        self.icc = None

    def block(self, level, column, row):
        picture = self.full if level == 0 else reduce(self.full, 2)
        return picture[row * 128 : row * 128 + 128, column * 128 : column * 128 + 128]

    def close(self):
        pass


def test_bounds_are_the_slide():
    reader = BoundedReader()
    with Slide(Path("bounded.mrxs"), reader, None) as opened:
        assert (opened.width, opened.height) == (201, 101)
        assert np.array_equal(opened.read(Box(0, 0, 201, 101), 1.0), reader.full[30:131, 50:251])
        beyond = opened.read(Box(-10, -10, 221, 121), 1.0)
        assert np.array_equal(beyond[10:111, 10:211], reader.full[30:131, 50:251])
        assert (beyond[:10] == 255).all()
        assert (beyond[:, 211:] == 255).all()
        half = opened.read(Box(0, 0, 200, 100), 2.0)
        assert np.array_equal(half, reduce(reader.full, 2)[15:65, 25:125])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"x": "10", "y": "20", "width": "30", "height": "40"}, (10, 20, 30, 40)),
        ({"x": "10", "y": "20", "width": "30"}, (0, 0, 100, 90)),
        ({"x": "10", "y": "20", "width": "30", "height": "many"}, (0, 0, 100, 90)),
        ({}, (0, 0, 100, 90)),
    ],
)
def test_bounds_count_when_all_four_are_given(properties, expected):
    named = {f"openslide.bounds-{name}": value for name, value in properties.items()}
    assert readers.bounds_of(named, (0, 0, 100, 90)) == expected


# --- threads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", "jpeg"])
def test_many_threads_read_what_one_reads(tmp_path, picture, compression):
    path = write_pyramid(tmp_path / "slide.tif", picture, 0.25, tile=64, compression=compression)
    boxes = [(Box(x, y, 150, 120), mpp) for x in range(-20, 700, 90) for y in range(0, 500, 70) for mpp in (0.25, 0.6)]
    with open_slide(path) as opened:
        serial = [opened.read(box, mpp) for box, mpp in boxes]
    with open_slide(path) as opened, ThreadPoolExecutor(8) as pool:
        for expected, pixels in zip(serial, pool.map(lambda job: opened.read(*job), boxes), strict=True):
            assert np.array_equal(pixels, expected)


def test_the_cache_stays_small(pyramid, monkeypatch):
    monkeypatch.setattr(slide, "CACHE_BYTES", 400_000)
    with open_slide(pyramid) as opened:
        opened.read(whole(opened), 0.25)
        assert 0 < opened._cached_bytes <= 400_000
        assert opened._cached_bytes == sum(block.nbytes for block in opened._cache.values())
