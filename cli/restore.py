"""`glomseg restore`: list the backups of an image, and bring one back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.backups import Backup


@command(
    short_help="List an image's backups, or bring one back.",
    interrupted="the image is as it was, or as in the backup; see: glomseg restore PROJECT IMAGE",
)
@options.project_argument
@click.argument("image")
@click.argument("backup", required=False)
@options.output
def restore(project: Path, image: str, backup: str | None, quiet: bool, as_json: bool) -> None:
    """List the backups of IMAGE, a name or id, in PROJECT; or bring BACKUP back, a name from that list, or `last`.

    Everything on the image returns to what it was then, a person's work included. What stands now becomes a backup
    first. Needs no QuPath; close the project in QuPath first.
    """
    from glomseg.runs.restore import image_backups, restore_image

    console = Console(quiet=quiet, as_json=as_json)
    if backup is not None:
        done = restore_image(project, image, backup)
        console.say(f"{image} is as it was {_state(done)}; what stood there is a backup now")
        if as_json:
            console.json({"image": image, "backup": done.name, "why": done.why})
        return
    item, backups = image_backups(project, image)
    rows = [(listed.name, listed.made.isoformat(sep=" ", timespec="seconds"), _state(listed)) for listed in backups]
    if as_json:
        console.json([dict(zip(("backup", "made", "why"), row, strict=True)) for row in rows])
    elif rows:
        console.table(("backup", "made", "state of the image"), rows)
    else:
        console.say(f"{item.name} has no backup: glomseg has not changed it")


def _state(backup: Backup) -> str:
    """Say what state of which image a backup holds."""
    return backup.why + (f", of ANOTHER image: {backup.other}" if backup.other else "")
