"""A slide of other colours than a model has learned is doubted, in its record and on the console."""

import dataclasses
import json

import numpy as np
import pytest
from support.oracle import oracle_card, oracle_net
from support.slides import disc_slide

from glomseg.models.store import read_card, save_model, shipped_folder
from glomseg.segment.look import check_candidates, check_colours, check_merged, colour_distance, colours_of
from glomseg.slides.slide import open_slide


@pytest.fixture(scope="module")
def starter():
    return read_card(shipped_folder() / "pas-starter")


def test_pas_is_known_and_other_colours_are_not(data, starter):
    with open_slide(data / "qupath/kidney_01.tif", mpp=0.5) as slide:
        assert check_colours(slide, starter) is None
        assert check_colours(slide, dataclasses.replace(starter, look=None)) is None
    eosin = np.full((64, 64, 3), 255, np.uint8)
    eosin[8:56, 8:56] = (230, 120, 190)
    assert colour_distance(starter, colours_of(eosin)) > 2 * starter.look.limit
    assert colours_of(np.full((64, 64, 3), 250, np.uint8)) is None


def test_glass_or_light_do_not_change_the_colours(data, starter):
    with open_slide(data / "qupath/kidney_01.tif", mpp=0.5) as slide:
        image = slide.read_downsampled(slide_box(slide), 6, 6)
    dark = np.round(255 * (image / 255.0) ** 1.5).astype(np.uint8)  # the same section, half as thick again
    near = colours_of(dark) - colours_of(image)
    assert np.abs(near[:2]).max() < 0.02
    assert colour_distance(starter, colours_of(dark)) < starter.look.limit


def slide_box(slide):
    from glomseg.geometry import Box

    return Box(0, 0, slide.width, slide.height)


def test_most_of_what_was_seen_is_unsure():
    assert check_candidates(1, 3) is None
    assert check_candidates(5, 5) is None
    assert "6 candidates beside 2" in check_candidates(2, 6)


def test_a_doubt_is_said_and_kept(tmp_path, glomseg, starter):
    truth = disc_slide(tmp_path / "a.tif")
    save_model(tmp_path / "model", oracle_card(look=starter.look), oracle_net())
    done = glomseg("segment", truth.path, "-o", tmp_path / "out", "--model", tmp_path / "model")
    assert done.code == 0
    assert "a.tif has other colours than the PAS that oracle has learned" in done.err
    (record,) = json.loads((tmp_path / "out/run.json").read_text())["images"].values()
    assert "adapt the model" in record["doubts"][0]


def test_an_outline_on_merged_pixels_is_said() -> None:
    assert check_merged([1, 1], 3.0) is None
    assert "1 outline(s) far larger than any glomerulus, traced on pixels of 12 um" in str(check_merged([1, 4], 3.0))
