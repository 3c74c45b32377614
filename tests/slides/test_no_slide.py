"""Files that are no slides: each is refused with a reason, and damage is named."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.slides import GLASS, TISSUE, disc_slide, whole, write_pyramid

from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides import readers
from glomseg.slides.slide import open_slide


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
