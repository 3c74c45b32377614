"""Sizes of pixels as files and people write them; what is implausible or contradictory is not used, or said."""

from __future__ import annotations

import math

import click
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.slides import write_pyramid

from glomseg.errors import MissingMppError, SlideError
from glomseg.geometry import Box
from glomseg.qupath.image_servers import pixel_size
from glomseg.slides.aperio import aperio_mpp
from glomseg.slides.pixel_size import parse_mpp, parse_number, parse_um, stated_mpp
from glomseg.slides.readers import stated_by
from glomseg.slides.slide import open_slide
from glomseg_cli.options import PixelSize

HEADER = "Aperio Image Library v11.2.1\r\n512x512 [0,0 512x512] (240x240) JPEG/RGB Q=30|"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.25", 0.25), ("0,25", 0.25), (" .5 ", 0.5), ("+4.99e-1", 0.499), ("4,99E-1", 0.499), ("2", 2.0), ("5.", 5.0),
        ("", None), ("0.4.99", None), ("1,234.5", None), ("nan", None), ("inf", None), ("1e999", None), ("x", None),
        ("0x10", None), ("1_0", None), (None, None), (0.5, 0.5), (math.nan, None),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text, value):
    assert parse_number(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("text", "um"),
    [
        ("0.25", 0.25), ("0.25 µm", 0.25), ("0.25\u03bcm", 0.25), ("250 nm", 0.25), ("0,25um/px", 0.25),
        ("2.5e-4 mm", 0.25), ("0.25 um per pixel", 0.25), ("1 furlong", None), ("um", None), ("0.5 px", None),
    ],
)  # fmt: skip
def test_lengths_with_their_units(text, um):
    assert parse_um(text) == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("0.25", (0.25, 0.25)), ("0,25", (0.25, 0.25)), ("0.25,0.5", (0.25, 0.5)), ("0.25 x 0.5", (0.25, 0.5)),
        ("0,25;0,5", (0.25, 0.5)), ("250nm", (0.25, 0.25)), ("0.25 µm", (0.25, 0.25)), ("2", (2, 2)),
    ],
)  # fmt: skip
def test_the_option_takes_what_people_write(text, mpp):
    assert parse_mpp(text) == pytest.approx(mpp)
    assert PixelSize().convert(text, None, None) == pytest.approx(mpp)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,5", "can mean 1.5, or 1 and 5"),
        ("352.8", "implausible"),
        ("0", "implausible"),
        ("-0.5", "implausible"),
        ("0.001", "implausible"),
        ("nan", "no pixel size"),
        ("0.25,2.5", "cannot both be right"),
        ("0.25,0.25,0.25", "no pixel size"),
        ("20x", "no pixel size"),
        ("", "no pixel size"),
    ],
)
def test_the_option_refuses_by_name(text, said):
    with pytest.raises(click.BadParameter, match=said):
        PixelSize().convert(text, None, None)


def test_bounds_hold_whoever_says_it(tmp_path):
    assert stated_mpp(0.25, 0.25) == stated_mpp(0.25, 0.25)
    assert stated_mpp(12.6, 12.6).remark == "says 12.6 um per pixel, which is implausible (microscopes have 0.02 to 10)"
    assert stated_mpp(0.25, 0.5).mpp == (0.25, 0.5)
    assert "not square" in (stated_mpp(0.25, 0.5).remark or "")
    assert stated_mpp(0.25, 1.0).mpp is None
    assert stated_mpp(0.2525, 0.2528).remark is None
    print_size = {name: {"value": 352.778, "unit": "µm"} for name in ("pixelWidth", "pixelHeight")}
    assert pixel_size(print_size)[0].mpp is None
    comma = {name: {"value": "0,25", "unit": "\u03bcm"} for name in ("pixelWidth", "pixelHeight")}
    assert pixel_size(comma)[0].mpp == (0.25, 0.25)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None)
    for wrong in (352.778, (0.25, 2.5), 0.0, math.nan):
        with pytest.raises(SlideError, match="`mpp`"):
            open_slide(tmp_path / "a.tif", mpp=wrong)


