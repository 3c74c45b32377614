"""Which examples are learned from, which choose the best state, and which are only reported on.

A slide, or a case, goes to one part whole: tiles of one slide look alike, and a score over tiles that share a slide
with the training says nothing. What the folders of the data say comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from glomseg.errors import TrainingError, in_words
from glomseg.files import from_json, write_json
from glomseg.listing import first_names
from glomseg.training.data.examples import Example

Unit = Literal["slide", "case"]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Split:
    """Train to learn from, validation to choose by, test to report on; `by` says what was kept together."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    by: str
    seed: int

    def items(self) -> tuple[tuple[str, tuple[Example, ...]], ...]:
        """Give each part with its name."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


def split_examples(
    examples: Sequence[Example], *, by: Unit = "slide", validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> Split:
    """Split by slide or case, so that each part has its share of every group as far as that goes.

    Where the folders name parts these stand, and only parts that they do not name are taken from the rest, or from
    "train". Each part gets a unit with a glomerulus, "train" first, as long as there are any. Raises TrainingError.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise TrainingError(f"shares of {validation} and {test} leave nothing to learn from; give less, such as 0.15")
    units = _units(examples, by)
    place = {unit: part for unit, items in units.items() if (part := _given_part(unit, items, by))}
    given = set(place.values())
    free = [unit for unit in units if place.get(unit, "train") == "train"]
    shares = {
        name: share for name, share in (("validation", validation), ("test", test)) if share and name not in given
    }
    if len(free) <= len(shares):
        names = f" ({', '.join(free)})" if free else ""
        raise TrainingError(
            f"{len(free)} {by}{'' if len(free) == 1 else 's'}{names} cannot be split into "
            f"{' and '.join(('train', *shares))}; add data of other {by}s, name them in samples.csv, "
            "or do without a part: `settings` data.test_share=0"
        )
    chance = np.random.default_rng(seed)
    order = [free[index] for index in chance.permutation(len(free))]
    kept = next((unit for unit in order if any(item.positive for item in units[unit])), order[0])
    for number, (name, share) in enumerate(shares.items(), 1):
        left = [unit for unit in order if unit != kept and place.get(unit, "train") == "train"]
        most = len(left) - (len(shares) - number)
        for unit in _pick(left, units, min(max(1, round(share * len(order))), most)):
            place[unit] = name
    parts = {name: tuple(e for e in examples if place.get(_unit(e, by), "train") == name) for name in PARTS}
    return Split(**parts, by=by, seed=seed)


def _unit(example: Example, by: str) -> str:
    return example.case if by == "case" else example.slide


def _units(examples: Iterable[Example], by: str) -> dict[str, list[Example]]:
    units: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        units[_unit(example, by)].append(example)
    return dict(sorted(units.items()))


def _given_part(unit: str, items: Iterable[Example], by: str) -> str:
    """Name the part that the folders give a unit, "" for none; raises TrainingError where they give two."""
    parts = sorted({item.part for item in items if item.part})
    if len(parts) > 1:
        raise TrainingError(f"{by} {unit} lies in {' and '.join(parts)}; keep all of it in one of them")
    return parts[0] if parts else ""


def _pick(left: Sequence[str], units: dict[str, list[Example]], count: int) -> list[str]:
    """Choose units, each from the group that is furthest behind its share; the first one holds a glomerulus."""
    group = {unit: units[unit][0].group for unit in left}
    size = {name: sum(other == name for other in group.values()) for name in group.values()}
    picked: list[str] = []
    for _ in range(count):
        rest = [unit for unit in left if unit not in picked]
        first = [unit for unit in rest if not picked and any(item.positive for item in units[unit])]
        taken = {name: sum(group[unit] == name for unit in picked) for name in size}
        picked.append(max(first or rest, key=lambda unit: size[group[unit]] * count / len(left) - taken[group[unit]]))
    return picked


def write_split(split: Split, path: Path) -> None:
    """Write the names of the examples as JSON, by part and unit; raises RunError where that cannot be."""
    parts = {
        name: {unit: [item.name for item in items] for unit, items in _units(examples, split.by).items()}
        for name, examples in split.items()
    }
    write_json(path, {"by": split.by, "seed": split.seed, **parts})


def read_split(path: Path, examples: Sequence[Example]) -> Split:
    """Split examples as was written down; what has come since goes with its slide or case, a new one to "train".

    Raises TrainingError for a file that is none, and where an example is gone.
    """
    try:
        content = from_json(path.read_text(encoding="utf-8"))
        by, seed = str(content["by"]), int(content["seed"])
        names = {str(name): part for part in PARTS for unit in content[part].values() for name in unit}
        units = {unit: part for part in PARTS for unit in content[part]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise TrainingError(f"{path} cannot be read as a split ({in_words(error)}); split the data anew") from error
    there = {example.name for example in examples}
    gone = sorted(name for name in names.keys() - there if not (names[name] == "test" and _uncut(name) in there))
    if gone:
        raise TrainingError(f"{path} names {first_names(gone)}, which the data lack; split the data anew")
    names |= {_uncut(name): part for name, part in names.items() if part == "test"}
    place = [names.get(example.name) or units.get(_unit(example, by), "train") for example in examples]
    parts = {part: tuple(e for e, where in zip(examples, place, strict=True) if where == part) for part in PARTS}
    return Split(**parts, by=by, seed=seed)


def _uncut(name: str) -> str:
    """Name the slide of a part: that of a test part is cut only when it is opened."""
    return name.rpartition(" [x=")[0] or name
