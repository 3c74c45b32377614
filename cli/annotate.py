"""`glomseg annotate`: the main job, a project's images to polygon annotations to review."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from . import options
from .commands import command
from .console import Console


@command(
    short_help="Outline the glomeruli of a QuPath project: the main job.",
    interrupted="the same command goes on where it stopped",
)
@options.project_argument
@options.slides_option
@click.option("--image", "images", multiple=True, help="Only the image of this name or id. May be repeated.")
@click.option("--region", metavar="CLASS", help="Only inside annotations of this class, such as Cortex.")
@click.option("--within", type=click.Path(path_type=Path), help="Only inside the areas of this GeoJSON file.")
@click.option("--mpp", type=options.PixelSize(), help="Size of a pixel where neither QuPath nor the file knows it.")
@click.option("--forget-rejections", is_flag=True, help="Offer again what was deleted from earlier results.")
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
    on_conflict: str,
    no_collect: bool,
    **how: Any,
) -> int:
    """Outline the glomeruli of PROJECT, a project.qpproj or its folder, as annotations to review in QuPath.

    Annotations of people are never touched; areas of class Ignore* are left out. Without QuPath on this machine the
    outlines stay in the run folder, and `glomseg collect` brings them in later, here or on another machine.

    Close the project in QuPath first: an open QuPath overwrites what others save.
    """
    from glomseg.qupath.objects import read_geojson
    from glomseg.qupath.process import find_qupath
    from glomseg.qupath.project import read_project
    from glomseg.runs.plan import FOLDER, choose_images, plan_project, save_areas
    from glomseg.runs.run import locked, resume_or_start

    from .collecting import collect_into, show_run, writing_options
    from .segmenting import Segmenting

    console = Console(quiet=how.pop("quiet"), as_json=how.pop("as_json"))
    found = read_project(project, slides=slides)
    chosen = choose_images(found, images)
    if region is not None and within is not None:
        raise click.UsageError("--region and --within both say where to look; give one of them")
    areas = read_geojson(within) if within else []
    find_qupath()  # a wrong setting is better known before hours of work than after
    work = Segmenting.prepare(console, **how)
    where = region if within is None else f"areas {hashlib.sha256(within.read_bytes()).hexdigest()[:12]}"
    keys = [image.entry_id for image in chosen]
    with locked(found.folder / FOLDER):
        plan = plan_project(found, chosen, region_class=region, mpp=mpp, within=areas)
        for remark in plan.remarks:
            console.warn(remark)
        run = resume_or_start(found.folder / FOLDER, work.parameters(region=where), restart=how["restart"])
        for image in chosen:
            if image.entry_id in plan.refused:
                run.record(image.entry_id, name=image.name, state="failed", reason=plan.refused[image.entry_id])
                console.warn(f"{image.name}: {plan.refused[image.entry_id]}")
        save_areas(run, plan.jobs)
        work.run(run, list(plan.jobs))
        if not no_collect:
            writing = writing_options(on_conflict, forget_rejections=forget_rejections)
            collect_into(console, found, run, keys=keys, states=plan.states, writing=writing, needed=False)
        return show_run(console, run, keys)
