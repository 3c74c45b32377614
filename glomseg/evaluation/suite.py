"""A suite: a named set of data sets in one TOML file, with the least that a model must reach on each.

    name = "our biopsies"
    models = ["pas-starter", "models/ours"]   # each by itself; or one a set, or --model
    tune = "validation"                       # the set whose validation images choose each model's threshold

    [[set]]
    name = "2024"
    data = "2024/tiles"          # images with masks or GeoJSON, a model predicts; or predicted = and truth =
    mpp = 0.25
    samples = "2024/samples.csv"
    minimum = { dice = 0.85, f1 = 0.8 }   # means over images, named as in metrics.json
    kpis = true                           # the KPIs challenge's own F1 too

Paths are relative to the file, that of a model too; a model may also be named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glomseg.errors import EvaluationError
from glomseg.evaluation.summary import MEAN, Summary
from glomseg.labelled.parts import PARTS
from glomseg.settings import limited, no_such, parse_toml, read_record, read_text

FILE = "suite.toml"
LOWER_IS_BETTER = ("hausdorff95_um", "mean_distance_um", "count_bias")
_RISING = tuple(name for name in MEAN if name not in LOWER_IS_BETTER)


@dataclass(frozen=True, kw_only=True)
class SuiteSet:
    """One data set: images with their truth for a model (`data`), or results at hand (`predicted`, `truth`)."""

    name: str = limited(pattern=r'(?![.\s])[^/\\:*?"<>|]{1,100}', what="a name that a folder can have")
    data: Path | None = None
    predicted: Path | None = None
    truth: Path | None = None
    mpp: float | None = limited(None, low=0.02, high=10)
    samples: Path | None = None
    group_by: str | None = None
    unit: str | None = None
    class_name: str | None = limited(None, key="class")
    part: str | None = limited(None, among=PARTS)
    model: str | None = None
    kpis: bool = False
    minimum: Mapping[str, float] = limited({})

    def __post_init__(self) -> None:
        """Refuse a set without data, or with two kinds; raises ValueError."""
        at_hand = (self.predicted is not None, self.truth is not None)
        if at_hand != ((False, False) if self.data is not None else (True, True)):
            raise ValueError(f"set {self.name!r} needs data, or predicted and truth")
        if self.data is None and self.model is not None:
            raise ValueError(f"set {self.name!r} has results at hand, so that no model predicts; leave model away")
        for name in self.minimum:
            if name not in _RISING:
                raise ValueError(f"set {self.name!r}: {no_such('score', name, _RISING, prefix='minimum.')}")
            if not 0 <= self.minimum[name] <= 1:
                raise ValueError(f"set {self.name!r}: minimum.{name} is {self.minimum[name]:g}; give a share, 0 to 1")

    def failures(self, summary: Summary) -> list[str]:
        """Say in words which scores lie below the least that was asked for."""
        mean = summary.overall.mean
        values = {name: mean[name].value if name in mean else float("nan") for name in self.minimum}
        return [
            f"{name} {values[name]:.3f} is below {least:g}"
            for name, least in self.minimum.items()
            if not values[name] >= least
        ]

    def below(self, folder: Path) -> SuiteSet:
        """Take paths as relative to a folder; a model is a path where it looks like one, or where one is."""
        paths = {key: getattr(self, key) for key in ("data", "predicted", "truth", "samples")}
        model = None if self.model is None else _model_below(folder, self.model)
        return replace(self, **{key: folder / path for key, path in paths.items() if path is not None}, model=model)


def _model_below(folder: Path, model: str) -> str:
    return str(folder / model) if "/" in model or "\\" in model or (folder / model).is_dir() else model


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite and its data sets.

    Each of the `models`, if it names any, is evaluated by itself; `tune` names the set whose validation images choose
    each model's threshold, which then holds for the other sets.
    """

    name: str | None = None
    models: tuple[str, ...] = ()
    tune: str | None = None
    sets: tuple[SuiteSet, ...] = limited((), key="set")


def read_suite(path: Path) -> Suite:
    """Read a suite from its TOML file, or from the folder that holds suite.toml; raises EvaluationError."""
    path = path / FILE if path.is_dir() else path
    text = read_text(path, what="a TOML file with a [[set]] for each data set", error=EvaluationError)
    table: dict[str, Any] = parse_toml(text, origin=str(path), error=EvaluationError)
    suite = read_record(Suite, table, origin=str(path), error=EvaluationError)
    if not suite.sets:
        raise EvaluationError(f"{path} names no data set; add one as [[set]]")
    names = [item.name.lower() for item in suite.sets]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise EvaluationError(f"{path} has two sets named {twice[0]!r}; rename one")
    if taken := {"suite.json", "table.md"}.intersection(names):
        raise EvaluationError(f"{path} names a set {taken.pop()}, as the results are called; rename it")
    folders = [Path(model).name.lower() for model in suite.models]
    if len(set(folders)) < len(folders):
        raise EvaluationError(f"{path} names a model twice ({', '.join(suite.models)}); give each its own folder name")
    if suite.tune is not None:
        tuned = next((item for item in suite.sets if item.name == suite.tune), None)
        if tuned is None:
            raise EvaluationError(f"{path}: tune is {suite.tune!r}; there are {', '.join(i.name for i in suite.sets)}")
        if tuned.data is None:
            raise EvaluationError(f"{path}: set {suite.tune!r} has no data, so no model can be tuned on it; give data")
    if suite.models and all(item.data is None for item in suite.sets):
        raise EvaluationError(f"{path} names models, and no set has data to predict on; give data, or leave them away")
    return Suite(
        name=suite.name or path.stem,
        models=tuple(_model_below(path.parent, model) for model in suite.models),
        tune=suite.tune,
        sets=tuple(item.below(path.parent) for item in suite.sets),
    )
