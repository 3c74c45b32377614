"""Give classes that are spelled otherwise here than there one name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from glomseg.labelled.label_files import Outlines
from glomseg.labelled.pairs import Pair
from glomseg.qupath.classes import is_class, names_of

Sides = list[tuple[Pair, Outlines, Outlines]]


def with_one_spelling(sides: Sequence[tuple[Pair, Outlines, Outlines]], asked_for: str) -> tuple[Sides, list[str]]:
    """Name each class as `asked_for`, which its reader said, or as most outlines of both sides name it; says that."""
    counts = Counter(name for _, *both in sides for side in both for name in side.class_names if name)
    named = {name: _usual(_asked(name, asked_for), counts, asked_for) for name in counts}
    said = [
        f"{counts[name]} of class {name!r} {'is' if counts[name] == 1 else 'are'} scored as {usual}"
        for name, usual in sorted(named.items())
        if _asked(name, asked_for) != usual
    ]

    def renamed(side: Outlines) -> Outlines:
        return replace(side, class_names=tuple(named.get(name, name) for name in side.class_names))

    return [(pair, renamed(predicted), renamed(true)) for pair, predicted, true in sides], said


def _asked(name: str, asked_for: str) -> str:
    """Name what is of the class that was asked for by that, and what is derived from it below that."""
    if not is_class(name, asked_for):
        return name
    return ": ".join([*names_of(asked_for), *names_of(name)[len(names_of(asked_for)) :]])


def _usual(name: str, counts: Counter[str], asked_for: str) -> str:
    """Return the name that most outlines have of those that are spellings of one."""
    alike: Counter[str] = Counter({name: 0})
    for other, count in counts.items():
        other = _asked(other, asked_for)
        if is_class(name, other) and is_class(other, name):
            alike[other] += count
    return max(sorted(alike), key=lambda other: alike[other])
