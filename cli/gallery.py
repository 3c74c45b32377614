"""`glomseg gallery`: a picture of every glomerulus, and judgements on them back into the project."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console
from .measuring import show_amended


@command(
    short_help="A picture of every glomerulus, to sort into classes.",
    never_with={"labels": ("output", "samples", "class_name", "overlay_color")},
)
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the pictures [glomseg/gallery].")
@click.option(
    "--apply",
    "labels",
    type=click.Path(path_type=Path),
    help="Set the classes that were written into the column new_class of this labels.csv.",
)
@options.slides_option
@options.samples_option
@click.option("--class", "class_name", default="Glomerulus", show_default=True, metavar="CLASS", help="What to show.")
@options.overlay_color
@options.output
def gallery(
    project: Path,
    output: Path | None,
    labels: Path | None,
    slides: tuple[Path, ...],
    samples: Path | None,
    class_name: str,
    overlay_color: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Show every glomerulus of PROJECT, or of DIR, the output folder of `glomseg segment`.

    Writes crops/, contact-1.jpg and so on, and labels.csv. Write a class such as `Glomerulus: Sclerotic` into the
    column new_class, and `--apply labels.csv` sets it in the project. A glomerulus whose class you set is yours: no
    later run changes it. Close the project in QuPath first.
    """
    from glomseg.report.gallery import write_gallery
    from glomseg.study.measure_project import MeasureOptions, measure_project
    from glomseg.study.records import MeasureSettings

    console = Console(quiet=quiet, as_json=as_json)
    if labels is not None:
        return _apply(console, project, labels, slides)
    given = MeasureOptions(slides=slides, samples=samples, settings=MeasureSettings(class_name=class_name))
    with console.spinner("reading the annotations") as update:
        result = measure_project(project, given, progress=update)
        made = write_gallery(
            result.study,
            output or result.folder.with_name("gallery"),
            color_by="confidence" if overlay_color == "confidence" else "class",
            progress=update,
        )
    for problem in (*result.sources.remarks, *result.problems, *made.problems, *made.remarks):
        console.warn(problem)
    if as_json:
        console.json({"folder": str(made.folder), "glomeruli": made.glomeruli})
    console.say(f"{made.glomeruli} glomeruli: {made.folder}")
    return int(bool(made.problems or result.problems))


def _apply(console: Console, project: Path, labels: Path, slides: tuple[Path, ...]) -> int:
    from glomseg.report.judgements import apply_labels

    with console.spinner("QuPath is starting") as update:
        applied = apply_labels(project, labels, slides=slides, progress=update)
    for remark in (*applied.remarks, *applied.notes):
        console.warn(remark)
    show_amended(console, applied.images.values())
    if console.as_json:
        images = {image.name: str(image) for image in applied.images.values()}
        console.json({"images": images, "left_out": applied.remarks, "notes": applied.notes})
    if not applied.images:
        left = "no label fits what stands in the project" if applied.remarks else "no new class in the table"
        console.say(f"nothing to change: {left}, or all are set already")
    return int(bool(applied.remarks) or any(image.problem for image in applied.images.values()))
