"""Write measurements and classes into the objects that stand in an image of a QuPath project.

Geometry, names and locks stay as they are, and measurements do not make a machine's object a person's. A class that
is set does: it is a person's judgement. Runs in the process that holds QuPath's JVM, as `runs.write_image` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glomseg.qupath.class_list import ProjectClass
from glomseg.qupath.java import java_annotations, opened, path_class, save_entry
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import ImageState
from glomseg.qupath.safe_write import back_up, put_in_place

WRITTEN_BY = "glomseg.run"
MEASURED = "glomseg.measured"
"""Metadata that names the measurements that were put into an object, separated by semicolons."""


@dataclass(frozen=True, kw_only=True)
class Amendment:
    """What to set on the object of an id: measurements by name, and a class where `class_name` is given.

    `outdated` are measurements of before to take away.
    """

    object_id: str
    measurements: Mapping[str, float] = field(default_factory=dict)
    outdated: tuple[str, ...] = ()
    class_name: str | None = None
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class AmendedImage:
    """How many objects were changed, and how many were left alone because others have their id."""

    changed: int
    ambiguous: int


def amend_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    amendments: Sequence[Amendment],
    *,
    expected_state: ImageState,
    backup_folder: Path,
) -> AmendedImage:
    """Set values on objects of one image; nothing is written where none changes.

    An object of whose id there are several is left alone. Raises ConflictError where the image was saved since
    `expected_state`, ProjectError where it cannot be written.
    """
    with opened(project_path, entry_id, image_path, expected_state) as (staged, project, entry):
        listed = {str(item.toString()) for item in project.java_object.getPathClasses()}
        standing: dict[str | None, list[tuple[PathObject, Any]]] = {}
        for item, java in java_annotations(entry.hierarchy.java_object):
            standing.setdefault(item.object_id, []).append((item, java))
        changed = ambiguous = 0
        for amendment in amendments:
            of_id = standing.get(amendment.object_id, [])
            ambiguous += len(of_id) > 1
            if len(of_id) == 1:
                changed += _amend(*of_id[0], amendment, listed)
        if changed:
            entry.hierarchy.flush()
            save_entry(entry)
            back_up(staged, backup_folder, expected=expected_state)
            classes = {item.class_name: item.color for item in amendments if item.class_name}
            put_in_place(
                staged, expected_state, [ProjectClass(name=name, color=color) for name, color in classes.items()]
            )
    return AmendedImage(changed=changed, ambiguous=ambiguous)


def _amend(item: PathObject, java_object: Any, amendment: Amendment, listed: set[str]) -> bool:
    """Set what differs; tell whether anything did."""
    new = {name: value for name, value in amendment.measurements.items() if item.measurements.get(name) != value}
    measurements = java_object.getMeasurementList()
    for name, value in new.items():
        measurements.put(name, float(value))
    outdated = [name for name in amendment.outdated if name in item.measurements]
    for name in outdated:
        java_object.getMeasurements().remove(name)
    added = new.keys() - item.measurements.keys()
    if added and WRITTEN_BY in item.metadata:  # so that they are not taken for a person's own
        known = [name for name in item.metadata.get(MEASURED, "").split(";") if name]
        java_object.getMetadata().put(MEASURED, ";".join([*known, *sorted(added)]))
    reclassified = amendment.class_name is not None and amendment.class_name != item.class_name
    if reclassified:
        asked = PathObject(geometry=item.geometry, class_name=amendment.class_name, color=amendment.color or item.color)
        own_color = java_object.getColor()
        java_object.setPathClass(path_class(asked, listed))
        java_object.setColor(own_color)  # which QuPath drops with a class
    return bool(new) or bool(outdated) or reclassified
