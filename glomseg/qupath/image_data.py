"""The data file of an image: whether it is whole, and how it is replaced or taken away.

QuPath keeps all objects of an image in `data.qpdata`. It is in its old state or in its new one whenever a process ends,
and what somebody saves at the very moment of a replacement is put back.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from glomseg.errors import ConflictError, ProjectError, RunError
from glomseg.files import from_json, replacing
from glomseg.qupath.project import ImageState, folder_state
from glomseg.qupath.swap import keep_beside, put_back, sha256_of, swap

DATA = "data.qpdata"
_BEGINNING, _END = b"\xac\xed\x00\x05", b"t\x00\x03EOF"  # of Java's serialisation, and of QuPath's own

_BLOCK = 4096  # bytes of a disk's block


class SavedOverError(ConflictError):
    """Somebody saved over what was just written; where their save is cut short, it may still be what counts."""


def readable_data(data_folder: Path) -> Path | None:
    """Return the complete data file of an image, or None where QuPath has never saved it.

    A QuPath that was killed while it saved leaves `data.qpdata` cut short or missing, and the former data in
    `data.qpdata.bkp`, which is then what counts, as it does for QuPath. Raises ProjectError where neither is complete.
    """
    data, backup = data_folder / DATA, data_folder / f"{DATA}.bkp"
    for path in (data, backup):
        try:
            if path.is_file() and is_complete(path):
                return path
        except OSError as error:
            raise ProjectError(f"{path} cannot be read ({error.strerror}); check the folder's rights") from error
    if data.is_file() or backup.is_file():
        raise ProjectError(
            f"{data} is damaged; bring a backup back, yours or one of those that `glomseg restore PROJECT "
            f"{data_folder.name}` lists"
        )
    if count := _objects_said(data_folder):
        raise ProjectError(
            f"{data} is missing, and summary.json beside it says that {count} objects stood there; wait until the "
            f"share has it, or bring a backup back: `glomseg restore PROJECT {data_folder.name}` lists them"
        )
    return None


def other_copies(data_folder: Path) -> list[Path]:
    """List what lies beside an image's data and may be it: a sync tool's copy after a conflict, or one that we kept."""
    return sorted(
        path
        for path in data_folder.glob("*.qpdata")
        if path.name != DATA and not path.name.startswith(".") and path.is_file()
    )


def say_other_copies(data_folder: Path) -> tuple[str, ...]:
    """Say that there are such copies: what people did in them is neither seen nor counted; or that one counts."""
    names = ", ".join(path.name for path in other_copies(data_folder))
    return (*_say_half_a_save(data_folder), *(_say_copies(names, data_folder) if names else ()))


def _say_half_a_save(data_folder: Path) -> tuple[str, ...]:
    try:
        data = readable_data(data_folder)
    except ProjectError:  # said by whoever reads them
        return ()
    if data is None or data.name == DATA:
        return ()
    return (
        f"its {DATA} is missing or cut short, as QuPath leaves it that is ended while it saves; what counts is "
        f"{data.name}, of before that save",
    )


def _say_copies(names: str, data_folder: Path) -> tuple[str, ...]:
    return (
        f"beside its data lies {names}, which nobody reads: of two who saved at once, the work of one may be in there; "
        f"`glomseg restore PROJECT {data_folder.name}` lists it, too",
    )


def _objects_said(data_folder: Path) -> int:
    """Return how many objects an image has by its summary; 0 where there is none that can be read."""
    try:
        count = from_json((data_folder / "summary.json").read_bytes())["hierarchy"]["nObjects"]
        return int(count)
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError):
        return 0


def is_complete(path: Path) -> bool:
    """Tell whether a data file begins and ends as QuPath's do."""
    with path.open("rb") as file:
        beginning = file.read(len(_BEGINNING))
        file.seek(max(0, path.stat().st_size - len(_END)))
        return beginning == _BEGINNING and file.read() == _END


def has_hole(path: Path | None) -> bool:
    """Tell whether whole blocks of a file are zeros, as a crash or a share leaves them; no data of QuPath's are so."""
    if path is None:
        return False
    try:
        with path.open("rb") as file:
            return any(not block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK), b"") if len(block) == _BLOCK)
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror}); check the folder's rights") from error


def check_unchanged(data_folder: Path, expected: ImageState, name: str) -> None:
    """Raise ConflictError where the data of an image, which is called `name`, is not in the expected state."""
    if folder_state(data_folder) != expected:
        raise ConflictError(_saved_meanwhile(name))


def _saved_meanwhile(name: str) -> str:
    return (
        f"{name} was saved by somebody else meanwhile, so nothing was written; close it in QuPath and run the same "
        "command again"
    )


def replace_data(new: Path, data_folder: Path, expected: ImageState, name: str) -> None:
    """Put a file in the place of an image's data; raises ConflictError where that is not as expected, up to the end.

    What was replaced is compared too: where somebody saved after the last look, theirs is put back. Half a save is
    kept beside the data: its QuPath may have been killed, or may be slow and go on writing. Where somebody saves over
    what was put there at once, that is a conflict as well.
    """
    sha256 = sha256_of(new)

    def put(ours: Path, target: Path) -> None:
        swap(ours, target)
        if (sha256_of(ours) if ours.exists() else None) == expected.sha256:
            if ours.exists() and not is_complete(ours):
                keep_beside(ours, target)
            return
        theirs = put_back(ours, target, sha256)
        kept = f"; what was saved in between is in {theirs}" if theirs else ""
        raise ConflictError(f"{_saved_meanwhile(name)}{kept}")

    try:
        with replacing(data_folder / DATA, lambda: check_unchanged(data_folder, expected, name), put) as temporary:
            shutil.copy2(new, temporary)
    except RunError as error:
        if isinstance(error.__cause__, FileExistsError | FileNotFoundError):
            raise ConflictError(_saved_meanwhile(name)) from error
        raise
    check_written(data_folder, sha256, name)


def check_written(data_folder: Path, sha256: str | None, name: str) -> None:
    """Raise SavedOverError where the data that was just written, of this sum, or removed, stands so no more."""
    if folder_state(data_folder).sha256 != sha256:
        raise SavedOverError(
            f"{name} was saved by somebody else right after it was written, so what was written is gone; close it in "
            "QuPath and run the same command again"
        )


def remove_data(data_folder: Path, expected: ImageState) -> None:
    """Take an image's data away, unless somebody saves it meanwhile; raises ConflictError."""
    target, aside, name = data_folder / DATA, data_folder / f"{DATA}.bkp", f"image {data_folder.name}"
    check_unchanged(data_folder, expected, name)
    if target.is_file():
        try:
            target.replace(aside)
        except FileNotFoundError:
            raise ConflictError(_saved_meanwhile(name)) from None
        if sha256_of(aside) != expected.sha256:
            swap(aside, target)
            raise ConflictError(_saved_meanwhile(name))


def put_file(source: Path, target: Path) -> None:
    """Copy a file, with its times, to the place of another, whole or not at all; raises RunError."""
    with replacing(target) as temporary:
        shutil.copy2(source, temporary)
