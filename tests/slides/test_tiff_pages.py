"""Which page of a TIFF is the slide, which are its levels, and what is said of the others."""

from __future__ import annotations

import re

import numpy as np
import openslide
import pytest
import tifffile
from support.slides import draw, reduce, strew

from glomseg.errors import SlideError
from glomseg.geometry import Box
from glomseg.slides.readers import OpenSlideReader
from glomseg.slides.slide import open_slide

AREA = (40, 40, 900, 900)
TILED = {"photometric": "rgb", "tile": (128, 128), "metadata": None}


def scene(seed, size=1024):
    noise = np.random.default_rng(seed).integers(0, 30, (size, size, 3), dtype=np.uint8)
    return draw((size, size), AREA, strew(AREA, 14, 60, seed=seed)) - noise


@pytest.fixture(scope="module")
def section():
    return scene(1)


@pytest.fixture(scope="module")
def other_section():
    return scene(2)


def write(path, *pages, **options):
    with tifffile.TiffWriter(path, **options) as tiff:
        for picture, how in pages:
            tiff.write(picture, **how)
    return path


def widths(path):
    with open_slide(path) as slide:
        return [level.width for level in slide.levels], slide.remarks


# --- levels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate", "jpeg"])
def test_an_unmarked_page_is_a_level_where_it_shows_the_same(tmp_path, section, other_section, compression):
    how = {**TILED, "compression": compression}
    small = {**how, "tile": (32, 32)}
    real = write(tmp_path / "real.tif", (section, how), (reduce(section, 2), how), (reduce(section, 8), small))
    nearest = write(tmp_path / "nearest.tif", (section, how), (section[::4, ::4], how))
    false = write(tmp_path / "false.tif", (section, how), (reduce(other_section, 2), how), (reduce(section, 4), how))
    assert widths(real) == ([1024, 512, 128], ())
    assert widths(nearest)[0] == [1024, 256]
    assert widths(false) == ([1024, 256], ("holds another picture, which is not read: 512 x 512 px",))
    with open_slide(false, mpp=0.5) as slide:
        seen = slide.read(Box(0, 0, 1024, 1024), 1.0).astype(int)
    assert np.abs(seen - reduce(section, 2)).mean() < 4


@pytest.mark.slow
def test_real_sections_are_told_apart(tmp_path, data):
    """Sections of one stain and organ, as a scanner might put them into one file."""
    pictures = [
        tifffile.imread(data / "qupath/kidney_01.tif", key=0)[:1024, :1024],
        tifffile.imread(data / "qupath/kidney_01.tif", key=0)[1024:, 1024:],
        tifffile.imread(data / "qupath/kidney_02.tif", key=0)[:1024, :1024],
    ]
    how = {**TILED, "tile": (256, 256), "compression": "jpeg"}
    for one in range(3):
        for two in range(3):
            path = write(tmp_path / f"{one}{two}.tif", (pictures[one], how), (reduce(pictures[two], 4), how))
            assert widths(path)[0] == ([1024, 256] if one == two else [1024])


def test_pages_without_compression_are_compared_all_over(tmp_path, section, other_section):
    """Their tiles all have as many bytes, and tissue may lie in a corner of the slide."""
    fine, other = np.full((2, 2048, 2048, 3), 240, np.uint8)
    fine[1024:, 1024:], other[1024:, 1024:] = section, other_section
    false = write(tmp_path / "false.tif", (fine, TILED), (reduce(other, 2), TILED))
    real = write(tmp_path / "real.tif", (fine, TILED), (reduce(fine, 2), TILED))
    assert widths(false) == ([2048], ("holds another picture, which is not read: 1024 x 1024 px",))
    assert widths(real) == ([2048, 1024], ())


