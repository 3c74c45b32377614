"""Write files and folders whole or not at all, and the two formats of tables and records: CSV and JSON."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

from glomseg.errors import RunError
from glomseg.file_rights import hand_on
from glomseg.leftovers import remove_leftovers_beside
from glomseg.unexpected import is_disk_full

_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n＝＋－＠]")
"""How a text begins that a spreadsheet would run as a formula, or that we have kept from being one."""

_READ_AGAIN = 10
_JUST_NOW_S = 2.0


@contextmanager
def replacing(
    path: Path, before: Callable[[], None] = lambda: None, put: Callable[[Path, Path], object] = Path.replace
) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its place when the block ends well.

    What is written lies on the disk when `before` is called, the last thing before the one rename, which `put` may do
    otherwise; an error of `before` leaves `path` as it is. A file that is replaced hands on its mode, owner, group,
    access list and extended attributes, and a link stays a link, to the new content. Raises RunError where the folder
    is read-only or the disk full. After any failure what stood at `path` is unchanged and the temporary file gone; that
    of a process that was killed goes a day later, but where `put` may have left in it what was replaced.
    """
    temporary: Path | None = None
    try:
        target = path.resolve() if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(target, target.suffix)
        temporary.open("xb").close()  # with the rights that its folder gives to new files
        made = temporary.stat().st_mode
        if put is Path.replace:
            remove_leftovers_beside(temporary, target.suffix)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        hand_on(target, temporary, made)
        before()
        put(temporary, target)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # on a read-only disk even what is not there cannot be removed
                temporary.unlink(missing_ok=True)


def _beside(path: Path, suffix: str = "") -> Path:
    """Name a new hidden file or folder beside `path`, short enough for every disk."""
    stem = path.stem if suffix else path.name
    return path.with_name(f".{os.fsencode(stem)[:80].decode('utf-8', 'ignore')}.{uuid.uuid4().hex[:8]}{suffix}")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which takes that name when the block ends well.

    Raises RunError where something stands at `path` that is not an empty folder, where the place is read-only or the
    disk full. After any failure `path` is as it was and the temporary folder gone.
    """
    temporary: Path | None = None
    try:
        if path.is_symlink() or path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise RunError(f"{path} exists already; remove it, or choose another folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _beside(path)
        temporary.mkdir()
        remove_leftovers_beside(temporary, "")
        yield temporary
        for written in temporary.rglob("*"):
            if written.is_file():
                with written.open("rb+") as file:
                    os.fsync(file.fileno())
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Let a block fill `folder`, which the caller found empty or missing: where that fails, it is so again."""
    was_there = folder.is_dir()
    try:
        yield
    except BaseException:
        if was_there:
            for written in folder.iterdir():
                remove_folder(written) if written.is_dir() else written.unlink(missing_ok=True)
        else:
            remove_folder(folder)
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder, which is gone from its place at once: whoever is killed meanwhile leaves no half of it there."""
    aside = _beside(folder)
    with suppress(OSError):
        folder.rename(aside)
        folder = aside
    shutil.rmtree(folder, ignore_errors=True)


def utf8(text: str) -> bytes:
    """Return text as it stands in files, odd bytes of file names escaped."""
    return text.encode("utf-8", "backslashreplace")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all, odd bytes of file names escaped; raises RunError."""
    with replacing(path) as temporary:
        temporary.write_bytes(utf8(text))


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write texts that belong together as `write_text` does, the last one last: where one finds no room, none is."""
    with ExitStack() as opened:
        for path, text in reversed(list(texts.items())):  # the last that opens ends first
            temporary = opened.enter_context(replacing(path))
            try:
                _write_through(temporary, utf8(text))
            except OSError as error:
                raise cannot_write(path, error) from error


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as CSV under a line of column names; what a row does not know is an empty cell, yes is 1.

    Text that a spreadsheet would run as a formula (= + - @ tab, line end) gets a ' before it, which `parse_csv` takes
    off again. A row that knows something for which there is no column raises ValueError.
    """
    lines = [columns]
    for row in rows:
        if unknown := row.keys() - set(columns):
            raise ValueError(f"no column for {', '.join(sorted(unknown))}")
        lines.append([_cell(row.get(column)) for column in columns])
    return "".join(",".join(map(_quoted, line)) + "\n" for line in lines)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as `csv_text` makes them, whole or not at all; raises RunError."""
    write_text(path, csv_text(columns, rows))


def parse_csv(text: str) -> tuple[list[str], list[dict[str, str]]]:
    """Return the column names of a CSV table and its rows.

    Commas, semicolons or tabs separate, whichever the header has most of. Lines without any content
    are left out, cells that a row lacks are empty. Raises csv.Error, also for a column that is there twice and for a
    row with more cells than the header: a comma that stands in no quotes has moved what follows it.
    """
    header = text.partition("\n")[0]
    table = io.StringIO(text.removeprefix("\ufeff"), newline="")
    reader = csv.reader(table, delimiter=max(",;\t", key=header.count), strict=True)
    names = [plain_text(cell) for cell in next(reader, [])]
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise csv.Error(f"the column {twice} is there twice")
    rows = []
    for row in reader:
        if any(row[len(names) :]):
            raise csv.Error(f"line {reader.line_num} has more cells than the first line; put commas into quotes")
        if any(row):
            cells = [plain_text(cell) for cell in row[: len(names)]]
            rows.append(dict(zip_longest(names, cells, fillvalue="")))
    return names, rows


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read a CSV table in UTF-8 as `parse_csv` does; raises OSError, UnicodeDecodeError, csv.Error."""
    return parse_csv(path.read_bytes().decode("utf-8-sig"))


