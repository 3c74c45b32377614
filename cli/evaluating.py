"""The work of `glomseg evaluate`: find what belongs together, predict where asked for, score, and show."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from glomseg.errors import EvaluationError, GlomsegError
from glomseg.evaluation.evaluate import EvaluateSettings, Evaluation, evaluate, write_evaluation
from glomseg.evaluation.projects import find_side, is_project
from glomseg.evaluation.suite import SuiteSet, read_suite
from glomseg.files import write_text
from glomseg.labelled.find_files import Source, find_images, images_named, left_out
from glomseg.labelled.label_files import Selection
from glomseg.labelled.pairs import pair_up
from glomseg.labelled.sample_sheet import read_sample_sheet

from .console import Console
from .predicting import Prediction, predict, sweep_thresholds, told

COLUMNS = ("group", "images", "Dice, mean", "Dice, pooled", "object F1", "precision", "recall", "PQ", "true", "found")


def evaluate_one(
    console: Console, paths: Sequence[Path], output: Path, model: str | None, how: Mapping[str, Any]
) -> int:
    """Evaluate one data set, and print its table or its metrics.json."""
    evaluation = _evaluate(console, paths, output, model, how)
    if console.as_json:
        click.echo((output / "metrics.json").read_text(encoding="utf-8"), nl=False)
    elif not console.quiet:
        show(console, evaluation)
        console.say(f"results in {output}")
    return 0


def evaluate_suite(console: Console, suite: Path, output: Path, model: str | None, how: Mapping[str, Any]) -> int:
    """Evaluate each data set of a suite into a folder of its own; 1 where one fails or lies below its minimum."""
    plan = read_suite(suite)
    content: dict[str, Any] = {"suite": plan.name, "sets": {}}
    for item in plan.sets:
        console.say(f"set {item.name}")
        try:
            evaluation = _evaluate(console, *_asked(item, output, model), {**how, **_options(item, how)})
            failures = item.failures(evaluation.summary)
            content["sets"][item.name] = {"overall": evaluation.summary["overall"], "failures": failures}
        except GlomsegError as error:
            failures = [str(error)]
            content["sets"][item.name] = {"overall": None, "failures": failures}
        for failure in failures:
            console.warn(f"{item.name}: {failure}")
    content["passed"] = not any(entry["failures"] for entry in content["sets"].values())
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_text(output / "suite.json", text + "\n")
    if console.as_json:
        click.echo(text)
    elif not console.quiet:
        done = {name: entry["overall"] for name, entry in content["sets"].items() if entry["overall"]}
        console.table(("set", *COLUMNS[1:]), [_row(name, overall) for name, overall in done.items()])
    return 0 if content["passed"] else 1


def _asked(item: SuiteSet, output: Path, model: str | None) -> tuple[tuple[Path, ...], Path, str | None]:
    """Tell what to evaluate for a set: its files, its folder, and the model where one predicts."""
    if item.data is None:
        assert item.predicted is not None
        assert item.truth is not None
        return (item.predicted, item.truth), output / item.name, None
    chosen = model or item.model
    if chosen is None:
        raise EvaluationError(f"set {item.name!r} needs a model to predict on its data; name one with --model")
    return (item.data,), output / item.name, chosen


def _options(item: SuiteSet, how: Mapping[str, Any]) -> dict[str, Any]:
    """Take what the suite says of a set, and the command line's word for the rest."""
    said = {
        "mpp": None if item.mpp is None else (item.mpp, item.mpp),
        "samples": item.samples,
        "group_by": item.group_by,
        "unit": item.unit,
    }
    return {
        **{name: how[name] if value is None else value for name, value in said.items()},
        "class_name": item.class_name,
    }


def _evaluate(
    console: Console, paths: Sequence[Path], output: Path, model: str | None, how: Mapping[str, Any]
) -> Evaluation:
    settings = _settings(how)
    prediction: Prediction | None = None
    if model is None:
        predicted, true = _sides(paths, how["slides"])
        pictures = _pictures(paths[-1], true)
        pairs, remarks = pair_up(predicted, true, missing=how["missing"], images=pictures)
        details: dict[str, Any] = {"predicted": str(paths[0]), "truth": str(paths[-1])}
    else:
        prediction = predict(console, paths[0], output, model, how)
        pairs, remarks, details = prediction.pairs, prediction.remarks, prediction.details
    for remark in (*(text for path in dict.fromkeys(paths) for text in left_out(path)), *remarks):
        console.say(remark)
    details = {"command": shlex.join(["glomseg", *sys.argv[1:]]), **details}
    with console.spinner("scoring") as show_text:
        evaluation = evaluate(pairs, settings, progress=lambda done, total: show_text(f"scoring {done} of {total}"))
        if prediction is not None and how["sweep"]:
            details["threshold_sweep"] = sweep_thresholds(prediction, evaluation, output, show_text)
        show_text("drawing")
        write_evaluation(output, evaluation, details=details, pictures=not how["no_pictures"])
    for remark in evaluation.remarks:
        console.say(remark)
    if "threshold_sweep" in details:
        console.say(told(details["threshold_sweep"]))
    return evaluation


