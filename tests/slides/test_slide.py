"""Slides of every kind: size, mpp, levels, exact resampling, threads, and files that are no slides."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from PIL import Image
from support.slides import GLASS, TISSUE, disc_slide, draw, reduce, strew, write_pyramid

from glomseg.errors import MissingMppError, SlideError
from glomseg.geometry import Box
from glomseg.slides import readers, slide
from glomseg.slides.pixel_size import StatedMpp
from glomseg.slides.readers import Level, OpenSlideReader
from glomseg.slides.resample import axis
from glomseg.slides.slide import Slide, open_slide


@pytest.fixture(scope="module")
def picture():
    noise = np.random.default_rng(0).integers(0, 60, (610, 803, 3), dtype=np.uint8)
    return draw((803, 610), (60, 40, 700, 500), strew((60, 40, 700, 500), 8, 45, seed=1)) - noise


@pytest.fixture(scope="module")
def pyramid(picture, tmp_path_factory):
    """Three levels, lossless, of a size that neither tiles nor levels divide."""
    return write_pyramid(tmp_path_factory.mktemp("pyramid") / "slide.tif", picture, 0.25, tile=128)


def whole(opened):
    return Box(0, 0, opened.width, opened.height)


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


# --- pixel size --------------------------------------------------------------------------------------------------


def test_pixel_size_of_real_files(data):
    with open_slide(data / "slides/CMU-1-Small-Region.svs") as opened:
        assert opened.pixel_size == (0.499, 0.499)
    with open_slide(data / "slides/tcga_no_mpp.svs") as opened:
        assert opened.mpp_x is None
        with pytest.raises(MissingMppError, match="`mpp`"):
            opened.read(Box(0, 0, 10, 10), 1.0)
        assert opened.overview(200).shape == (161, 200, 3)


@pytest.mark.parametrize("kind", ["tiff", "ome"])
def test_anisotropic_pixels(tmp_path, picture, kind):
    path = write_pyramid(tmp_path / "a.ome.tif", picture, (0.25, 0.5), kind=kind, factors=(1,))
    with open_slide(path) as opened:
        assert opened.pixel_size == pytest.approx((0.25, 0.5))
        assert opened.mpp == pytest.approx(0.125**0.5)
        pixels = opened.read(Box(40, 30, 400, 200), 1.0)
    assert pixels.shape == (100, 100, 3)
    source = picture[30:230, 40:440].reshape(100, 2, 100, 4, 3).sum(axis=(1, 3))
    assert np.array_equal(pixels, (2 * source + 8) // 16)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (50_800, 50_800), "resolutionunit": "INCH"}, 0.5),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, None),
        ({"resolution": (20_000, 20_000), "resolutionunit": "NONE"}, None),
        ({}, None),
        ({"resolution": (4, 4), "metadata": {"unit": "um"}, "imagej": True}, 0.25),
        ({"resolution": (4, 4), "metadata": {"unit": "micron"}, "imagej": True}, 0.25),
        ({"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.4, "PhysicalSizeY": 0.4}}, 0.4),
        ({"ome": True, "metadata": {"axes": "YXS"}}, None),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YXS",
                    "PhysicalSizeX": 400,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.0004,
                    "PhysicalSizeYUnit": "mm",
                },
            },
            0.4,
        ),
    ],
)
def test_pixel_size_from_every_source(tmp_path, options, expected):
    path = tmp_path / "image.tif"
    options = {"metadata": None, **options}
    tifffile.imwrite(path, np.zeros((64, 80, 3), np.uint8), photometric="rgb", **options)
    with open_slide(path) as opened:
        assert opened.mpp_x == (None if expected is None else pytest.approx(expected))
        assert opened.mpp_y == (None if expected is None else pytest.approx(expected))


def test_pixel_size_of_a_png(tmp_path):
    image = Image.new("RGB", (20, 10))
    image.save(tmp_path / "screen.png", dpi=(96, 96))
    image.save(tmp_path / "scan.png", dpi=(50_800, 50_800))
    with open_slide(tmp_path / "screen.png") as opened:
        assert opened.mpp_x is None
    with open_slide(tmp_path / "scan.png") as opened:
        assert opened.mpp == pytest.approx(0.5)


def test_given_pixel_size_wins(pyramid):
    with open_slide(pyramid, mpp=0.5) as opened:
        assert opened.pixel_size == (0.5, 0.5)
    with open_slide(pyramid, mpp=(0.5, 0.4)) as opened:
        assert opened.pixel_size == (0.5, 0.4)
    for wrong in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(SlideError, match="`mpp`"):
            open_slide(pyramid, mpp=wrong)


# --- resampling --------------------------------------------------------------------------------------------------


def area_mean(picture, x, y, step, shape):
    """Average over fractions of pixels, slowly and plainly; white beyond the picture."""
    height, width = shape
    grown = np.full((picture.shape[0] + 400, picture.shape[1] + 400, 3), 255.0)
    grown[200:-200, 200:-200] = picture

    def weights(start, count, size):
        edges = np.arange(size)
        low = start + 200 + step * np.arange(count)[:, None]
        return np.clip(np.minimum(low + step, edges + 1) - np.maximum(low, edges), 0, None) / step

    down = np.tensordot(weights(y, height, grown.shape[0]), grown, (1, 0))
    return np.tensordot(down, weights(x, width, grown.shape[1]), (1, 1)).transpose(0, 2, 1)


@pytest.mark.parametrize("mpp", [0.25, 0.3, 0.49, 0.77])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (-33.3, 40.2), (700.1, 540)])
def test_pixels_are_area_averages(tmp_path, picture, mpp, x, y):
    path = write_pyramid(tmp_path / "flat.tif", picture, 0.25, factors=(1,))
    with open_slide(path) as opened:
        pixels = opened.read(Box(x, y, 200, 150), mpp)
    step = mpp / 0.25
    assert pixels.shape == (round(150 / step), round(200 / step), 3)
    exact = area_mean(picture, x, y, step, pixels.shape[:2])
    assert np.abs(pixels - exact).max() <= 0.5 + 0.02


def test_what_lies_off_the_slide_is_white(pyramid, picture):
    with open_slide(pyramid) as opened:
        pixels = opened.read(Box(-100, -50, 1100, 800), 0.25)
        assert np.array_equal(pixels[50:660, 100:903], picture)
        pixels[50:660, 100:903] = 255
        assert (pixels == 255).all()
        assert (opened.read(Box(5000, 5000, 100, 100), 0.5) == 255).all()
        assert (opened.read(Box(-500, 0, 100, 100), 0.5) == 255).all()
        assert opened.read(Box(3, 3, 0.2, 0.2), 1.0).shape == (1, 1, 3)


@pytest.mark.parametrize(
    ("mpp", "level"), [(0.1, 0), (0.25, 0), (0.4, 0), (0.48, 1), (0.5, 1), (0.9, 1), (1.0, 2), (7.0, 2)]
)
def test_reading_uses_the_coarsest_level_that_serves(pyramid, monkeypatch, mpp, level):
    with open_slide(pyramid) as opened:
        seen = []
        block = opened._reader.block
        monkeypatch.setattr(opened._reader, "block", lambda *at: (seen.append(at[0]), block(*at))[1])
        opened.read(Box(100, 100, 300, 200), mpp)
    assert set(seen) == {level}


@pytest.mark.parametrize("mpp", [0.1, 0.25, 0.3, 0.48, 0.5, 0.6, 1.0, 1.01, 1.9])
def test_a_pixel_is_the_same_from_whatever_box(pyramid, mpp):
    step = mpp / 0.25
    with open_slide(pyramid) as opened:
        columns, rows = int(700 / step), int(500 / step)
        everything = opened.read(Box(7.3, -9.1, columns * step, rows * step), mpp)
        rng = np.random.default_rng(3)
        for _ in range(25):
            x, y = int(rng.integers(0, columns - 1)), int(rng.integers(0, rows - 1))
            w, h = int(rng.integers(1, columns - x + 1)), int(rng.integers(1, rows - y + 1))
            part = opened.read(Box(7.3 + x * step, -9.1 + y * step, w * step, h * step), mpp)
            assert np.array_equal(part, everything[y : y + h, x : x + w])


def test_shares_do_not_depend_on_where_counting_starts():
    """Far from the origin and with awkward pixel sizes, where floating point is at its worst."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        step = rng.choice([1.0, 0.5, 1.9, 2 / 3, 1.37]) / rng.choice([0.25, 0.2527, 0.499, 1 / 3]) / rng.choice([1, 4])
        skip, start = int(rng.integers(0, 200)), int(rng.integers(0, 90_000))
        everything, part = axis(start * step, step, 300), axis((start + skip) * step, step, 100)
        assert np.array_equal(everything.starts[skip : skip + 100] + everything.first, part.starts + part.first)
        taps = part.weights.shape[1]
        assert np.array_equal(everything.weights[skip : skip + 100, :taps], part.weights)


