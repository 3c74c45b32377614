"""What a sample sheet or the challenge's folders say of an image: its group, its animal, its part of the data."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import EvaluationError
from glomseg.labelled.find_files import stem_of
from glomseg.labelled.kpis import GROUPS, group_of
from glomseg.labelled.pairs import Pair

NAME_COLUMNS = ("slide", "image", "name", "file")
UNIT_COLUMNS = ("animal", "patient", "case", "unit")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What is known of an image beside its outlines: its group, the unit (animal, case) it counts for, its part."""

    key: str
    group: str = "all"
    unit: str = ""
    split: str = ""
    image: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Samples:
    """A sample sheet: rows by image name, and the columns for groups and units, None where there is none."""

    path: Path
    rows: Mapping[str, Mapping[str, str]]
    group_by: str | None
    unit: str | None


def read_samples(path: Path, *, group_by: str | None, unit: str | None) -> Samples:
    """Read a CSV with a row an image: a column `slide` (or image, name, file), and any others.

    The unit is the column `animal` (or patient, case, unit) where none is named; the group is the column `group`.
    Raises EvaluationError for a column that is not there, or a name that stands twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, dialect=csv.Sniffer().sniff(file.readline(), ",;\t"))
            file.seek(0)
            rows = [{str(k).strip(): str(v or "").strip() for k, v in row.items()} for row in table]
            columns = list(rows[0]) if rows else []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path} cannot be read as CSV ({error}); save the sample sheet as CSV") from error
    name = next((column for column in columns if column.lower() in NAME_COLUMNS), None)
    if name is None:
        raise EvaluationError(f"{path} has no column of image names (there: {', '.join(columns)}); name it slide")
    for column in (group_by, unit):
        if column is not None and column not in columns:
            raise EvaluationError(f"{path} has no column {column!r}; there are: {', '.join(columns)}")
    by_name: dict[str, Mapping[str, str]] = {}
    for row in rows:
        stem = stem_of(Path(row[name]))
        if stem in by_name:
            raise EvaluationError(f"{path} names {stem!r} twice; keep one row an image")
        by_name[stem] = row
    return Samples(
        path=path,
        rows=by_name,
        group_by=group_by or next((column for column in columns if column.lower() == "group"), None),
        unit=unit or next((column for column in columns if column.lower() in UNIT_COLUMNS), None),
    )


def info_of(pair: Pair, samples: Samples | None) -> ImageInfo:
    """Tell what is known of an image, from the sheet, else from the challenge's folders; raises EvaluationError."""
    if samples is None:
        return _from_folders(pair)
    row = samples.rows.get(pair.true.stem) or samples.rows.get(Path(pair.key).name)
    if row is None:
        raise EvaluationError(f"{samples.path} has no row for {pair.true.stem!r}; add it, or leave --samples out")
    split = next((value for column, value in row.items() if column.lower() in ("split", "part", "set")), "")
    return ImageInfo(
        key=pair.key,
        group=row[samples.group_by] if samples.group_by else "all",
        unit=row[samples.unit] if samples.unit else pair.key,
        split=split.lower(),
        image=pair.image,
    )


def _from_folders(pair: Pair) -> ImageInfo:
    parts = pair.true.path.parts
    group = group_of(parts[:-1])
    lower = [part.lower() for part in parts[:-1]]
    unit = pair.key
    if group is not None:
        place = max(index for index, part in enumerate(lower) if part in {name.lower() for name in GROUPS})
        below = parts[place + 1 : -1]
        unit = f"{group}/{below[0]}" if len(below) > 1 else pair.key
    split = next((part for part in reversed(lower) if part in SPLITS), "") if group is not None else ""
    return ImageInfo(key=pair.key, group=group or "all", unit=unit, split=split, image=pair.image)
