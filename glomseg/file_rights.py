"""Mode, owner, group, access list and attributes of a file, which the one that replaces it gets, too."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ACCESS = "system.posix_acl_access"


@contextmanager
def keeping_rights(paths: Iterable[Path]) -> Iterator[None]:
    """Give files that a block lets others replace, such as QuPath, what those before them had, as far as one may."""
    before = [(path, _rights(path)) for path in paths]
    try:
        yield
    finally:
        for path, rights in before:
            if rights is not None:
                with suppress(OSError):  # gone, or another's by now
                    if path.stat() != rights.status:
                        _give(path, rights)


@dataclass(frozen=True)
class _Rights:
    """Mode, owner and group of a file, its access list and other extended attributes."""

    status: os.stat_result
    attributes: dict[str, bytes]


def _rights(path: Path) -> _Rights | None:
    """Return what a file hands on to the one that replaces it, None where there is no file."""
    try:
        return _Rights(path.stat(), _attributes(path))
    except OSError:
        return None


def hand_on(old: Path, new: Path, made: int) -> None:
    """Give a new file what the one that it replaces has; `made` is the mode of a new one where it replaces none."""
    rights = _rights(old)
    if rights is None:
        new.chmod(stat.S_IMODE(made))
    else:
        _give(new, rights)


def _give(new: Path, rights: _Rights) -> None:
    """Give a file mode, owner, group, access list and other extended attributes, as far as this user may."""
    status, attributes = rights.status, rights.attributes
    if hasattr(os, "chown"):
        for owner, group in ((status.st_uid, status.st_gid), (-1, status.st_gid)):
            try:
                os.chown(new, owner, group)
                break
            except OSError:  # not ours to give away: the group alone may be
                continue
    if _ACCESS in _attributes(new).keys() - attributes.keys():
        os.removexattr(new, _ACCESS)  # of the folder's default list, where the old file had none
    new.chmod(stat.S_IMODE(status.st_mode))
    for name, value in attributes.items():
        with suppress(OSError):  # of the system, or of a disk that has none
            os.setxattr(new, name, value)


def _attributes(path: Path) -> dict[str, bytes]:
    """Return the extended attributes of a file that this user may read; the access list is one of them."""
    attributes: dict[str, bytes] = {}
    if sys.platform == "linux":
        with suppress(OSError):
            for name in os.listxattr(path):
                with suppress(OSError):
                    attributes[name] = os.getxattr(path, name)
    return attributes
