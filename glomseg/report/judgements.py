"""Classes that a person wrote into the table of a gallery, on their way into the project."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.files import read_csv
from glomseg.labelled.sample_sheet import UNKNOWN
from glomseg.qupath.amend import Amendment
from glomseg.qupath.classes import is_class, shown
from glomseg.qupath.objects import Color
from glomseg.qupath.process import require_qupath
from glomseg.runs.changes import recorded_ids
from glomseg.runs.run import FOLDER
from glomseg.study.sources import Sources, read_sources
from glomseg.study.write_back import Amended, amend_all
from glomseg.unexpected import describe

NEW_COLORS: Sequence[Color] = ((230, 120, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (240, 200, 0))
"""For classes that the project does not know yet; one that it knows keeps its own."""

_NO_CLASS = UNKNOWN | {"none", "true", "false", "wahr", "falsch"}
"""What spreadsheets and tables write where there is no text."""


@dataclass(frozen=True)
class Judgement:
    """A class for one object; `old_class` is what it had when the gallery was made."""

    entry_id: str
    object_id: str
    old_class: str
    new_class: str


@dataclass(frozen=True, kw_only=True)
class AppliedLabels:
    """What came of the labels: images by entry id, and `remarks` on labels that did not fit and were left out.

    `notes` say of labels that were set what may not have been meant.
    """

    images: dict[str, Amended]
    remarks: tuple[str, ...]
    notes: tuple[str, ...] = ()


def apply_labels(
    path: Path, labels: Path, *, slides: Sequence[Path] = (), progress: Callable[[str], None] = lambda text: None
) -> AppliedLabels:
    """Set in a project the classes that were written into the column new_class of a gallery's table.

    Raises MeasureError for a table that cannot be used, QuPathError without a QuPath, ProjectError, RunError where
    another glomseg is at work.
    """
    read = read_labels(labels)
    require_qupath()
    sources = read_sources(path, slides=slides, progress=lambda name: progress(f"reading: {name}"))
    planned, remarks = plan_labels(read, sources)
    images = amend_all(sources, planned, progress=progress)
    changed = {(key, item.object_id) for key, items in planned.items() if not images[key].problem for item in items}
    notes = say_moved(label for label in read if (label.entry_id, label.object_id) in changed)
    notes += say_misplaced(labels, sources)
    return AppliedLabels(images=images, remarks=tuple(remarks), notes=tuple(notes))


def say_moved(labels: Iterable[Judgement]) -> list[str]:
    """Say which objects left a class for one that is not derived from it, as a misspelt one is: it counts no longer."""
    moved: dict[str, Counter[str]] = {}
    for label in labels:
        first = label.old_class.split(":")[0].strip()
        if first and not is_class(label.new_class, first):
            moved.setdefault(first, Counter())[label.new_class] += 1
    return [
        f"{counts.total()} of class {first} {'is' if counts.total() == 1 else 'are'} not counted as such any more: "
        f"{', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}; "
        f"one that is counted is written {first}, or {first}: and a word, such as Sclerotic"
        for first, counts in sorted(moved.items())
    ]


def say_misplaced(labels: Path, sources: Sources) -> list[str]:
    """Say how many rows have another class than stands in the project, and no new one; raises MeasureError."""
    standing = {
        (slide.image.entry_id, item.object_id): item.class_name or ""
        for slide in sources.slides
        if slide.source == "project"
        for item in slide.image.objects
    }
    others = [
        row["class"]
        for row in _rows(labels)
        if row["new_class"] in ("", row["class"])
        and standing.get((_entry_id(row, labels), row["object_id"]), row["class"]) != row["class"]
    ]
    if not others:
        return []
    return [
        f"{len(others)} rows have another class than stands in the project ({others[0]}) and no new_class, and changed "
        "nothing: a class is set where it stands in the column new_class"
    ]


def read_labels(path: Path) -> list[Judgement]:
    """Read the rows of a gallery's table in which a new class was written; raises MeasureError."""
    labels: dict[tuple[str, str], Judgement] = {}
    for row in _rows(path):
        entry_id = _entry_id(row, path)
        new = ": ".join(" ".join(part.split()) for part in shown(row.get("new_class", "")).split(":"))
        if not new:
            continue
        if (
            new.casefold() in _NO_CLASS
            or not all(new.split(": "))
            or new.startswith("#")
            or not any(map(str.isalpha, new))
        ):
            raise MeasureError(f"{path}: {row['new_class']!r} is no class; write one such as Glomerulus: Sclerotic")
        label = Judgement(entry_id, row["object_id"], row["class"], new)
        other = labels.setdefault((entry_id, label.object_id), label)
        if other.new_class != new:  # a row that was copied: which of the two is meant?
            raise MeasureError(
                f"{path} gives object {label.object_id} two classes, {other.new_class} and {new}; leave one of its rows"
            )
    return [label for label in labels.values() if label.new_class != label.old_class]