def test_a_marked_page_that_shows_another_section_is_left_out_aloud(tmp_path, section, other_section):
    """It was read without a word below 1 um per pixel: outlines of a picture that nobody sees."""
    blank, other = np.full((512, 512, 3), 240, np.uint8), reduce(other_section, 2)
    reduced = {**TILED, "subfiletype": 1}
    why = "has a page marked as a smaller copy that shows another picture and is not read: 512 x 512 px"
    for name, wrong in (("blank", blank), ("other", other)):
        pages = (section, TILED), (wrong, reduced), (reduce(section, 4), reduced)
        assert widths(write(tmp_path / f"{name}.tif", *pages)) == ([1024, 256], (why,))
    below = tmp_path / "below.tif"
    with tifffile.TiffWriter(below) as tiff:
        tiff.write(section, subifds=2, **TILED)
        tiff.write(other, **reduced)
        tiff.write(reduce(section, 4), **reduced)
    assert widths(below) == ([1024, 256], (why,))


def test_a_marked_page_is_a_level_though_some_of_it_differs(tmp_path, section):
    """Sharpened, of other colours, or with a part that was blacked out later."""
    small = reduce(section, 2)
    small[:200] = 0
    darker = (small * 0.8).astype(np.uint8)
    for name, page in (("part", small), ("darker", darker)):
        path = write(tmp_path / f"{name}.tif", (section, TILED), (page, {**TILED, "subfiletype": 1}))
        assert widths(path) == ([1024, 512], ())


def test_a_level_of_an_svs_is_looked_at_too(tmp_path, section, other_section):
    """A scanner's words are no proof: a file that was put together anew can hold another section's level."""
    first = {**TILED, "description": "Aperio Image Library v1\n1024x1024 [0,0 1024x1024]|MPP = 0.5"}
    small = {**TILED, "description": "Aperio Image Library v1\n1024x1024 [0,0 1024x1024] -> 512x512 |MPP = 0.5"}
    own = write(tmp_path / "own.svs", (section, first), (reduce(section, 2), small))
    false = write(tmp_path / "false.svs", (section, first), (reduce(other_section, 2), small))
    assert widths(own) == ([1024, 512], ())
    said = "has a page marked as a smaller copy that shows another picture and is not read: 512 x 512 px"
    assert widths(false) == ([1024], (said,))


def test_a_wrong_level_is_not_read_by_openslide_either(tmp_path, section, other_section):
    """Gaps hand an SVS to OpenSlide, which looks at no picture; places with a gap tell nothing of a level."""
    head = "Aperio Image Library v1\n1024x1024 [0,0 1024x1024]"
    first, *lower = (
        {**TILED, "shape": (side, side, 3), "dtype": np.uint8, "description": f"{head}{said}|MPP = 0.5"}
        for side, said in ((1024, ""), (512, " -> 512x512 "), (256, " -> 256x256 "))
    )
    said = "has a page marked as a smaller copy that shows another picture and is not read: 512 x 512 px"
    wanted = {"own": (section, ([1024, 512, 256], ())), "false": (other_section, ([1024, 256], (said,)))}
    for name, (shown, told) in wanted.items():
        pages = [stored(section, 63), stored(reduce(shown, 2), 2), stored(reduce(section, 4), 4)]
        path = write(tmp_path / f"{name}.svs", *zip(pages, (first, *lower), strict=True))
        assert widths(path) == told
        with open_slide(path) as slide:
            assert isinstance(slide._reader, OpenSlideReader)
            seen = slide.read(Box(0, 0, 896, 896), 1.0)
            assert np.abs(seen.astype(int) - reduce(section, 2)[:448, :448]).mean() < 4


def stored(picture, count):
    """Yield the tiles of a picture, of which the first `count` are stored."""
    side = TILED["tile"][0]
    places = [(y, x) for y in range(0, len(picture), side) for x in range(0, len(picture), side)]
    for number, (y, x) in enumerate(places):
        yield np.ascontiguousarray(picture[y : y + side, x : x + side]) if number < count else None


def test_an_empty_slide_keeps_its_levels(tmp_path):
    blank = np.full((1024, 1024, 3), 240, np.uint8)
    assert widths(write(tmp_path / "a.tif", (blank, TILED), (blank[::2, ::2], TILED))) == ([1024, 512], ())


def test_levels_of_real_slides_stay(data):
    for name in ("slides/CMU-1-Small-Region.svs", "slides/tcga_no_mpp.svs", "qupath/kidney_01.tif"):
        levels, remarks = widths(data / name)
        assert len(levels) == openslide.OpenSlide(data / name).level_count
        assert remarks == ()


# --- the main picture --------------------------------------------------------------------------------------------


