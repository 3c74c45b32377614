"""Pixels at any resolution: exact means of areas, whatever box they are read in."""

from __future__ import annotations

import numpy as np
import pytest
from support.slides import whole, write_pyramid

from glomseg.geometry import Box
from glomseg.slides import readers, slide
from glomseg.slides.resample import axis
from glomseg.slides.slide import open_slide


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
    assert min(seen) == level  # coarser ones are held against it


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
