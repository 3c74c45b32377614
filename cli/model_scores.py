"""How `glomseg models verify --scores` shows the figures of a card beside those measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import Console

if TYPE_CHECKING:
    from glomseg.evaluation.verify_scores import VerifiedScores


def show_scores(console: Console, result: VerifiedScores, data: Path) -> None:
    """Print the card's figures and those measured, a row a set."""
    from glomseg.evaluation.verify_scores import FIGURES

    here = f"{data}{f', part {result.part}' if result.part else ''}"
    if console.as_json:
        content: dict[str, object] = {item.name: dict(item.figures) for item in result.stated}
        console.json({
            "model": result.card.name, "card": content, "measured": dict(result.measured), "data": str(data),
            "part": result.part or None, "same": result.same or None, "alike": result.alike or None,
            "repeated": result.is_repeated, "verdict": result.in_words(),
        })  # fmt: skip
        return
    rows = [("card: " + item.name, *_figures(item.figures)) for item in result.stated]
    console.table(("figures of", *FIGURES), [*rows, (f"measured: {here}", *_figures(result.measured))])
    if not console.quiet:
        click.echo("all pooled over images; objects at IoU 0.5; precision and recall of what is sure")
        click.echo(result.in_words())


def _figures(figures: Mapping[str, float]) -> list[str]:
    from glomseg.evaluation.verify_scores import FIGURES

    def written(name: str) -> str:
        if name not in figures:
            return ""
        return f"{figures[name]:.0f}" if name in FIGURES[:2] else f"{figures[name]:.3f}"

    return [written(name) for name in FIGURES]
