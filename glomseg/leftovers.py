"""What a killed process leaves beside the file or folder that it was about to replace: half of the new one."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

_DAY_SECONDS = 86400.0
"""What nobody has written to for so long, nobody is writing."""
_DIGITS = re.compile(r"\.[0-9a-f]{8}$")
_OURS = re.compile(r"\..+\.[0-9a-f]{8}(\.\w+)?", re.DOTALL)


def remove_leftovers_beside(temporary: Path, suffix: str) -> None:
    """Remove what lies beside a file or folder, just made, under its name with other digits, for a day or longer.

    `temporary` is named as `glomseg.files` names them, with `suffix` behind the digits. Its own time is now, as its
    disk counts it, whatever clock this machine has.
    """
    name = _without_digits(temporary.name, suffix)
    with suppress(OSError):
        now = temporary.stat().st_mtime
        for path in _left_in(temporary.parent):
            if _without_digits(path.name, suffix) == name and now - path.lstat().st_mtime > _DAY_SECONDS:
                path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def _without_digits(name: str, suffix: str) -> str | None:
    """Return the name without the digits and what follows; None where it has none before `suffix`."""
    stem = name.removesuffix(suffix)
    return _DIGITS.sub("", stem) if name.endswith(suffix) and _DIGITS.search(stem) else None


@lru_cache(maxsize=64)
def _left_in(folder: Path) -> tuple[Path, ...]:
    """List what has such a name in a folder, once for a process: there may be as many files as a slide has tiles."""
    return tuple(path for path in folder.iterdir() if _OURS.fullmatch(path.name))
