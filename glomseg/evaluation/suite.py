"""A suite: a named set of data sets in one TOML file, with the least that a model must reach on each.

    name = "our biopsies"

    [[set]]
    name = "2024"
    data = "2024/tiles"          # images with masks or GeoJSON, a model predicts; or predicted = and truth =
    mpp = 0.25
    samples = "2024/samples.csv"
    minimum = { dice = 0.85, f1 = 0.8 }   # means over images, named as in metrics.json

Paths are relative to the file.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glomseg.errors import EvaluationError
from glomseg.evaluation.summary import MEAN

FILE = "suite.toml"
_KEYS = {"name", "data", "predicted", "truth", "mpp", "samples", "group_by", "unit", "minimum", "class", "model"}
_LOWER_IS_BETTER = {"hausdorff95_um", "mean_distance_um", "count_bias"}


@dataclass(frozen=True, kw_only=True)
class SuiteSet:
    """One data set: images with their truth for a model (`data`), or results at hand (`predicted`, `truth`)."""

    name: str
    data: Path | None = None
    predicted: Path | None = None
    truth: Path | None = None
    mpp: float | None = None
    samples: Path | None = None
    group_by: str | None = None
    unit: str | None = None
    class_name: str = "Glomerulus"
    model: str | None = None
    minimum: Mapping[str, float] = field(default_factory=dict)

    def failures(self, summary: Mapping[str, Any]) -> list[str]:
        """Say in words which scores lie below the least that was asked for."""
        mean = summary["overall"]["mean"]
        return [
            f"{name} {_number(mean, name):.3f} is below {least:g}"
            for name, least in self.minimum.items()
            if not _number(mean, name) >= least
        ]


def _number(mean: Mapping[str, Any], name: str) -> float:
    value = mean.get(name, {}).get("value")
    return math.nan if value is None else float(value)


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite and its data sets."""

    name: str
    sets: tuple[SuiteSet, ...]


def read_suite(path: Path) -> Suite:
    """Read a suite from its TOML file, or from the folder that holds suite.toml; raises EvaluationError."""
    path = path / FILE if path.is_dir() else path
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        sets = tuple(_set(item, path) for item in content.get("set", []))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} cannot be read as a suite ({error}); see glomseg evaluate --help") from error
    if not sets:
        raise EvaluationError(f"{path} names no data set; add one as [[set]]")
    names = [item.name for item in sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EvaluationError(f"{path} has two sets named {twice[0]!r}; rename one")
    return Suite(name=str(content.get("name", path.stem)), sets=sets)


def _set(item: Mapping[str, Any], path: Path) -> SuiteSet:
    name = str(item.get("name", ""))
    if unknown := sorted(item.keys() - _KEYS):
        raise EvaluationError(
            f"{path}: set {name!r} has an unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}"
        )
    if not name or name.startswith(".") or any(mark in name for mark in '/\\:*?"<>|'):
        raise EvaluationError(f"{path}: {name!r} cannot name a set and its folder; choose another name")
    places = {key: path.parent / str(item[key]) for key in ("data", "predicted", "truth", "samples") if key in item}
    if ("data" in places) == ("predicted" in places or "truth" in places) or (
        "data" not in places and not {"predicted", "truth"} <= places.keys()
    ):
        raise EvaluationError(f"{path}: set {name!r} needs data, or predicted and truth")
    minimum = item.get("minimum", {})
    for key, value in minimum.items():
        if key not in MEAN or key in _LOWER_IS_BETTER or isinstance(value, bool) or not isinstance(value, int | float):
            raise EvaluationError(
                f"{path}: set {name!r} asks for {key} = {value!r}; "
                f"known are {', '.join(n for n in MEAN if n not in _LOWER_IS_BETTER)}"
            )
    mpp = item.get("mpp")
    if mpp is not None and (isinstance(mpp, bool) or not isinstance(mpp, int | float) or not 0 < mpp < 1000):
        raise EvaluationError(f"{path}: set {name!r} has mpp = {mpp!r}; give um per pixel such as 0.25")
    return SuiteSet(
        name=name,
        **places,
        mpp=mpp,
        group_by=item.get("group_by"),
        unit=item.get("unit"),
        class_name=item.get("class", "Glomerulus"),
        model=item.get("model"),
        minimum=dict(minimum),
    )
