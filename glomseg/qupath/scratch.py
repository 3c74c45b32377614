"""Temporary folders for copies of an image's data, and the end of those that a killed process has left.

Whoever uses such a folder holds a lock in it, which ends with the process, however that ends.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout

from glomseg.errors import RunError

Kind = Literal["collect", "qupath", "restore"]
_YOUNG_SECONDS = 60.0
"""A lock that is as young may be about to be taken."""


@contextmanager
def scratch_folder(kind: Kind) -> Iterator[Path]:
    """Yield an empty temporary folder that is gone when the block ends; `kind` begins its name.

    Raises RunError where none can be made.
    """
    with ExitStack() as held:
        try:
            made = tempfile.TemporaryDirectory(prefix=f"glomseg-{kind}-", ignore_cleanup_errors=True)
            name = held.enter_context(made)
            with suppress(OSError, NotImplementedError):  # a disk without locks, where nobody clears either
                held.enter_context(FileLock(_lock_in(Path(name)), timeout=0))
            folder = Path(name) / "files"
            folder.mkdir()
        except OSError as error:
            raise RunError(
                f"no temporary folder can be made ({error.strerror or error}); free space, or set TMPDIR to a folder "
                "on another disk that you may write to"
            ) from error
        yield folder


def remove_stale_folders() -> int:
    """Remove what processes of this user on this machine that are gone have left behind; returns how many there were.

    A folder goes where its lock is there, not young, and held by nobody.
    """
    removed = 0
    try:
        place = Path(tempfile.gettempdir())
    except OSError:  # there is none, as who needs one will hear
        return 0
    for folder in (path for kind in get_args(Kind) for path in place.glob(f"glomseg-{kind}-*")):
        lock = _lock_in(folder)
        try:
            status = lock.lstat()
            is_ours = not hasattr(os, "getuid") or status.st_uid == folder.lstat().st_uid == os.getuid()
            if folder.is_symlink() or not is_ours or time.time() - status.st_mtime < _YOUNG_SECONDS:
                continue
            with FileLock(lock, timeout=0):
                pass
        except (OSError, NotImplementedError, Timeout):  # not there, or in use
            continue
        shutil.rmtree(folder, ignore_errors=True)
        removed += not folder.exists()
    return removed


def _lock_in(folder: Path) -> Path:
    """Name the lock of a folder; on a disk that machines share, each knows of its own locks alone."""
    return folder / f"{socket.gethostname()}.lock"