def _entry_id(row: Mapping[str, str], path: Path) -> str:
    entry_id = row.get("entry_id", row.get("image_id"))  # as it was called before
    if entry_id is None:
        raise MeasureError(f"the table of labels {path} has no column entry_id; add it to its first line")
    return entry_id


def _rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table of labels, by column in lower case; raises MeasureError."""
    try:
        columns, rows = read_csv(path)
    except FileNotFoundError:
        raise MeasureError(f"the table of labels {path} does not exist; check the path") from None
    except IsADirectoryError:
        raise MeasureError(f"{path} is a folder; name the table of labels in it, such as labels.csv") from None
    except PermissionError as error:
        raise MeasureError(f"the table of labels {describe(error)}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MeasureError(f"the table of labels {path} cannot be read ({error}); save it as CSV in UTF-8") from error
    names = [name.strip().lower() for name in columns]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise MeasureError(f"the table of labels {path} has the column {twice[0]} twice; leave one")
    if missing := sorted({"object_id", "class", "new_class"} - set(names)):
        raise MeasureError(f"the table of labels {path} has no column {', '.join(missing)}; add it to its first line")
    return [{name.strip().lower(): cell.strip() for name, cell in row.items()} for row in rows]


def plan_labels(labels: Sequence[Judgement], sources: Sources) -> tuple[dict[str, list[Amendment]], list[str]]:
    """Turn labels into amendments by image, and say which do not fit the project as it stands now.

    An object that is gone or has another class since is left alone.
    """
    images = {slide.image.entry_id: slide.image for slide in sources.slides if slide.source == "project"}
    standing = {entry_id: {item.object_id: item for item in image.objects} for entry_id, image in images.items()}
    new = sorted({label.new_class for label in labels})
    colors = {name: NEW_COLORS[index % len(NEW_COLORS)] for index, name in enumerate(new)}
    planned: dict[str, list[Amendment]] = {}
    rejected = {slide.image.entry_id: slide.rejected_ids for slide in sources.slides}
    gone: dict[str, list[str]] = {}
    remarks = []
    for label in labels:
        item = standing.get(label.entry_id, {}).get(label.object_id)
        if item is None and label.object_id in rejected.get(label.entry_id, ()):
            remarks.append(
                f"object {label.object_id} is rejected by a person's verdict since the gallery was made; left as it "
                "is: judge it again in the review, or give it the class in QuPath"
            )
        elif item is None:
            gone.setdefault(label.entry_id, []).append(label.object_id)
        elif item.class_name == label.new_class:
            continue
        elif (item.class_name or "") != label.old_class:
            remarks.append(
                f"object {label.object_id} is {item.class_name} now and was {label.old_class} in the gallery; "
                "left as it is"
            )
        else:
            planned.setdefault(label.entry_id, []).append(
                Amendment(object_id=label.object_id, class_name=label.new_class, color=colors[label.new_class])
            )
    return planned, [*remarks, *_say_gone(gone, sources)]


def _say_gone(gone: Mapping[str, Sequence[str]], sources: Sources) -> list[str]:
    """Say how many labels of each image are of outlines that do not stand there, and how to use them all the same."""
    listed = () if sources.project is None else sources.project.images
    names = {image.entry_id: image.name for image in listed}
    read = {slide.image.entry_id for slide in sources.slides}
    said = []
    for entry_id, object_ids in gone.items():
        count = len(object_ids)
        name = names.get(entry_id, f"image {entry_id}")
        if names and entry_id not in names:
            said.append(f"{name}: not in the project; {count} of its labels left out")
        elif names and entry_id not in read:
            problem = next((text for text in sources.problems if text.startswith(f"{name}: ")), f"{name}: not read")
            said.append(f"{problem}; {count} of its labels left out")
        else:
            said += _say_not_there(name, entry_id, object_ids, sources)
    return said


def _say_not_there(name: str, entry_id: str, object_ids: Sequence[str], sources: Sources) -> list[str]:
    """Say of labelled objects that do not stand in an image that they did once, or that no record knows of them."""
    folder = None if sources.project is None else sources.project.folder / FOLDER
    recorded = frozenset[str]() if folder is None else recorded_ids(folder, entry_id)
    once = sum(object_id in recorded for object_id in object_ids)
    said = []
    if once:
        said.append(
            f"{name}: {once} of the labelled objects are not in the project any more, as after another run or "
            "where they were deleted; left out: `glomseg undo PROJECT` brings back those of the run before, then "
            "give the same command again"
        )
    if never := len(object_ids) - once:
        said.append(
            f"{name}: {never} of the labelled objects are not in the project, and no run has a record of them: a "
            "person drew and deleted them, or the table is of another project; left out"
        )
    return said
