"""Classes that a person wrote into the table of a gallery, on their way into the project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.labelled.sheets import read_sheet
from glomseg.qupath.amend import Amendment
from glomseg.qupath.objects import Color
from glomseg.study.sources import Sources

NEW_COLORS: Sequence[Color] = ((230, 120, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (240, 200, 0))
"""For classes that the project does not know yet; one that it knows keeps its own."""


@dataclass(frozen=True)
class Label:
    """A class for one object; `old_class` is what it had when the gallery was made."""

    image_id: str
    object_id: str
    old_class: str
    new_class: str


def read_labels(path: Path) -> list[Label]:
    """Read the rows of a gallery's table in which a new class was written; raises MeasureError."""
    labels = []
    for row in read_sheet(path, "table of labels", ("image_id", "object_id", "class", "new_class")):
        new = ": ".join(part.strip() for part in row.get("new_class", "").split(":"))
        if not new or new == row["class"]:
            continue
        if not all(new.split(": ")):
            raise MeasureError(f"{path}: {row['new_class']!r} is no class; write one such as Glomerulus: Sclerotic")
        labels.append(Label(row["image_id"], row["object_id"], row["class"], new))
    return labels


def plan_labels(labels: Sequence[Label], sources: Sources) -> tuple[dict[str, list[Amendment]], list[str]]:
    """Turn labels into amendments by image, and say which do not fit the project as it stands now.

    An object that is gone or has another class since is left alone.
    """
    images = {slide.image.entry_id: slide.image for slide in sources.slides if slide.source == "project"}
    standing = {entry_id: {item.object_id: item for item in image.objects} for entry_id, image in images.items()}
    new = sorted({label.new_class for label in labels})
    colors = {name: NEW_COLORS[index % len(NEW_COLORS)] for index, name in enumerate(new)}
    planned: dict[str, list[Amendment]] = {}
    remarks = []
    for label in labels:
        item = standing.get(label.image_id, {}).get(label.object_id)
        if item is None:
            remarks.append(f"object {label.object_id} of image {label.image_id} is not in the project; left out")
        elif item.class_name == label.new_class:
            continue
        elif (item.class_name or "") != label.old_class:
            remarks.append(
                f"object {label.object_id} is {item.class_name} now and was {label.old_class} in the gallery; "
                "left as it is"
            )
        else:
            planned.setdefault(label.image_id, []).append(
                Amendment(object_id=label.object_id, class_name=label.new_class, color=colors[label.new_class])
            )
    return planned, remarks
