"""What the user sees: progress on standard error, results on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .commands import with_flags
from .lines import one_line, tell_line, wants_lines

if TYPE_CHECKING:
    from glomseg.runs.image_record import ImageRecord
    from glomseg.runs.listener import Listener
    from glomseg.runs.result import RunResult

MANY_ROWS = 50
"""Longer tables are put together here: rich takes seconds for hundreds of rows."""
COLUMNS = ("slide", "glomeruli", "outlined mm²", "seconds", "state")


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

    def json(self, content: object) -> None:
        """Print JSON on standard output."""
        from glomseg.files import json_text

        click.echo(json_text(content))

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Print a table on standard output."""
        from rich.box import SIMPLE
        from rich.console import Console as RichConsole
        from rich.table import Table

        console = RichConsole(markup=False, emoji=False, highlight=False)
        if not console.is_terminal:
            console.width = 400  # a file or a pipe has room for whole lines
        heads, body = list(columns), [list(map(with_flags, row)) for row in rows]
        if len(body) > MANY_ROWS and (lines := _plain_table(heads, body, console.width)):
            click.echo("\n".join(lines))
            return
        table = Table(box=SIMPLE)
        for column in heads:
            table.add_column(column, overflow="fold")
        for cells in body:
            table.add_row(*cells)
        console.print(table)

    @contextmanager
    def spinner(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show that something is going on; yields a function that changes the text."""
        from rich.console import Console as RichConsole
        from rich.text import Text

        if wants_lines():
            tell_line(waiting=text)
            yield lambda text: tell_line(waiting=text)
            return
        if self.quiet:
            yield lambda text: None
            return
        with RichConsole(stderr=True).status(Text(text)) as status:
            yield lambda text: status.update(Text(text))  # a name in brackets is no markup

    @contextmanager
    def listening(self, writing: str = "into the project") -> Iterator[Listener]:
        """Draw what the library does for as long as the block lasts; `writing` says what is done to an image."""
        from .display import Display

        display = Display(writing, quiet=self.quiet, say=self.say, warn=self.warn)
        try:
            yield display.listener()
        finally:
            display.close()

    def run_result(self, result: RunResult) -> int:
        """Print how the images of a run went and where the results are; returns the exit code, 1 where one failed."""
        from glomseg.runs.image_record import table_of

        for entry_id, record in result.records.items():
            if record.outcome is not None or entry_id in result.unknown:
                self.warn(f"{one_line(record.name)}: {record.reason}")
        if self.as_json:
            images = {entry_id: table_of(record) for entry_id, record in result.records.items()}
            self.json({"run": result.run.run_id, "folder": str(result.run.folder), "images": images})
        elif not self.quiet:
            self.table(COLUMNS, [_row(record) for record in result.records.values()])
            candidates = sum(record.candidates or 0 for record in result.records.values())
            if candidates:
                folder = result.run.folder / "candidates"
                self.say(f"(+ n): candidates, less sure than what counts ({candidates} in all): {folder}")
        for text in result.left:
            self.say(text)
        self.say(f"results: {result.run.folder}")
        return int(bool(result.failed))


def _plain_table(heads: Sequence[str], body: Sequence[Sequence[str]], room: int) -> list[str]:
    """Lay a table out as rich does with its simple box; nothing where it does not fit, or a cell has several lines."""
    from rich.cells import cell_len

    if any("\n" in cell for cells in body for cell in cells):
        return []
    widths = [max(map(cell_len, column)) for column in zip(heads, *body, strict=True)]
    total = sum(widths) + 3 * len(widths) + 1
    if total > room:
        return []

    def line(cells: Sequence[str]) -> str:
        padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True))
        return f"  {'   '.join(padded)}  "

    return [" " * total, line(heads), f" {'─' * (total - 2)} ", *map(line, body), " " * total]


def _row(record: ImageRecord) -> tuple[str, ...]:
    area = record.glomerular_area_um2
    return (
        one_line(record.name),
        _count(record),
        "" if area is None else f"{area / 1e6:.3f}",
        f"{record.seconds['total']:.1f}" if "total" in record.seconds else "",
        _state(record),
    )


def _count(record: ImageRecord) -> str:
    if record.glomeruli is None:
        return ""
    return f"{record.glomeruli} (+ {record.candidates})" if record.candidates else str(record.glomeruli)


def _state(record: ImageRecord) -> str:
    from glomseg.runs.image_record import Outcome

    collected = record.collected
    if record.outcome is Outcome.NOT_COLLECTED and collected is not None:
        return "not written again"
    if not record.is_well or collected is None:
        return str(record.outcome or record.state or "")
    counts = {
        "added": collected.added,
        "removed": collected.removed,
        "as before": collected.kept,
        "left to a person's": collected.dropped_for_a_persons,
        "rejected before": collected.dropped_as_rejected,
    }
    return "in the project: " + (
        ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing new"
    )
