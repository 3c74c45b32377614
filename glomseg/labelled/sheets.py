"""Small tables that a person filled in with a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from glomseg.errors import MeasureError


def read_sheet(path: Path, what: str, needed: Collection[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header; its names in lower case, its cells without space around them.

    Semicolons and tabs separate as well as commas. Raises MeasureError, in which `what` names the table, where it
    cannot be read or lacks a `needed` column.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise MeasureError(f"the {what} {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise MeasureError(f"the {what} {path} cannot be read ({error}); save it as CSV in UTF-8") from error
    header = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    names = [name.strip().lower() for name in next(reader, [])]
    if missing := sorted(set(needed) - set(names)):
        raise MeasureError(f"the {what} {path} has no column {', '.join(missing)}; add it to its first line")
    return [dict(zip(names, (cell.strip() for cell in row), strict=False)) for row in reader if any(row)]
