"""`glomseg status`: what stands where in a project, read without QuPath."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.status import ImageStatus

COLUMNS = ("id", "image", "annotations", "machine's", "people's", "verdicts", "saved", "runs", "remarks")


@command(short_help="Show what stands where in a project; needs no QuPath.", interrupted="nothing was changed")
@options.project_argument
@options.slides_option
@options.output
def status(project: Path, slides: tuple[Path, ...], quiet: bool, as_json: bool) -> None:
    """Show the images of PROJECT, what is annotated on them, whose it is, and the runs. Needs no QuPath.

    Whose the annotations are is known as of the last write by glomseg: a number with a ~ is from before the last
    save in QuPath, and ? is unknown.
    """
    from glomseg.runs.status import project_status

    console = Console(quiet=quiet, as_json=as_json)
    stands = project_status(project, slides=slides)
    for problem in stands.problems:
        console.warn(problem)
    if stands.holder is not None:
        console.say(f"at work in it: {stands.holder}")
    if as_json:
        images = [_content(image) for image in stands.images]
        holder = str(stands.holder) if stands.holder else None
        path = str(stands.project.path)
        console.json({"project": path, "images": images, "problems": list(stands.problems), "at_work": holder})
    elif not quiet:
        console.table(COLUMNS, [_row(image) for image in stands.images])


def _content(status: ImageStatus) -> dict[str, Any]:
    image, owners = status.image, status.owners
    return {
        "entry_id": image.entry_id,
        "name": image.name,
        "path": str(image.path) if image.path else None,
        "problem": status.problem,
        "annotations": dict(status.annotations),
        "machine": owners.machine,
        "persons": owners.persons,
        "verdicts": None if owners.verdicts is None else dict(owners.verdicts),
        "saved_since_counted": not owners.current,
        "review": status.review,
        "reviewed": status.reviewed,
        "saved": status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else None,
        "runs": [{"run": run.run_id, "state": run.state, "glomeruli": run.glomeruli} for run in status.runs],
        "conflict": status.conflict,
    }


def _row(status: ImageStatus) -> tuple[str, ...]:
    owners = status.owners
    mark = "" if owners.current else "~"
    runs = [
        f"{run.run_id} {run.state}" + (f" ({run.glomeruli})" if run.glomeruli is not None else "")
        for run in status.runs
    ]
    remarks = [status.conflict, status.reviewed and f"reviewed: {status.reviewed}", status.problem]
    return (
        status.image.entry_id,
        status.image.name,
        _counts(status.annotations) or "none",
        "?" if owners.machine is None else f"{mark}{owners.machine}",
        "?" if owners.persons is None else f"{mark}{owners.persons}",
        status.review or ("?" if owners.verdicts is None else mark + (_counts(owners.verdicts) or "none")),
        status.saved.isoformat(sep=" ", timespec="minutes") if status.saved else "never",
        ", ".join(runs) or "none",
        "; ".join(str(remark).split(" (tried")[0] for remark in remarks if remark),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
