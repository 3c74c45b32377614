"""Put a file in the place of another and have what stood there, so that it can be looked at and put back.

Between the last look at a file and a rename over it, somebody else may save: what they saved would be gone. Where the
system can exchange two files in one step (Linux, most of its disks) that is done; elsewhere the old file goes aside
first, under the name that QuPath itself gives the data it replaces, and takes for the data where there is none.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import sys
import uuid
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EOPNOTSUPP}


def swap(new: Path, target: Path, *, is_being_saved: bool = False) -> None:
    """Put `new` at `target`; `new` is then what was replaced, and gone where nothing stood.

    Raises FileExistsError where something appears where nothing stood, and OSError; `target` is then as it was, or what
    has appeared. Where the old file goes aside, it goes under a name that QuPath does not remove if `is_being_saved`.
    """
    if not target.exists():
        _put_where_nothing_stands(new, target)
    elif not exchange(new, target):
        aside = target.with_name(f"{target.name}.bkp")
        if is_being_saved or aside.exists():
            aside = _name_beside(target)
        target.replace(aside)
        _put_where_nothing_stands(new, target)
        aside.replace(new)


def put_back(new: Path, target: Path, sha256: str) -> Path | None:
    """Put back what `swap` replaced, which is at `new` now; ours, of this sum, is then at `new` again.

    Where somebody has saved over ours meanwhile, theirs stays, and what was replaced is kept: returns where.
    """
    if not new.exists():
        target.replace(new)
        if sha256_of(new) != sha256:  # QuPath, which had moved the old file aside, has opened ours to write its own
            _put_where_nothing_stands(new, target)
        return None
    swap(new, target, is_being_saved=True)
    if not new.exists() or sha256_of(new) == sha256:
        return None
    swap(new, target, is_being_saved=True)
    return None if not new.exists() or sha256_of(new) == sha256 else keep_beside(new, target)


def keep_beside(file: Path, target: Path) -> Path:
    """Keep a file beside `target` under a name of its own, by which people find it; returns where."""
    kept = _name_beside(target)
    file.rename(kept)
    return kept


def _name_beside(target: Path) -> Path:
    return target.with_name(f"{target.stem}-{uuid.uuid4().hex[:8]}{target.suffix}")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def exchange(one: Path, other: Path) -> bool:
    """Exchange two files in one step; False where this system or disk cannot. Raises OSError."""
    if sys.platform != "linux":
        return False
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _put_where_nothing_stands(new: Path, target: Path) -> None:
    try:
        os.link(new, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        new.rename(target)
    else:
        new.unlink()
