"""`glomseg segment`: plain slides to GeoJSON, a table and pictures; no QuPath needed."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.run import Run


@command(
    short_help="Outline the glomeruli of plain slides; needs no QuPath.",
    interrupted="the same command goes on where it stopped",
)
@click.argument("slides", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SLIDE...")
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder for the results.")
@click.option(
    "--mpp", type=options.PixelSize(), help="Size of a pixel where the file does not say it, or says it wrong."
)
@options.segmenting
@options.output
def segment(slides: tuple[Path, ...], output: Path, mpp: tuple[float, float] | None, **how: Any) -> int:
    """Outline the glomeruli of plain slides, without a QuPath project.

    SLIDE is an image or a folder of images. Writes DIR/<slide name>.geojson (drag it onto the slide in QuPath),
    glomeruli.csv and run.json. The same command again goes on where it stopped.
    """
    from glomseg.runs.run import locked, printable, resume_or_start_in
    from glomseg.runs.segment_batch import Job
    from glomseg.slides.find_slides import slides_of

    from .collecting import show_run
    from .segmenting import Segmenting

    console = Console(quiet=how.pop("quiet"), as_json=how.pop("as_json"))
    found = slides_of(slides)
    for remark in found.remarks():
        console.say(remark)
    work = Segmenting.prepare(console, **how)
    with locked(output):
        run = resume_or_start_in(output, work.parameters(region=None), restart=how["restart"])
        jobs = [
            Job(key=key, name=printable(path.name), path=path, mpp=mpp) for key, path in _keys(found.paths, run).items()
        ]
        work.run(run, jobs)
        return show_run(console, run, [job.key for job in jobs])


def _keys(paths: list[Path], run: Run) -> dict[str, Path]:
    """Name the results after the slides; of slides that share a name, the later ones keep their ending or get a number.

    A slide that the run knows keeps its key, and no other slide gets it.
    """
    from glomseg.runs.run import printable

    taken = {key: record["path"] for key, record in run.images.items() if "path" in record}
    keys: dict[str, Path] = {}
    for path in paths:
        place = printable(path.absolute())
        stem, name = (re.sub(r'[\x00-\x1f/\\:*?"<>|]|^\.', "_", printable(text)) for text in (path.stem, path.name))
        candidates = itertools.chain((stem, name), (f"{name}-{number}" for number in itertools.count(2)))
        known = next((key for key, at in taken.items() if at == place), None)
        key = known or next(candidate for candidate in candidates if candidate not in taken)
        taken[key] = place
        keys[key] = path
    return keys
