"""`glomseg status`: what stands where in a project, read without QuPath."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .console import Console

if TYPE_CHECKING:
    from glomseg.project.qpproj import ProjectImage
    from glomseg.project.runs import Run


@click.command(short_help="Show what stands where in a project; needs no QuPath.")
@options.project_argument
@options.slides_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def status(project: Path, slides: tuple[Path, ...], as_json: bool) -> None:
    """Show the images of PROJECT, what is annotated on them, and the runs. Needs no QuPath."""
    from glomseg.project.qpproj import read_project
    from glomseg.project.runs import list_runs

    found = read_project(project, slides=slides)
    runs = list_runs(found.folder / "glomseg")
    images = [_describe(image, runs) for image in found.images]
    if as_json:
        click.echo(json.dumps({"project": str(found.path), "images": images}, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            image["entry_id"],
            image["name"],
            ", ".join(f"{count} {name}" for name, count in image["annotations"].items()) or "none",
            image["saved"] or "never",
            ", ".join(
                f"{run['run']} {run['state']}" + (f" ({run['glomeruli']})" if run["glomeruli"] is not None else "")
                for run in image["runs"]
            )
            or "none",
            (image["problem"] or "").split(" (tried")[0],
        )
        for image in images
    ]
    Console(quiet=False, as_json=False).table(("id", "image", "annotations", "saved", "runs", "problem"), rows)


def _describe(image: ProjectImage, runs: Sequence[Run]) -> dict[str, Any]:
    from glomseg.project.qpproj import image_state

    state = image_state(image)
    saved = None if state.saved_ms is None else datetime.fromtimestamp(state.saved_ms / 1000)
    records = [(run, run.images[image.entry_id]) for run in runs if image.entry_id in run.images]
    return {
        "entry_id": image.entry_id,
        "name": image.name,
        "path": str(image.path) if image.path else None,
        "problem": image.problem,
        "annotations": dict(state.annotation_counts),
        "saved": saved.isoformat(sep=" ", timespec="minutes") if saved else None,
        "runs": [
            {
                "run": run.run_id,
                "state": record.get("outcome") or ("collected" if "collected" in record else record["state"]),
                "glomeruli": record.get("glomeruli"),
            }
            for run, record in records
        ],
    }
