"""What a review teaches, tile by tile: all that was reviewed, wherever it lies, and nothing else."""

import json
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image
from support.slides import DISC, Disc, disc_slide

from glomseg.errors import TrainingError
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import read_project
from glomseg.runs.ownership import stamp
from glomseg.runs.reviewed import ReviewedImage, ReviewedProject
from glomseg.training.corrections import export_corrections
from glomseg.training.data.examples import read_example
from glomseg.training.data.find import find_examples

MPP = 2.0  # tiles of 512 px of 1 um: 1024 px of a slide of 0.5 um per pixel


def circle(x, y, radius, class_name="Glomerulus", **more):
    return PathObject(geometry=shapely.Point(x, y).buffer(radius), class_name=class_name, **more)


def review_of(path, *objects, area=None, rejected=(), name="a.tif", mpp=None):
    image = AnnotatedImage(entry_id=name, name=name, path=path, mpp=mpp, objects=objects)
    return ReviewedImage(image=image, area=area, rejected=tuple(rejected))


@pytest.fixture
def learn(data, tmp_path):
    """Export reviews and read the examples back, with how many um of the slide each shows."""

    def export(*images):
        project = read_project(data / "qupath/project_0_6_0")
        reviewed = ReviewedProject(
            project=project, images=images, model=None, model_folder=None, species=None, remarks=()
        )
        corrections = export_corrections(reviewed, tmp_path / "corrections", mpp=MPP)
        examples = find_examples([tmp_path / "corrections"], model_mpp=MPP)
        return corrections, {example: read_example(example, MPP) for example in examples}

    return export


def seen(found, example):
    """The part of the slide that is known (valid) in an example, in level-0 px, and its labelled part."""
    x, y = (int(part.partition("=")[2].partition(",")[0]) for part in example.image.stem.split("[")[1].split(",")[1:3])
    step = 4  # level-0 px a reading pixel
    rows, columns = np.nonzero(found.valid)
    return x + columns * step, y + rows * step


def test_a_slide_smaller_than_a_tile_and_its_far_edges_are_learned(learn, tmp_path):
    places = [Disc(300, 200, 90, 90), Disc(1300, 500, 90, 90)]
    slide = disc_slide(tmp_path / "a.tif", size=(1400, 600), discs=places)
    corrections, read = learn(review_of(slide.path, *(circle(disc.x, disc.y, 90) for disc in places)))
    assert corrections.annotated == len(read) >= 2
    assert corrections.remarks == ()
    (described,) = (tmp_path / "corrections").rglob("*-tiles.json")
    said = json.loads(described.read_text("utf-8"))["base_directory"]
    assert said == str(described.parent), "where they lie, not where they were made"
    covered = np.zeros((600, 1400), bool)
    for example, found in read.items():
        x, y = seen(found, example)
        assert x.max() < 1400
        assert y.max() < 600, "what lies off the slide is not known"
        covered[y, x] = True
        dark = np.abs(found.image.astype(int) - DISC).max(axis=2) < 40
        assert (found.label > 0)[dark].mean() > 0.95
    assert covered[::4, ::4].mean() > 0.99


def test_a_small_reviewed_region_is_learned_and_its_surroundings_are_not(learn, tmp_path):
    """The disc outside the region was never looked at: it is neither a glomerulus nor tissue without one."""
    places = [Disc(1000, 800, 80, 80), Disc(1300, 800, 80, 80)]
    slide = disc_slide(tmp_path / "a.tif", discs=places)
    area = shapely.box(880, 680, 1120, 920)
    corrections, read = learn(review_of(slide.path, circle(1000, 800, 80), area=area))
    assert corrections.annotated == len(read) >= 1
    for example, found in read.items():
        x, y = seen(found, example)
        assert x.min() >= 876
        assert x.max() <= 1120
        assert y.min() >= 676
        assert y.max() <= 920
        assert found.label.sum() * 16 == pytest.approx(np.pi * 80**2, rel=0.1)


def test_what_is_to_be_ignored_teaches_nothing(learn, tmp_path):
    places = [Disc(600, 700, 80, 80), Disc(1200, 700, 80, 80)]
    slide = disc_slide(tmp_path / "a.tif", discs=places)
    ignore = PathObject(geometry=shapely.box(1000, 500, 1400, 900), class_name="Ignore*")
    thrown_out = (circle(500, 1200, 60), circle(1200, 700, 80))
    corrections, read = learn(review_of(slide.path, circle(600, 700, 80), ignore, rejected=thrown_out))
    assert corrections.hard == 1, "that in the area to ignore is left out"
    for example, found in read.items():
        x, y = seen(found, example)
        assert not ((x > 1004) & (x < 1396) & (y > 504) & (y < 896)).any()
        assert example.hard == ("hard_negatives" in example.image.parts)
    assert any(example.positive for example in read)


def test_what_has_no_class_teaches_nothing_and_other_spellings_count(learn, tmp_path):
    """As in faults/41: an outline without a class is neither a glomerulus nor tissue without one."""
    places = [Disc(600, 700, 80, 80), Disc(1000, 700, 80, 80), Disc(1400, 700, 80, 80)]
    slide = disc_slide(tmp_path / "a.tif", discs=places)
    region = PathObject(geometry=shapely.box(100, 100, 1900, 1400))  # around all, and no glomerulus itself
    objects = (circle(600, 700, 80), circle(1000, 700, 80, None), circle(1400, 700, 80, "glomeruli"), region)
    point = PathObject(geometry=shapely.Point(300, 300), class_name="Glomerulus")
    corrections, read = learn(review_of(slide.path, *objects, point))
    assert "a.tif: 1 outlines without a class teach nothing; give each its class in QuPath" in corrections.remarks
    assert any("'glomeruli' is read as Glomerulus" in remark for remark in corrections.remarks)
    assert "left out: 2 annotations without a class, 1 point of class Glomerulus" in corrections.remarks
    seen_at = dict.fromkeys((600, 1000, 1400), False)
    for example, found in read.items():
        x, y = seen(found, example)
        assert not np.any(np.hypot(x - 1000, y - 700) < 70)
        for centre in seen_at:
            seen_at[centre] |= bool(np.any(np.hypot(x - centre, y - 700) < 70))
        dark = np.abs(found.image.astype(int) - DISC).max(axis=2) < 40
        assert (found.label > 0)[dark & (found.valid > 0)].mean() > 0.9 or not (dark & (found.valid > 0)).any()
    assert seen_at == {600: True, 1000: False, 1400: True}


