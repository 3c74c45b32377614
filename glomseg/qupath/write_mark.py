"""The mark that each of our writes leaves in an image's data: it says which write the data is based on.

It is a property of QuPath's ImageData, kept whenever a person edits and saves the image, copied with the image, and
gone or older where an older state of the data is put back. So it tells what the data can know of: an outline that a
later write added, and that is not in data based on an earlier one, was never there to be deleted.
"""

from __future__ import annotations

import mmap
import re
import uuid
from pathlib import Path

from glomseg.errors import ProjectError

PROPERTY = "glomseg.write"
STANDS = "glomseg.stands"
NOTHING = "none"
"""In place of a mark: no write of ours."""

_VALUE = re.compile(rb"glomseg\.write=([0-9a-f]{32})")
_STANDS = re.compile(rb"glomseg\.stands=([0-9a-f]{32}):([0-9a-f]{32}|none)")


def new_mark() -> str:
    """Return a mark that no other write has."""
    return uuid.uuid4().hex


def property_value(mark: str) -> str:
    """Return the property's value: text that can be found in a data file without reading its objects."""
    return f"{PROPERTY}={mark}"


def stands_value(mark: str, stands_as: str | None) -> str:
    """Return the value of the property which says whose outcome stands after the write of `mark`.

    For an undo that is the write whose state it brought back, None where that was before any.
    """
    return f"{STANDS}={mark}:{stands_as or NOTHING}"


def mark_of(data: Path | None) -> str | None:
    """Find the mark in a data file, without a JVM; None where no write of ours is in it. Raises ProjectError."""
    marks = find_in(data, _VALUE)
    return marks[-1][0] if marks else None


def stand_of(data: Path | None) -> str:
    """Say which write's outcome stands in a data file, `NOTHING` for none; raises ProjectError.

    Undos do not count: what they bring back is the outcome of the write before.
    """
    mark = mark_of(data)
    if mark is None:
        return NOTHING
    stands = [stands_as for write, stands_as in find_in(data, _STANDS) if write == mark]
    return stands[-1] if stands else mark


def find_in(data: Path | None, value: re.Pattern[bytes]) -> list[tuple[str, ...]]:
    """Find all values of a property in a data file, the groups of each; raises ProjectError."""
    if data is None:
        return []
    try:
        with data.open("rb") as file:
            if not data.stat().st_size:
                return []
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return [tuple(group.decode() for group in match.groups()) for match in value.finditer(content)]
    except OSError as error:
        raise ProjectError(f"{data} cannot be read ({error.strerror}); check the folder's rights") from error
