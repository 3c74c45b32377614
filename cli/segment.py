"""`glomseg segment`: plain slides to GeoJSON, a table and pictures; no QuPath needed."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from . import options
from .commands import command
from .console import Console


@command(
    short_help="Outline the glomeruli of plain slides; needs no QuPath.",
    interrupted="the same command goes on where it stopped",
    only_with={"overlay": options.OF_OVERLAY},
)
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SLIDE...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--mpp", type=options.PixelSize(), help="Size of a pixel where the file does not say it, or says it wrong."
)
@options.segmenting
@options.output
def segment(
    slides: tuple[Path, ...],
    output: Path,
    mpp: tuple[float, float] | None,
    quiet: bool,
    as_json: bool,
    **flags: Unpack[options.SegmentFlags],
) -> int:
    """Outline the glomeruli of plain slides, without a QuPath project.

    SLIDE is an image or a folder of images. Writes DIR/<slide name>.geojson (drag it onto the slide in QuPath),
    glomeruli.csv, run.json and summary.md. The same command again goes on where it stopped.
    """
    from glomseg.runs.segment_slides import segment_slides

    console = Console(quiet=quiet, as_json=as_json)
    with console.listening() as listener:
        result = segment_slides(slides, output, options.segment_options(flags, mpp=mpp), listener=listener)
    return console.run_result(result)
