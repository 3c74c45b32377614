"""Tissue on glass of any colour, on none, and on slides that are nothing but tissue."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import box
from support.slides import GLASS, TISSUE, Disc, disc_slide, write_pyramid

from glomseg.errors import MissingMppError
from glomseg.geometry import Box
from glomseg.segment.tiles import BLOCK, ReadingFrame
from glomseg.segment.tissue import TissueMask, find_tissue, tissue_of
from glomseg.slides.slide import open_slide

PATCH = (slice(60, 140), slice(80, 240))  # of a picture of 200 x 300 px at 16 um
INNER = (slice(62, 138), slice(82, 238))


def picture(glass, tissue, noise=2.0, texture=8.0):
    rng = np.random.default_rng(0)
    image = np.empty((200, 300, 3))
    image[:] = glass
    image += rng.normal(0, noise, (200, 300, 1))
    if tissue is not None:
        image[PATCH] = np.array(tissue) + rng.normal(0, texture, (80, 160, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def extent_of(mask: TissueMask) -> Box:
    """Bound the tissue of a mask, in level-0 pixels."""
    rows, columns = np.flatnonzero(mask.mask.any(axis=1)), np.flatnonzero(mask.mask.any(axis=0))
    x, y = columns[0] * mask.downsample_x, rows[0] * mask.downsample_y
    return Box(x, y, (columns[-1] + 1) * mask.downsample_x - x, (rows[-1] + 1) * mask.downsample_y - y)


@pytest.mark.parametrize("tissue", [(225, 180, 215), (120, 40, 130), (232, 214, 228), (190, 150, 170)])
@pytest.mark.parametrize("glass", [(255, 255, 255), (244, 244, 244), (222, 223, 226), (200, 200, 198), (250, 246, 228)])
def test_tissue_on_any_glass(glass, tissue):
    through = np.array(glass) * tissue / 255
    mask = tissue_of(picture(glass, through), 16.0)
    assert mask[INNER].mean() > 0.99
    assert not mask[:50].any()
    assert not mask[:, 260:].any()


@pytest.mark.parametrize("glass", [(255, 255, 255), (235, 236, 238), (200, 200, 198), (250, 246, 228), (0, 0, 0)])
@pytest.mark.parametrize("noise", [0.0, 2.0, 4.0])
def test_empty_glass_has_no_tissue(glass, noise):
    assert not tissue_of(picture(glass, None, noise), 16.0).any()


def test_uneven_light_is_not_tissue():
    image = picture((248, 248, 248), None, 1.0).astype(float)
    image -= np.linspace(0, 22, 300)[None, :, None]
    assert not tissue_of(image.astype(np.uint8), 16.0).any()


@pytest.mark.parametrize("tissue", [(225, 180, 215), (150, 60, 160), (228, 205, 222)])
def test_a_slide_of_nothing_but_tissue_is_all_tissue(tissue):
    rng = np.random.default_rng(0)
    image = np.clip(np.array(tissue) + rng.normal(0, 8, (64, 64, 1)), 0, 255).astype(np.uint8)
    assert tissue_of(image, 16.0).all()


def test_white_fill_beside_grey_glass_is_not_tissue():
    image = picture((222, 223, 226), (200, 150, 190))
    image[:, :60] = 255
    image[180:] = 255
    mask = tissue_of(image, 16.0)
    assert mask[INNER].all()
    assert not mask[:50].any()


def test_pen_marks_do_not_hide_pale_tissue():
    image = picture((244, 244, 244), (232, 214, 228))
    image[10:30, 20:200] = (30, 60, 200)
    image[170:190, 20:280] = (20, 140, 60)
    assert tissue_of(image, 16.0)[INNER].mean() > 0.99


def test_holes_are_filled_and_specks_dropped():
    image = picture((244, 244, 244), (200, 150, 190))
    image[90:110, 120:140] = (244, 244, 244)  # a vessel of 0.1 mm^2
    image[20:22, 20:22] = (100, 50, 90)  # 1,024 um^2
    image[20:26, 280:286] = (150, 50, 120)  # 9,216 um^2: a lone glomerulus
    mask = tissue_of(image, 16.0)
    assert mask[INNER].all()
    assert not mask[:40, :60].any()
    assert mask[20:26, 280:286].all()


def test_mask_lies_on_the_tissue_whatever_the_pixels(tmp_path):
    truth = disc_slide(tmp_path / "a.tif", size=(4000, 3000), tissue=(1000, 800, 1600, 900), discs=[], mpp=0.5)
    for mpp in (0.5, (0.5, 1.0), 2.0):
        with open_slide(truth.path, mpp=mpp) as opened:
            mask = find_tissue(opened)
        extent = extent_of(mask)
        slack_x, slack_y = 5 * mask.downsample_x, 5 * mask.downsample_y
        assert 1000 - slack_x <= extent.x <= 1000
        assert 800 - slack_y <= extent.y <= 800
        assert 2600 <= extent.x + extent.width <= 2600 + slack_x
        assert 1700 <= extent.y + extent.height <= 1700 + slack_y


def test_blocks_are_those_that_touch_tissue():
    values = np.zeros((10, 20), bool)
    values[4:6, 7] = True
    mask = TissueMask(values, 40.0, 50.0)
    tissue = box(280, 200, 320, 300)  # in level-0 pixels
    frame = ReadingFrame.of(800, 500, 0.25, 0.25, 0.5)
    blocks = mask.blocks(frame)
    assert blocks.shape == frame.blocks
    side = BLOCK * 2
    expected = [
        [
            box(column * side, row * side, (column + 1) * side, (row + 1) * side).intersection(tissue).area > 0
            for column in range(blocks.shape[1])
        ]
        for row in range(blocks.shape[0])
    ]
    assert np.array_equal(blocks, expected)
    with pytest.raises(dataclasses.FrozenInstanceError):
        mask.downsample_x = 1.0


def test_a_slide_without_pixel_size_is_refused(tmp_path):
    disc_slide(tmp_path / "a.tif", size=(600, 500), mpp=None, count=1, radius_um=20)
    with open_slide(tmp_path / "a.tif") as opened, pytest.raises(MissingMppError, match="`mpp`"):
        find_tissue(opened)


def test_tiny_images(tmp_path):
    for size in [(1, 1), (3, 200), (40, 40)]:
        Image.new("RGB", size, TISSUE).save(tmp_path / "tiny.png")
        with open_slide(tmp_path / "tiny.png", mpp=0.5) as opened:
            assert find_tissue(opened).mask.all()
        Image.new("RGB", size, GLASS).save(tmp_path / "tiny.png")
        with open_slide(tmp_path / "tiny.png", mpp=0.5) as opened:
            assert not find_tissue(opened).mask.any()


def test_a_slide_without_low_levels_is_read_in_little_memory(tmp_path):
    """20,000 x 16,000 px are 960 MB of pixels."""
    tile = np.full((512, 512, 3), TISSUE, np.uint8)

    def paint(x, y, width, height, factor):
        return tile[:height, :width] if 9216 <= x < 11264 and 8192 <= y < 9216 else None

    path = write_pyramid(tmp_path / "large.tif", paint, 0.25, size=(20_000, 16_000), factors=(1,), tile=512)
    with open_slide(path) as opened:
        tracemalloc.start()
        try:
            mask = find_tissue(opened)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 300e6
    assert mask.mask.size < 4.1e6
    extent = extent_of(mask)
    assert (extent.x, extent.y) == pytest.approx((9216, 8192), abs=300)
    assert (extent.width, extent.height) == pytest.approx((2048, 1024), abs=600)


def test_all_labelled_glomeruli_lie_on_tissue(data: Path):
    for path in sorted((data / "kidney/tiles/images").glob("*.png")):
        labels = np.asarray(Image.open(path.parents[1] / "masks" / path.name).convert("L")) > 0
        with open_slide(path, mpp=0.5) as opened:
            mask = find_tissue(opened)
        for y, x in np.argwhere(labels)[::500]:
            assert mask.mask[int(y / mask.downsample_y), int(x / mask.downsample_x)], f"{path.name} at {x}, {y}"
        if path.name in ("10170.png", "10179.png"):
            assert mask.mask.mean() < 0.2


def test_a_real_section_stands_out_from_its_glass(data: Path):
    with open_slide(data / "slides/tcga_no_mpp.svs", mpp=0.5) as opened:
        assert 0.6 < find_tissue(opened).mask.mean() < 0.75


def test_discs_alone_on_glass_are_tissue(tmp_path):
    discs = [Disc(400, 300, 80, 80), Disc(1500, 900, 80, 80)]
    disc_slide(tmp_path / "a.tif", discs=discs, tissue=(0, 0, 0, 0))
    with open_slide(tmp_path / "a.tif") as opened:
        mask = find_tissue(opened)
    for disc in discs:
        around = box(disc.x - 80, disc.y - 80, disc.x + 80, disc.y + 80)
        rows = slice(int(around.bounds[1] / mask.downsample_y), int(around.bounds[3] / mask.downsample_y))
        columns = slice(int(around.bounds[0] / mask.downsample_x), int(around.bounds[2] / mask.downsample_x))
        assert mask.mask[rows, columns].all()