def _settings(how: Mapping[str, Any]) -> EvaluateSettings:
    samples = None
    if how["samples"] is not None:
        samples = read_sample_sheet(how["samples"])
        for column in filter(None, (how["group_by"], how["unit"])):
            samples.check_column(column)
    elif how["group_by"] or how["unit"]:
        raise EvaluationError("--group-by and --unit name columns of a sample sheet; give it with --samples")
    return EvaluateSettings(
        predicted=Selection(class_name=how["class_name"], whose=how["predicted_set"]),
        true=Selection(class_name=how["class_name"], whose=how["truth_set"]),
        missing=how["missing"],
        rescale=how["rescale"],
        kpis=how["kpis_compatible"],
        mpp=how["mpp"],
        samples=samples,
        group_by=how["group_by"],
        unit=how["unit"],
    )


def _sides(paths: Sequence[Path], slides: Sequence[Path]) -> tuple[list[Source], list[Source]]:
    predicted = find_side(paths[0], slides=slides)
    return predicted, predicted if paths[-1] == paths[0] else find_side(paths[-1], slides=slides)


def _pictures(truth: Path, labels: Sequence[Source]) -> list[Source]:
    """Look for images beside the truth or beside its folder: for galleries, and for what the truth does not say."""
    if is_project(truth):
        return []
    folder = truth.parent if truth.is_file() else truth
    places = [folder, *(folder.parent / name for name in ("images", "img", "wsi"))]
    if truth.is_file():
        return images_named(places, labels[0].stem, besides=truth)
    found = []
    for place in places:
        try:
            found += find_images(place)
        except EvaluationError:  # no such folder, or no image in it
            continue
    taken = {item.path for item in labels}
    return [item for item in found if item.path not in taken]


def show(console: Console, evaluation: Evaluation) -> None:
    """Print a table: a row a group where there are several, and one for all."""
    groups = evaluation.summary["groups"]
    rows = [_row(name, group) for name, group in groups.items()] if len(groups) > 1 else []
    console.table(COLUMNS, [*rows, _row("all", evaluation.summary["overall"])])
    overall = evaluation.summary["overall"]
    mean = overall["mean"]
    said = [f"F1 over IoU 0.5..0.95 {_value(overall['pooled']['f1_50_95'])}"]
    said += [f"split {overall['splits']}, merged {overall['merges']}"]
    if mean["hausdorff95_um"]["value"] is not None:
        apart, within = mean["mean_distance_um"]["value"], mean["hausdorff95_um"]["value"]
        said.append(f"outlines {apart:.1f} µm apart on average, {within:.1f} µm at 95 % (Hausdorff)")
    if "kpis_f1" in mean:
        said.append(f"the challenge's own F1 {_value(mean['kpis_f1'])}")
    click.echo("; ".join(said))
    if evaluation.summary["precision_recall"] and evaluation.summary["precision_recall"]["best_threshold"] is not None:
        chosen = evaluation.summary["precision_recall"]
        click.echo(f"best confidence on validation images: {chosen['best_threshold']:.3f}")


def _row(name: str, group: Mapping[str, Any]) -> tuple[str, ...]:
    mean, pooled = group["mean"], group["pooled"]
    return (
        name,
        str(group["images"]),
        _value(mean["dice"]),
        _value(pooled["dice"]),
        *(_value(pooled[key]) for key in ("f1", "precision", "recall", "pq")),
        str(group["true_objects"]),
        str(group["predicted_objects"]),
    )


def _value(entry: Mapping[str, Any]) -> str:
    if entry["value"] is None:
        return ""
    if entry["low"] is None:
        return f"{entry['value']:.3f}"
    return f"{entry['value']:.3f} ({entry['low']:.2f}-{entry['high']:.2f})"