def test_large_boxes_are_read_in_pieces_that_fit(pyramid, monkeypatch):
    with open_slide(pyramid) as opened:
        expected = [opened.read(whole(opened), mpp) for mpp in (0.25, 0.3, 0.8, 3.1)]
        monkeypatch.setattr(slide, "CHUNK_PX", 100)
        for mpp, pixels in zip((0.25, 0.3, 0.8, 3.1), expected, strict=True):
            assert np.array_equal(opened.read(whole(opened), mpp), pixels)


def test_finer_than_the_slide_is_interpolated(tmp_path):
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 16, axis=0).repeat(3, axis=2)
    write_pyramid(tmp_path / "ramp.tif", ramp, 0.5, factors=(1,))
    with open_slide(tmp_path / "ramp.tif") as opened:
        row = opened.read(Box(2, 4, 10, 4), 0.25)[0, :, 0]
    assert np.array_equal(row, np.floor(20 + 5 * (np.arange(20) - 0.5) + 0.5))


def test_level_sizes_that_were_cut_off_still_lie_in_place():
    assert readers.downsample(4443, 2221) == 2
    assert readers.downsample(4443, 2222) == 2
    assert readers.downsample(1000, 300) == pytest.approx(1000 / 300)


def test_overview(pyramid):
    with open_slide(pyramid) as opened:
        assert opened.overview(100).shape == (76, 100, 3)
        assert opened.overview(5000).shape == (610, 803, 3)


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


