"""`glomseg evaluate`: how good is a segmentation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from glomseg.models.card import DEFAULT_MODEL, SPECIES_DIAMETER_UM, PostName
from glomseg.models.machine import BackendChoice

from . import options
from .commands import command, with_flags
from .console import Console

if TYPE_CHECKING:
    from glomseg.evaluation.evaluate_model import EvaluateOptions
    from glomseg.evaluation.intervals import Interval
    from glomseg.evaluation.summary import GroupSummary, Summary
    from glomseg.labelled.pairs import Missing
    from glomseg.segment.pipeline import Stitch

WHOSE = "all, machine (untouched), person, or run:ID (touched as well)"
PARTS = ("train", "validation", "test")
COLUMNS = ("group", "images", "n", "Dice, mean", "Dice, pooled", "object F1, mean", "object F1, pooled",
           "precision, pooled", "recall, pooled", "PQ, pooled", "true", "found")  # fmt: skip


class Flags(TypedDict):
    """What the options hand to the command."""

    mpp: tuple[float, float] | None
    samples: Path | None
    part: str | None
    group_by: str | None
    unit: str | None
    class_name: str
    predicted_set: str
    truth_set: str
    missing: Missing
    rescale: bool
    kpis_compatible: bool
    no_pictures: bool
    slides: tuple[Path, ...]
    threshold: float | None
    species: str | None
    tta: bool
    tta_scales: tuple[float, ...]
    post: PostName | None
    stitch: Stitch
    overlap: float | None
    icc: bool
    sweep: bool
    device: str
    backend: BackendChoice


@command(
    short_help="Say how good a segmentation is: predictions against truth.",
    interrupted="what was predicted stays; the same command goes on with it",
)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PREDICTED TRUTH | DATA]")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--model",
    "-m",
    "models",
    multiple=True,
    help="Predict on DATA with this model (a name or folder) first. Repeated: the mean of several.",
)
@click.option(
    "--suite", type=click.Path(path_type=Path), help="Evaluate all data sets of a suite (TOML, or its folder)."
)
@click.option("--mpp", type=options.PixelSize(), help="Size of a pixel where the files do not say it, or say it wrong.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Sample sheet: CSV with image, animal, group, section, stain, split.",
)
@click.option("--part", type=click.Choice(PARTS), help="Score the images of this part of the data alone.")
@click.option("--group-by", metavar="COLUMN", help="Group by this column of the sample sheet [group].")
@click.option("--unit", metavar="COLUMN", help="Intervals are over this column of the sheet [animal; else image].")
@click.option(
    "--class", "class_name", default="Glomerulus", show_default=True, help="Annotations of this class and below count."
)
@click.option("--predicted-set", default="all", show_default=True, metavar="WHOSE", help=f"Predictions are: {WHOSE}.")
@click.option("--truth-set", default="all", show_default=True, metavar="WHOSE", help=f"The truth is: {WHOSE}.")
@click.option(
    "--missing",
    type=click.Choice(("refuse", "skip", "empty")),
    default="refuse",
    show_default=True,
    help="A truth without prediction: refuse, leave it out, or score it as an empty prediction.",
)
@click.option("--rescale", is_flag=True, help="Stretch a prediction of another size to that of the truth.")
@click.option("--kpis-compatible", is_flag=True, help="Add the KPIs 2024 challenge's own F1, faults included.")
@click.option("--no-pictures", is_flag=True, help="Write numbers only, no plots and galleries.")
@options.slides_option
@click.option(
    "--threshold", type=click.FloatRange(0, 1, True, True), help="With --model: probability on the outline [model's]."
)
@click.option("--species", type=click.Choice(tuple(SPECIES_DIAMETER_UM)), help="With --model: read at this scale.")
@click.option("--tta", is_flag=True, help="With --model: average over flips.")
@options.reading_options
@options.icc_option
@click.option("--sweep", is_flag=True, help="With --model: score other thresholds too; keeps the probabilities.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help=options.DEVICE_HELP)
@options.backend_option
@options.output
def evaluate(
    paths: tuple[Path, ...],
    output: Path,
    models: tuple[str, ...],
    suite: Path | None,
    quiet: bool,
    as_json: bool,
    **flags: Unpack[Flags],
) -> int:
    """Say how good a segmentation is.

    \b
    glomseg evaluate PREDICTED TRUTH -o DIR     two files or folders of masks or GeoJSON, run folders, projects
    glomseg evaluate --model NAME DATA -o DIR   images with masks or GeoJSON beside them, or a project: predict first
    glomseg evaluate --suite FILE -o DIR        the data sets of a suite, one after another
    glomseg evaluate PROJECT -o DIR --predicted-set machine --truth-set person

    Files match by name, less endings such as _mask, _seg, _wsi and -labelled. Writes metrics.json, per_slide.csv,
    per_object.csv, plots and galleries of the worst mistakes. An image of a project that cannot be read is named and
    left out, and the exit code is 1.
    """
    from glomseg.evaluation.evaluate_model import evaluate_model, evaluate_predictions
    from glomseg.evaluation.suite_run import TABLE, evaluate_suite

    console = Console(quiet=quiet, as_json=as_json)
    _check_call(paths, models, suite, flags)
    asked = _options(models, flags)
    if suite is not None:
        with console.listening() as listener:
            suite_result = evaluate_suite(suite, output, asked, listener=listener)
        if as_json:
            click.echo((output / "suite.json").read_text(encoding="utf-8"), nl=False)
        elif not quiet:
            scores = {name: summary.overall for name, summary in suite_result.scores.items() if summary is not None}
            console.table(("set", *COLUMNS[1:]), [_row(name, overall) for name, overall in scores.items()])
            console.say(f"results in {output}, as a table for a paper in {output / TABLE}")
        return int(not suite_result.passed)
    with console.listening() as listener:
        if models:
            result = evaluate_model(paths[0], output, asked, listener=listener)
        else:
            result = evaluate_predictions(paths[0], paths[-1], output, asked, listener=listener)
    if as_json:
        click.echo((output / "metrics.json").read_text(encoding="utf-8"), nl=False)
    elif not quiet:
        _show(console, result.summary)
        if result.candidates is not None:
            click.echo(result.candidates.in_words())
        console.say(f"results in {output}")
    return int(bool(result.unread))


def _check_call(paths: tuple[Path, ...], models: tuple[str, ...], suite: Path | None, flags: Flags) -> None:
    """Raise UsageError for a call that asks for nothing, or for two things."""
    from glomseg.evaluation.evaluate_model import asks_to_read

    if suite is not None:
        if paths:
            raise click.UsageError("--suite names its data itself; leave PREDICTED, TRUTH and DATA out")
        return
    if models and len(paths) != 1:
        raise click.UsageError("--model takes one DATA: a folder of images with their truth, or a project")
    if not models and flags["sweep"]:
        raise click.UsageError("--sweep needs the probabilities of a --model")
    asked = asks_to_read(_options(models, flags).segment)
    if not models and (idle := [f"`{name}`" for name, given in asked.items() if given]):
        raise click.UsageError(with_flags(f"{', '.join(idle)} says how a --model reads, and none is named"))
    if not models and len(paths) != 2 and not (len(paths) == 1 and flags["predicted_set"] != flags["truth_set"]):
        raise click.UsageError("name PREDICTED and TRUTH; or one of them, with two of --predicted-set and --truth-set")


def _options(models: tuple[str, ...], flags: Flags) -> EvaluateOptions:
    from glomseg.evaluation.evaluate_model import EvaluateOptions
    from glomseg.runs.segmenter import SegmentOptions

    segment = SegmentOptions(
        model=models or DEFAULT_MODEL,
        device=flags["device"],
        backend=flags["backend"],
        threshold=flags["threshold"],
        species=flags["species"],
        tta=flags["tta"],
        tta_scales=flags["tta_scales"],
        post=flags["post"],
        stitch=flags["stitch"],
        overlap=flags["overlap"],
        icc=flags["icc"],
    )
    return EvaluateOptions(
        class_name=flags["class_name"],
        predicted_set=flags["predicted_set"],
        truth_set=flags["truth_set"],
        missing=flags["missing"],
        rescale=flags["rescale"],
        kpis_compatible=flags["kpis_compatible"],
        mpp=flags["mpp"],
        samples=flags["samples"],
        group_by=flags["group_by"],
        unit=flags["unit"],
        part=flags["part"],
        slides=flags["slides"],
        pictures=not flags["no_pictures"],
        model=models or None,
        segment=segment,
        sweep=flags["sweep"],
        command=options.command_line(),
    )


def _show(console: Console, summary: Summary) -> None:
    """Print a table: a row a group where there are several, and one for all."""
    groups, overall = summary.groups, summary.overall
    rows = [_row(name, group) for name, group in groups.items()] if len(groups) > 1 else []
    by_class = [_row(f"class {name}", found) for name, found in summary.classes.items()]
    console.table(COLUMNS, [*rows, *by_class, _row("all", overall)])
    mean = overall.mean
    said = [f"F1 over IoU 0.5..0.95 {_value(overall.pooled['f1_50_95'])}, pooled"]
    said += [f"split {overall.splits}, merged {overall.merges}"]
    if math.isfinite(mean["hausdorff95_um"].value):
        apart, within = mean["mean_distance_um"].value, mean["hausdorff95_um"].value
        said.append(f"outlines {apart:.1f} µm apart on average, {within:.1f} µm at 95 % (Hausdorff)")
    if "kpis_f1" in mean:
        said.append(f"the challenge's own F1 {_value(mean['kpis_f1'])}, mean over images")
    click.echo("; ".join(said))
    click.echo(_explained(overall, summary.unit))
    for line in _classes_found(summary):
        click.echo(line)
    chosen = summary.precision_recall
    if chosen is not None and chosen.best_threshold is not None:
        click.echo(f"best confidence on validation images: {chosen.best_threshold:.3f}")


def _classes_found(summary: Summary) -> list[str]:
    """Say what the true objects of each class were found as."""
    lines = []
    for name in dict.fromkeys(item.true for item in summary.classes_found if item.true):
        found = [item for item in summary.classes_found if item.true == name]
        as_what = [f"{item.objects} found as {item.predicted}" for item in found if item.predicted]
        as_what += [f"{item.objects} missed" for item in found if not item.predicted]
        lines.append(f"{name}: {sum(item.objects for item in found)} true, {', '.join(as_what)}")
    return lines


def _explained(overall: GroupSummary, unit: str) -> str:
    """Say what the columns and the numbers in brackets are."""
    from glomseg.evaluation.intervals import ENOUGH_UNITS, assumption

    text = "mean: over images; pooled: areas and objects of all images added up, those with many count more"
    units = f"{overall.units} {unit}{'' if overall.units == 1 else 's'}"
    if overall.units >= ENOUGH_UNITS:
        text += f"; in brackets 95 % intervals over the n = {units}, {assumption(overall.units)}"
        alike = f"where n is less than {ENOUGH_UNITS} or all are alike"
        return f"{text}; in square brackets, {alike}, the lowest to the highest {unit}"
    if overall.units > 1:
        text += f"; in square brackets the lowest to the highest of the n = {units}"
    return f"{text}; {assumption(overall.units)}"


def _row(name: str, group: GroupSummary) -> tuple[str, ...]:
    mean, pooled = group.mean, group.pooled
    return (
        name,
        str(group.images),
        str(group.units),
        _value(mean["dice"]),
        _value(pooled["dice"]),
        _value(mean["f1"]),
        *(_value(pooled[key]) for key in ("f1", "precision", "recall", "pq")),
        str(group.true_objects),
        str(group.predicted_objects),
    )


def _value(entry: Interval) -> str:
    if not math.isfinite(entry.value):
        return ""
    if entry.low is not None and entry.high is not None:
        return f"{entry.value:.3f} ({entry.low:.2f}-{entry.high:.2f})"
    if entry.lowest is not None and entry.highest is not None:
        return f"{entry.value:.3f} [{entry.lowest:.2f}-{entry.highest:.2f}]"
    return f"{entry.value:.3f}"
