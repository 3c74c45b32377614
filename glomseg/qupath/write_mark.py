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
_VALUE = re.compile(rb"glomseg\.write=([0-9a-f]{32})")


def new_mark() -> str:
    """Return a mark that no other write has."""
    return uuid.uuid4().hex


def property_value(mark: str) -> str:
    """Return the property's value: text that can be found in a data file without reading its objects."""
    return f"{PROPERTY}={mark}"


def mark_of(data: Path | None) -> str | None:
    """Find the mark in a data file, without a JVM; None where no write of ours is in it. Raises ProjectError."""
    if data is None:
        return None
    try:
        with data.open("rb") as file:
            if not data.stat().st_size:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                marks = [match[1].decode() for match in _VALUE.finditer(content)]
    except OSError as error:
        raise ProjectError(f"{data} cannot be read ({error.strerror}); check the folder's rights") from error
    return marks[-1] if marks else None
