"""Records out of tables: types, limits, and an error in one line that names key, value and remedy."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glomseg.errors import ModelError, TrainingError
from glomseg.settings import limited, no_such, parse_json, parse_toml, plain, read_record, read_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    rate: float = limited(0.5, above=0, high=1)
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str = limited(pattern=r"\S+", what="a name without blanks")
    count: int = limited(3, low=1)
    sizes: tuple[int, ...] = limited((1, 2), low=1, high=9)
    span: tuple[float, float] = (0.0, 1.0)
    colour: str = limited("red", among=("red", "blue"))
    place: Path | None = None
    on: bool = False
    class_name: str = limited("Glomerulus", key="class")
    scores: Mapping[str, float] = limited({}, low=0)
    more: Mapping[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    rows: tuple[Inner, ...] = ()

    def __post_init__(self) -> None:
        if self.span[0] > self.span[1]:
            raise ValueError(f"span is {list(self.span)}; give low before high")


def read(**table: Any) -> Outer:
    return read_record(Outer, {"name": "x", **table}, origin="card.json", error=ModelError)


def test_what_is_there_is_read_and_the_rest_is_as_it_was() -> None:
    made = read(
        count=4, sizes=[3, 4, 5], span=[1, 2], place="a/b", **{"class": "Tubule"}, scores={"f1": 1},
        more={"any": [1, None]}, inner={"rate": 1, "kind": "b"}, rows=[{}, {"rate": 0.25}],
    )  # fmt: skip
    assert made == Outer(
        name="x", count=4, sizes=(3, 4, 5), span=(1.0, 2.0), place=Path("a/b"), class_name="Tubule",
        scores={"f1": 1.0}, more={"any": [1, None]}, inner=Inner(rate=1.0, kind="b"), rows=(Inner(), Inner(rate=0.25)),
    )  # fmt: skip
    assert isinstance(made.span[0], float)
    assert read(place=None).place is None


def test_what_is_written_is_read_again() -> None:
    made = read(place="a", rows=[{"rate": 0.1}], **{"class": "Tubule"})
    assert read_record(Outer, json.loads(json.dumps(plain(made)))) == made
    assert plain(made)["class"] == "Tubule"
    assert "place" not in plain(read())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"cuont": 1}, "no setting cuont; do you mean count?"),
        ({"zzz": 1}, "no setting zzz; there are name, count"),
        ({"inner": {"ratte": 1}}, "no setting inner.ratte; do you mean inner.rate?"),
        ({"inner": 3}, "inner is 3, not a table; write inner.key=value"),
        ({"inner": {"rate": 0}}, "inner.rate is 0.0; give more than 0, at most 1"),
        ({"inner": {"kind": "c"}}, "inner.kind is 'c'; it is one of a, b"),
        ({"rows": [{"rate": 2}]}, "rows.rate is 2.0; give more than 0, at most 1"),
        ({"count": 0}, "count is 0; give at least 1"),
        ({"count": 1.5}, "count is 1.5, not a whole number"),
        ({"count": True}, "count is True, not a whole number"),
        ({"on": 1}, "on is 1, not true or false"),
        ({"sizes": [0]}, "sizes is 0; give 1 to 9"),
        ({"sizes": 3}, "sizes is 3, not a list of whole numbers"),
        ({"span": [1]}, "span is [1], not a list of 2 numbers"),
        ({"span": [2, 1]}, "span is [2.0, 1.0]; give low before high"),
        ({"span": [1, float("inf")]}, "not a finite number"),
        ({"colour": "green"}, "colour is 'green'; it is one of red, blue"),
        ({"name": "a b"}, "name is 'a b', not a name without blanks"),
        ({"place": 3}, "place is 3, not a path"),
        ({"scores": {"f1": -1}}, "scores.f1 is -1.0; give at least 0"),
        ({"scores": {"f1": "high"}}, "scores.f1 is 'high', not a number"),
        ({"scores": 10**400}, "not a table"),
        ({"scores": {"f1": 10**400}}, "not a finite number"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError) as caught:
        read(**table)
    assert str(caught.value).startswith("card.json: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ModelError, match=r"^card\.json: no name; add what is missing$"):
        read_record(Outer, {}, origin="card.json", error=ModelError)
    with pytest.raises(ModelError, match="not a table"):
        read_record(Outer, [], origin="card.json", error=ModelError)


def test_unknown_keys_may_be_left() -> None:
    assert read_record(Outer, {"name": "x", "new": 1, "inner": {"new": 2}}, unknown="leave") == Outer(name="x")


def test_records_do_not_share_their_defaults() -> None:
    assert read().scores is not read().scores


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"a\.toml: not TOML \(.*\); correct it"):
        parse_toml("a = ", origin="a.toml", error=TrainingError)
    for text in ("{", "[1]", "[" * 100_000):
        with pytest.raises(ModelError, match=r"a\.json: not (a )?JSON"):
            parse_json(text, origin="a.json", error=ModelError)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("binary", "none", ""):
        with pytest.raises(TrainingError, match=r"cannot be read .*; give a TOML file"):
            read_text(tmp_path / name, what="a TOML file of settings", error=TrainingError)


def test_nearest_name() -> None:
    assert no_such("recipe", "kpi", ["glomseg", "kpis"]) == "no recipe kpi; do you mean kpis?"


KEYS = st.sampled_from(["name", "count", "span", "inner", "rate", "rows", "more"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
TABLES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=12)


@given(TABLES)
def test_whatever_it_is_given_it_reads_or_refuses(table: Any) -> None:
    try:
        made = read_record(Outer, table, error=ModelError)
    except ModelError:
        return
    assert read_record(Outer, plain(made) if "more" not in table else {**plain(made), "more": made.more}) == made


def test_toml_takes_what_is_written() -> None:
    import tomli_w

    made = read(rows=[{}])
    assert read_record(Outer, tomllib.loads(tomli_w.dumps(plain(made)))) == made
