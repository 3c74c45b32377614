"""Copies of what a project holds of one image: made before each write, checked, and brought back."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from glomseg.errors import ConflictError, ProjectError, in_words
from glomseg.files import from_json, write_json
from glomseg.qupath.image_data import (
    DATA,
    check_written,
    is_complete,
    put_file,
    readable_data,
    remove_data,
    replace_data,
)
from glomseg.qupath.project import ImageState, folder_state
from glomseg.qupath.swap import sha256_of

CHECKSUMS = "checksums.json"
MADE = "backup.json"
"""When a copy was made: a copy of the copy, by hand or by a sync tool, has other times of files."""


def copy_image_data(
    project_path: Path, entry_id: str, folder: Path, memory: Path | None = None, *, expected: ImageState | None = None
) -> None:
    """Copy an image's data, and the `memory` of its predictions, to `folder`, unless a complete copy is there.

    The project file goes last: where it is, the copy is complete. Beside it stand the sha256 of all files, and when it
    was made: never before the data was written, nor before another copy was made, though the clock was set back since.
    Raises RunError where nothing can be written, and ConflictError where the data is not in the `expected` state.
    """
    if (folder / project_path.name).is_file():
        return
    data_folder = project_path.parent / "data" / entry_id
    names = (DATA, f"{DATA}.bkp", "summary.json", "server.json")
    sources = [data_folder / name for name in names]
    sources += [project_path.parent / "classifiers" / "classes.json", *([memory] if memory else [])]
    checksums = {}
    for source in sources:
        if source.is_file():
            put_file(source, folder / source.name)
            checksums[source.name] = sha256_of(folder / source.name)
    if expected is not None and checksums.get(DATA) != expected.sha256:
        raise ConflictError(f"image {entry_id} was saved by somebody else meanwhile; run the same command again")
    write_json(folder / CHECKSUMS, checksums)
    before = [made_at(other).timestamp() for other in _others(folder, entry_id)]
    before += [path.stat().st_mtime for path in [data_folder / DATA] if path.is_file()]
    made = max([time.time(), *(instant + 1e-3 for instant in before)])
    write_json(folder / MADE, {"made": datetime.fromtimestamp(made).astimezone().isoformat()})
    put_file(project_path, folder / project_path.name)


def _others(folder: Path, entry_id: str) -> list[Path]:
    """List the other copies of an image under the folder of runs, where they lie as glomseg/runs/backups.py says."""
    runs_folder = folder.parents[2]
    places = (f"*/backup/{entry_id}/{MADE}", f"backup/{entry_id}/*/{MADE}")
    return [path.parent for place in places for path in runs_folder.glob(place) if path.parent != folder]


def made_at(folder: Path) -> datetime:
    """Tell when a copy was made, in the time of this computer."""
    try:
        made = datetime.fromisoformat(from_json((folder / MADE).read_bytes())["made"])
        return made.astimezone().replace(tzinfo=None)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):  # of a glomseg that did not write it down
        return datetime.fromtimestamp(folder.stat().st_mtime)


def restore_image_data(folder: Path, data_folder: Path, *, expected: ImageState | None = None) -> ImageState:
    """Bring a copy that `copy_image_data` made back into an image's data folder.

    An image that QuPath had never saved is so again. Raises ProjectError where the copy is damaged or incomplete, and
    ConflictError where the image is not in the `expected` state; nothing is changed then.
    """
    data = checked_copy(folder)
    summary = folder / "summary.json"
    expected = expected or folder_state(data_folder)
    if data is None:
        remove_data(data_folder, expected)
        check_written(data_folder, None, f"image {data_folder.name}")
    else:
        replace_data(data, data_folder, expected, f"image {data_folder.name}")
    if data is not None and summary.is_file():
        put_file(summary, data_folder / summary.name)
    else:
        (data_folder / summary.name).unlink(missing_ok=True)
    (data_folder / f"{DATA}.bkp").unlink(missing_ok=True)
    check_written(data_folder, sha256_of(data) if data is not None else None, f"image {data_folder.name}")
    return folder_state(data_folder)


def checked_copy(folder: Path) -> Path | None:
    """Return the data of a copy, None where there was none; raises ProjectError for a copy that has changed."""
    try:
        checksums = from_json((folder / CHECKSUMS).read_bytes())
    except FileNotFoundError:  # made by glomseg before there were checksums, or by the import script
        return readable_data(folder)
    except (OSError, ValueError) as error:
        raise ProjectError(f"{folder / CHECKSUMS} is damaged ({in_words(error)}); choose another backup") from error
    if not isinstance(checksums, dict):
        raise ProjectError(f"{folder / CHECKSUMS} is damaged; choose another backup")
    for name, sha256 in checksums.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != sha256:
            raise ProjectError(f"{folder / name} is not what was backed up; choose another backup")
    copies = [folder / name for name in (DATA, f"{DATA}.bkp") if name in checksums and is_complete(folder / name)]
    if not copies and {DATA, f"{DATA}.bkp"} & set(checksums):
        raise ProjectError(f"the data in {folder} was damaged when it was backed up; choose another backup")
    return copies[0] if copies else None
