"""`glomseg rethreshold`: another outline or sureness for a run, without the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.candidates import CandidateChoice
    from glomseg.runs.each_image import OnConflict


@command(
    short_help="Outline a run again at another threshold or sureness, without the network.",
    interrupted="what is in the project stays there; give the same command again, or collect the new run",
    never_with={"no_collect": options.OF_COLLECT},
)
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.argument("run", required=False)
@click.option("--threshold", type=click.FloatRange(0, 1, True, True), help="Probability on the outline [the run's].")
@click.option(
    "--sureness", type=click.FloatRange(0, 1), help="Mean probability from which an object counts [the run's]."
)
@options.candidates_option
@options.slides_option
@click.option("--forget-rejections", is_flag=True, help="Offer again what was deleted from earlier results.")
@options.believe_deletions_option
@options.on_conflict_option
@click.option("--no-collect", is_flag=True, help="Leave the outlines in the run folder.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="With DIR: the new folder for its outlines.")
@options.output
def rethreshold(
    project: Path,
    run: str | None,
    threshold: float | None,
    sureness: float | None,
    candidates: CandidateChoice,
    slides: tuple[Path, ...],
    forget_rejections: bool,
    believe_deletions: bool,
    on_conflict: OnConflict,
    no_collect: bool,
    output: Path | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Outline RUN of PROJECT again, from the probabilities that it kept.

    By default that is the newest run that was not taken back.

    Takes seconds: the network does not run. The outlines are a new run, which replaces the old one's in the project and
    leaves a person's work as it is; `glomseg undo PROJECT` brings the old ones back. The run must have been made with
    --keep-probability. Close the project in QuPath first.

    DIR is a folder that `glomseg segment` made; its new outlines go into the folder of --output.
    """
    from glomseg.runs.rethreshold import RethresholdOptions, rethreshold_run

    console = Console(quiet=quiet, as_json=as_json)
    asked = RethresholdOptions(
        threshold=threshold,
        sureness=sureness,
        candidates=candidates,
        slides=slides,
        forget_rejections=forget_rejections,
        believe_deletions=believe_deletions,
        on_conflict=on_conflict,
        collect=not no_collect,
        output=output,
        command=options.command_line(),
    )
    with console.listening() as listener:
        result = rethreshold_run(project, run, asked, listener=listener)
    return console.run_result(result)
