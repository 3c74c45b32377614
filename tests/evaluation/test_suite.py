"""A suite is read from TOML, and what is wrong in it is named."""

from pathlib import Path

import pytest

from glomseg.errors import EvaluationError
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
    first, second = suite.sets
    assert (first.data, first.mpp, first.minimum) == (tmp_path / "tiles", 0.5, {"dice": 0.8, "f1": 0.5})
    assert (second.predicted, second.truth, second.class_name) == (tmp_path / "out", tmp_path / "masks", "Tubule")


def test_what_lies_below_the_least_is_named(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(GOOD)
    first = read_suite(tmp_path).sets[0]
    mean = {"dice": {"value": 0.79}, "f1": {"value": 0.5}}
    assert first.failures({"overall": {"mean": mean}}) == ["dice 0.790 is below 0.8"]
    assert first.failures({"overall": {"mean": {"dice": {"value": 0.9}}}}) == ["f1 nan is below 0.5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[set", "cannot be read as a suite"),
        ("name = 'x'", "names no data set"),
        ("set = 3", "cannot be read as a suite"),
        ("[[set]]\nname='a'", "needs data, or predicted and truth"),
        ("[[set]]\nname='a'\ndata='x'\ntruth='y'", "needs data, or predicted and truth"),
        ("[[set]]\nname='a'\npredicted='x'", "needs data, or predicted and truth"),
        ("[[set]]\nname='../a'\ndata='x'", "cannot name a set"),
        ("[[set]]\nname='a'\ndata='x'\nmmp=0.5", "unknown key 'mmp'"),
        ("[[set]]\nname='a'\ndata='x'\nmpp='fine'", "mpp = 'fine'"),
        ("[[set]]\nname='a'\ndata='x'\nminimum={dize=1}", "asks for dize"),
        ("[[set]]\nname='a'\ndata='x'\n[[set]]\nname='a'\ndata='y'", "two sets named 'a'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(EvaluationError, match=message):
        read_suite(tmp_path)


def test_a_missing_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"none\.toml"):
        read_suite(tmp_path / "none.toml")
