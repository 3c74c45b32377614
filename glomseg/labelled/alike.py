"""Names of groups and animals that are almost the same: two spellings of one make two of it, and n is wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SIGNS = re.compile(r"[\s_\-.\u2010-\u2015\u2212]+")
_NUMBER = re.compile(r"[+-]?0*(\d+)([.,]0*)?")


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Gather the names that differ in case, blanks, dashes, `_`, `.` or what does not show, or are one number (1, 1.0).

    Those that stand alone are left out.
    """
    gathered: dict[str, list[str]] = {}
    for name in sorted(set(names) - {""}):
        plain = _shown(unicodedata.normalize("NFKC", name)).casefold()
        number = _NUMBER.fullmatch(plain.strip())
        gathered.setdefault(number[1] if number else _SIGNS.sub("", plain), []).append(name)
    return [tuple(spelled) for spelled in gathered.values() if len(spelled) > 1]


def say_alike(what: str, names: Iterable[str]) -> list[str]:
    """Say which names of `what` ("groups") are taken for several and may be one."""
    return [
        f"{what} {' and '.join(map(repr, spelled))} are taken for {len(spelled)}; if they are one, write them one way"
        for spelled in alike(names)
    ]


def _shown(name: str) -> str:
    """Take out what does not show, such as a blank of no width that came out of a web page."""
    return "".join(sign for sign in name if unicodedata.category(sign) != "Cf")
