"""A scratch copy of one image's part of a project, for QuPath to write in, and the way back.

QuPath writes in place: while it saves, `data.qpdata` is half new, and `project.qpproj` is gone for a moment. In a
scratch copy that hurts nobody. What it wrote is then put in place file by file, each whole or not at all. `data.qpdata`
decides: an image is in its old state or in its new one, whenever the process ends. `summary.json` comes after it; where
a process ends in between, it counts as before until the next save, and never speaks of data that is not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import ConflictError, ProjectError, in_words
from glomseg.files import from_json, replacing
from glomseg.qupath.class_list import ProjectClass, listed_class, read_classes
from glomseg.qupath.find_images import path_of_uri
from glomseg.qupath.image_copies import copy_image_data
from glomseg.qupath.image_data import (
    DATA,
    check_unchanged,
    check_written,
    is_complete,
    put_file,
    readable_data,
    replace_data,
)
from glomseg.qupath.image_servers import unwrapped
from glomseg.qupath.project import ImageState, folder_state, load_json
from glomseg.qupath.saved_settings import save_uri, take_saved
from glomseg.qupath.swap import sha256_of

_TRIES = 3
"""How often a file of the project is read again that others go on writing."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A scratch project with one image, and what it is a copy of; `new_uri` is set where the image has moved."""

    project_file: Path
    data_folder: Path
    original: Path
    original_data_folder: Path
    entry_id: str
    name: str
    new_uri: str | None


def stage(project_path: Path, entry_id: str, image_path: Path, folder: Path) -> Staged:
    """Copy what QuPath needs to write one image into `folder`: the class list, the image's entry and its data.

    `image_path` is where the image lies now. Raises ProjectError where that is no file, or the data is damaged.
    """
    if not image_path.is_file():
        raise ProjectError(f"{image_path} cannot be reached, so nothing was written; connect its disk and try again")
    content, entry = _load_entry(project_path, entry_id)
    builder, name = entry["serverBuilder"], str(entry.get("imageName") or f"Image {entry_id}")
    take_saved(builder, project_path, project_path.parent / "data" / entry_id)  # QuPath saves it into the data
    new_uri = image_path.absolute().as_uri() if _has_moved(str(unwrapped(builder).get("uri"))) else None
    if new_uri:
        unwrapped(builder)["uri"] = new_uri
    if builder.get("metadata"):
        builder["metadata"]["name"] = name  # QuPath sets it so on reading, and would have to open the image for that
    data_folder, original_data_folder = folder / "data" / entry_id, project_path.parent / "data" / entry_id
    data_folder.mkdir(parents=True)
    if data := readable_data(original_data_folder):
        shutil.copy2(data, data_folder / DATA)
    if classes := read_classes(project_path.parent):
        _save_classes(folder / "classifiers" / "classes.json", classes)  # QuPath itself refuses odd entries
    project_file = folder / "project.qpproj"
    project_file.write_text(json.dumps({**content, "images": [entry]}), encoding="utf-8")
    return Staged(
        project_file=project_file,
        data_folder=data_folder,
        original=project_path,
        original_data_folder=original_data_folder,
        entry_id=entry_id,
        name=name,
        new_uri=new_uri,
    )


def check_state(staged: Staged, expected: ImageState) -> None:
    """Raise ConflictError where the data of the image is not what it was."""
    check_unchanged(staged.original_data_folder, expected, staged.name)


def back_up(staged: Staged, folder: Path, memory: Path | None = None, *, expected: ImageState | None = None) -> None:
    """Copy what the project holds of the image to `folder`, unless a complete copy is there already."""
    copy_image_data(staged.original, staged.entry_id, folder, memory, expected=expected)


def data_sha256(staged: Staged) -> str:
    """Return the sha256 of the data that QuPath wrote into the scratch copy."""
    return sha256_of(staged.data_folder / DATA)


def put_in_place(staged: Staged, expected: ImageState, classes: Sequence[ProjectClass]) -> ImageState:
    """Bring what QuPath wrote into the project and return the image's new state.

    Raises ConflictError, and has not touched the image's data then, where that is not in the `expected` state.
    """
    written, target = staged.data_folder / DATA, staged.original_data_folder
    summary = staged.data_folder / "summary.json"  # QuPath writes it last, and it was not there before
    if not (summary.is_file() and written.is_file() and is_complete(written)):
        raise ProjectError(f"QuPath did not save {staged.name}; nothing was written, see its messages above")
    check_state(staged, expected)
    if staged.new_uri is not None:
        _save_uri(staged.original, staged.entry_id, staged.new_uri)
    _save_classes(staged.original.parent / "classifiers" / "classes.json", classes)
    replace_data(written, target, expected, staged.name)
    put_file(summary, target / summary.name)
    check_written(target, data_sha256(staged), staged.name)
    return folder_state(target)


