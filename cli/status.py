"""`glomseg status`: what stands where in a project, read without QuPath."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.status import ImageStatus

COLUMNS = ("id", "image", "annotations", "machine's", "people's", "verdicts", "saved", "runs", "remarks")


@command(short_help="Show what stands where in a project; needs no QuPath.", interrupted="nothing was changed")
@options.project_argument
@options.slides_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(project: Path, slides: tuple[Path, ...], as_json: bool) -> None:
    """Show the images of PROJECT, what is annotated on them, whose it is, and the runs. Needs no QuPath.

    Whose the annotations are is known as of the last write by glomseg: a number with a ~ is from before the last
    save in QuPath, and ? is unknown.
    """
    from glomseg.qupath.project import read_project
    from glomseg.runs.run import list_runs
    from glomseg.runs.status import describe_image

    found = read_project(project, slides=slides)
    runs = list_runs(found.folder / "glomseg")
    images = [describe_image(image, runs) for image in found.images]
    if as_json:
        content = {"project": str(found.path), "images": [_content(image) for image in images]}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    Console(quiet=False, as_json=False).table(COLUMNS, [_row(image) for image in images])


def _content(status: ImageStatus) -> dict[str, Any]:
    image, standing = status.image, status.standing
    return {
        "entry_id": image.entry_id,
        "name": image.name,
        "path": str(image.path) if image.path else None,
        "problem": status.problem,
        "annotations": dict(status.annotations),
        "machine": standing.machine,
        "persons": standing.persons,
        "verdicts": None if standing.verdicts is None else dict(standing.verdicts),
        "saved_since_counted": not standing.current,
        "review": status.review,
        "reviewed": status.reviewed,
        "saved": status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else None,
        "runs": [{"run": run, "state": state, "glomeruli": glomeruli} for run, state, glomeruli in status.runs],
        "conflict": status.conflict,
    }


def _row(status: ImageStatus) -> tuple[str, ...]:
    standing = status.standing
    mark = "" if standing.current else "~"
    runs = [f"{run} {state}" + (f" ({count})" if count is not None else "") for run, state, count in status.runs]
    remarks = [status.conflict, status.reviewed and f"reviewed: {status.reviewed}", status.problem]
    return (
        status.image.entry_id,
        status.image.name,
        _counts(status.annotations) or "none",
        "?" if standing.machine is None else f"{mark}{standing.machine}",
        "?" if standing.persons is None else f"{mark}{standing.persons}",
        status.review or ("?" if standing.verdicts is None else mark + (_counts(standing.verdicts) or "none")),
        status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else "never",
        ", ".join(runs) or "none",
        "; ".join(str(remark).split(" (tried")[0] for remark in remarks if remark),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
