"""`glomseg annotate`: the main job, a project's images to polygon annotations to review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.each_image import OnConflict


@command(
    short_help="Outline the glomeruli of a QuPath project: the main job.",
    interrupted="what is in the project stays there, and the same command goes on where it stopped",
    only_with={"overlay": options.OF_OVERLAY},
    never_with={"no_collect": options.OF_COLLECT},
)
@options.project_argument
@options.slides_option
@click.option("--image", "images", multiple=True, help="Only the image of this name or id. May be repeated.")
@click.option("--region", metavar="CLASS", help="Only inside annotations of this class, such as Cortex.")
@click.option("--within", type=click.Path(path_type=Path), help="Only inside the areas of this GeoJSON file.")
@click.option("--mpp", type=options.PixelSize(), help="Size of a pixel where neither QuPath nor the file knows it.")
@click.option("--forget-rejections", is_flag=True, help="Offer again what was deleted from earlier results.")
@options.believe_deletions_option
@options.on_conflict_option
@click.option("--no-collect", is_flag=True, help="Leave the outlines in the run folder.")
@options.segmenting
@options.output
def annotate(
    project: Path,
    slides: tuple[Path, ...],
    images: tuple[str, ...],
    region: str | None,
    within: Path | None,
    mpp: tuple[float, float] | None,
    forget_rejections: bool,
    believe_deletions: bool,
    on_conflict: OnConflict,
    no_collect: bool,
    quiet: bool,
    as_json: bool,
    **flags: Unpack[options.SegmentFlags],
) -> int:
    """Outline the glomeruli of PROJECT, a project.qpproj or its folder, as annotations to review in QuPath.

    Annotations of people are never touched; areas of class Ignore* are left out. Without QuPath on this machine the
    outlines stay in the run folder, and `glomseg collect` brings them in later, here or on another machine.

    Close the project in QuPath first: an open QuPath overwrites what others save.
    """
    from glomseg.runs.annotate import AnnotateOptions, annotate_project

    if region is not None and within is not None:
        raise click.UsageError("--region and --within both say where to look; give one of them")
    console = Console(quiet=quiet, as_json=as_json)
    asked = AnnotateOptions(
        **vars(options.segment_options(flags, mpp=mpp)),
        images=images,
        slides=slides,
        region=region,
        within=within,
        collect=not no_collect,
        forget_rejections=forget_rejections,
        believe_deletions=believe_deletions,
        on_conflict=on_conflict,
    )
    with console.listening() as listener:
        result = annotate_project(project, asked, listener=listener)
    return console.run_result(result)