def test_a_reviewed_image_that_gives_no_tile_is_named(learn, tmp_path):
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(600, 700, 80, 80)])
    glass = disc_slide(tmp_path / "b.tif", discs=[], tissue=(0, 0, 1, 1))
    corrections, read = learn(review_of(slide.path, circle(600, 700, 80)), review_of(glass.path, name="b.tif"))
    assert corrections.remarks == ("b.tif: no tissue in what was reviewed; left out",)
    assert {example.slide for example in read} == {"a"}


def test_one_coarse_image_does_not_make_all_tiles_coarse(learn, tmp_path):
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(600, 700, 80, 80)])
    coarse = review_of(slide.path, circle(600, 700, 80), name="macro.tif", mpp=(5.0, 5.0))
    corrections, read = learn(review_of(slide.path, circle(600, 700, 80)), coarse)
    assert corrections.remarks == ("macro.tif: its pixels are 5 um, too coarse to be read at 2; left out",)
    assert {example.mpp for example in read} == {1.0}
    with pytest.raises(TrainingError, match="too coarse"):
        learn(coarse)


def test_a_reviewed_image_whose_file_is_damaged_stops_no_other(learn, tmp_path):
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(600, 700, 80, 80)])
    damaged = tmp_path / "b.tif"
    damaged.write_bytes(b"II*\0 and nothing else")
    corrections, read = learn(
        review_of(damaged, circle(600, 700, 80), name="b.tif"), review_of(slide.path, circle(600, 700, 80))
    )
    assert read
    assert [remark for remark in corrections.remarks if remark.startswith("b.tif: ") and "left out" in remark]
    with pytest.raises(TrainingError, match=r"b\.tif: .*left out"):
        learn(review_of(damaged, circle(600, 700, 80), name="b.tif"))


def test_the_labels_say_by_name_what_is_not_known(learn, tmp_path):
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(600, 700, 80, 80)])
    objects = (circle(600, 700, 80), circle(900, 700, 60, "Glomerulus: Sclerotic"))
    _, read = learn(review_of(slide.path, *objects, area=shapely.box(400, 500, 1000, 900)))
    for example in read:
        assert example.values == ((1, 1), (2, 1), (3, 255))
        with Image.open(example.label) as label:
            assert set(np.unique(np.asarray(label))) == {0, 1, 2, 3}


def test_what_a_mark_alone_does_not_settle_teaches_nothing_and_is_said(learn, tmp_path):
    """What is to be edited, and candidates that nobody judged, are neither glomeruli nor tissue without one."""
    places = [Disc(x, 700, 80, 80) for x in (300, 700, 1100, 1500)]
    slide = disc_slide(tmp_path / "a.tif", discs=places)
    to_edit = circle(700, 700, 50, metadata={"glomseg.verdict": "edit"})  # too small
    shown, offered = circle(1100, 700, 80, "Candidate: Glomerulus"), circle(1500, 700, 80)
    reviewed = replace(review_of(slide.path, circle(300, 700, 80), to_edit, shown), candidates=(shown, offered))
    corrections, read = learn(reviewed)
    said = "; ".join(corrections.remarks)
    assert "a.tif: 1 outlines that are to be edited teach nothing" in said
    assert "a.tif: 2 candidates that nobody judged teach nothing" in said
    taught = dict.fromkeys((300, 700, 1100, 1500), False)
    for example, found in read.items():
        x, y = seen(found, example)
        for centre in taught:
            taught[centre] |= bool(np.any(np.hypot(x - centre, y - 700) < 55))
        assert (found.label > 0).sum() <= np.pi * 21**2, "the one that is settled"
    assert taught == {300: True, 700: False, 1100: False, 1500: False}


@pytest.mark.parametrize("classes", [("Glomerulus",), ("Glomerulus", "Glomerulus: Sclerotic")])
def test_a_suggestion_that_nobody_judged_teaches_no_class(data, tmp_path, classes):
    slide = disc_slide(tmp_path / "a.tif", discs=[Disc(300, 700, 80, 80), Disc(1100, 700, 80, 80)])
    marked = {"glomseg.suggestion": "Glomerulus: Sclerotic"}
    suggested = stamp(circle(1100, 700, 80, metadata=marked), run="r", model="m")
    accepted = replace(suggested, metadata={**suggested.metadata, "glomseg.verdict": "accept"})
    for item, is_said in ((suggested, len(classes) == 2), (accepted, False)):
        reviewed = ReviewedProject(
            project=read_project(data / "qupath/project_0_6_0"),
            images=(review_of(slide.path, circle(300, 700, 80), item),),
            model=None, model_folder=None, species=None, remarks=(),
        )  # fmt: skip
        folder = tmp_path / f"corrections {item is accepted}"
        corrections = export_corrections(reviewed, folder, mpp=MPP, class_names=classes)
        said = "; ".join(corrections.remarks)
        assert ("1 outlines that may be of another class teach nothing" in said) == is_said
