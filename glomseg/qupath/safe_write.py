"""A scratch copy of one image's part of a project, for QuPath to write in, and the way back.

QuPath writes in place: while it saves, `data.qpdata` is half new, and `project.qpproj` is gone for a moment. In a
scratch copy that hurts nobody. What it wrote is then put in place file by file, each whole or not at all,
`data.qpdata` last: an image is in its old state or in its new one, whenever the process ends.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import ConflictError, ProjectError
from glomseg.files import replacing, write_text
from glomseg.qupath.find_images import path_of_uri
from glomseg.qupath.image_servers import unwrapped
from glomseg.qupath.project import (
    ImageState,
    ProjectClass,
    folder_state,
    listed_class,
    load_json,
    read_classes,
)

_DATA = "data.qpdata"
_BEGINNING, _END = b"\xac\xed\x00\x05", b"t\x00\x03EOF"  # of Java's serialisation, and of QuPath's own


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
    new_uri = image_path.absolute().as_uri() if _has_moved(str(unwrapped(builder).get("uri"))) else None
    if new_uri:
        unwrapped(builder)["uri"] = new_uri
    if builder.get("metadata"):
        builder["metadata"]["name"] = name  # QuPath sets it so on reading, and would have to open the image for that
    data_folder, original_data_folder = folder / "data" / entry_id, project_path.parent / "data" / entry_id
    data_folder.mkdir(parents=True)
    if data := readable_data(original_data_folder):
        shutil.copy2(data, data_folder / _DATA)
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


def readable_data(data_folder: Path) -> Path | None:
    """Return the complete data file of an image, or None where QuPath has never saved it.

    A QuPath that was killed while it saved leaves `data.qpdata` cut short or missing, and the former data in
    `data.qpdata.bkp`, which is then what counts, as it does for QuPath. Raises ProjectError where neither is complete.
    """
    data, backup = data_folder / _DATA, data_folder / f"{_DATA}.bkp"
    for path in (data, backup):
        if path.is_file() and _is_complete(path):
            return path
    if data.is_file() or backup.is_file():
        raise ProjectError(f"{data} is damaged; restore the image's data from a backup and try again")
    return None


def check_state(staged: Staged, expected: ImageState) -> None:
    """Raise ConflictError where the data of the image is not what it was."""
    if folder_state(staged.original_data_folder) != expected:
        raise ConflictError(
            f"{staged.name} was saved by somebody else meanwhile, so nothing was written; close it in QuPath and run "
            "the same command again"
        )


def back_up(staged: Staged, folder: Path, memory: Path | None = None) -> None:
    """Copy what the project holds of the image to `folder`, unless a complete copy is there already."""
    copy_image_data(staged.original, staged.entry_id, folder, memory)


def copy_image_data(project_path: Path, entry_id: str, folder: Path, memory: Path | None = None) -> None:
    """Copy an image's data, and the `memory` of its predictions, to `folder`, unless a complete copy is there.

    The project file goes last: where it is, the copy is complete. Raises RunError where nothing can be written.
    """
    if (folder / project_path.name).is_file():
        return
    data_folder = project_path.parent / "data" / entry_id
    names = (_DATA, f"{_DATA}.bkp", "summary.json", "server.json")
    sources = [data_folder / name for name in names]
    sources += [project_path.parent / "classifiers" / "classes.json", *([memory] if memory else []), project_path]
    for source in sources:
        if source.is_file():
            _put(source, folder / source.name)


def restore_image_data(folder: Path, data_folder: Path) -> ImageState:
    """Bring a copy that `copy_image_data` made back into an image's data folder, `data.qpdata` last.

    An image that QuPath had never saved is so again. Raises ProjectError where the copy is damaged.
    """
    data = readable_data(folder)
    summary = folder / "summary.json"
    if summary.is_file():
        _put(summary, data_folder / summary.name)
    else:
        (data_folder / summary.name).unlink(missing_ok=True)
    if data is not None:
        _put(data, data_folder / _DATA)
    else:
        (data_folder / _DATA).unlink(missing_ok=True)
    (data_folder / f"{_DATA}.bkp").unlink(missing_ok=True)
    return folder_state(data_folder)


def put_in_place(staged: Staged, expected: ImageState, classes: Sequence[ProjectClass]) -> ImageState:
    """Bring what QuPath wrote into the project and return the image's new state.

    Raises ConflictError, and has not touched the image's data then, where that is not in the `expected` state.
    """
    written, target = staged.data_folder / _DATA, staged.original_data_folder
    summary = staged.data_folder / "summary.json"  # QuPath writes it last, and it was not there before
    if not (summary.is_file() and written.is_file() and _is_complete(written)):
        raise ProjectError(f"QuPath did not save {staged.name}; nothing was written, see its messages above")
    check_state(staged, expected)
    if staged.new_uri is not None:
        _save_uri(staged.original, staged.entry_id, staged.new_uri)
    _save_classes(staged.original.parent / "classifiers" / "classes.json", classes)
    _put(summary, target / summary.name)
    check_state(staged, expected)
    _put(written, target / _DATA)
    return folder_state(target)


def _put(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copy2(source, temporary)


def _is_complete(path: Path) -> bool:
    with path.open("rb") as file:
        beginning = file.read(len(_BEGINNING))
        file.seek(max(0, path.stat().st_size - len(_END)))
        return beginning == _BEGINNING and file.read() == _END


def _has_moved(uri: str) -> bool:
    try:
        return not Path(path_of_uri(uri)).is_file()
    except (ValueError, OSError):
        return True


def _load_entry(project_path: Path, entry_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = load_json(project_path)
    for entry in content.get("images", []):
        if isinstance(entry, dict) and str(entry.get("entryID")) == entry_id:
            return content, entry
    raise ProjectError(f"{project_path} has no image with the entry id {entry_id}; it was removed meanwhile")


def _save_uri(project_path: Path, entry_id: str, uri: str) -> None:
    """Set where an image lies now, in the project and in the copy of its entry that QuPath keeps for emergencies."""
    content, entry = _load_entry(project_path, entry_id)
    unwrapped(entry["serverBuilder"])["uri"] = uri
    write_text(project_path, json.dumps(content, indent=2, ensure_ascii=False))
    server_path = project_path.parent / "data" / entry_id / "server.json"
    try:
        server = json.loads(server_path.read_bytes())
        unwrapped(server.get("builder", server))["uri"] = uri  # QuPath 0.5 puts the builder into "builder"
    except (OSError, ValueError, AttributeError):
        return
    write_text(server_path, json.dumps(server, indent=2, ensure_ascii=False))


def _save_classes(path: Path, classes: Sequence[ProjectClass]) -> None:
    """Append the classes that the project's list lacks; those that are there keep their colours."""
    read = json.loads(path.read_bytes()) if path.is_file() else {}
    content: dict[str, Any] = read if isinstance(read, dict) else {}
    listed = content.get("pathClasses")
    listed = listed if isinstance(listed, list) else []
    names = {item.name for entry in listed if (item := listed_class(entry)) is not None}
    new = [item for item in classes if item.name not in names]
    if new:
        content["pathClasses"] = [*listed, *({"name": item.name, "color": _packed(item.color)} for item in new)]
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False))


def _packed(color: tuple[int, int, int] | None) -> int | None:
    """Pack a colour as QuPath does: a signed 32-bit ARGB number."""
    if color is None:
        return None
    red, green, blue = color
    return (red << 16 | green << 8 | blue) - (1 << 24)
