"""Which animal, group, section, stain and part an image is of: the one reader of sample sheets.

A sample sheet is a CSV file with a row an image: `image`, and any of `animal`, `group`, `section`, `stain`, `split`,
and columns of one's own. Other words that people use for these are taken alike by every command.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePath, PureWindowsPath

from glomseg.errors import SampleSheetError
from glomseg.files import plain_text
from glomseg.labelled.names import stem_of
from glomseg.labelled.parts import PART_WORDS, part_named
from glomseg.listing import first_names
from glomseg.unexpected import describe

FIELDS = ("animal", "group", "section", "stain")
SYNONYMS = {
    "image": ("image", "image name", "image_name", "name", "file", "filename", "file name", "file_name", "slide"),
    "animal": (
        *("animal", "patient", "case", "subject", "mouse", "rat", "donor", "unit"),
        *(f"{word}{sign}id" for word in ("animal", "patient", "case", "subject", "mouse", "rat") for sign in " _-"),
    ),
    "group": ("group", "treatment", "condition", "genotype", "arm"),
    "section": ("section",),
    "stain": ("stain", "staining"),
    "split": ("split", "part", "set", "subset"),
}
"""Words for the columns, the first that a sheet has counts; the case of letters does not."""

UNKNOWN = frozenset(
    {"na", "n/a", "<na>", "nan", "nat", "null", "#n/a", "#ref!", "#name?", "#value!", "#null!", "#div/0!"}
)
"""What R, pandas and spreadsheets write where nothing is known; as a name it would make one animal of many."""
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
_MONTH = "(Jan|Feb|Mar|Mrz|Mär|Apr|May|Mai|Jun|Jul|Aug|Sep|Oct|Okt|Nov|Dec|Dez)"
_DATE = re.compile(
    rf"\d{{1,2}}([./])\d{{1,2}}\1(\d\d){{1,2}}|\d{{4}}-\d\d-\d\d|\d{{1,2}}[-. ]+{_MONTH}|{_MONTH}[- ]\d\d"
)
"""What a spreadsheet makes of 3/4, 1-2 or MAR-1."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Where a slide belongs; empty where nobody said. `split` is train, validation or test; `others` are columns."""

    animal: str = ""
    group: str = ""
    section: str = ""
    stain: str = ""
    split: str = ""
    others: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def column(self, name: str) -> str:
        """Give what stands in a column, by its name or another word for it; "" where nothing does."""
        wanted = name.strip().lower()
        own = next((text for key, text in self.others if key.lower() == wanted), None)
        if own is not None:
            return own
        field_name = next((key for key, words in SYNONYMS.items() if wanted in words), "")
        return str(getattr(self, field_name, ""))


@dataclass(frozen=True)
class SampleSheet:
    """A sample sheet: the samples by the names that it gives the images, and its columns as they are written.

    `remarks` say which cells are read otherwise than they stand, or may be no longer what was typed.
    """

    path: Path
    samples: Mapping[str, Sample]
    columns: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def find(self, *names: str, path: PurePath | None = None, without: Collection[str] = ()) -> Sample | None:
        """Give the sample of an image by its name, by that without its ending, or as its files are named.

        A row that names a folder as well, `A/img1.png`, goes first where the image's `path` has it; rows `without` are
        those of other images. Raises SampleSheetError where the sheet says two things about images of one such name.
        """
        if path is not None and (named := self._by_folder(names, path, without)) is not None:
            return named
        for name in map(_composed, names):
            for written in (name, Path(name).stem):
                if written in self.samples:
                    return self.samples[written]
        for name in map(_composed, names):
            rows = self._rows(name, without)
            if len(set(rows.values())) > 1:
                raise SampleSheetError(
                    f"the sample sheet {self.path} names {' and '.join(sorted(rows))}, of which {name} could be "
                    "either; write the whole file name, with its folder where that tells them apart"
                )
            if rows:
                return next(iter(rows.values()))
        return None

    def shared_folders(self, name: str, path: PurePath | None) -> dict[str, int]:
        """Count for each row of an image's name how many of the folders above the image it names."""
        rows = self._rows(_composed(name))
        return {written: _shared_folders(written, path) if path is not None else 0 for written in rows}

    def _rows(self, name: str, without: Collection[str] = ()) -> dict[str, Sample]:
        rows = self._by_stem.get(stem_of(Path(name)), {})
        return {written: sample for written, sample in rows.items() if written not in without}

    def _by_folder(self, names: Iterable[str], path: PurePath, without: Collection[str]) -> Sample | None:
        """Give the row that names the image and most of the folders above it; None where none or several do."""
        rows = {
            written: sample for name in map(_composed, names) for written, sample in self._rows(name, without).items()
        }
        shared = {written: _shared_folders(written, path) for written in rows}
        most = max(shared.values(), default=0)
        best = [rows[written] for written, count in shared.items() if count == most]
        return best[0] if most and len(best) == 1 else None

    @cached_property
    def _by_stem(self) -> dict[str, dict[str, Sample]]:
        by_stem: dict[str, dict[str, Sample]] = {}
        for written, sample in self.samples.items():
            by_stem.setdefault(stem_of(PureWindowsPath(written)), {})[written] = sample
        return by_stem

    def has(self, column: str) -> bool:
        """Tell whether the sheet has a column of this name, or of another word for it."""
        wanted = column.strip().lower()
        words = next((words for words in SYNONYMS.values() if wanted in words), (wanted,))
        return any(name.lower() in words for name in self.columns)

    def check_column(self, column: str) -> None:
        """Raise SampleSheetError where the sheet has no such column."""
        if not self.has(column):
            raise SampleSheetError(
                f"the sample sheet {self.path} has no column {column!r}; there are: {', '.join(self.columns)}"
            )


