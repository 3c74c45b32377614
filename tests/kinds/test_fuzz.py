"""Damaged and odd files: read right, or refused by name in one line; never a traceback."""

import json
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kinds.labels import LABELS, LabelCase

from glomseg.errors import GlomsegError
from glomseg.evaluation.learned import learned_from
from glomseg.evaluation.suite import read_suite
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.label_files import Selection, read_outlines
from glomseg.labelled.masks import look_at, read_mask
from glomseg.labelled.sample_sheet import Sample, match_samples, read_sample_sheet

TIMES = 12
QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHEET_SIGNS = list("image,animal;group\t\n\"'split=sep.svs ü\0-1")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["labels", "label", "classification", "mpp", "train", "validation", "test", "by", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TOML_VALUES = ["1", "-1", "nan", "inf", "true", '""', '"x"', '"../x"', "[]", "{ dice = 1 }", "{ dice = true }"]


def refusal(work: Callable[[], object]) -> str:
    """The message of what is refused, "" where nothing is; anything but a message for the user fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            work()
        except GlomsegError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("case", LABELS, ids=lambda case: case.name)
def test_a_mask_with_wrong_bytes(case: LabelCase, tmp_path: Path) -> None:
    """Bytes of the header, where sizes and offsets stand, more often than of the pixels; ends cut off."""
    path = tmp_path / case.name
    case.write(path)
    whole, rng = path.read_bytes(), random.Random(case.name)
    for _ in range(TIMES):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            last = len(content) if rng.random() < 0.3 else min(len(content), 400)
            content[rng.randrange(last)] = rng.choice((0, 1, 2, 127, 255, rng.randrange(256)))
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        path.write_bytes(content)
        for said in (refusal(lambda: look_at(path)), refusal(lambda: read_mask(path))):
            assert said == "" or case.name in said
            assert "\n" not in said


@QUIET
@given(data=st.binary(max_size=80) | st.text(alphabet=st.sampled_from(SHEET_SIGNS), max_size=120).map(str.encode))
def test_a_sample_sheet_of_anything(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(data)
    said = refusal(lambda: match_samples(read_sample_sheet(path), [("1", "image.svs", Sample())]))
    assert said == "" or "samples.csv" in said


@QUIET
@given(content=JSON)
def test_json_beside_tiles_and_weights_of_anything(content: object, tmp_path: Path) -> None:
    mask = tmp_path / "s [x=0,y=0,w=192,h=192]-labelled.png"
    if not mask.exists():
        next(case for case in LABELS if case.name == "numbers.png").write(mask)
    for name in ("s-tiles.json", "export.json", "split.json"):
        (tmp_path / name).write_text(json.dumps(content))
    said = refusal(lambda: read_outlines(mask, Selection()))
    assert said == "" or ".json" in said or mask.name in said
    said = refusal(lambda: learned_from(tmp_path, [ImageInfo(key="a/s1")]))
    assert said == "" or "split.json" in said


@QUIET
@given(
    key=st.sampled_from(["name", "data", "mpp", "samples", "minimum", "class", "part", "model", "unit", "other"]),
    value=st.sampled_from(TOML_VALUES),
)
def test_a_suite_of_anything(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    usual = [f"{name} = {text}" for name, text in (("name", '"a"'), ("data", '"d"')) if name != key]
    path.write_text("\n".join(["[[set]]", *usual, f"{key} = {value}", ""]))
    said = refusal(lambda: read_suite(path))
    assert said == "" or "suite.toml" in said
