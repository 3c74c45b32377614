"""What should be known of data that are in order: how they were read, what is background, what is there twice."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from glomseg.labelled.label_values import say_mostly_marked, say_readings
from glomseg.listing import first_names
from glomseg.runs.colour_profiles import name_profiles
from glomseg.training.data.examples import Example
from glomseg.training.data.layouts import say_samples
from glomseg.training.data.splits import Split


def remarks_on(split: Split, classes: Sequence[str], folders: Sequence[Path]) -> tuple[str, ...]:
    """Return what should be known of the data in some folders, a sentence each."""
    examples = [item for _, part in split.items() for item in part]
    lines = (
        *remarks_on_files(examples, folders),
        _masks(examples),
        _others(examples),
        _twice(examples),
        _animals(split),
        _copies(split),
        *_classes(split, classes),
    )
    return tuple(line for line in lines if line)


def remarks_on_files(examples: Sequence[Example], folders: Sequence[Path]) -> tuple[str, ...]:
    """Say what of the folders' sample sheets is read otherwise than it stands, and whose colours have a profile."""
    profiles = {item.image: (item.image.name, item.colour_profile) for item in examples}
    return (
        *say_samples(folders),
        *name_profiles(profiles.values(), "not applied, colours are learned as they are stored"),
    )


def _masks(examples: Sequence[Example]) -> str:
    """Say how the values of masks were read."""
    readings = {item.label: item.reading for item in examples if item.label is not None and item.reading is not None}
    odd = say_mostly_marked({str(label): reading for label, reading in readings.items()})
    said = "; ".join(filter(None, [say_readings(readings.values()), *odd]))
    return f"labels read as: {said}" if said else ""


def _others(examples: Sequence[Example]) -> str:
    """Name the classes that the labels know and that count as background."""
    counts = Counter(name for item in examples for name in item.others)
    said = ", ".join(f"{name} ({count} images)" for name, count in sorted(counts.items()))
    return f"classes of the labels that count as background: {said}" if said else ""


def _twice(examples: Sequence[Example]) -> str:
    """Name slides that are there whole and as patches: the same tissue twice."""
    whole = {item.slide for item in examples if item.box is not None}
    both = sorted(whole & {item.slide for item in examples if item.box is None and item.label is not None})
    if not both:
        return ""
    return (
        f"there as a whole slide and as patches (Task 2 and Task 1 of KPIs): {first_names(both)}; the same tissue "
        "counts twice: give one of the two folders"
    )


def _animals(split: Split) -> str:
    """Name the animals of which slides are in more than one part."""
    parts: dict[str, set[str]] = defaultdict(set)
    for name, examples in split.items():
        for item in examples:
            parts[item.case].add(name)
    shared = sorted(case for case, names in parts.items() if len(names) > 1)
    if not shared:
        return ""
    return (
        f"slides of {first_names(shared)} are in more than one part, and the scores are too good for it; keep an "
        "animal together with `split_by` case"
    )


def _copies(split: Split) -> str:
    """Name pictures that are in two parts under two names, as a copied or renamed slide brings them."""
    parts: dict[Path, set[str]] = defaultdict(set)
    for name, examples in split.items():
        for item in examples:
            parts[item.image].add(name)
    shared = [paths for paths in _same_files(parts) if len(set().union(*(parts[path] for path in paths))) > 1]
    if not shared:
        return ""
    pairs = [" and ".join(map(str, sorted(paths)[:2])) for paths in shared]
    pictures = "1 picture is" if len(shared) == 1 else f"{len(shared)} pictures are"
    return (
        f"{pictures} in more than one part under two names ({pairs[0]}): what is learned from one is known of the "
        "other, and the scores are too good for it; remove the copies"
    )


def _same_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Gather the files of the same bytes; only those of one length and one beginning are read."""
    groups = [list(paths)]
    for key in (_length, _beginning, _digest):
        groups = [alike for group in groups for alike in _by(key, group) if len(alike) > 1]
    return groups


def _by(key: Callable[[Path], object], paths: Iterable[Path]) -> Iterable[list[Path]]:
    gathered: dict[object, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            gathered[key(path)].append(path)
        except OSError:  # reading it says what is wrong with it
            continue
    return gathered.values()


def _length(path: Path) -> int:
    return path.stat().st_size


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _classes(split: Split, classes: Sequence[str]) -> list[str]:
    """Name the classes that no image to choose by holds, where there are several."""
    there = {index for item in split.validation for index in item.holds}
    lacking = [name for index, name in enumerate(classes, 1) if index not in there]
    if len(classes) == 1 or not split.validation or not lacking:
        return []
    return [f"no image to choose by holds {', '.join(lacking)}: nothing tells how well that is found"]
