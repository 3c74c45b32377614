"""What an image server of a project says of its image: pixel sizes, and what cannot be annotated."""

import pytest
from support.project_files import builder, calibration, only, touch, write

from glomseg.qupath.project import read_project


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (calibration(0.25), (0.25, 0.25)),
        (calibration(0.25, 0.5), (0.25, 0.5)),
        (calibration(250, unit="nm"), (0.25, 0.25)),
        (calibration(0.00025, unit="mm"), (0.25, 0.25)),
        (calibration(0.25, unit="\u03bcm"), (0.25, 0.25)),
        (calibration(1, unit="px"), (None, None)),
        (calibration(0.25, unit_y="px"), (None, None)),
        (calibration(float("nan")), (None, None)),
        (calibration(0), (None, None)),
        (calibration(-1), (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_pixel_size(tmp_path, found, expected):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration=found)))
    assert (image.mpp_x, image.mpp_y) == pytest.approx(expected)
    assert image.problem is None


def test_a_pixel_size_in_a_foreign_unit_is_refused(tmp_path):
    touch(tmp_path / "study" / "a.tif")
    found = calibration(1, unit="furlong")
    assert "furlong" in only(write(tmp_path / "study", builder(pixelCalibration=found))).problem


def test_a_generated_pyramid_is_the_file_below_it(tmp_path):
    slide = touch(tmp_path / "study" / "a.tif")
    pyramid = {
        "builderType": "pyramidize",
        "builder": builder(),
        "metadata": builder(pixelCalibration=calibration(0.5))["metadata"],
    }
    image = only(write(tmp_path / "study", pyramid))
    assert (image.problem, image.path, image.mpp_x, image.width) == (None, slide, 0.5, 400)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("rotated", "rotated"),
        ("cropped", "cropped"),
        ("affine", "transformed"),
        ("sparse", "regions"),
        ("channels", "channels"),
        ("color_deconvolved", "deconvolved"),
        ("swapRedBlue", "swapped"),
        ("normalized", "normalised"),
        ("flipped", "flipped"),
        ("z_projected", "projection"),
        ("something new", "something new"),
    ],
)
def test_a_wrapped_image_is_refused_by_name(tmp_path, kind, said):
    touch(tmp_path / "study" / "a.tif")
    plain = builder()
    wrapped = {"builderType": kind, "builder": plain, "metadata": plain["metadata"]}
    pyramid = {"builderType": "pyramidize", "builder": wrapped, "metadata": plain["metadata"]}
    images = read_project(write(tmp_path / "study", wrapped, pyramid, plain)).images
    assert all(said in image.problem for image in images[:2])
    assert images[2].problem is None


@pytest.mark.parametrize(
    "args", [[], ["--series", "0"], ["--series=0"], ["--classname", "x.y.BioFormatsServerBuilder", "-s", "0"]]
)
def test_arguments_that_change_nothing_pass(tmp_path, args):
    touch(tmp_path / "study" / "a.tif")
    assert only(write(tmp_path / "study", builder(args=args))).problem is None


def test_a_profile_that_qupath_applies_leaves_places_alone_and_is_said(tmp_path):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(args=["--icc-profile"])))
    assert image.problem is None
    assert "`glomseg annotate --icc`" in image.remarks[0]


@pytest.mark.parametrize(
    "args",
    [
        ["--series", "2"],
        ["--series=2"],
        ["--name", "macro"],
        ["--dims", "XYZCT"],
        ["--bfOptions", "zeissczi.autostitch=false"],
        ["--no-crop"],
        ["--rotate", "ROTATE_90"],
        ["--order", "BGR"],
        ["--brand-new"],
        ["--classname", "x.y.Z", "--series", "1"],
    ],
)
def test_arguments_that_may_change_the_picture_are_refused(tmp_path, args):
    touch(tmp_path / "study" / "a.tif")
    problem = only(write(tmp_path / "study", builder(args=args))).problem
    assert any(argument.partition("=")[0] in problem for argument in args)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (builder(sizeZ=5), "5 focus planes"),
        (builder(sizeT=3), "3 time points"),
        (builder(isRGB=False), "RGB"),
        (builder("https://omero.lab/webclient/?show=image-3"), "omero.lab"),
        (builder("http://x/a.tif"), "http://x/a.tif"),
        (builder("file:/slides/a.tif#3"), "'3'"),
        (builder("file:/slides/a.tif?series=3"), "series=3"),
        (builder(""), "without URI"),
        (builder("file:relative/a.tif"), "relative/a.tif"),
        ({}, "unknown kind"),
        (None, "unknown kind"),
    ],
)
def test_an_image_that_cannot_be_annotated_says_why_in_one_line(tmp_path, item, said):
    touch(tmp_path / "study" / "a.tif")
    bad, good = read_project(write(tmp_path / "study", item, builder())).images
    assert said in bad.problem
    assert "\n" not in bad.problem
    assert good.problem is None


@pytest.mark.parametrize(
    ("found", "said"), [(calibration(352.778), "352.8 um per pixel"), (calibration(0.25, 0.001), "implausible")]
)
def test_a_print_resolution_is_no_pixel_size(tmp_path, found, said):
    """72 dpi are 352.8 um per pixel, which no microscope has: the file's own is, and that is said."""
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration=found)))
    assert image.mpp is None
    assert image.problem is None
    assert said in image.remarks[0]
    assert "what the file itself says is used" in image.remarks[0]


@pytest.mark.parametrize("odd", [{"value": "0,25", "unit": "µm"}, {"value": 0.25, "unit": "micrometre"}])
def test_numbers_and_units_are_read_as_everywhere(tmp_path, odd):
    touch(tmp_path / "study" / "a.tif")
    assert only(write(tmp_path / "study", builder(pixelCalibration={"pixelWidth": odd, "pixelHeight": odd}))).mpp == (
        0.25,
        0.25,
    )


@pytest.mark.parametrize("odd", [7, "x", [], {"value": [], "unit": "µm"}, {"value": None, "unit": 5}])
def test_an_odd_pixel_size_is_none(tmp_path, odd):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration={"pixelWidth": odd, "pixelHeight": odd})))
    assert image.mpp is None
