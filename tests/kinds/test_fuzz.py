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
from support.python_words import PYTHONS

from glomseg.errors import GlomsegError
from glomseg.evaluation.compare import compare
from glomseg.evaluation.learned import learned_from
from glomseg.evaluation.suite import read_suite
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.label_files import Selection, read_outlines
from glomseg.labelled.masks import look_at, read_mask
from glomseg.labelled.match_samples import match_samples
from glomseg.labelled.sample_sheet import Sample, read_sample_sheet
from glomseg.labelled.tile_files import tile_labels, tile_mpp
from glomseg.models.store import read_card
from glomseg.qupath.class_list import read_classes
from glomseg.qupath.objects import read_objects
from glomseg.qupath.project import read_project
from glomseg.runs.run import load_run
from glomseg.settings import parse_json
from glomseg.training.data.splits import read_split

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


ODD_JSON = {
    "lists without end": b"[" * 99_999,
    "tables without end": b'{"a":' * 99_999,
    "a number of 5000 digits": b'{"format_version": ' + b"9" * 5000 + b"}",
    "endless numbers": b'{"mpp": 1e999, "seed": Infinity, "labels": [{"label": 1e999, "classification": "a"}], '
    b'"by": "slide", "train": {}, "validation": {}, "test": {}, "hierarchy": {"nObjects": 1e999}}',
    "bytes of no text": b"\xff\xfe\xff",
    "a text": b'"x"',
    "nothing": b"",
    "half a file": b'{"pathClasses": [{"name": "Glom',
    "null": b"null",
    "numbers for names": b'{"train": {"a": [1]}, "validation": {}, "test": {"": [""]}, "by": 1, "seed": 0}',
}
READ_AS_JSON: dict[str, Callable[[Path], object]] = {
    "s-tiles.json": lambda folder: tile_labels(folder / "s [x=0,y=0,w=9,h=9].png"),
    "export.json": lambda folder: tile_mpp(folder / "s [x=0,y=0,w=9,h=9].png"),
    "split.json": lambda folder: learned_from(folder, [ImageInfo(key="a/s1"), ImageInfo(key="")]),
    "another split.json": lambda folder: read_split(folder / "another split.json", []),
    "card.json": read_card,
    "run.json": load_run,
    "metrics.json": lambda folder: compare(folder, folder),
    "project.qpproj": lambda folder: read_project(folder / "project.qpproj"),
    "a.geojson": lambda folder: read_objects(folder / "a.geojson"),
    "classifiers/classes.json": read_classes,
    "config.json": lambda folder: parse_json(folder.joinpath("config.json").read_text("latin-1"), origin="config.json"),
}


@pytest.mark.parametrize("content", ODD_JSON)
@pytest.mark.parametrize("name", READ_AS_JSON)
def test_odd_json_in_any_file(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(ODD_JSON[content])
    said = refusal(lambda: READ_AS_JSON[name](tmp_path))
    assert said == "" or any(part in said for part in (name, tmp_path.name))
    assert "\n" not in said
    assert not PYTHONS.search(said), said
    assert said or content not in ("lists without end", "tables without end", "nothing", "bytes of no text")


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
