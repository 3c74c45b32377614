"""What happened in each epoch of a training: a row, the table of all, and their picture."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glomseg.errors import TrainingError, in_words
from glomseg.files import read_csv, replacing, write_csv
from glomseg.pictures.style import BLUE, GREY, ORANGE, STYLE


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRow:
    """One epoch; what was not measured in it is None. `best` is 1 where its weights are the best so far."""

    epoch: int
    step: int
    seconds: float
    train_loss: float
    learning_rate: float
    val_loss: float | None = None
    val_object_f1: float | None = None
    val_dice: float | None = None
    val_precision: float | None = None
    val_recall: float | None = None
    best: int = 0


COLUMNS = tuple(item.name for item in dataclasses.fields(EpochRow))
Columns = dict[str, list[float]]
Line = tuple[str, str, str, str]
_PANELS: tuple[tuple[str, tuple[Line, ...]], ...] = (  # title; column, name, colour and style of each line
    ("Loss", (("train_loss", "training", BLUE, "-"), ("val_loss", "validation", ORANGE, "-"))),
    (
        "Validation",
        (
            ("val_object_f1", "object F1", "black", "-"),
            ("val_precision", "precision", BLUE, "--"),
            ("val_recall", "recall", ORANGE, "--"),
            ("val_dice", "Dice", GREY, ":"),
        ),
    ),
    ("Learning rate", (("learning_rate", "", BLUE, "-"),)),
)


def write_history(rows: Sequence[EpochRow], path: Path) -> None:
    """Write a row an epoch as CSV; what was not measured is empty."""
    write_csv(path, COLUMNS, (dataclasses.asdict(row) for row in rows))


def draw_curves(history: Path, path: Path) -> None:
    """Draw a PNG of a training's history.csv: losses, scores and learning rate over epochs, the best one marked.

    Raises TrainingError for a file that holds no history, RunError.
    """
    values = read_history(history)
    best = [epoch for epoch, mark in zip(values["epoch"], values["best"], strict=True) if mark == 1][-1:]
    with rc_context(STYLE):
        figure = Figure(figsize=(12.6, 3.8), layout="constrained")
        for axes, (title, lines) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
            _lines(axes, values, lines)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_ylim(*((-0.02, 1.03) if title == "Validation" else (0, None)))
            for epoch in best:
                axes.axvline(epoch, color=GREY, linewidth=1)
        for epoch in best:
            figure.axes[0].annotate(
                f"best: epoch {epoch:g}", (epoch, 0.02), (4, 0), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


def read_history(path: Path) -> Columns:
    """Read each column of a history.csv as numbers, an empty field as NaN; raises TrainingError."""
    try:
        _, rows = read_csv(path)
        if not rows:
            raise ValueError("no epoch in it")
        return {name: [_number(row[name]) for row in rows] for name in COLUMNS}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise TrainingError(
            f"{path} is no training's history ({in_words(error)}); give the history.csv of a result"
        ) from error


def _number(text: str | None) -> float:
    word = (text or "").strip().lower()
    return {"": math.nan, "true": 1.0, "false": 0.0}[word] if word in ("", "true", "false") else float(word)


def _lines(axes: Axes, values: Columns, lines: Sequence[Line]) -> None:
    for name, label, color, style in lines:
        shown = [(x, y) for x, y in zip(values["epoch"], values[name], strict=True) if math.isfinite(y)]
        if shown:
            axes.plot(*zip(*shown, strict=True), color=color, linestyle=style, label=label, marker=".", markersize=4)
    if len(lines) > 1 and axes.get_lines():
        axes.legend(frameon=False, fontsize=8)