def from_json(text: str | bytes) -> Any:
    """Return what a JSON text says, whoever wrote it; raises ValueError, for lists without end and odd bytes too."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists within lists without end") from None


def read_json(path: Path) -> Any:
    """Read a JSON file that another program may be writing just now, as QuPath does its own in place.

    One that is no JSON and changed a moment ago is read again for 0.2 s. Raises OSError and ValueError.
    """
    for _ in range(_READ_AGAIN):
        with suppress(ValueError):
            return from_json(path.read_bytes())
        if time.time() - path.stat().st_mtime > _JUST_NOW_S:
            break
        time.sleep(0.02)
    return from_json(path.read_bytes())


def json_text(content: object, *, indent: int | None = 2) -> str:
    """Return content as JSON for people and programs, UTF-8, null for a number that is not finite; None is one line."""
    return json.dumps(_finite(content), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, content: object) -> None:
    """Write content as `json_text` makes it, whole or not at all; raises RunError."""
    write_text(path, json_text(content) + "\n")


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return format(value, ".8g")
    text = str(value)
    return f"'{text}" if isinstance(value, str) and _FORMULA.match(text) else text


def plain_text(cell: str) -> str:
    """Return what a cell says: without the ' that keeps a spreadsheet from running it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown_text(text: str) -> str:
    """Return text of others as Markdown shows it: no table cells, tags, links, pictures or lines of its own."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")
    return re.sub(r"[|*]|\\(?=[|*\]\\])|\](?=[(\[:])", r"\\\g<0>", flat)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if re.search('[",;\t\r\n]', cell) else cell


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def owner_of(path: Path) -> str:
    """Name the person whose a file or folder is, as far as that is known."""
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError):
        return "another person"


def _is_own(path: Path) -> bool:
    """Tell whether a file or folder is that of the person who asks; never on Windows, where that is not known."""
    return hasattr(os, "geteuid") and path.exists() and path.stat().st_uid == os.geteuid()


def cannot_write(path: Path, error: OSError) -> RunError:
    """Say that a file cannot be written, why, and the way out."""
    way_out = ""
    if isinstance(error, PermissionError):
        there = [place for place in (path, *path.parents) if os.path.lexists(place)]
        place = next((place for place in there[:2] if not os.access(place, os.W_OK)), (there or [path])[0])
        way_out = f"ask {owner_of(place)}, whose {place} is, for the right to (on Linux: chmod -R g+rwX), or "
        if _is_own(place):
            way_out = f"{place} is write-protected: take that off it (on Linux: chmod u+w), or "
    elif is_disk_full(error):
        way_out = "free space or "
    elif error.errno == errno.EROFS:
        way_out = "mount its disk for writing or "
    elif isinstance(error, IsADirectoryError):
        return RunError(f"{path} is a folder; name a file in it")
    elif blocking := next((place for place in path.parents if place.is_file()), None):
        return RunError(f"cannot write {path}: {blocking} is a file; choose another folder")
    return RunError(f"cannot write {path}: {error.strerror or error}; {way_out}choose another folder")