@pytest.mark.parametrize(
    ("fields", "mpp", "said"),
    [
        ("AppMag = 20|MPP = 0.4990", 0.499, None),
        ("AppMag = 20|MPP = 0,4990", 0.499, None),
        ("AppMag = 20|MPP = 4.99e-1", 0.499, None),
        ("AppMag = 20|mpp = 0.4990", 0.499, None),
        ("Title = MPP = 2 test|AppMag = 40|MPP = 0.2472", 0.2472, None),
        ("AppMag = 40|Title = Mag = 40X, quality =30|MPP = 0.2472", 0.2472, None),
        ("MPP = 0.25|MPP = 0.250", 0.25, None),
        ("AppMag = 20|MPP = 0.4.99", None, "'0.4.99', which is no number"),
        ("AppMag = 20|MPP = -1", None, "implausible"),
        ("AppMag = 20|MPP = 12.6", None, "12.6 um per pixel, which is implausible"),
        ("MPP = 0.25|MPP = 0.5", None, "several pixel sizes"),
        ("AppMag = 40|MPP = 2.0", 2.0, "objective of 40x"),
        ("AppMag = 20|MPP = 0.0", None, None),
        ("AppMag = 20|MPP = ", None, None),
        ("AppMag = 20|Title = MPP = 2", None, None),
    ],
)
def test_aperios_description(tmp_path, fields, mpp, said):
    path = tmp_path / "a.svs"
    options = {"photometric": "rgb", "tile": (240, 240), "compression": "jpeg", "metadata": None, "software": None}
    tifffile.imwrite(path, np.full((512, 512, 3), 200, np.uint8), description=HEADER + fields, **options)
    with open_slide(path) as slide:
        assert slide.mpp_x == (None if mpp is None else pytest.approx(mpp))
        assert (said or "") in " ".join((*slide.remarks, slide.stated.remark or ""))
        if mpp is None:
            with pytest.raises(MissingMppError, match=f"{said or 'does not say'}.*`mpp`"):
                slide.pixel_size  # noqa: B018
        else:
            assert bool(slide.remarks) == bool(said)


def test_a_resized_picture_with_its_old_description_is_said():
    stated = aperio_mpp(HEADER + "MPP = 0.25", 256, 256)
    assert stated is not None
    assert stated.mpp == (0.25, 0.25)
    assert "was it resized?" in (stated.remark or "")


def test_a_given_size_that_contradicts_the_file_is_said(tmp_path):
    options = {"photometric": "rgb", "metadata": None, "resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64, 3), np.uint8), **options)
    with open_slide(tmp_path / "a.tif", mpp=0.25) as slide:
        assert slide.pixel_size == (0.25, 0.25)
        assert slide.remarks == ("says 0.5 x 0.5 um per pixel and is read with 0.25 x 0.25, as given",)
    with open_slide(tmp_path / "a.tif", mpp=0.499) as slide:
        assert slide.remarks == ()


def test_openslides_properties():
    def said(x, y, power=None):
        properties = {"openslide.mpp-x": x, "openslide.mpp-y": y, "openslide.objective-power": power}
        return stated_by({name: value for name, value in properties.items() if value is not None})

    assert said("0.25", "0.25", "40").mpp == (0.25, 0.25)
    assert said("0,25", "0,25").mpp == (0.25, 0.25)
    assert said(None, None).mpp is None
    assert said("0", "0").mpp is None
    assert said("0.25", None).mpp is None
    assert "objective" in (said("0.25", "0.25", "4").remark or "")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=12))
def test_no_text_is_a_traceback_or_an_impossible_size(text):
    try:
        x, y = parse_mpp(text)
    except ValueError:
        return
    assert 0.02 <= x <= 10
    assert 0.02 <= y <= 10


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="MPpmAag =|0123456789.,eE-+x \r\n()[]", max_size=60))
def test_no_description_is_a_traceback(text):
    stated = aperio_mpp("Aperio " + text, 512, 512)
    assert stated is None or stated.mpp is None or 0.02 <= stated.mpp[0] <= 10


# --- of slides


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
