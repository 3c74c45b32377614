"""A suite is read from TOML, and what is wrong in it is named."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.scenes import evaluated, side

from glomseg.errors import EvaluationError
from glomseg.evaluation.intervals import Interval
from glomseg.evaluation.suite import read_suite

GOOD = """
name = "ours"
[[set]]
name = "biopsies"
data = "tiles"
mpp = 0.5
minimum = { dice = 0.8, f1 = 0.5 }
[[set]]
name = "slides"
predicted = "out"
truth = "masks"
class = "Tubule"
"""


def test_a_suite_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(GOOD)
    suite = read_suite(tmp_path)
    assert suite == read_suite(tmp_path / "suite.toml")
    (tmp_path / "suite.toml").write_text(GOOD, encoding="utf-8-sig")  # as an editor of Windows saves it
    assert suite == read_suite(tmp_path)
    first, second = suite.sets
    assert (first.data, first.mpp, first.minimum) == (tmp_path / "tiles", 0.5, {"dice": 0.8, "f1": 0.5})
    assert (second.predicted, second.truth, second.class_name) == (tmp_path / "out", tmp_path / "masks", "Tubule")


def test_what_lies_below_the_least_is_named(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(GOOD)
    first = read_suite(tmp_path).sets[0]
    summary = evaluated((side((0, 0, 10, 6)), side((0, 0, 10, 10)))).summary
    assert first.failures(summary) == ["dice 0.750 is below 0.8"]
    mean = {"dice": Interval(0.9, None, None, 1)}
    without = replace(summary, overall=replace(summary.overall, mean=mean))
    assert first.failures(without) == ["f1 nan is below 0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[set", "not TOML"),
        ("name = 'x'", "names no data set"),
        ("set = 3", "set is 3, not a list"),
        ("[[set]]\nname='a'", "needs data, or predicted and truth"),
        ("[[set]]\nname='a'\ndata='x'\ntruth='y'", "needs data, or predicted and truth"),
        ("[[set]]\nname='a'\npredicted='x'", "needs data, or predicted and truth"),
        ("[[set]]\nname='a'\npredicted='x'\ntruth='y'\nmodel='m'", "has results at hand, so that no model predicts"),
        ("models=['m']\n[[set]]\nname='a'\npredicted='x'\ntruth='y'", "names models, and no set has data"),
        ("[[set]]\nname='../a'\ndata='x'", "not a name that a folder can have"),
        ("[[set]]\nname='a'\ndata='x'\nmmp=0.5", "do you mean set.mpp"),
        ("[[set]]\nname='a'\ndata='x'\nmpp=500", "mpp is 500.0; give 0.02 to 10"),
        ("[[set]]\nname=' '\ndata='x'", "not a name that a folder can have"),
        ("[[set]]\nname='Suite.json'\ndata='x'", "as the results are called"),
        ("[[set]]\nname='a'\ndata='x'\nminimum={f1=85}", "minimum.f1 is 85; give a share, 0 to 1"),
        ("[[set]]\nname='a'\ndata='x'\nmpp='fine'", "mpp is 'fine', not a number"),
        ("[[set]]\nname='a'\ndata='x'\nminimum={dize=1}", "no score minimum.dize; do you mean minimum.dice"),
        ("[[set]]\nname='a'\ndata='x'\n[[set]]\nname='a'\ndata='y'", "two sets named 'a'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_suite(tmp_path)


def test_all_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    sets = [("a", "ours"), ("b", "pas-starter"), ("c", "../models/x")]
    text = "".join(f"[[set]]\nname='{name}'\ndata='d'\nsamples='s.csv'\nmodel='{model}'\n" for name, model in sets)
    (tmp_path / "suite.toml").write_text(text)
    suite = read_suite(tmp_path)
    assert [item.model for item in suite.sets] == [str(tmp_path / "ours"), "pas-starter", str(tmp_path / "../models/x")]
    assert {item.samples for item in suite.sets} == {tmp_path / "s.csv"}


def test_a_missing_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.toml"):
        read_suite(tmp_path / "none.toml")