def _shared_folders(written: str, path: PurePath) -> int:
    pairs = zip(reversed(PureWindowsPath(written).parts[:-1]), reversed(path.parts[:-1]), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == _composed(pair[1]), pairs)))


def names_folder(written: str) -> bool:
    """Tell whether a row names its image with a folder, as `A/img1.png` and `A\\img1.png` do."""
    return len(PureWindowsPath(written).parts) > 1


def read_sample_sheet(path: Path) -> SampleSheet:
    """Read a sample sheet: commas, semicolons or tabs separate, whichever its header has most of.

    Raises SampleSheetError, with the line, for what cannot be used: no column of image names, two rows that say two
    things about one image, a column twice, a row with more cells than the header, a split that is none.
    """
    table = csv.reader(io.StringIO(_text(path), newline=""), delimiter=_delimiter(path), strict=True)
    samples: dict[str, Sample] = {}
    rows: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    try:
        for cells in table:
            cells = [plain_text(cell).strip() for cell in cells]
            if not any(cells) or (not columns and cells[0].lower().startswith("sep=")):
                continue
            if not columns:
                columns = _header(cells, path)
                continue
            row = _row(cells, columns, path, table.line_num)
            name, sample = _sample(row, path, table.line_num)
            if rows.setdefault(name, row) != row:
                raise SampleSheetError(
                    f"the sample sheet {path} says two things about {name} (line {table.line_num}); leave one row"
                )
            samples[name] = sample
    except csv.Error as error:
        raise SampleSheetError(
            f"the sample sheet {path} cannot be read (line {table.line_num}: {error}); save it as CSV"
        ) from error
    if not columns:
        raise SampleSheetError(f"the sample sheet {path} is empty; write a header with image and what is known of it")
    known = samples.values()
    odd = (*_odd_cells(rows.values(), path), *_odd_dates(known, path), *_odd_parts(known, path))
    return SampleSheet(path, samples, tuple(columns), odd)


def _is_unknown(text: str) -> bool:
    return text.casefold() in UNKNOWN


def _odd_cells(rows: Iterable[Mapping[str, str]], path: Path) -> list[str]:
    """Say which cells are read as empty, and which numbers a spreadsheet has shortened, so that several are one."""
    cells = [text for row in rows for column, text in row.items() if column.lower() not in SYNONYMS["image"]]
    unknown = sorted({text for text in cells if _is_unknown(text)})
    shortened = sorted({text for text in cells if _SHORTENED.fullmatch(text)})
    said = []
    if unknown:
        count = sum(text in unknown for text in cells)
        what = "cell" if count == 1 else "cells"
        said.append(f"the sample sheet {path} has {count} {what} with {', '.join(unknown)}, read as empty")
    if shortened:
        said.append(
            f"the sample sheet {path} has {', '.join(shortened)}, as spreadsheets shorten long numbers: several may "
            "have become one; type them as text"
        )
    return said


def _odd_dates(samples: Iterable[Sample], path: Path) -> list[str]:
    """Say which animals and groups are dates, as which a spreadsheet shows 3/4 and MAR-1, so that several are one."""
    dates = sorted({text for sample in samples for text in (sample.animal, sample.group) if _DATE.fullmatch(text)})
    if not dates:
        return []
    return [
        f"the sample sheet {path} has {first_names(dates)} for animals or groups, as spreadsheets write dates: several "
        "names may have become one; type them as text"
    ]


