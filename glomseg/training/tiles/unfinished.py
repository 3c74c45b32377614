"""What an export of tiles leaves that is killed: a record that says so, by which the next one knows what is its own.

Training on half of the tiles would look like training on all of them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from glomseg.errors import LabelError
from glomseg.labelled.tile_files import EXPORT, TILE, is_unfinished
from glomseg.pictures.marked import is_as_written

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.(png|json)")


def remove_unfinished(folder: Path) -> None:
    """Empty a folder in which an export was cut short, of what that has written and of nothing else.

    A label that somebody corrected there stays.
    """
    record = folder / EXPORT
    try:
        if not (is_unfinished(record) if record.is_file() else _is_hardly_begun(folder)):
            return
    except LabelError:
        return
    for path in sorted(folder.rglob("*"), reverse=True):  # what lies in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            with suppress(OSError):  # it is not empty
                path.rmdir()
        elif path != record and _is_written(path):
            path.unlink(missing_ok=True)
    if list(folder.iterdir()) == [record]:
        record.unlink()


def _is_hardly_begun(folder: Path) -> bool:
    """Tell whether a folder holds nothing but a record that was about to be put in its place."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return bool(names) and all(re.fullmatch(r"\.export\.[0-9a-f]{8}\.json", name) for name in names)


def _is_written(path: Path) -> bool:
    name, stem = path.name, path.name.removesuffix(".png").removesuffix("-labelled")
    is_tile = name.endswith(".png") and TILE.match(stem) is not None
    return (is_tile and is_as_written(path)) or name.endswith("-tiles.json") or _TEMPORARY.fullmatch(name) is not None
