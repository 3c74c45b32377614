"""What stands where we write: a file of a person's is refused, and of a table of ours what they changed is kept.

.written.json    in a folder with our tables: the sha256 of each as we wrote it
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from glomseg.errors import RunError
from glomseg.files import cannot_write, from_json, json_text, read_csv, replacing, utf8, write_texts

RECORD = ".written.json"

_LOOKED_AT = 1 << 24
"""So many bytes of a file tell what it is: a slide that stands there instead may have any number."""


def write_kept(texts: Mapping[Path, str]) -> tuple[str, ...]:
    """Write texts of one folder as `write_texts` does, and first keep beside it what a person changed of each.

    A table that is not as it was written last, or of which nobody wrote that down (it was copied here alone), is copied
    to NAME-1, or the next number that is free. Returns what was kept, in words; raises RunError.
    """
    said = tuple(_keep(path) for path, text in texts.items() if _is_changed(path, utf8(text)))
    by_folder: dict[Path, dict[str, str]] = {}
    for path, text in texts.items():
        by_folder.setdefault(path.parent, _noted(path.parent))[path.name] = _sha256(utf8(text))
    notes = {folder / RECORD: json_text(noted) + "\n" for folder, noted in by_folder.items()}
    write_texts({**notes, **texts})
    return said


def remove_kept(path: Path) -> tuple[str, ...]:
    """Remove a table of ours, and first keep beside it what a person changed, as `write_kept` does."""
    said = (_keep(path),) if _is_changed(path) else ()
    path.unlink(missing_ok=True)
    return said


def _noted(folder: Path) -> dict[str, str]:
    """Return the sha256 of each table of a folder as it was written last; nothing where nobody wrote that down."""
    try:
        noted = from_json((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(digest) for name, digest in noted.items()} if isinstance(noted, dict) else {}


def _is_changed(path: Path, will_be: bytes | None = None) -> bool:
    """Tell whether a table is there that may be neither as it was written last nor as it will be."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise cannot_write(path, error) from error
    return content != will_be and _sha256(content) != _noted(path.parent).get(path.name)


def free_name(path: Path) -> Path:
    """Name where a file can be kept beside its place: NAME-1, or the next number that is free."""
    numbers = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(1))
    return next(place for place in numbers if not place.exists())


def _keep(path: Path) -> str:
    kept = free_name(path)
    with replacing(kept) as temporary:
        shutil.copyfile(path, temporary)
    was = "was" if path.name in _noted(path.parent) else "may have been"
    return f"{path.name} {was} changed since glomseg wrote it; as it was it is {kept} now"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def refuse_other_table(path: Path, columns: Sequence[str]) -> None:
    """Raise RunError where a table stands at `path` that has few of these columns: it is a person's, such as a sheet.

    A table of another version has most of them, and of one that was written by `write_kept` that keeps what is changed.
    """
    if path.name in _noted(path.parent):
        return
    try:
        found = read_csv(path)[0]
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, UnicodeDecodeError, csv.Error):
        found = []
    if len(set(found) & set(columns)) < len(columns) / 3:
        raise RunError(f"{path} is there and not of glomseg, so nothing was written; choose another `output`")


def refuse_own_columns(path: Path, columns: Collection[str]) -> None:
    """Raise RunError where a person wrote columns of their own into a table of ours, which would go with it.

    Not where it was written by `write_kept`, which keeps it.
    """
    if path.name in _noted(path.parent):
        return
    try:
        own = [name for name in read_csv(path)[0] if name and name not in columns]
    except (OSError, UnicodeDecodeError, csv.Error):
        return
    if own:
        named = ", ".join(map(repr, own[:3]))
        raise RunError(
            f"{path} has columns that glomseg does not write ({named}), so nothing was written; "
            "choose another `output`, or move that table away"
        )


def refuse_other_file(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Raise RunError where a file stands at `path` that `is_ours` does not know by its beginning: it is a person's."""
    try:
        with path.open("rb") as file:
            content = file.read(_LOOKED_AT)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise cannot_write(path, error) from error
    if not is_ours(content):
        raise RunError(f"{path} is there and not of glomseg, so nothing was written; choose another `output`")
