"""What is drawn on standard error while a run works: bars for slides and tiles, then a line for what is written."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.status import Status
from rich.text import Text

from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.listener import Listener

from .lines import one_line, tell_line, wants_lines


class Display:
    """Draws what a Listener hears; where it is quiet it draws nothing, and only passes remarks and warnings on."""

    def __init__(self, writing: str, *, quiet: bool, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
        """Draw nothing yet; `writing` stands before the name of an image that is being written."""
        self._writing = writing
        self._quiet = quiet
        self._remark = say
        self._warn = warn
        self._rich = Console(stderr=True)
        self._bars: tuple[Progress, TaskID, TaskID] | None = None
        self._line: Status | None = None
        self._told = 0.0

    def listener(self) -> Listener:
        """Return the listener that draws here."""
        if wants_lines():
            return Listener(
                planned=lambda count: tell_line(slides=count),
                started=lambda name: tell_line(slide=name),
                tiles=self._tell_tiles,
                ended=self._end_in_lines,
                waiting=lambda what: tell_line(waiting=what),
                in_project=lambda name: tell_line(waiting=f"{self._writing}: {name}"),
                remark=self._remark,
                warning=self._warn,
            )
        return Listener(
            planned=self._plan,
            started=self._start,
            tiles=self._tiles,
            ended=self._end,
            waiting=self._say,
            in_project=lambda name: self._say(f"{self._writing}: {one_line(name)}"),
            remark=self._remark,
            warning=self._warn,
        )

    def _tell_tiles(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._told > 0.2:
            self._told = time.monotonic()
            tell_line(tiles=done, of=total)

    def _end_in_lines(self, name: str, record: ImageRecord) -> None:
        tell_line(ended=name)
        self._end(name, record)

    def close(self) -> None:
        """Wipe what is drawn."""
        if self._bars is not None:
            self._bars[0].stop()
        if self._line is not None:
            self._line.stop()
        self._bars = self._line = None

    def _plan(self, count: int) -> None:
        self.close()
        bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._rich,
            disable=self._quiet,
            transient=True,
        )
        self._bars = (bars, bars.add_task("slides", total=count), bars.add_task("", total=None))
        bars.start()

    def _start(self, name: str) -> None:
        if self._bars is not None:
            bars, _, tiles = self._bars
            bars.reset(tiles, description=one_line(name)[-40:], total=None)

    def _tiles(self, done: int, total: int) -> None:
        if self._bars is not None:
            bars, _, tiles = self._bars
            bars.update(tiles, completed=done, total=total)

    def _end(self, name: str, record: ImageRecord) -> None:
        if self._bars is not None:
            bars, slides, _ = self._bars
            bars.advance(slides)
        if record.state is State.FAILED:
            self._warn(f"{one_line(name)}: {record.reason}")
        for remark in (*record.remarks, *record.doubts):
            self._remark(f"{one_line(name)} {remark}")

    def _say(self, text: str) -> None:
        if self._quiet:
            return
        shown = Text(text)  # a name in brackets is no markup
        if self._line is None:
            self.close()
            self._line = self._rich.status(shown)
            self._line.start()
        else:
            self._line.update(shown)
