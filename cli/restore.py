"""`glomseg restore`: list the backups of an image, and bring one back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console


@command(
    short_help="List an image's backups, or bring one back.",
    interrupted="the image is as it was, or as in the backup; give the same command again",
)
@options.project_argument
@click.argument("image")
@click.argument("backup", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def restore(project: Path, image: str, backup: str | None, as_json: bool) -> None:
    """List the backups of IMAGE, a name or id, in PROJECT; or bring BACKUP back, a name from that list, or `last`.

    Everything on the image returns to what it was then, a person's work included. What stands now becomes a backup
    first. Needs no QuPath; close the project in QuPath first.
    """
    from glomseg.qupath.project import read_project
    from glomseg.runs.changes import list_backups
    from glomseg.runs.collect import restore as bring_back
    from glomseg.runs.plan import FOLDER, choose_images
    from glomseg.runs.run import locked

    console = Console(quiet=False, as_json=as_json)
    found = read_project(project)
    folder = found.folder / FOLDER
    chosen = choose_images(found, [image])
    if len(chosen) > 1:
        ids = ", ".join(item.entry_id for item in chosen)
        raise click.UsageError(f"{len(chosen)} images are named {image}; name one by its id: {ids}")
    backups = list_backups(folder, chosen[0].entry_id)
    if backup is not None:
        name = backups[0].name if backup == "last" and backups else backup
        with locked(folder):
            done = bring_back(found, chosen[0], name, folder)
        console.say(f"{chosen[0].name} is as it was {done.why}; what stood there is a backup now")
        return
    rows = [(item.name, item.made.isoformat(sep=" ", timespec="seconds"), item.why) for item in backups]
    if as_json:
        names = ("backup", "made", "why")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
    elif rows:
        console.table(("backup", "made", "state of the image"), rows)
    else:
        console.say(f"{chosen[0].name} has no backup: glomseg has not changed it")
