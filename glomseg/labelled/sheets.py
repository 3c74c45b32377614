"""Small tables that a person filled in with a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.files import read_csv


def read_sheet(path: Path, what: str, needed: Collection[str]) -> list[dict[str, str]]:
    """Read a CSV table with a header; its names in lower case, its cells without space around them.

    Semicolons and tabs separate as well as commas. Raises MeasureError, in which `what` names the table, where it
    cannot be read or lacks a `needed` column.
    """
    try:
        columns, rows = read_csv(path)
    except FileNotFoundError:
        raise MeasureError(f"the {what} {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MeasureError(f"the {what} {path} cannot be read ({error}); save it as CSV in UTF-8") from error
    names = [name.strip().lower() for name in columns]
    if missing := sorted(set(needed) - set(names)):
        raise MeasureError(f"the {what} {path} has no column {', '.join(missing)}; add it to its first line")
    return [{name.strip().lower(): cell.strip() for name, cell in row.items()} for row in rows]
