"""`glomseg evaluate` and `glomseg compare`: how good is it, and which of two is better."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from glomseg.models.card import SPECIES_DIAMETER_UM

from . import options
from .commands import command
from .console import Console

WHOSE = "all, machine (untouched), person, or run:ID"


@command(short_help="Say how good a segmentation is: predictions against truth.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PREDICTED TRUTH | DATA]")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option("--model", "-m", help="Predict on DATA with this model (a name or folder) first.")
@click.option(
    "--suite", type=click.Path(path_type=Path), help="Evaluate all data sets of a suite (TOML, or its folder)."
)
@click.option("--mpp", type=options.PixelSize(), help="Size of a pixel where the files do not say it, or say it wrong.")
@click.option("--samples", type=click.Path(path_type=Path), help="CSV with a row an image: slide, animal, group, ...")
@click.option("--group-by", metavar="COLUMN", help="Group by this column of the sample sheet [group].")
@click.option("--unit", metavar="COLUMN", help="Draw intervals over this column [animal, patient or case; else image].")
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
@click.option("--sweep", is_flag=True, help="With --model: score other thresholds too; keeps the probabilities.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help=options.DEVICE_HELP)
@options.output
def evaluate(paths: tuple[Path, ...], output: Path, model: str | None, suite: Path | None, **how: Any) -> int:
    """Say how good a segmentation is.

    \b
    glomseg evaluate PREDICTED TRUTH -o DIR     two files or folders of masks or GeoJSON, run folders, projects
    glomseg evaluate --model NAME DATA -o DIR   images with masks or GeoJSON beside them, or a project: predict first
    glomseg evaluate --suite FILE -o DIR        the data sets of a suite, one after another
    glomseg evaluate PROJECT -o DIR --predicted-set machine --truth-set person

    Files match by name, less endings such as _mask, _wsi and -labelled. Writes metrics.json, per_slide.csv,
    per_object.csv, plots and galleries of the worst mistakes.
    """
    console = Console(quiet=how.pop("quiet"), as_json=how.pop("as_json"))
    if suite is not None:
        if paths:
            raise click.UsageError("--suite names its data itself; leave PREDICTED, TRUTH and DATA out")
        from .evaluating import evaluate_suite

        return evaluate_suite(console, suite, output, model, how)
    if model is not None and len(paths) != 1:
        raise click.UsageError("--model takes one DATA: a folder of images with their truth, or a project")
    if model is None and how["sweep"]:
        raise click.UsageError("--sweep needs the probabilities of a --model")
    if model is None and len(paths) != 2 and not (len(paths) == 1 and how["predicted_set"] != how["truth_set"]):
        raise click.UsageError("name PREDICTED and TRUTH; or one of them, with two of --predicted-set and --truth-set")
    from .evaluating import evaluate_one

    return evaluate_one(console, paths, output, model, how)


@command(short_help="Compare two evaluations of the same data.")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the comparison to this JSON file as well.")
@options.output
def compare(first: Path, second: Path, output: Path | None, as_json: bool, quiet: bool) -> int:
    """Compare two evaluations of the same data, given by the folders that `glomseg evaluate` wrote.

    Tells for each score the means of A and B, B less A with its 95 % interval, and the p of a paired permutation
    test. Pairs are animals or cases where the evaluations know them, else images.
    """
    from dataclasses import asdict

    from glomseg.evaluation.compare import compare as compare_results
    from glomseg.evaluation.summary import clean
    from glomseg.files import write_text

    found = compare_results(first, second)
    content = {"a": str(first), "b": str(second), "scores": clean([asdict(item) for item in found])}
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if output is not None:
        write_text(output, text + "\n")
    if as_json:
        click.echo(text)
    elif not quiet:
        rows = [
            (
                item.name,
                f"{item.a:.3f}",
                f"{item.b:.3f}",
                f"{item.difference:+.3f}",
                "" if item.low is None else f"{item.low:+.3f} to {item.high:+.3f}",
                f"{item.p:.3f}",
                str(item.units),
            )
            for item in found
        ]
        Console(quiet=False, as_json=False).table(("score", "A", "B", "B - A", "95 % interval", "p", "pairs"), rows)
    return 0
