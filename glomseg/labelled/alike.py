"""Names of groups and animals that are almost the same: two spellings of one make two of it, and n is wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SIGNS = re.compile(r"[\s_\-.]+")


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Gather the names that differ in case, blanks, `_`, `-` or `.` alone; those that stand alone are left out."""
    gathered: dict[str, list[str]] = {}
    for name in sorted(set(names) - {""}):
        gathered.setdefault(_SIGNS.sub("", unicodedata.normalize("NFKC", name).casefold()), []).append(name)
    return [tuple(spelled) for spelled in gathered.values() if len(spelled) > 1]


def say_alike(what: str, names: Iterable[str]) -> list[str]:
    """Say which names of `what` ("groups") are taken for several and may be one."""
    return [
        f"{what} {' and '.join(map(repr, spelled))} are taken for {len(spelled)}; if they are one, write them one way"
        for spelled in alike(names)
    ]
