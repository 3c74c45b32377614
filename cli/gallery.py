"""`glomseg gallery`: a picture of every glomerulus, and judgements on them back into the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options
from .commands import command
from .console import Console


@command(short_help="A picture of every glomerulus, to sort into classes.")
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the pictures [glomseg/gallery].")
@click.option(
    "--apply",
    "labels",
    type=click.Path(path_type=Path),
    help="Set the classes that were written into the column new_class of this labels.csv.",
)
@options.slides_option
@click.option("--class", "class_name", default="Glomerulus", show_default=True, metavar="CLASS", help="What to show.")
@options.overlay_color
@options.output
def gallery(
    project: Path,
    output: Path | None,
    labels: Path | None,
    slides: tuple[Path, ...],
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
    console = Console(quiet=quiet, as_json=as_json)
    if labels is not None:
        return _apply(console, project, labels, slides)
    return _write(console, project, output, slides, class_name, overlay_color)


def _write(
    console: Console,
    project: Path,
    output: Path | None,
    slides: tuple[Path, ...],
    class_name: str,
    overlay_color: str,
) -> int:
    from glomseg.report.gallery import write_gallery
    from glomseg.study.records import MeasureSettings
    from glomseg.study.sources import read_sources
    from glomseg.study.write_back import measure_study

    with console.spinner("reading the annotations") as update:
        sources = read_sources(project, slides=slides, progress=lambda name: update(f"reading: {name}"))
        study = measure_study(
            sources, MeasureSettings(class_name=class_name), progress=lambda name: update(f"measuring: {name}")
        )
        folder = output or sources.folder.with_name("gallery")
        count, problems = write_gallery(
            study,
            folder,
            color_by="confidence" if overlay_color == "confidence" else "class",
            progress=lambda name: update(f"painting: {name}"),
        )
    for slide in study.slides:
        if slide.profiles and (slide.image.path is None or slide.image.problem):
            problems.append(f"{slide.image.name}: {slide.image.problem or 'the image was not found; use --slides'}")
    for problem in (*sources.problems, *problems):
        console.warn(problem)
    _result(console, {"folder": str(folder), "glomeruli": count})
    console.say(f"{count} glomeruli: {folder}")
    return int(bool(problems or sources.problems))


def _apply(console: Console, project: Path, labels: Path, slides: tuple[Path, ...]) -> int:
    from glomseg.qupath.process import require_qupath
    from glomseg.report.judgements import plan_labels, read_labels
    from glomseg.runs.image_record import Outcome
    from glomseg.study.sources import read_sources
    from glomseg.study.write_back import amend_all

    read = read_labels(labels)
    require_qupath()
    with console.spinner("QuPath is starting") as update:
        sources = read_sources(project, slides=slides, progress=lambda name: update(f"reading: {name}"))
        planned, remarks = plan_labels(read, sources)
        outcomes: dict[str, Any] = amend_all(sources, planned, lambda name: update(f"into the project: {name}"))
    for remark in remarks:
        console.warn(remark)
    for name, outcome in outcomes.items():
        (console.warn if outcome.startswith(Outcome.NOT_COLLECTED) else console.say)(f"{name}: {outcome}")
    _result(console, {"images": outcomes, "left_out": remarks})
    if not outcomes:
        console.say("nothing to change: no new class in the table, or all are set already")
    return int(bool(remarks) or any(outcome.startswith(Outcome.NOT_COLLECTED) for outcome in outcomes.values()))


def _result(console: Console, content: dict[str, Any]) -> None:
    if console.as_json:
        import json

        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
