"""What of a project's records this user may not read: it is never taken for missing."""

from __future__ import annotations

import os
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.files import owner_of


def unreadable_part(runs_folder: Path) -> Path | None:
    """Return a folder of a project's records that this user may not read, None where there is none."""
    outer = [runs_folder, *_folders_in(runs_folder)]
    inner = [
        part for place in outer[1:] for part in _folders_in(place) if place.name == "memory" or part.name == "changes"
    ]
    return next((place for place in (*outer, *inner) if place.is_dir() and not may_read(place)), None)


def may_read(path: Path) -> bool:
    """Tell whether this user may read a file, or list and enter a folder."""
    asked = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
    return os.access(path, asked, effective_ids=os.access in os.supports_effective_ids)


def is_there(path: Path) -> bool:
    """Tell whether a file is there; raises ProjectError where this user may not look into its folder."""
    try:
        return path.is_file()
    except PermissionError as error:
        raise ProjectError(say_no_right(path.parent)) from error


def say_no_right(path: Path) -> str:
    """Say that this user may not read a file or folder, whose it is, and the way out."""
    return (
        f"{path} belongs to {owner_of(path)}, and you may not read it, so what it says of people's work is not known; "
        "ask for the right to read all of that folder (on Linux: chmod -R g+rX)"
    )


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if path.is_dir()]
    except OSError:
        return []
