"""How `glomseg train` shows what it does: bars, a line an epoch, the scores at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .console import Console
from .lines import tell_line, wants_lines

if TYPE_CHECKING:
    from glomseg.training.history import EpochRow
    from glomseg.training.train import TrainProgress
    from glomseg.training.train_model import TrainResult


@contextmanager
def training_bars(console: Console) -> Iterator[Callable[[TrainProgress], None]]:
    """Draw two bars, epochs and what is being done in the one at hand, and a line an epoch."""
    if wants_lines():
        yield _tell_in_lines()
        return
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    terminal = RichConsole(stderr=True)
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=terminal,
        disable=console.quiet or not terminal.is_terminal,  # in a file the lines alone say it
        transient=True,
    )
    with bars:
        epochs = bars.add_task("epochs", total=None)
        steps = bars.add_task("", total=None)

        def tell(progress: TrainProgress) -> None:
            if progress.row is not None:
                bars.update(epochs, completed=progress.done, total=progress.total)
                if not console.quiet:
                    bars.console.print(epoch_line(progress.row), highlight=False, markup=False, soft_wrap=True)
                return
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            total = progress.total or None
            bars.update(steps, description=progress.stage + loss, completed=progress.done, total=total)

        yield tell


def _tell_in_lines() -> Callable[[TrainProgress], None]:
    tell_line(waiting="looking at what there is to learn from")
    epochs: list[int] = []
    last = [0.0]

    def tell(progress: TrainProgress) -> None:
        if progress.row is not None:
            epochs[:] = [progress.total]
            tell_line(waiting=f"{progress.done} of {progress.total} epochs done; {epoch_line(progress.row)}")
        elif time.monotonic() - last[0] > 0.2:
            last[0] = time.monotonic()
            of_all = f" of {epochs[0]}" if epochs else ""
            epoch = f"epoch {progress.epoch}{of_all}: " if progress.epoch else ""  # an adaptation counts steps alone
            count = f" {progress.done} of {progress.total}" if progress.total else ""
            tell_line(waiting=f"{epoch}{progress.stage}{count}")

    return tell


def epoch_line(row: EpochRow) -> str:
    """Tell one epoch in a line."""
    line = f"epoch {row.epoch}: loss {row.train_loss:.4f}"
    if row.val_loss is not None:
        line += (
            f", validation {row.val_loss:.4f}, object F1 {row.val_object_f1:.3f} (precision "
            f"{row.val_precision:.3f}, recall {row.val_recall:.3f}), Dice {row.val_dice:.3f}"
        )
    return line + (", the best so far" if row.best else "")


def show_result(console: Console, result: TrainResult) -> None:
    """Print what came of a training: the scores of the model that was kept."""
    scores = result.card.scores
    if console.as_json:
        content = {
            "output": str(result.output),
            "name": result.card.name,
            "epochs": result.epochs,
            "threshold": result.card.threshold,
            "sureness": result.card.sureness,
            "kept": result.adapted is None or result.adapted.is_kept,
            "scores": dict(scores),
            "remarks": list(result.remarks),
        }
        console.json(content)
        return
    for part in ("validation", "test"):
        if score := scores.get(part):
            console.say(
                f"{part}: object F1 {score['object_f1']:.3f}, precision {score['precision']:.3f}, "
                f"recall {score['recall']:.3f}, Dice {score['dice']:.3f} on {score['images']} images"
            )
    best = "" if result.adapted is not None else f", best epoch {scores['best_epoch']}"
    sure = "" if result.card.sureness is None else f", sureness {result.card.sureness:g}"
    console.say(f"model in {result.output}, threshold {result.card.threshold:g}{sure}{best}")
