"""Other thresholds on the probabilities that were kept."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from support.scenes import side
from support.slides import DISC, TISSUE, disc_slide

from glomseg.errors import EvaluationError
from glomseg.evaluation.sweep import THRESHOLDS, Kept, best, sweep
from glomseg.models.card import ModelCard
from glomseg.segment.pipeline import SegmentSettings
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import ReadingFrame, Tile

CARD = ModelCard(
    name="m",
    mpp=1.0,
    training_diameter_um=80.0,
    minimum_area_um2=300,
    species="mouse",
    description="none",
)
FRAME = ReadingFrame.of(600, 400, 0.5, 0.5, 1.0)


def kept(path: Path, *levels: tuple[int, int, int], true, split="") -> Kept:
    """Keep probabilities of squares of 60 px (120 level-0 px) given as (x, y, value of 0..255)."""
    with ProbabilityMap(FRAME) as probability:
        values = np.zeros(probability.shape, np.uint8)
        for x, y, value in levels:
            values[0, y : y + 60, x : x + 60] = value
        probability.write(Tile(0, 0, probability.shape[2], probability.shape[1], 0), values)
        probability.save(path)
    return Kept(probability=path, frame=FRAME, true=true, split=split)


def test_the_threshold_is_chosen_on_validation_images_alone(tmp_path: Path) -> None:
    """On validation a false object of 0.6 must go and a true one of 0.8 stay; the other image would rather have 0.3."""
    true = side((40, 40, 120, 120), size=(600, 400))
    validation = kept(tmp_path / "v.tif", (20, 20, 204), (120, 20, 153), true=true, split="validation")
    other = kept(tmp_path / "o.tif", (20, 20, 90), true=true)
    points = sweep([validation, other], CARD, SegmentSettings())
    found = {point.threshold: point for point in points}
    assert [point.threshold for point in points] == list(THRESHOLDS)
    assert (found[0.3].validation.predicted, found[0.3].validation.matched) == (2, 1)
    assert (found[0.7].validation.predicted, found[0.7].validation.matched) == (1, 1)
    assert found[0.9].validation.predicted == 0
    assert found[0.3].others.f1 == 1
    assert found[0.7].others.f1 == 0
    assert found[0.7].validation_pixels.dice > 0.95
    assert best(points) in (0.65, 0.7, 0.75, 0.8)
    assert best(sweep([other], CARD, SegmentSettings())) is None


def test_what_is_not_sure_enough_is_no_prediction(tmp_path: Path) -> None:
    true = side((40, 40, 120, 120), size=(600, 400))
    image = kept(tmp_path / "v.tif", (20, 20, 204), (120, 20, 153), true=true, split="validation")
    points = sweep([image], CARD, SegmentSettings(sureness=0.7))
    assert {point.validation.predicted for point in points if point.threshold < 0.75} == {1}


def test_probabilities_that_are_missing_or_of_another_image_are_named(tmp_path: Path) -> None:
    image = kept(tmp_path / "v.tif", (20, 20, 204), true=side(size=(600, 400)))
    wrong = Kept(probability=image.probability, frame=ReadingFrame.of(900, 400, 0.5, 0.5, 1.0), true=image.true)
    with pytest.raises(EvaluationError, match="another image"):
        sweep([wrong], CARD, SegmentSettings())
    image.probability.unlink()
    with pytest.raises(EvaluationError, match="`sweep`"):
        sweep([image], CARD, SegmentSettings())


def test_a_sweep_as_typed(tmp_path: Path, oracle_folder: Path, glomseg) -> None:
    import tifffile

    folder = tmp_path / "data"
    folder.mkdir()
    for number in (1, 2):
        slide = disc_slide(folder / f"s{number}.tif", size=(800, 700), count=2, seed=number)
        picture = tifffile.imread(slide.path, key=0)
        dark = (np.abs(picture.astype(int) - DISC) < np.abs(picture.astype(int) - TISSUE)).all(axis=2)
        tifffile.imwrite(folder / f"s{number}_mask.tif", np.where(dark, 255, 0).astype(np.uint8), compression="deflate")
    sheet = tmp_path / "samples.csv"
    sheet.write_text("slide,split\ns1.tif,validation\ns2.tif,test\n")
    out = tmp_path / "out"
    arguments = ("evaluate", "--model", oracle_folder, folder, "-o", out, "--device", "cpu", "--no-pictures")
    result = glomseg(*arguments, "--sweep", "--samples", sheet)
    assert result.code == 0, result.err
    assert "best threshold on validation images" in result.err
    found = json.loads((out / "metrics.json").read_text())["threshold_sweep"]
    assert found["f1_on_validation"] == found["f1_on_others"] == 1
    rows = list(csv.DictReader((out / "thresholds.csv").open()))
    assert len(rows) == 2 * len(THRESHOLDS)
    assert (out / "plots" / "thresholds.svg").exists()
    assert glomseg("evaluate", folder, folder, "-o", out, "--sweep").code == 2
    (out / "plots" / "mine.png").write_bytes(b"mine")
    assert glomseg(*arguments).code == 0  # what a former evaluation said of other thresholds is not of these scores
    assert not (out / "thresholds.csv").exists()
    assert [path.name for path in (out / "plots").iterdir()] == ["mine.png"]
    (out / "thresholds.csv").write_text("mine\n")
    assert glomseg(*arguments).code == 0
    assert (out / "thresholds.csv").read_text() == "mine\n"
