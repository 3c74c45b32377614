"""`glomseg undo`: take back what a run changed in the QuPath project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.runs.each_image import OnConflict
    from glomseg.runs.undo_run import UndoPreview


@command(
    short_help="Take back what a run changed in its project.",
    interrupted="each image is as it was, or taken back; which of them says: glomseg status PROJECT",
)
@options.project_argument
@click.argument("run", required=False)
@options.slides_option
@options.believe_deletions_option
@options.on_conflict_option
@click.option("--dry-run", is_flag=True, help="Say which run that is and what it brought in; change nothing.")
@options.output
def undo(
    project: Path,
    run: str | None,
    slides: tuple[Path, ...],
    believe_deletions: bool,
    on_conflict: OnConflict,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Take back what RUN (the last one brought in, by default) changed in PROJECT.

    Its untouched outlines go, and those that it had replaced come back. What a person drew, changed or judged stays
    as it is, and what a person deleted stays deleted. Close the project in QuPath first.
    """
    from glomseg.runs.each_image import WriteOptions
    from glomseg.runs.image_record import Outcome, table_of
    from glomseg.runs.undo_run import preview_undo, undo_run

    console = Console(quiet=quiet, as_json=as_json)
    if dry_run:
        _say(preview_undo(project, run, slides=slides), console)
        return 0
    asked = WriteOptions(slides=slides, believe_deletions=believe_deletions, on_conflict=on_conflict)
    with console.listening("undoing") as listener:
        result = undo_run(project, run, asked, listener=listener)
    records = result.records
    failed = {key for key, record in records.items() if record.outcome is Outcome.NOT_UNDONE}
    for key in failed:
        console.warn(f"{records[key].name}: {records[key].reason}")
    if as_json:
        console.json({"run": result.run.run_id, "images": {key: table_of(record) for key, record in records.items()}})
    elif not quiet:
        rows = [
            (record.name, str(record.undone.removed), str(record.undone.restored))
            for key, record in records.items()
            if key not in failed and record.undone is not None
        ]
        console.table(("image", f"outlines of {result.run.run_id} removed", "earlier outlines brought back"), rows)
    for text in result.left:
        console.say(text)
    return int(bool(failed))


def _say(preview: UndoPreview, console: Console) -> None:
    """Print which run would be taken back, and on which images not."""
    run, outlines = preview.run, preview.outlines
    model = run.parameters.model
    for key, reason in preview.left.items():
        console.warn(f"{run.images[key].name}: {reason}")
    if console.as_json:
        console.json(
            {"run": run.run_id, "started": run.started, "model": model, "outlines": outlines, "left": preview.left}
        )
    elif not console.quiet:
        rows = [(run.images[key].name, str(number)) for key, number in outlines.items()]
        console.table(("image", f"outlines of {run.run_id} brought in"), rows)
        console.say(f"run {run.run_id} by {model}, begun {run.started}; nothing was changed")
