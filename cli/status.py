"""`glomseg status`: what stands where in a project, and what people changed since the last run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.since import PeoplesChanges
    from glomseg.runs.status import ImageStatus

COLUMNS = (
    "id", "image", "annotations", "machine's", "people's", "verdicts", "saved", "since the last run", "runs", "remarks",
)  # fmt: skip


@command(short_help="Show what stands where in a project, and what people changed.", interrupted="nothing was changed")
@options.project_argument
@options.slides_option
@click.option("--files-only", is_flag=True, help="Do not read through QuPath what people changed since the last run.")
@options.output
def status(project: Path, slides: tuple[Path, ...], files_only: bool, quiet: bool, as_json: bool) -> None:
    """Show the images of PROJECT, what is annotated on them, whose it is, and the runs.

    Where an image was saved in QuPath since the last write by glomseg, what people changed is read through QuPath.
    Without one, or with --files-only, a number with a ~ is from before that save; ? is unknown.
    """
    from glomseg.runs.status import project_status
    from glomseg.settings import plain

    console = Console(quiet=quiet, as_json=as_json)
    stands = project_status(project, slides=slides, files_only=files_only)
    for problem in stands.problems:
        console.warn(problem)
    if not stands.images:
        console.warn("no images; add some to the project in QuPath")
    for holder in stands.at_work:
        console.say(f"at work in it: {holder}")
    if stands.adapted_to is not None:
        console.say(f"adapted to model {stands.adapted_to}; `glomseg annotate` takes it where --model names none")
    if as_json:
        images = [_content(image) for image in stands.images]
        path = str(stands.project.path)
        adapted = None if stands.adapted_to is None else plain(stands.adapted_to)
        console.json(
            {
                "project": path,
                "images": images,
                "problems": list(stands.problems),
                "at_work": [str(holder) for holder in stands.at_work],
                "adapted_to": adapted,
            }
        )
    elif not quiet:
        console.table(COLUMNS, [_row(image) for image in stands.images])


def _content(status: ImageStatus) -> dict[str, Any]:
    from glomseg.settings import plain

    image, owners = status.image, status.owners
    return {
        "entry_id": image.entry_id,
        "name": image.name,
        "path": str(image.path) if image.path else None,
        "problem": status.problem,
        "annotations": None if status.annotations is None else dict(status.annotations),
        "machine": owners.machine,
        "persons": owners.persons,
        "verdicts": None if owners.verdicts is None else dict(owners.verdicts),
        "saved_since_counted": not owners.current,
        "review": status.review,
        "reviewed": status.reviewed,
        "saved": status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else None,
        "runs": [
            {"run": run.run_id, "state": run.state, "glomeruli": run.glomeruli, "doubts": list(run.doubts)}
            for run in status.runs
        ],
        "conflict": status.conflict,
        "since": None if status.since is None else plain(status.since),
        "remarks": list(status.image.remarks),
    }


def _row(status: ImageStatus) -> tuple[str, ...]:
    owners = status.owners
    mark = "" if owners.current else "~"
    runs = [
        f"{run.run_id} {run.state}" + (f" ({run.glomeruli})" if run.glomeruli is not None else "")
        for run in status.runs
    ]
    last = status.runs[-1] if status.runs else None
    is_reviewed = bool(status.reviewed) and last is not None and last.state == "collected"
    doubts = () if last is None or is_reviewed else last.doubts
    remarks = [status.conflict, status.reviewed and f"reviewed: {status.reviewed}", status.problem]
    remarks += [*status.image.remarks, *doubts]
    return (
        status.image.entry_id,
        status.image.name,
        "?" if status.annotations is None else _counts(status.annotations) or "none",
        "?" if owners.machine is None else f"{mark}{owners.machine}",
        "?" if owners.persons is None else f"{mark}{owners.persons}",
        status.review or ("?" if owners.verdicts is None else mark + (_counts(owners.verdicts) or "none")),
        status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else "never",
        "" if status.since is None else _since(status.since),
        ", ".join(runs) or "none",
        "; ".join(str(remark).split(" (tried")[0] for remark in remarks if remark),
    )


def _since(since: PeoplesChanges) -> str:
    saved = f"; saved by {since.saved_by}" if since.saved_by else ""
    written = f", written by {since.written_by}" if since.written_by else ""
    return f"{since}{saved} (run {since.run}{written})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