def _has_moved(uri: str) -> bool:
    try:
        return not Path(path_of_uri(uri)).is_file()
    except (ValueError, OSError):
        return True


def _load_entry(project_path: Path, entry_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = load_json(project_path)
    return content, _entry_of(content, project_path, entry_id)


def _entry_of(content: dict[str, Any], project_path: Path, entry_id: str) -> dict[str, Any]:
    for entry in content.get("images", []):
        if isinstance(entry, dict) and str(entry.get("entryID")) == entry_id:
            return entry
    raise ProjectError(f"{project_path} has no image with the entry id {entry_id}; it was removed meanwhile")


def _save_uri(project_path: Path, entry_id: str, uri: str) -> None:
    """Set where an image lies now, in the project and in the copy of its entry that QuPath keeps for emergencies."""
    data_folder = project_path.parent / "data" / entry_id

    def amend(content: dict[str, Any]) -> bool:
        builder = _entry_of(content, project_path, entry_id)["serverBuilder"]
        unwrapped(builder)["uri"] = uri
        _take_all(content, project_path)  # the file is the later one from now on
        return True

    amend_json(project_path, amend)
    save_uri(data_folder, uri)


def take_saved_settings(project_path: Path) -> list[str]:
    """Write into the project's file what QuPath saved with images later than that, and say so, each by its name."""
    said: list[str] = []

    def amend(content: dict[str, Any]) -> bool:
        said[:] = _take_all(content, project_path)
        return bool(said)

    amend_json(project_path, amend)
    return said


def _take_all(content: dict[str, Any], project_path: Path) -> list[str]:
    """Take over what was saved with each image since the project's file was written; say of which that is so."""
    taken = []
    for entry in content.get("images", []):
        builder = entry.get("serverBuilder") if isinstance(entry, dict) else None
        before = json.dumps(builder)
        if isinstance(builder, dict):
            take_saved(builder, project_path, project_path.parent / "data" / str(entry.get("entryID")))
            taken += [str(entry.get("imageName"))] if json.dumps(builder) != before else []
    return taken


def _save_classes(path: Path, classes: Sequence[ProjectClass]) -> None:
    """Append the classes that the project's list lacks; those that are there keep their colours."""

    def amend(content: dict[str, Any]) -> bool:
        listed = content.get("pathClasses")
        listed = listed if isinstance(listed, list) else []
        names = {item.name for entry in listed if (item := listed_class(entry)) is not None}
        new = [item for item in classes if item.name not in names]
        content["pathClasses"] = [*listed, *({"name": item.name, "color": _packed(item.color)} for item in new)]
        return bool(new)

    amend_json(path, amend)


def amend_json(path: Path, amend: Callable[[dict[str, Any]], bool]) -> None:
    """Change a JSON file of the project where `amend` has anything to change; what QuPath writes meanwhile stays.

    Raises ConflictError where somebody goes on writing it, or is in the middle of that.
    """

    def refuse_changed() -> None:
        if (path.read_bytes() if path.is_file() else None) != before:
            raise ConflictError(f"{path} was written by somebody else meanwhile; run the same command again")

    for tries_left in reversed(range(_TRIES)):
        before = path.read_bytes() if path.is_file() else None
        try:
            read = from_json(before) if before is not None else {}
        except ValueError as error:  # it was whole when the image was read
            raise ConflictError(
                f"{path} is half written just now ({in_words(error)}); run the same command again"
            ) from error
        content: dict[str, Any] = read if isinstance(read, dict) else {}
        if not amend(content):
            return
        try:
            with replacing(path, refuse_changed) as temporary:
                temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), encoding="utf-8")
            return
        except ConflictError:
            if not tries_left:
                raise


def _packed(color: tuple[int, int, int] | None) -> int | None:
    """Pack a colour as QuPath does: a signed 32-bit ARGB number."""
    if color is None:
        return None
    red, green, blue = color
    return (red << 16 | green << 8 | blue) - (1 << 24)