# --- what is no slide --------------------------------------------------------------------------------------------


def bad_files(folder, picture):
    """Make files that cannot be opened; each with what its message says."""
    (folder / "empty.svs").touch()
    (folder / "text.tif").write_text("this is not an image\n")
    (folder / "noise.svs").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "header.tif").write_bytes(b"II*\0\x08\0\0\0" + b"\xff" * 40)
    tifffile.imwrite(folder / "deep.tif", picture.astype(np.uint16), photometric="rgb", tile=(128, 128))
    tifffile.imwrite(folder / "float.tif", picture.astype(np.float32), photometric="rgb")
    tifffile.imwrite(folder / "fluorescence.ome.tif", np.zeros((5, 64, 64), np.uint8), metadata={"axes": "CYX"})
    tifffile.imwrite(folder / "imagej.tif", np.zeros((4, 64, 64), np.uint8), imagej=True, metadata={"axes": "CYX"})
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(folder / "deep.png")
    full = folder / "full.tif"
    write_pyramid(full, picture, 0.25)
    (folder / "cut.tif").write_bytes(full.read_bytes()[:-3000])
    full.unlink()
    return {
        "missing.svs": "no such image",
        ".": "is a folder",
        "empty.svs": "is empty",
        "text.tif": "cannot open",
        "noise.svs": "cannot open",
        "header.tif": "cannot open",
        "deep.tif": "uint16.*8-bit",
        "float.tif": "float32.*8-bit",
        "fluorescence.ome.tif": "5 separate channels",
        "imagej.tif": "4 separate channels",
        "deep.png": "only 8-bit",
    }