def odd_columns(columns: Sequence[str], path: Path) -> list[str]:
    """Say where no column of a sheet is known beside the names: in another language, or spelled otherwise."""
    others = [name for name in columns if name and name.lower() not in SYNONYMS["image"]]
    if not others or any(name.lower() in words for name in others for words in SYNONYMS.values()):
        return []
    return [
        f"the sample sheet {path} says of no image its animal or group: its columns are {', '.join(others)}; call them "
        "animal and group"
    ]


def _odd_parts(samples: Iterable[Sample], path: Path) -> list[str]:
    """Name the animals with images in several parts: what is learned from one section is known of the others."""
    parts: dict[str, set[str]] = {}
    for sample in samples:
        if sample.animal and sample.split:
            parts.setdefault(sample.animal, set()).add(sample.split)
    split = sorted(animal for animal, those in parts.items() if len(those) > 1)
    if not split:
        return []
    are = "is" if len(split) == 1 else "are"
    return [
        f"the sample sheet {path} has images of one animal in several parts ({first_names(split)} {are}): what was "
        "learned from one section is known of the others"
    ]


def _composed(name: str) -> str:
    """Write letters with marks as one sign each, whichever system named the file."""
    return unicodedata.normalize("NFC", name)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:4] in (b"PK\3\4", b"\xd0\xcf\x11\xe0"):
            raise SampleSheetError(f"the sample sheet {path} is a workbook of a spreadsheet; save it as CSV in UTF-8")
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\0" in data
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except FileNotFoundError:
        raise SampleSheetError(f"the sample sheet {path} does not exist; check the path") from None
    except PermissionError as error:
        raise SampleSheetError(f"the sample sheet {describe(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SampleSheetError(
            f"the sample sheet {path} cannot be read ({error}); save it as CSV in UTF-8 (Excel: CSV UTF-8)"
        ) from error


def _delimiter(path: Path) -> str:
    lines = [line for line in _text(path).splitlines() if line.strip(" ,;\t")]
    first = lines[0] if lines else ""
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        return first.strip()[-1]
    return max(",;\t", key=first.count)


def _header(cells: list[str], path: Path) -> list[str]:
    names = [cell.lower() for cell in cells if cell]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SampleSheetError(f"the sample sheet {path} has the column {twice[0]} twice; rename one")
    if not any(name in SYNONYMS["image"] for name in names):
        raise SampleSheetError(
            f"the sample sheet {path} has no column of image names (there: {', '.join(names)}); name it image"
        )
    return cells


def _row(cells: list[str], columns: list[str], path: Path, line: int) -> dict[str, str]:
    if any(cells[len(columns) :]):
        raise SampleSheetError(
            f"the sample sheet {path} has more cells in line {line} than in its header; put commas into quotes"
        )
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return {name: text for name, text in zip(columns, padded, strict=False) if name}


def _sample(row: Mapping[str, str], path: Path, line: int) -> tuple[str, Sample]:
    taken = {key: _column(row, key, path) for key in SYNONYMS}
    said = {key: row[column] if column is not None else "" for key, column in taken.items()}
    said = {key: "" if key != "image" and _is_unknown(text) else text for key, text in said.items()}
    if not said["image"]:
        raise SampleSheetError(f"the sample sheet {path} names no image in line {line}; add its name, or leave it out")
    split = part_named(said["split"])
    if said["split"] and not split:
        raise SampleSheetError(f"{path} says split {said['split']!r} of {said['image']}; {PART_WORDS}")
    others = tuple(
        (name, "" if _is_unknown(text) else text) for name, text in row.items() if name not in taken.values()
    )
    return _composed(said["image"]), Sample(**{name: said[name] for name in FIELDS}, split=split, others=others)


def _column(row: Mapping[str, str], key: str, path: Path) -> str | None:
    """Choose the column for a field; raises SampleSheetError where two words for it say two things."""
    lowered = {name.lower(): name for name in row}
    there = [lowered[word] for word in SYNONYMS[key] if word in lowered]
    if key != "image" and len(there) > 1 and there[0].lower() != key and row[there[0]] != row[there[1]]:
        raise SampleSheetError(
            f"the sample sheet {path} has the columns {there[0]} and {there[1]}; name the one that is meant {key}"
        )
    return there[0] if there else None


def sample_of(metadata: Mapping[str, str]) -> Sample:
    """Read a sample from an image's metadata in QuPath; the case of the names does not count."""
    lowered = {key.strip().lower(): (value or "").strip() for key, value in metadata.items() if key}
    said = {name: next((lowered[word] for word in SYNONYMS[name] if lowered.get(word)), "") for name in FIELDS}
    return Sample(animal=said["animal"], group=said["group"], section=said["section"], stain=said["stain"])
