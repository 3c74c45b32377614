"""Which file belongs to which: predictions, truth and images matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.errors import EvaluationError
from glomseg.labelled.find_files import Source
from glomseg.labelled.names import MASKS
from glomseg.listing import first_names

Missing = Literal["refuse", "skip", "empty"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A prediction (None where it is missing and counts as empty), its truth, and the image where it was found."""

    key: str
    predicted: Source | None
    true: Source
    image: Path | None = None


def pair_up(
    predicted: list[Source], true: list[Source], *, missing: Missing = "refuse", images: Iterable[Source] = ()
) -> tuple[list[Pair], list[str]]:
    """Match both sides by name and say in words what had no partner; two single files match whatever their names.

    Files match by their names alone where these are unique on both sides, else by the folders as well. Two of one name
    in folders of other names match by it alone, which is said, where the sides share no folder's name; else they are of
    two images, as A/s and B/s are. A truth without prediction is refused, skipped, or scored as an empty prediction, as
    `missing` says; a prediction without truth cannot be scored and is refused, or skipped. Raises EvaluationError.
    """
    pictures = list(images)
    if len(predicted) == len(true) == 1:
        return [_pair(true[0].stem, predicted[0], true[0], pictures)], []
    by_stem = all(max(Counter(item.stem for item in side).values()) == 1 for side in (predicted, true))
    across = _across(predicted, true) if by_stem else {}
    folders = [{name for item in side for name in item.folders} for side in (predicted, true)]
    apart = set() if folders[0].isdisjoint(folders[1]) else set(across)
    ours, theirs = (_by_name(side, by_stem, apart) for side in (predicted, true))
    lacking, extra = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    if not theirs.keys() & ours.keys() or (missing == "refuse" and (lacking or extra)):
        raise EvaluationError(_complaint(ours, theirs, lacking, extra, pictures))
    names = sorted(theirs if missing == "empty" else theirs.keys() & ours.keys())
    pairs = [_pair(name, ours.get(name), theirs[name], pictures) for name in names]
    remarks = [f"{name}: no prediction; {'scored as empty' if missing == 'empty' else 'left out'}" for name in lacking]
    if said := [text for stem, text in across.items() if stem not in apart]:
        remarks.append(f"matched by their names alone, though in folders of other names: {first_names(said)}")
    return pairs, [*remarks, *(f"{name}: no truth; left out" for name in extra)]


def of_other_names(pairs: Iterable[Pair]) -> list[str]:
    """Say which images were matched though they have two names, but for two files that the user named."""
    return [
        f"matched as the only ones of their sides, though of other names: {ours.stem} with {pair.true.stem}"
        for pair in pairs
        if (ours := pair.predicted) and ours.stem != pair.true.stem and not (ours.is_named and pair.true.is_named)
    ]


def _across(predicted: Iterable[Source], true: Iterable[Source]) -> dict[str, str]:
    """Name by their stems the files of one name that lie in folders of other names."""
    theirs = {item.stem: item for item in true if item.folders}
    return {
        item.stem: f"{item.key} with {theirs[item.stem].key}"
        for item in predicted
        if item.folders and item.stem in theirs and set(item.folders).isdisjoint(theirs[item.stem].folders)
    }


def _pair(key: str, predicted: Source | None, true: Source, pictures: list[Source]) -> Pair:
    image = _named(pictures, true) or true.image or (predicted.image if predicted else None)
    return Pair(key=key, predicted=predicted, true=true, image=image)


def _by_name(side: list[Source], by_stem: bool, apart: Collection[str]) -> dict[str, Source]:
    named: dict[str, Source] = {}
    for item in side:
        name = item.stem if by_stem and item.stem not in apart else item.key
        if name in named:
            raise EvaluationError(_two_of_a_name(name, item, named[name]))
        named[name] = item
    return named


def _two_of_a_name(name: str, one: Source, other: Source) -> str:
    if one.path == other.path:
        return f"{one.path} has two images named {name!r}; give each a name of its own in QuPath"
    return f"{one.path} and {other.path} are both named {name!r}; keep one of them"


def _named(pictures: list[Source], truth: Source) -> Path | None:
    alike = [item for item in pictures if item.stem == truth.stem]
    exact = [item for item in alike if item.key == truth.key]
    return (exact or alike)[0].path if len(alike) == 1 or len(exact) == 1 else None


def _complaint(
    ours: Mapping[str, Source],
    theirs: Mapping[str, Source],
    lacking: list[str],
    extra: list[str],
    pictures: Iterable[Source],
) -> str:
    if not ours.keys() & theirs.keys():
        return (
            f"no prediction ({first_names(extra)}) has the name of a truth ({first_names(lacking)}); files match "
            "by name, rename one side"
        )
    parts = [f"no prediction for {first_names(lacking)}"] if lacking else []
    parts += [f"no truth for {first_names(extra)}"] if extra else []
    way_out = "add what is missing, or give skip or empty for `missing`"
    stems = {ours[name].stem for name in extra}
    taken = [item.path.name for item in pictures if item.stem in stems and item.path.name.lower().endswith(MASKS)]
    if taken:
        way_out += f" ({first_names(taken)} counts as a picture: call a mask NAME_mask, or put it into a folder masks)"
    return f"{' and '.join(parts)}; {way_out}"
