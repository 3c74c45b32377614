"""The list of classes of a project, `classifiers/classes.json`, as QuPath 0.2 to 0.7 and people write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import ProjectError, in_words
from glomseg.files import read_json
from glomseg.qupath.objects import unpack_rgb


@dataclass(frozen=True, kw_only=True)
class ProjectClass:
    """A class of the project's list; a derived one is "A: B"."""

    name: str
    color: tuple[int, int, int] | None


def read_classes(folder: Path) -> list[ProjectClass]:
    """Read the list of classes of a project that lies in `folder`; raises ProjectError where it is damaged."""
    path = folder / "classifiers" / "classes.json"
    if not path.is_file():
        return []
    try:
        listed = _table(read_json(path)).get("pathClasses")
    except (OSError, ValueError) as error:
        raise ProjectError(
            f"{path} is damaged ({in_words(error)}); put it back from a backup, or move it away: QuPath begins a "
            "new list then, and outlines keep their classes"
        ) from error
    classes = [listed_class(item) for item in listed] if isinstance(listed, list) else []
    return [item for item in classes if item is not None]


def listed_class(entry: object) -> ProjectClass | None:
    """Read an entry of the list of classes; None for one without a name, which QuPath shows as no class."""
    said = _table(entry)
    name = entry if isinstance(entry, str) else said.get("name")
    packed = said.get("color", said.get("colorRGB"))  # the latter in QuPath 0.2
    if not isinstance(name, str) or not name.strip():
        return None
    return ProjectClass(name=name, color=unpack_rgb(packed) if type(packed) is int else None)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
