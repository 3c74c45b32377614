"""From an outline on a slide to a classifier's suggestion, and what becomes of it on QuPath's objects."""

import numpy as np
import pytest
from PIL import Image
from shapely.geometry import Point, box
from support.oracle import CLASSES, save_oracle
from support.slides import GLASS, disc_slide, write_pyramid

from glomseg.errors import ModelError
from glomseg.models.crop_classifier import CROP_PX, load_classifier
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.runs.ownership import owner, stamp
from glomseg.runs.run import load_run
from glomseg.runs.segment_slides import segment_slides
from glomseg.runs.segmenter import SegmentOptions
from glomseg.runs.suggestions import SUGGESTION, suggested_class, with_suggestions
from glomseg.segment.suggest import Suggestion, crop_profile, probabilities
from glomseg.slides.slide import open_slide


def test_a_profile_is_cut_out_along_its_outline_whatever_its_size(tmp_path):
    picture = np.full((600, 900, 3), GLASS, np.uint8)
    picture[100:300, 200:700] = (200, 0, 0)  # 500 x 200 px
    picture[100:300, 200:450] = (0, 0, 200)
    path = tmp_path / "slide.tif"
    write_pyramid(path, picture, 0.5)
    with open_slide(path) as slide:
        pixels, inside = crop_profile(slide, box(200, 100, 700, 300))
        _, round_one = crop_profile(slide, Point(450, 200).buffer(100))
        tiny, _ = crop_profile(slide, box(10, 10, 10.5, 10.5))
    assert pixels.shape == (CROP_PX, CROP_PX, 3)
    assert inside.all()
    assert (pixels[:, :60] == (0, 0, 200)).all()
    assert (pixels[:, 68:] == (200, 0, 0)).all()
    assert round_one.mean() == pytest.approx(np.pi / 4, abs=0.02)
    assert tiny.shape == (CROP_PX, CROP_PX, 3)


def test_on_a_slide_the_answer_is_that_of_the_crop(data, tmp_path):
    """Twelve crops that were learned from, laid out on a slide at full size, half of them sclerosed."""
    folder = data / "kidney" / "crops" / "images"
    paths = [
        *sorted((folder / "sclerotic").glob("*.jpg"))[:60:10],
        *sorted((folder / "non_sclerotic").glob("*"))[::130],
    ]
    picture = np.full((300 * 3, 300 * 4, 3), GLASS, np.uint8)
    outlines, truth = [], []
    for number, path in enumerate(paths[:12]):
        top, left = 300 * (number // 4) + 30, 300 * (number % 4) + 30
        with Image.open(path) as image:
            picture[top : top + 224, left : left + 224] = np.asarray(image.convert("RGB"))
        outlines.append(Point(left + 112, top + 112).buffer(112))
        truth.append("non_" not in path.parent.name)
    write_pyramid(tmp_path / "slide.tif", picture, 0.5)
    with open_slide(tmp_path / "slide.tif") as slide:
        answers = probabilities(slide, outlines, load_classifier())
    assert np.mean((np.array(answers) >= 0.5) == truth) >= 10 / 12


def objects_with(*likely):
    objects = [
        stamp(
            PathObject(geometry=Point(100 * i, 50).buffer(20), class_name="Glomerulus", name=f"G {i}"),
            run="r",
            model="m",
        )
        for i in range(len(likely))
    ]
    suggestions = [
        Suggestion("Glomerulus: Sclerotic", "Sclerotic probability", 0.9 if it else 0.2, it) for it in likely
    ]
    return objects, suggestions


def test_a_suggestion_is_a_measurement_and_a_mark_and_the_object_stays_the_machines():
    marked = with_suggestions(*objects_with(True, False), classify=False)
    assert [item.measurements["Sclerotic probability"] for item in marked] == [0.9, 0.2]
    assert [item.class_name for item in marked] == ["Glomerulus"] * 2
    assert [suggested_class(item) for item in marked] == ["Glomerulus: Sclerotic", None]
    assert [owner(item) for item in marked] == ["machine"] * 2


def test_it_becomes_the_class_where_that_was_asked_for():
    marked = with_suggestions(*objects_with(True, False), classify=True)
    assert [item.class_name for item in marked] == ["Glomerulus: Sclerotic", "Glomerulus"]
    assert not any(SUGGESTION in item.metadata for item in marked)
    assert [owner(item) for item in marked] == ["machine"] * 2


@pytest.mark.parametrize("asked", ["off", "suggest", "classify"])
def test_a_run_measures_each_outline_and_says_so(tmp_path, asked):
    drawn = disc_slide(tmp_path / "slide.tif", size=(900, 700), count=4)
    model = save_oracle(tmp_path / "model")
    segment_slides([drawn.path], tmp_path / "run", SegmentOptions(model=model, device="cpu", sclerosis=asked))
    (result,) = (tmp_path / "run").glob("*.geojson")
    objects = read_geojson(result)
    assert len(objects) == 4
    assert all(("Sclerotic probability" in item.measurements) == (asked != "off") for item in objects)
    parameters = load_run(tmp_path / "run").parameters
    assert parameters.sclerosis == (None if asked == "off" else asked)
    assert parameters.classifier_sha256 == (None if asked == "off" else load_classifier().card.weights_sha256)


def test_a_model_that_tells_classes_apart_is_not_second_guessed(tmp_path):
    drawn = disc_slide(tmp_path / "slide.tif", size=(900, 700), count=2)
    model = save_oracle(tmp_path / "model", **CLASSES)
    with pytest.raises(ModelError, match="apart itself"):
        segment_slides([drawn.path], tmp_path / "run", SegmentOptions(model=model, device="cpu", sclerosis="suggest"))
