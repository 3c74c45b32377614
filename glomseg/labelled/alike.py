"""Names of groups and animals that are almost the same: two spellings of one make two of it, and n is wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from glomseg.qupath.classes import shown

_SIGNS = re.compile(r"[\s_\-.\u2010-\u2015\u2212]+")
_LATIN = str.maketrans(
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7", "ABEZHIKMNOPTYX"
) | str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0445\u0443",
    "ABEKMHOPCTXaeopcxy",
)
"""Greek and Cyrillic letters that look like Latin ones, as a keyboard that was left in that language writes them."""
_NUMBER = re.compile(r"[+-]?0*(\d+)([.,]0*)?")


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Gather the names that differ in case, blanks, dashes, `_`, `.`, look alike, or are one number (1, 1.0).

    Those that stand alone are left out.
    """
    gathered: dict[str, list[str]] = {}
    for name in sorted(set(names) - {""}):
        plain = shown(unicodedata.normalize("NFKC", name)).translate(_LATIN).casefold()
        number = _NUMBER.fullmatch(plain.strip())
        gathered.setdefault(number[1] if number else _SIGNS.sub("", plain), []).append(name)
    return [tuple(spelled) for spelled in gathered.values() if len(spelled) > 1]


def say_alike(what: str, names: Iterable[str]) -> list[str]:
    """Say which names of `what` ("groups") are taken for several and may be one."""
    return [
        f"{what} {' and '.join(map(_spell, spelled))} are taken for {len(spelled)}; if they are one, write them one way"
        for spelled in alike(names)
    ]


def _spell(name: str) -> str:
    """Quote a name, with the number of each letter where some look like others."""
    return ascii(name) if name.translate(_LATIN) != name else repr(name)
