"""`glomseg report`: one HTML file that says what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from . import options
from .commands import command
from .console import Console


@command(short_help="One HTML file with what was found, for the paper and the lab meeting.")
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="The file [glomseg/measurements/report.html].")
@options.measuring
@options.overlay_color
@options.output
def report(project: Path, output: Path | None, overlay_color: str, **how: Any) -> int:
    """Write a report on PROJECT, or on DIR, the output folder of `glomseg segment`, as one HTML file.

    Tables that sort and filter, distributions by group, pictures of the slides and of remarkable glomeruli, warnings,
    and the methods paragraph with the numbers filled in. It opens without network, and prints.
    """
    from glomseg.report.html import write_report

    from .measure import measured

    console = Console(quiet=how.pop("quiet"), as_json=how.pop("as_json"))
    sources, study = measured(console, project, **how)
    path = output or sources.folder / "report.html"
    with console.spinner("painting") as update:
        write_report(
            study,
            path,
            color_by="confidence" if overlay_color == "confidence" else "class",
            progress=lambda name: update(f"painting: {name}"),
        )
    if console.as_json:
        import json

        click.echo(json.dumps({"report": str(path), "bytes": path.stat().st_size}, indent=2))
    console.say(f"report: {path}")
    return int(bool(sources.problems))
