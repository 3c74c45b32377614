"""A scratch copy of one image's part of a project, for QuPath to write in, and the way back.

QuPath writes in place: while it saves, `data.qpdata` is half new, and `project.qpproj` is gone for a moment. In a
scratch copy that hurts nobody. What it wrote is then put in place file by file, each whole or not at all. `data.qpdata`
decides: an image is in its old state or in its new one, whenever the process ends. `summary.json` comes after it; where
a process ends in between, it counts as before until the next save, and never speaks of data that is not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import ConflictError, ProjectError, RunError
from glomseg.files import from_json, replacing, write_json, write_text
from glomseg.qupath.class_list import ProjectClass, listed_class, read_classes
from glomseg.qupath.find_images import path_of_uri
from glomseg.qupath.image_servers import unwrapped
from glomseg.qupath.project import ImageState, folder_state, load_json
from glomseg.qupath.swap import put_back, sha256_of, swap

CHECKSUMS = "checksums.json"
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
        raise ProjectError(
            f"{data} is damaged; bring a backup back, yours or one that `glomseg restore PROJECT {data_folder.name}` lists"
        )
    if count := _objects_said(data_folder):
        raise ProjectError(
            f"{data} is missing, and summary.json beside it says that {count} objects stood there; wait until the share "
            f"has brought the file, or bring a backup back: `glomseg restore PROJECT {data_folder.name}` lists them"
        )
    return None


def _objects_said(data_folder: Path) -> int:
    """Return how many objects an image has by its summary; 0 where there is none that can be read."""
    try:
        count = from_json((data_folder / "summary.json").read_bytes())["hierarchy"]["nObjects"]
        return int(count)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return 0


def check_state(staged: Staged, expected: ImageState) -> None:
    """Raise ConflictError where the data of the image is not what it was."""
    _check_unchanged(staged.original_data_folder, expected, staged.name)


def _check_unchanged(data_folder: Path, expected: ImageState, name: str) -> None:
    if folder_state(data_folder) != expected:
        raise ConflictError(_saved_meanwhile(name))


def _saved_meanwhile(name: str) -> str:
    return (
        f"{name} was saved by somebody else meanwhile, so nothing was written; close it in QuPath and run the same "
        "command again"
    )


def back_up(staged: Staged, folder: Path, memory: Path | None = None, *, expected: ImageState | None = None) -> None:
    """Copy what the project holds of the image to `folder`, unless a complete copy is there already."""
    copy_image_data(staged.original, staged.entry_id, folder, memory, expected=expected)


def copy_image_data(
    project_path: Path, entry_id: str, folder: Path, memory: Path | None = None, *, expected: ImageState | None = None
) -> None:
    """Copy an image's data, and the `memory` of its predictions, to `folder`, unless a complete copy is there.

    The project file goes last: where it is, the copy is complete. Beside it stand the sha256 of all files. Raises
    RunError where nothing can be written, and ConflictError where the data is not in the `expected` state.
    """
    if (folder / project_path.name).is_file():
        return
    data_folder = project_path.parent / "data" / entry_id
    names = (_DATA, f"{_DATA}.bkp", "summary.json", "server.json")
    sources = [data_folder / name for name in names]
    sources += [project_path.parent / "classifiers" / "classes.json", *([memory] if memory else [])]
    checksums = {}
    for source in sources:
        if source.is_file():
            _put(source, folder / source.name)
            checksums[source.name] = sha256_of(folder / source.name)
    if expected is not None and checksums.get(_DATA) != expected.sha256:
        raise ConflictError(f"image {entry_id} was saved by somebody else meanwhile; run the same command again")
    write_json(folder / CHECKSUMS, checksums)
    _put(project_path, folder / project_path.name)


def restore_image_data(folder: Path, data_folder: Path, *, expected: ImageState | None = None) -> ImageState:
    """Bring a copy that `copy_image_data` made back into an image's data folder.

    An image that QuPath had never saved is so again. Raises ProjectError where the copy is damaged or incomplete, and
    ConflictError where the image is not in the `expected` state; nothing is changed then.
    """
    data = _copy_of_data(folder)
    summary = folder / "summary.json"
    expected = expected or folder_state(data_folder)
    if data is None:
        _remove_data(data_folder, expected)
    else:
        _replace_data(data, data_folder, expected, f"image {data_folder.name}")
    if data is not None and summary.is_file():
        _put(summary, data_folder / summary.name)
    else:
        (data_folder / summary.name).unlink(missing_ok=True)
    (data_folder / f"{_DATA}.bkp").unlink(missing_ok=True)
    return folder_state(data_folder)


def _copy_of_data(folder: Path) -> Path | None:
    """Return the data of a copy, None where there was none; raises ProjectError for a copy that has changed."""
    try:
        checksums = from_json((folder / CHECKSUMS).read_bytes())
    except FileNotFoundError:  # made by glomseg before there were checksums, or by the import script
        return readable_data(folder)
    except (OSError, ValueError) as error:
        raise ProjectError(f"{folder / CHECKSUMS} is damaged ({error}); choose another backup") from error
    if not isinstance(checksums, dict):
        raise ProjectError(f"{folder / CHECKSUMS} is damaged; choose another backup")
    for name, sha256 in checksums.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            raise ProjectError(f"{folder / name} is not what was backed up; choose another backup")
    copies = [folder / name for name in (_DATA, f"{_DATA}.bkp") if name in checksums and _is_complete(folder / name)]
    if not copies and {_DATA, f"{_DATA}.bkp"} & set(checksums):
        raise ProjectError(f"the data in {folder} was damaged when it was backed up; choose another backup")
    return copies[0] if copies else None


def data_sha256(staged: Staged) -> str:
    """Return the sha256 of the data that QuPath wrote into the scratch copy."""
    return sha256_of(staged.data_folder / _DATA)


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
    _replace_data(written, target, expected, staged.name)
    _put(summary, target / summary.name)
    return folder_state(target)


def _replace_data(new: Path, data_folder: Path, expected: ImageState, name: str) -> None:
    """Put a file in the place of an image's data; raises ConflictError where that is not as expected, up to the end.

    What was replaced is compared too: where somebody saved after the last look, theirs is put back.
    """

    def put(ours: Path, target: Path) -> None:
        sha256 = sha256_of(ours)
        swap(ours, target)
        if (sha256_of(ours) if ours.exists() else None) == expected.sha256:
            return
        theirs = put_back(ours, target, sha256)
        kept = f"; what was saved in between is in {theirs}" if theirs else ""
        raise ConflictError(f"{_saved_meanwhile(name)}{kept}")

    try:
        with replacing(data_folder / _DATA, lambda: _check_unchanged(data_folder, expected, name), put) as temporary:
            shutil.copy2(new, temporary)
    except RunError as error:
        if isinstance(error.__cause__, FileExistsError | FileNotFoundError):
            raise ConflictError(_saved_meanwhile(name)) from error
        raise


def _remove_data(data_folder: Path, expected: ImageState) -> None:
    """Take an image's data away, unless somebody saves it meanwhile; raises ConflictError."""
    target, aside, name = data_folder / _DATA, data_folder / f"{_DATA}.bkp", f"image {data_folder.name}"
    _check_unchanged(data_folder, expected, name)
    if target.is_file():
        target.replace(aside)
        if sha256_of(aside) != expected.sha256:
            swap(aside, target)
            raise ConflictError(_saved_meanwhile(name))


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
        server = from_json(server_path.read_bytes())
        unwrapped(server.get("builder", server))["uri"] = uri  # QuPath 0.5 puts the builder into "builder"
    except (OSError, ValueError, AttributeError):
        return
    write_text(server_path, json.dumps(server, indent=2, ensure_ascii=False))


def _save_classes(path: Path, classes: Sequence[ProjectClass]) -> None:
    """Append the classes that the project's list lacks; those that are there keep their colours."""
    read = from_json(path.read_bytes()) if path.is_file() else {}
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
