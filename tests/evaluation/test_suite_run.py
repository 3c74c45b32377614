"""A suite with several models: thresholds chosen on the validation part alone, and a table for a paper."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.slides import DISC, disc_slide, draw

from glomseg.errors import EvaluationError, RunError
from glomseg.evaluation.evaluate_model import EvaluateOptions
from glomseg.evaluation.suite import read_suite
from glomseg.evaluation.suite_run import evaluate_suite
from glomseg.runs.segmenter import SegmentOptions

SUITE = """
name = "KPIs, our copy"
models = ["models/one", "models/two"]
tune = "validation"
[[set]]
name = "test"
data = "test"
samples = "samples.csv"
kpis = true
[[set]]
name = "validation"
data = "validation"
samples = "samples.csv"
kpis = true
"""
OPTIONS = EvaluateOptions(segment=SegmentOptions(device="cpu"), pictures=False)


@pytest.fixture
def suite(oracle_folder: Path, tmp_path: Path) -> Path:
    """Two models that find discs, two slides to choose by and three to test on, each of an animal of its own."""
    for name in ("one", "two"):
        shutil.copytree(oracle_folder, tmp_path / "models" / name)
    rows = []
    for part, count in (("validation", 2), ("test", 3)):
        for number in range(count):
            name = f"{part}{number}"
            (tmp_path / part).mkdir(exist_ok=True)
            image = tmp_path / part / f"{name}.tif"
            slide = disc_slide(image, size=(512, 448), count=1, radius_um=25, seed=number, mpp=0.5)
            there = (draw((512, 448), slide.tissue, slide.discs) == DISC).all(axis=2)
            Image.fromarray(there * np.uint8(255)).save(tmp_path / part / f"{name}_mask.png")
            rows.append((image.name, f"mouse {name}", "DN" if number else "normal", part))
    with (tmp_path / "samples.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "animal", "group", "split"), *rows])
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


@pytest.mark.slow
def test_each_model_gets_its_threshold_from_the_validation_part(suite: Path) -> None:
    result = evaluate_suite(suite, suite / "out", OPTIONS)
    assert result.passed
    first, second = "one", "two"
    assert [row.key for row in result.rows] == [
        f"{model}: {name}" for model in (first, second) for name in ("test", "validation")
    ]
    test, validation = result.rows[:2]
    chosen = json.loads((suite / "out/one/validation/metrics.json").read_text())["threshold_sweep"]["best_threshold"]
    assert (test.threshold, validation.tuned_here, test.tuned_here) == (chosen, True, False)
    assert not (suite / "out/one/test/thresholds.csv").exists()  # nothing was tried there
    assert test.summary is not None
    assert test.summary.overall.units == 3
    assert len(test.seconds) == 3
    assert test.peak_gb is None or 0.01 < test.peak_gb < 100
    table = (suite / "out/table.md").read_text()
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1  # one table, and whole
    assert "official F1" in lines[0]
    assert "wall time on cpu" in table
    assert re.search(r"\| test \| normal \| 1 \| 1 \|.*\n.*\| test \| DN .*", table) or "| test | DN | 2 | 2 |" in table
    assert f"| {chosen:g} |" in table
    assert json.loads((suite / "out/suite.json").read_text())["sets"][f"{first}: test"]["seconds_per_image"] > 0


def test_a_table_of_a_persons_stays(suite: Path) -> None:
    for name in ("table.md", "suite.json"):
        path = suite / name / name
        path.parent.mkdir()
        path.write_text("mine")
        with pytest.raises(RunError, match="not of glomseg"):
            evaluate_suite(suite, path.parent, OPTIONS)
        assert (path.read_text(), list(path.parent.iterdir())) == ("mine", [path])


@pytest.mark.slow
def test_without_validation_images_no_threshold_is_chosen_and_nothing_scored(suite: Path) -> None:
    text = (suite / "samples.csv").read_text()
    (suite / "samples.csv").write_text(text.replace(",validation", ",test"))
    result = evaluate_suite(suite, suite / "out", OPTIONS)
    assert not result.passed
    assert all("chose no threshold" in row.failures[0] for row in result.rows if row.set == "test")
    assert "mark images of it as validation" in (suite / "out/table.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('tune = "validation"', 'tune = "valid"', "tune is 'valid'; there are test, validation"),
        ('"models/two"', '"models/one"', "names a model twice"),
        ('"models/two"', '"elsewhere/one"', "names a model twice"),
        ('data = "validation"', 'predicted = "a"\ntruth = "b"', "set 'validation' has no data"),
    ],
)
def test_what_makes_no_sense_is_named(old: str, new: str, message: str, suite: Path) -> None:
    (suite / "suite.toml").write_text(SUITE.replace(old, new))
    with pytest.raises(EvaluationError, match=message):
        read_suite(suite)


AT_HAND = """
name = "ours"
[[set]]
name = "one"
predicted = "test"
truth = "test"
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--threshold", "0.4", "--icc"), "--threshold, --icc would change nothing: all sets of ours have results"),
        (("--sweep",), "--sweep would change nothing"),
        (("--model", "pas-starter"), "--model would change nothing"),
        (("--slides", "there"), "--slides would change nothing: no set of ours is a project"),
        (("--part", "test"), "--part would change nothing: each set of ours says its own"),
    ],
)
def test_an_option_that_no_set_heeds_is_refused(asked, said, tmp_path: Path, glomseg) -> None:
    (tmp_path / "suite.toml").write_text(AT_HAND + ('part = "train"\n' if "--part" in asked else ""))
    result = glomseg("evaluate", "--suite", tmp_path, "-o", tmp_path / "out", *asked)
    assert result.code == 1
    assert said in " ".join(result.err.split())
    assert not (tmp_path / "out").exists()


def test_what_a_set_says_goes_before_an_option_and_that_is_said(tmp_path: Path, glomseg) -> None:
    """The class of the one set is its own, of which there is nothing; the other takes that of the option."""
    mask = np.zeros((64, 64), np.uint8)
    mask[8:24, 8:24] = 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(mask).save(tmp_path / name / "x.png")
    outline = {"type": "Polygon", "coordinates": [[[8, 8], [24, 8], [24, 24], [8, 24], [8, 8]]]}
    classified = {"classification": {"name": "Tubule"}, "objectType": "annotation"}
    feature = {"type": "Feature", "geometry": outline, "properties": classified}
    (tmp_path / "x.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    one, two = (f'[[set]]\nname = "{name}"\npredicted = "x.geojson"\ntruth = "a/x.png"\n' for name in ("one", "two"))
    (tmp_path / "suite.toml").write_text(f'{one}class = "Glomerulus"\n{two}')
    result = glomseg("evaluate", "--suite", tmp_path, "-o", tmp_path / "out", "--class", "Tubule", "--no-pictures")
    assert result.code == 1, result.err
    assert "no annotation of class 'Glomerulus'" in result.err
    assert "--class is not for one: the suite says another there" in result.err
    assert not (tmp_path / "out/one").exists()
    assert json.loads((tmp_path / "out/two/metrics.json").read_text())["overall"]["matched"] == 1
