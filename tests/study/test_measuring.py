"""Profiles on drawn slides: where they lie, what cuts them, and what their areas relate to."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from shapely.geometry import LineString, Point, Polygon, box
from support.slides import Disc, disc_slide

from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import stamp
from glomseg.study.measuring import measure_slide
from glomseg.study.records import MeasureSettings, RunFinding, StudySlide

SETTINGS = MeasureSettings()
TISSUE = (200, 200, 1600, 1100)
SPOTS = ((500, 500), (700, 500), (1200, 900))


def glomerulus(geometry, class_name="Glomerulus", **values) -> PathObject:
    return PathObject(geometry=geometry, class_name=class_name, **values)


def disc(x: float, y: float, radius: float = 60) -> Polygon:
    return Point(x, y).buffer(radius, 64)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    return disc_slide(folder / "s.tif", discs=[Disc(x, y, 60, 60) for x, y in SPOTS], tissue=TISSUE).path


def slide(path: Path | None, *objects: PathObject, **values) -> StudySlide:
    return StudySlide(image=AnnotatedImage(entry_id="1", name="s.tif", path=path, objects=objects, **values))


def test_sizes_places_and_tissue(drawn: Path) -> None:
    objects = [glomerulus(disc(*SPOTS[0])), glomerulus(disc(*SPOTS[1])), glomerulus(disc(*SPOTS[2]))]
    measured = measure_slide(slide(drawn, *objects, metadata={"glomseg.reviewed": "AB"}), SETTINGS)
    assert [profile.whole for profile in measured.profiles] == [True] * 3
    assert measured.profiles[0].shape.area_um2 == pytest.approx(math.pi * 30**2, rel=1e-3)
    assert measured.profiles[0].shape_px.area_um2 == pytest.approx(math.pi * 60**2, rel=1e-3)
    assert [profile.nearest_um for profile in measured.profiles] == pytest.approx(
        [100, 100, math.hypot(500, 400) / 2], rel=1e-6
    )
    assert measured.profiles[0].edge_um == pytest.approx(150, abs=16)
    assert measured.reference == "tissue"
    assert measured.reference_area_um2 == pytest.approx(1600 * 1100 * 0.25, rel=0.05)
    assert (measured.remarks, measured.doubt, measured.not_measured) == ((), "", "")


def test_every_edge_cuts(drawn: Path) -> None:
    objects = [
        glomerulus(disc(500, 500)),
        glomerulus(disc(1000, 700)),  # across the border of the cortex
        glomerulus(disc(700, 300)),  # its centre in what is ignored
        glomerulus(disc(450, 235, 40)),  # against the tissue's upper edge
        glomerulus(box(0, 600, 80, 700)),  # at the image's edge, on glass
        glomerulus(disc(1500, 700)),  # outside the cortex
        PathObject(geometry=box(0, 0, 1000, 1300), class_name="Cortex"),
        PathObject(geometry=disc(700, 300, 80), class_name="Ignore*"),
    ]
    measured = measure_slide(slide(drawn, *objects), SETTINGS)
    assert [profile.cut_by for profile in measured.profiles] == [
        (),
        ("region",),
        (),
        ("section",),
        ("image", "section"),
        (),
    ]
    assert [profile.inside for profile in measured.profiles] == [True, True, False, True, True, False]
    assert sum(profile.whole for profile in measured.profiles) == 1
    assert measured.reference == "cortex"
    ignored = disc(700, 300, 80).area
    assert measured.reference_area_um2 == pytest.approx((1000 * 1300 - ignored) * 0.25, rel=1e-6)
    inside = disc(500, 500).area + disc(1000, 700).area / 2 + disc(450, 235, 40).area + 80 * 100
    assert measured.profile_area_um2 == pytest.approx(inside * 0.25, rel=1e-3)


def test_what_a_machine_saw_cut_stays_cut() -> None:
    found = glomerulus(disc(500, 500), measurements={"Touches edge": 1.0})
    measured = measure_slide(slide(None, found, mpp=(0.5, 0.5), size_px=(2000, 2000)), SETTINGS)
    assert measured.profiles[0].cut_by == ("image",)


def test_anisotropic_pixels() -> None:
    ellipse = Polygon([(500 + 200 * math.cos(t / 50), 500 + 100 * math.sin(t / 50)) for t in range(314)])
    measured = measure_slide(
        slide(None, glomerulus(ellipse), glomerulus(disc(900, 500)), mpp=(0.25, 0.5), size_px=(2000, 2000)), SETTINGS
    )
    assert measured.profiles[0].shape.area_um2 == pytest.approx(math.pi * 50**2, rel=1e-3)
    assert measured.profiles[0].nearest_um == pytest.approx(100, rel=1e-3)


def test_without_a_pixel_size_there_are_pixels_alone(tmp_path: Path) -> None:
    path = disc_slide(tmp_path / "s.png", mpp=None, kind="png").path
    measured = measure_slide(slide(path, glomerulus(disc(500, 500))), SETTINGS)
    (profile,) = measured.profiles
    assert profile.shape is None
    assert profile.nearest_um is None
    assert profile.edge_um is None
    assert profile.shape_px.area_um2 == pytest.approx(math.pi * 60**2, rel=1e-3)
    assert measured.reference_area_um2 is None
    assert "`mpp`" in measured.remarks[0]
    known = measure_slide(slide(path, glomerulus(disc(500, 500))), MeasureSettings(mpp=(0.5, 0.5)))
    assert known.profiles[0].shape is not None


def test_an_image_missing_since_is_measured_from_its_outlines(tmp_path: Path) -> None:
    gone = slide(tmp_path / "gone.tif", glomerulus(disc(500, 500)), mpp=(0.5, 0.5), size_px=(2000, 2000))
    measured = measure_slide(gone, SETTINGS)
    assert measured.profiles[0].shape.area_um2 == pytest.approx(math.pi * 30**2, rel=1e-3)
    assert measured.reference_area_um2 is None
    assert "gone.tif" in measured.remarks[0]
    cortex = PathObject(geometry=box(0, 0, 1000, 1000), class_name="Cortex")
    with_cortex = measure_slide(
        slide(None, glomerulus(disc(500, 500)), cortex, mpp=(0.5, 0.5), size_px=(2000, 2000)), SETTINGS
    )
    assert with_cortex.reference_area_um2 == pytest.approx(250_000)


def test_a_mark_on_an_image_settles_no_suggestion_and_says_nothing_of_a_runs_own_outlines(drawn: Path) -> None:
    """Whoever marked an image may not have seen what a classifier suggests; a verdict on the outline says it."""
    marked = {"glomseg.suggestion": "Glomerulus: Sclerotic"}
    suggested = stamp(glomerulus(disc(*SPOTS[0]), metadata=marked), run="r", model="m")
    judged = replace(suggested, metadata={**suggested.metadata, "glomseg.verdict": "accept"})
    reviewed = slide(drawn, suggested, judged, metadata={"glomseg.reviewed": "AB"})
    for source, is_reviewed in (("project", [True, True]), ("run r", [False, True])):
        profiles = measure_slide(replace(reviewed, source=source), SETTINGS).profiles
        assert [profile.suggested_sclerotic for profile in profiles] == [True, False]
        assert [profile.reviewed for profile in profiles] == is_reviewed
    of_run = measure_slide(StudySlide(image=replace(reviewed.image, objects=(suggested,)), source="run r"), SETTINGS)
    assert of_run.sclerosis_judged_by == ""


def test_another_image_of_that_name_is_not_read(drawn: Path) -> None:
    measured = measure_slide(slide(drawn, glomerulus(disc(500, 500)), mpp=(0.5, 0.5), size_px=(99, 99)), SETTINGS)
    assert "another image" in measured.remarks[0]
    assert measured.tissue_area_um2 is None


def test_what_is_no_glomerulus_or_has_no_area(drawn: Path) -> None:
    bow_tie = Polygon([(400, 400), (500, 500), (500, 400), (400, 500)])
    measured = measure_slide(
        slide(
            drawn,
            glomerulus(LineString([(0, 0), (5, 5)])),
            glomerulus(bow_tie),
            glomerulus(disc(900, 900), class_name="Glomerulus: Sclerotic"),
            glomerulus(disc(900, 900), class_name="Tubule"),
            glomerulus(disc(900, 900), class_name="ignore *"),  # is not Ignore*, and takes nothing out
            glomerulus(disc(900, 900), object_type="detection"),
            glomerulus(disc(900, 900), class_name=None),
        ),
        SETTINGS,
    )
    assert [profile.sclerotic for profile in measured.profiles] == [False, True]
    assert measured.profiles[0].shape.area_um2 == pytest.approx(5000 * 0.25)
    assert str(measured.left_out) == (
        "left out: 1 annotation without a class, 1 detection of class Glomerulus, 1 line of class Glomerulus, "
        "1 annotation of class Tubule, 1 annotation of class ignore *"
    )


def test_an_outline_of_no_size_counts_and_is_said(drawn: Path) -> None:
    speck, small = disc(700, 700, 0.1), disc(900, 500, 30)  # a click that slipped, and a pole of a glomerulus
    alone = measure_slide(slide(drawn, glomerulus(speck), mpp=(0.5, 0.5)), SETTINGS)
    among = measure_slide(slide(drawn, *(glomerulus(one) for one in (disc(500, 500), speck, small))), SETTINGS)
    for measured in (alone, among):
        assert any("1 outline is far too small and counts (at 700, 700 px)" in text for text in measured.remarks)
    sound = measure_slide(slide(drawn, glomerulus(disc(500, 500)), glomerulus(small)), SETTINGS)
    assert not any("too small" in text for text in sound.remarks)


def test_spellings_of_one_class_are_one_and_said(drawn: Path) -> None:
    measured = measure_slide(
        slide(
            drawn,
            glomerulus(disc(500, 500), class_name="glomeruli"),
            glomerulus(disc(900, 900), class_name="Glomerulus:sclerotic"),
            PathObject(geometry=box(300, 300, 1300, 1000), class_name="cortex"),
        ),
        SETTINGS,
    )
    assert [(profile.sclerotic, profile.inside) for profile in measured.profiles] == [(False, True), (True, True)]
    assert measured.reference == "cortex"
    assert [remark.partition(";")[0] for remark in measured.remarks] == [
        "1 of class 'Glomerulus:sclerotic' is read as Glomerulus: Sclerotic",
        "1 of class 'cortex' is read as Cortex",
        "1 of class 'glomeruli' is read as Glomerulus",
    ]


def test_a_slide_without_any_glomerulus(drawn: Path) -> None:
    measured = measure_slide(slide(drawn), SETTINGS)
    assert measured.profiles == ()
    assert measured.reference_area_um2 > 0


def test_a_cortex_off_the_image_is_no_zero(drawn: Path) -> None:
    """Two outlines on the image, one beyond it, and a cortex that was drawn on another image."""
    objects = [*(glomerulus(disc(*spot)) for spot in SPOTS[:2]), glomerulus(disc(9000, 9000))]
    cortex = glomerulus(box(8000, 8000, 9900, 9900), "Cortex")
    measured = measure_slide(slide(drawn, *objects, cortex), SETTINGS)
    assert measured.not_measured == "no area of class Cortex lies on the image, which is 2048 x 1536 px"
    assert "1 of 3 glomeruli lies off the image, which is 2048 x 1536 px, and is not counted" in measured.remarks
    with_own = measure_slide(slide(drawn, *objects, cortex, glomerulus(box(300, 300, 1000, 1000), "Cortex")), SETTINGS)
    assert with_own.not_measured == ""
    assert len(with_own.inside) == 2
    assert (
        "1 of 2 areas of class Cortex lie off the image, which is 2048 x 1536 px, and are not counted"
        in with_own.remarks
    )


def test_what_lies_outside_of_what_counts_is_said(drawn: Path) -> None:
    """A cortex that was drawn roughly, and an area to ignore over a part of it."""
    cortex, ignored = (box(300, 300, 760, 1000), "Cortex"), (box(300, 300, 560, 1000), "Ignore*")
    objects = [glomerulus(disc(*spot)) for spot in ((400, 500), (700, 500), (1500, 500), (1600, 900))]
    measured = measure_slide(slide(drawn, *objects, glomerulus(*cortex), glomerulus(*ignored)), SETTINGS)
    assert [profile.inside for profile in measured.profiles] == [False, True, False, False]
    assert measured.remarks == (
        "1 of 4 glomeruli lies in areas of class Ignore*, and is not counted",
        "2 of 4 glomeruli lie outside of Cortex, and are not counted",
    )


def test_what_is_all_to_be_ignored_is_no_zero(drawn: Path) -> None:
    objects = [glomerulus(disc(*SPOTS[0])), glomerulus(box(0, 0, 2048, 1536), "Ignore*")]
    whole = measure_slide(slide(drawn, *objects), SETTINGS)
    assert whole.not_measured == "all of it lies in areas of class Ignore*"
    cortex = measure_slide(slide(drawn, *objects, glomerulus(box(300, 300, 1000, 1000), "Cortex")), SETTINGS)
    assert cortex.not_measured == "all of its Cortex lies in areas of class Ignore*"


def test_what_may_be_counted_twice_or_once_too_few_is_said(drawn: Path) -> None:
    """A file imported twice into QuPath, and two glomeruli that were drawn as one annotation."""
    one, two, three = (glomerulus(disc(*spot)) for spot in SPOTS)
    beside = glomerulus(disc(600, 500, 50))  # overlaps two neighbours a little, as careless outlines do
    said = measure_slide(slide(drawn, one, two, three, beside, glomerulus(disc(505, 500))), SETTINGS).remarks
    assert said == ("1 outline lies on another, and each counts (at 505, 501 px): delete what is there twice",)
    both = glomerulus(one.geometry.union(three.geometry))
    (said,) = measure_slide(slide(drawn, two, both), SETTINGS).remarks
    assert said.startswith("1 outline has several parts and counts once (at ")
    scrap = glomerulus(one.geometry.union(disc(700, 700, 20)))
    assert measure_slide(slide(drawn, scrap, three), SETTINGS).remarks == ()


def test_what_no_run_looked_at_is_no_tissue_without_glomeruli(drawn: Path) -> None:
    """A run within a part of the tissue: densities refer to all of it, which is said unless somebody saw the rest."""
    objects = [glomerulus(disc(*SPOTS[0])), glomerulus(disc(*SPOTS[1]))]

    def doubt(area: Polygon | None, *more: PathObject, **values) -> str:
        run = RunFinding(run_id="r", found=2, in_project=True, area=area)
        seen = StudySlide(
            image=AnnotatedImage(entry_id="1", name="s.tif", path=drawn, objects=(*objects, *more), **values), run=run
        )
        return measure_slide(seen, SETTINGS).doubt

    left, all_tissue = box(0, 0, 1000, 2000), box(150, 150, 1850, 1350)
    assert "run r looked at 50% of its tissue alone" in doubt(left)
    assert doubt(None) == doubt(all_tissue) == ""  # glass needs no looking at
    assert doubt(left, metadata={"glomseg.reviewed": "AB"}) == ""
    assert doubt(left, glomerulus(box(210, 210, 990, 1290), "Cortex")) == ""
    assert doubt(left, glomerulus(box(900, 200, 1800, 1300), "Ignore*")) == ""
