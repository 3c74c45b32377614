"""`glomseg report`: one HTML file that says what was found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console
from .measuring import OF_PAS, measure_aloud
from .measuring import measuring as measuring_options

if TYPE_CHECKING:
    from glomseg.study.measure_project import MeasureOptions


@command(short_help="One HTML file with what was found, for the paper and the lab meeting.", only_with={"pas": OF_PAS})
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file [glomseg/measurements/report.html].")
@measuring_options
@options.overlay_color
@options.output
def report(
    project: Path, output: Path | None, measuring: MeasureOptions, overlay_color: str, quiet: bool, as_json: bool
) -> int:
    """Write a report on PROJECT, or on DIR, the output folder of `glomseg segment`, as one HTML file.

    Tables that sort and filter, distributions by group, pictures of the slides and of remarkable glomeruli, warnings,
    and the methods paragraph with the numbers filled in. It opens without network, and prints.
    """
    from glomseg.report.html import write_report

    console = Console(quiet=quiet, as_json=as_json)
    result = measure_aloud(console, project, measuring)
    path = output or result.folder / "report.html"
    with console.spinner("painting") as update:
        write_report(
            result.study,
            path,
            color_by="confidence" if overlay_color == "confidence" else "class",
            progress=update,
            remark=console.warn,
        )
    if as_json:
        console.json({"report": str(path), "bytes": path.stat().st_size})
    console.say(f"report: {path}")
    return int(bool(result.problems))