def test_a_thumbnail_in_front_is_not_the_slide(tmp_path, section):
    small = write(tmp_path / "thumb.tif", (reduce(section, 8), {**TILED, "tile": None}), (section, TILED))
    rising = write(tmp_path / "rising.tif", (reduce(section, 4), TILED), (reduce(section, 2), TILED), (section, TILED))
    for path, count in ((small, 1), (rising, 3)):
        levels, remarks = widths(path)
        assert len(levels) == count
        assert levels[0] == 1024
        assert re.search(r"begins with a picture of \d+ x \d+ px; its page \d of 1024 x 1024 px is read", remarks[0])


def test_other_pages_of_the_same_size_are_said(tmp_path, section, other_section):
    path = write(tmp_path / "a.tif", (section, TILED), (other_section, TILED), (other_section, TILED))
    assert widths(path) == ([1024], ("holds 2 other pictures, which are not read: 1024 x 1024 px, 1024 x 1024 px",))
    strips = {"photometric": "rgb", "metadata": None}
    path = write(tmp_path / "b.tif", (section, strips), (other_section, strips))
    assert widths(path)[1] == ("holds another picture, which is not read: 1024 x 1024 px",)


# --- OME ---------------------------------------------------------------------------------------------------------


def ome(path, *images, order=None, root=""):
    """Write pictures one after another with OME-XML of our own; each image is (name, picture, mpp, unit, more)."""
    entries = []
    for index, (name, picture, mpp, unit, more) in enumerate(images):
        size = "" if mpp is None else f'PhysicalSizeX="{mpp}" PhysicalSizeY="{mpp}"'
        size += "" if unit is None else f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
        place = more or f'<TiffData IFD="{index}" PlaneCount="1"/>'
        entries.append(
            f'<Image ID="Image:{index}" Name="{name}"><Pixels ID="Pixels:{index}" DimensionOrder="XYCZT" Type="uint8" '
            f'SizeX="{picture.shape[1]}" SizeY="{picture.shape[0]}" SizeC="3" SizeZ="1" SizeT="1" {size}>'
            f'<Channel ID="Channel:{index}:0" SamplesPerPixel="3"/>'
            f"{place}</Pixels></Image>"
        )
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {root}>'
        f"{''.join(entries[index] for index in order or range(len(entries)))}</OME>"
    )
    pages = [(picture, {**TILED, "tile": (64, 64)}) for _, picture, _, _, _ in images]
    pages[0][1]["description"] = xml.encode()
    return write(path, *pages, ome=False)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_slide_is_read_whatever_the_order(tmp_path, section, order):
    pictures = (("label image", section[:200, :200], 12, "µm", None), ("scan", section, 500, "nm", None))
    path = ome(tmp_path / "a.ome.tif", *pictures, ("macro", section[:400, :1000], 0.03, "mm", None), order=order)
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == (1024, 1024)
        assert slide.pixel_size == pytest.approx((0.5, 0.5))
        assert slide.remarks == ()
        assert np.array_equal(slide.read(Box(0, 0, 1024, 1024), 0.5), section)


def test_a_macro_larger_than_the_slide_is_still_none(tmp_path, section):
    path = ome(
        tmp_path / "a.ome.tif", ("macro", section, 20, "µm", None), ("biopsy", section[:300, :500], 0.5, "µm", None)
    )
    with open_slide(path) as slide:
        assert (slide.width, slide.height, slide.mpp_x) == (500, 300, 0.5)


def test_several_images_are_said(tmp_path, section, other_section):
    path = ome(tmp_path / "a.ome.tif", ("A", other_section[:512, :512], 1, "µm", None), ("B", section, 0.5, "µm", None))
    with open_slide(path) as slide:
        assert (slide.width, slide.mpp_x) == (1024, 0.5)
        assert slide.remarks == ("holds other images too, which are not read: A (512 x 512 px)",)


def test_pages_in_another_order_than_the_xml_are_told_by_their_size(tmp_path, section):
    pictures = (("macro", section[:200, :300], 20, None, "<TiffData/>"), ("scan", section, 0.25, None, "<TiffData/>"))
    with open_slide(ome(tmp_path / "a.ome.tif", *pictures, order=(1, 0))) as slide:
        assert (slide.width, slide.mpp_x) == (1024, 0.25)
        assert np.array_equal(slide.read(Box(0, 0, 1024, 1024), 0.25), section)


