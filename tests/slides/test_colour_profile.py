"""ICC profiles: read from every kind of file, applied only where that is asked for, and right."""

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.colour_profiles import power_profile, shown, write_with_profile

from glomseg import open_slide
from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides.colour_profile import read_colour_profile

GAMMA = 205 / 256


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(5).integers(0, 256, (300, 400, 3), np.uint8)


def read(path, **options):
    with open_slide(path, mpp=1.0, **options) as slide:
        return slide.read(Box(0, 0, slide.width, slide.height), 1.0)


@pytest.mark.parametrize("gamma", [GAMMA, 1.0, 1.796875, 2.19921875])
def test_colours_are_those_of_the_formula(pixels, gamma) -> None:
    profile = read_colour_profile(power_profile(gamma))
    assert profile.name == "Scanner of the tests"
    assert np.abs(profile.applied(pixels).astype(int) - shown(pixels, gamma)).max() <= 2
    assert profile.differs
    assert (profile.shift > 10) == (gamma < 2)


def test_srgb_does_not_differ_from_itself(pixels) -> None:
    profile = read_colour_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert not profile.differs
    assert np.abs(profile.applied(pixels).astype(int) - pixels).max() <= 1


def test_a_grey_profile(pixels) -> None:
    grey = np.repeat(pixels[:, :, :1], 3, axis=2)
    profile = read_colour_profile(power_profile(1.0, grey=True))
    wrong = np.abs(profile.applied(grey).astype(int) - shown(grey, 1.0))
    assert wrong.mean() < 0.5
    assert wrong[grey >= 8].max() <= 2  # below, the profile's own table is coarse


@pytest.mark.parametrize("kind", ["tiled", "strips", "png", "jpeg"])
def test_every_kind_of_file_hands_its_profile_on(pixels, tmp_path, kind) -> None:
    profile, path = power_profile(GAMMA), tmp_path / f"slide.{kind if kind in ('png', 'jpeg') else 'tif'}"
    if kind in ("png", "jpeg"):
        Image.fromarray(pixels).save(path, icc_profile=profile)
    else:
        write_with_profile(path, pixels, profile, **({} if kind == "tiled" else {"tile": None}))
    plain = read(path)
    assert np.abs(read(path, icc=True).astype(int) - shown(plain, GAMMA)).max() <= 2
    with open_slide(path) as slide:
        assert slide.colour_profile.name == "Scanner of the tests"
        assert not any("ICC" in remark for remark in slide.remarks)
    if kind != "jpeg":
        np.testing.assert_array_equal(plain, pixels)


def test_a_pixel_is_the_same_whatever_box_it_is_read_in(pixels, tmp_path) -> None:
    path = write_with_profile(tmp_path / "slide.tif", pixels, power_profile(1.0))
    with open_slide(path, mpp=1.0, icc=True) as slide:
        whole = slide.read(Box(0, 0, 400, 300), 2.0)
        np.testing.assert_array_equal(slide.read(Box(100, 60, 200, 100), 2.0), whole[30:80, 50:150])


def test_openslide_hands_a_profile_on(data, tmp_path) -> None:
    from glomseg.slides.readers import OpenSlideReader

    path = data / "slides" / "tcga_no_mpp.svs"
    reader = OpenSlideReader(path)
    with open_slide(path) as slide:
        assert "sRGB" in slide.colour_profile.name
        assert not slide.colour_profile.differs
        assert str(read_colour_profile(reader.icc)) == str(slide.colour_profile)
    reader.close()


@pytest.mark.parametrize("profile", [b"no profile at all", power_profile(1.0)[:200]])
def test_a_profile_that_is_damaged_is_said_and_refused_where_it_is_asked_for(pixels, tmp_path, profile) -> None:
    path = write_with_profile(tmp_path / "slide.tif", pixels, profile)
    with open_slide(path) as slide:
        assert slide.colour_profile is None
        assert "has an ICC profile that cannot be read" in slide.remarks[0]
    with pytest.raises(SlideError, match=r"ICC profile of .*slide.tif cannot be applied .*leave `icc` away"):
        open_slide(path, icc=True)
