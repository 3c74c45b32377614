"""`glomseg collect`: the second stage alone, results of a run into the QuPath project."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console


@command(
    short_help="Bring the outlines of a run into its project.", interrupted="the same command brings in what is left"
)
@options.project_argument
@click.argument("run", required=False)
@options.slides_option
@click.option("--forget-rejections", is_flag=True, help="Offer again what was deleted from earlier results.")
@options.on_conflict_option
@options.output
def collect(
    project: Path,
    run: str | None,
    slides: tuple[Path, ...],
    forget_rejections: bool,
    on_conflict: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Bring the outlines of RUN (the newest by default) into PROJECT as annotations.

    For results that were made on a machine without QuPath. Close the project in QuPath first.
    """
    from glomseg.qupath.project import read_project
    from glomseg.runs.plan import FOLDER
    from glomseg.runs.run import find_run, locked

    from .collecting import collect_into, show_run, writing_options

    console = Console(quiet=quiet, as_json=as_json)
    found = read_project(project, slides=slides)
    with locked(found.folder / FOLDER):
        chosen = find_run(found.folder / FOLDER, run)
        writing = writing_options(on_conflict, forget_rejections=forget_rejections)
        collect_into(console, found, chosen, keys=chosen.images, states={}, writing=writing, needed=True)
        return show_run(console, chosen, chosen.images)
