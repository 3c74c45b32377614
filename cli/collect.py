"""`glomseg collect`: the second stage alone, results of a run into the QuPath project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.each_image import OnConflict


@command(
    short_help="Bring the outlines of a run into its project.",
    interrupted="what is in the project stays there, and the same command brings in the rest",
)
@options.project_argument
@click.argument("run", required=False)
@options.slides_option
@click.option("--forget-rejections", is_flag=True, help="Offer again what was deleted from earlier results.")
@options.believe_deletions_option
@options.on_conflict_option
@options.output
def collect(
    project: Path,
    run: str | None,
    slides: tuple[Path, ...],
    forget_rejections: bool,
    believe_deletions: bool,
    on_conflict: OnConflict,
    quiet: bool,
    as_json: bool,
) -> int:
    """Bring the outlines of RUN (the newest by default) into PROJECT as annotations.

    For results that were made on a machine without QuPath. Close the project in QuPath first.
    """
    from glomseg.runs.collect import collect_run
    from glomseg.runs.each_image import WriteOptions

    console = Console(quiet=quiet, as_json=as_json)
    asked = WriteOptions(
        slides=slides,
        forget_rejections=forget_rejections,
        believe_deletions=believe_deletions,
        on_conflict=on_conflict,
    )
    with console.listening() as listener:
        result = collect_run(project, run, asked, listener=listener)
    return console.run_result(result)
