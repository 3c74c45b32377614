"""`glomseg undo`: take back what a run changed in the QuPath project."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .commands import command
from .console import Console


@command(
    short_help="Take back what a run changed in its project.", interrupted="the same command takes back what is left"
)
@options.project_argument
@click.argument("run", required=False)
@options.slides_option
@options.on_conflict_option
@options.output
def undo(project: Path, run: str | None, slides: tuple[Path, ...], on_conflict: str, quiet: bool, as_json: bool) -> int:
    """Take back what RUN (the last one brought in, by default) changed in PROJECT.

    Its untouched outlines go, and those that it had replaced come back. What a person drew, changed or judged stays
    as it is, and what a person deleted stays deleted. Close the project in QuPath first.
    """
    from glomseg.qupath.project import read_project
    from glomseg.runs.collect import NOT_UNDONE, last_collected, undo_run
    from glomseg.runs.plan import FOLDER
    from glomseg.runs.run import find_run, locked

    from .collecting import writing_options

    console = Console(quiet=quiet, as_json=as_json)
    found = read_project(project, slides=slides)
    folder = found.folder / FOLDER
    chosen = find_run(folder, run) if run else last_collected(folder)
    with locked(folder), console.spinner("QuPath is starting") as update:
        keys = undo_run(found, chosen, writing_options(on_conflict, progress=lambda name: update(f"undoing: {name}")))
    records = [chosen.images[key] for key in keys]
    failed = [record for record in records if record.get("outcome") == NOT_UNDONE]
    for record in failed:
        console.warn(f"{record['name']}: {record['reason']}")
    if as_json:
        click.echo(json.dumps({"run": chosen.run_id, "images": {key: chosen.images[key] for key in keys}}, indent=2))
    elif not quiet:
        done = [record for record in records if record not in failed]
        rows = [(record["name"], *(str(record["undone"][name]) for name in ("removed", "restored"))) for record in done]
        console.table(("image", f"outlines of {chosen.run_id} removed", "earlier outlines brought back"), rows)
    return int(bool(failed))
