"""What the user sees: progress on standard error, results on standard output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .commands import with_flags

if TYPE_CHECKING:
    from glomseg.runs.segment_batch import Job, Listener

COLUMNS = ("slide", "glomeruli", "area mm²", "seconds", "state")


class Console:
    """Speaks to the user; with `quiet` or `as_json` it keeps its remarks to itself."""

    def __init__(self, *, quiet: bool, as_json: bool) -> None:
        """Remember how to talk."""
        self.quiet = quiet
        self.as_json = as_json

    def say(self, text: str) -> None:
        """Make a remark on standard error."""
        if not self.quiet:
            click.echo(with_flags(text), err=True)

    def warn(self, text: str) -> None:
        """Report something that went wrong, whatever the mood."""
        click.echo(f"glomseg: {with_flags(text)}", err=True)

    def result(self, content: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Print the outcome: JSON if asked for, else a table of the images' records (as in run.json)."""
        if self.as_json:
            click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        elif not self.quiet:
            self.table(COLUMNS, [_row(record) for record in rows])

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print a table on standard output."""
        from rich.box import SIMPLE
        from rich.console import Console as RichConsole
        from rich.table import Table

        table = Table(box=SIMPLE)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(with_flags, row))
        console = RichConsole(markup=False, emoji=False, highlight=False)
        if not console.is_terminal:
            console.width = 400  # a file or a pipe has room for whole lines
        console.print(table)

    @contextmanager
    def spinner(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something is going on; yields a function that changes the text."""
        from rich.console import Console as RichConsole
        from rich.text import Text

        if self.quiet:
            yield lambda text: None
            return
        with RichConsole(stderr=True).status(Text(text)) as status:
            yield lambda text: status.update(Text(text))  # a name in brackets is no markup

    @contextmanager
    def progress(self, total: int) -> Iterator[Listener]:
        """Draw two bars, slides and the tiles of the one at hand, for as long as the block lasts."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from glomseg.runs.segment_batch import Listener

        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
            disable=self.quiet,
            transient=True,
        )
        with bars:
            slides = bars.add_task("slides", total=total)
            tiles = bars.add_task("", total=None)

            def ended(job: Job, record: dict[str, Any]) -> None:
                bars.advance(slides)
                if record["state"] == "failed":
                    self.warn(f"{job.name}: {record['reason']}")

            yield Listener(
                started=lambda job: bars.reset(tiles, description=job.name[-40:], total=None),
                tiles=lambda job, done, count: bars.update(tiles, completed=done, total=count),
                ended=ended,
            )


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    area = record.get("glomerular_area_um2")
    return (
        str(record.get("name", "")),
        str(record.get("glomeruli", "")),
        "" if area is None else f"{area / 1e6:.3f}",
        f"{record['seconds']['total']:.1f}" if "seconds" in record else "",
        _state(record),
    )


def _state(record: Mapping[str, Any]) -> str:
    collected = record.get("collected")
    if record.get("state") != "done" or record.get("outcome") or not collected:
        return str(record.get("outcome") or record.get("state", ""))
    counts = {
        "added": collected["added"],
        "removed": collected["removed"],
        "as before": collected["kept"],
        "left to a person's": collected["dropped_for_a_persons"],
        "rejected before": collected["dropped_as_rejected"],
    }
    return "in the project: " + (
        ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing new"
    )