def test_bad_files_are_one_line_errors(tmp_path, picture, capfd):
    for name, message in bad_files(tmp_path, picture).items():
        with pytest.raises(SlideError, match=message) as caught:
            open_slide(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def read_all_levels(path):
    with open_slide(path, mpp=0.25) as opened:
        for level in opened.levels:
            opened.read_downsampled(whole(opened), level.downsample_x, level.downsample_y)


@pytest.mark.parametrize("kind", ["tiff", "svs", "strips", "png", "jpeg"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_truncated_files_are_errors_sooner_or_later(tmp_path, picture, kind, share):
    path = tmp_path / f"slide.{'tif' if kind in ('tiff', 'strips') else kind}"
    write_pyramid(path, picture, 0.25, kind=kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SlideError) as caught:
        read_all_levels(path)
    assert "\n" not in str(caught.value)


def test_damaged_tiles_are_errors_when_they_are_read(tmp_path, picture):
    path = write_pyramid(tmp_path / "slide.tif", picture, 0.25, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages.first.dataoffsets[1]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0" * 200)
    with open_slide(path) as opened:
        opened.read(Box(0, 0, 200, 200), 0.25)
        with pytest.raises(SlideError, match=r"tile 1 of level 0.*damaged"):
            opened.read(Box(200, 0, 200, 200), 0.25)


def test_huge_images_without_tiles_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_WHOLE_PX", 10_000)
    Image.new("RGB", (200, 100)).save(tmp_path / "huge.png")
    tifffile.imwrite(tmp_path / "huge.tif", np.zeros((100, 200, 3), np.uint8), photometric="rgb")
    for name in ("huge.png", "huge.tif"):
        with pytest.raises(SlideError, match=r"200 x 100 px.*pyramidal"):
            open_slide(tmp_path / name)


def test_images_beyond_pillows_own_limit_are_read(tmp_path, monkeypatch):
    Image.new("RGB", (200, 100), TISSUE).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with open_slide(tmp_path / "large.png", mpp=1) as opened:
        assert (opened.read(whole(opened), 1) == TISSUE).all()
    assert Image.MAX_IMAGE_PIXELS == 50


def test_a_closed_slide_says_so(pyramid):
    opened = open_slide(pyramid)
    opened.close()
    opened.close()
    with pytest.raises(SlideError, match="closed"):
        opened.read(whole(opened), 1.0)


def test_disc_slide_draws_what_it_says(tmp_path):
    truth = disc_slide(tmp_path / "discs.tif", size=(1200, 900), count=6)
    with open_slide(truth.path) as opened:
        pixels = opened.read(whole(opened), 0.5)
    dark = pixels[:, :, 1] < 100
    assert dark.sum() == pytest.approx(sum(disc.area for disc in truth.discs), rel=0.01)
    assert tuple(pixels[0, 0]) == GLASS


def test_other_images_of_an_ome_tiff_are_no_levels(tmp_path):
    tissue, other = np.full((1024, 1024, 3), 120, np.uint8), np.full((512, 512, 3), 255, np.uint8)
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for picture in (tissue, other):
            tiff.write(
                picture, photometric="rgb", tile=(256, 256), metadata={"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
            )
    with open_slide(path) as slide:
        assert len(slide.levels) == 1
        assert slide.overview(256).max() == 120


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_stacks_are_refused(tmp_path, kind):
    path = tmp_path / "stack.ome.tif"
    stack = np.zeros((3, 256, 256), np.uint8)
    tifffile.imwrite(path, stack, ome=kind == "ome", imagej=kind == "imagej", metadata={"axes": "ZYX"})
    with pytest.raises(SlideError, match="stack of 3"):
        open_slide(path)


@pytest.mark.parametrize("tile", [None, (128, 128)])
@pytest.mark.parametrize(("meaning", "expected"), [("unspecified", 90), ("unassalpha", 255)])
def test_a_fourth_channel_counts_only_as_alpha(tmp_path, tile, meaning, expected):
    path = tmp_path / "rgbx.tif"
    pixels = np.full((256, 256, 4), 90, np.uint8)
    pixels[..., 3] = 0
    tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=[meaning], tile=tile, metadata=None)
    with open_slide(path, mpp=0.5) as slide:
        assert (slide.overview(256) == expected).all()