@pytest.mark.parametrize(
    ("mpp", "unit", "expected", "said"),
    [
        ("0.5", None, 0.5, None),
        ("0,5", "µm", 0.5, None),
        ("5e-1", "\u03bcm", 0.5, None),
        ("0.0005", "mm", 0.5, None),
        ("0.5", "pixel", None, "'pixel', which is no unit of length"),
        ("0.5", "reference frame", None, "no unit of length"),
        ("12.6", "µm", None, "12.6 um per pixel, which is implausible"),
        ("0", "µm", None, "implausible"),
        ("half", "µm", None, "'half', which is no number"),
        (None, None, None, None),
    ],
)
def test_units_and_numbers_of_ome(tmp_path, section, mpp, unit, expected, said):
    with open_slide(ome(tmp_path / "a.ome.tif", ("x", section, mpp, unit, None))) as slide:
        assert slide.mpp_x == (None if expected is None else pytest.approx(expected))
        assert said is None or said in (slide.stated.remark or "")


def test_a_picture_in_another_file_is_named(tmp_path, section):
    link = '<TiffData IFD="0"><UUID FileName="set_0.ome.tif">urn:uuid:b</UUID></TiffData>'
    path = ome(tmp_path / "set_1.ome.tif", ("x", section, 0.5, None, link), root='UUID="urn:uuid:a"')
    with pytest.raises(SlideError, match=r"keeps its picture in set_0\.ome\.tif; open that file"):
        open_slide(path)
    renamed = '<TiffData IFD="0"><UUID FileName="old_name.ome.tif">urn:uuid:a</UUID></TiffData>'
    path = ome(tmp_path / "renamed.ome.tif", ("x", section, 0.5, None, renamed), root='UUID="urn:uuid:a"')
    with open_slide(path) as slide:
        assert slide.mpp_x == 0.5


def test_xml_that_cannot_be_read_or_is_another_pictures_is_said(tmp_path, section):
    broken = write(tmp_path / "broken.tif", (section, {**TILED, "description": b"<?xml <OME><Image></OME>"}))
    with open_slide(broken) as slide:
        assert slide.mpp_x is None
        assert "OME-XML that cannot be read" in slide.remarks[0]
    path = ome(tmp_path / "a.ome.tif", ("x", section, 0.25, None, None))
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.pages.first.description
    half = write(tmp_path / "half.ome.tif", (reduce(section, 2), {**TILED, "description": xml.encode()}))
    with open_slide(half) as slide:
        assert slide.remarks == ("describes a picture of 1024 x 1024 px and has one of 512 x 512 px: was it resized?",)


# --- colours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [(128, 128), None])
def test_ycbcr_without_jpeg_becomes_rgb(tmp_path, section, tile):
    rgb = section.astype(float)
    luma = rgb @ (0.299, 0.587, 0.114)
    ycc = np.stack([luma, 128 + (rgb[..., 2] - luma) / 1.772, 128 + (rgb[..., 0] - luma) / 1.402], axis=2)
    path = tmp_path / "ycc.tif"
    tifffile.imwrite(
        path, np.round(ycc).astype(np.uint8), photometric="ycbcr", tile=tile, compression="deflate", metadata=None,
        subsampling=(1, 1),
    )  # fmt: skip
    with open_slide(path, mpp=1) as slide:
        assert np.abs(slide.read(Box(0, 0, 1024, 1024), 1).astype(int) - section).max() <= 2


@pytest.mark.parametrize("tile", [(128, 128), None])
@pytest.mark.parametrize("photometric", ["miniswhite", "palette", "cielab"])
def test_other_colours_are_refused_by_name(tmp_path, section, photometric, tile):
    options = {"colormap": np.zeros((3, 256), np.uint16)} if photometric == "palette" else {}
    picture = section if photometric == "cielab" else section[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric=photometric, tile=tile, metadata=None, **options)
    with pytest.raises(SlideError, match=f"(?i){photometric}.*convert it to 8-bit RGB"):
        open_slide(tmp_path / "a.tif")
