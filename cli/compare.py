"""`glomseg compare`: which of two evaluations is better, and could it be chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.evaluation.compare import Difference


@command(short_help="Compare two evaluations of the same data.")
@click.argument("first", metavar="A", type=click.Path(path_type=Path))
@click.argument("second", metavar="B", type=click.Path(path_type=Path))
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the comparison to this JSON file as well.")
@options.output
def compare(first: Path, second: Path, output: Path | None, as_json: bool, quiet: bool) -> int:
    """Compare two evaluations of the same data, given by the folders that `glomseg evaluate` wrote.

    Tells for each score the means of A and B over pairs, B less A with its 95 % interval (from 15 pairs on) or its
    range over pairs, and the p of a paired permutation test. Pairs are animals or cases where the evaluations know
    them, else images.
    """
    from dataclasses import asdict

    from glomseg.evaluation.compare import compare as compare_results
    from glomseg.evaluation.intervals import assumption
    from glomseg.evaluation.summary import clean
    from glomseg.files import json_text, write_text
    from glomseg.standing_files import refuse_other_file

    if output is not None:
        refuse_other_file(output, _is_comparison)
    found = compare_results(first, second)
    content = {"a": str(first), "b": str(second), "scores": clean([asdict(item) for item in found])}
    text = json_text(content)
    if output is not None:
        write_text(output, text + "\n")
    if as_json:
        click.echo(text)
    elif not quiet:
        rows = [
            (
                item.name,
                f"{item.a:.3f}",
                f"{item.b:.3f}",
                f"{item.difference:+.3f}",
                _range(item),
                "<0.001" if item.p < 0.001 else f"{item.p:.3f}",
                str(item.units),
            )
            for item in found
        ]
        console = Console(quiet=False, as_json=False)
        console.table(("score", "mean of A", "mean of B", "B - A", "95 % interval [range]", "p", "n"), rows)
        fewest = min(item.units for item in found)
        intervals = any(item.low is not None for item in found)
        console.say(f"95 % intervals hold {assumption(fewest)}" if intervals else assumption(fewest))
        if any(item.low is None and item.lowest is not None for item in found):
            console.say("in square brackets B - A of the lowest and of the highest pair")
        console.say(f"{len(found)} scores are compared, and p is not adjusted for their number")
        if floors := sorted({item.units for item in found if item.least_p > 0.05}):
            least = max(item.least_p for item in found)
            pairs = "1 pair" if floors[0] == 1 else f"{floors[0]} pairs"
            console.say(f"with {pairs} p cannot be below {least:.3g}, however large the difference")
    return 0


def _is_comparison(content: bytes) -> bool:
    from glomseg.files import from_json

    try:
        read = from_json(content)
    except ValueError:
        return False
    return isinstance(read, dict) and {"a", "b", "scores"} <= read.keys()


def _range(item: Difference) -> str:
    """Show the interval of a difference, or in square brackets its lowest and highest pair."""
    if item.low is not None:
        return f"{item.low:+.3f} to {item.high:+.3f}"
    return "" if item.lowest is None else f"[{item.lowest:+.3f} to {item.highest:+.3f}]"
