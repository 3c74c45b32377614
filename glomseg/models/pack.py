"""Models in one file, to carry to a machine without network: a zip with the card, the weights and README of each.

What a tar of the folders does not do: nothing that is damaged goes in or comes out, and a pack that comes in is not
trusted: what its list of sha256 does not name, or what is no part of a model, is refused before anything is kept.
Nothing in it is compressed and nothing in it is dated, so the same models give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from glomseg.errors import ModelError
from glomseg.files import new_folder, replacing
from glomseg.models.card import CARD_NAME, FOREIGN_WEIGHTS, README_NAME, WEIGHTS_NAME, ModelCard
from glomseg.models.store import find_model, load_network, read_card

SUMS_NAME = "SHA256SUMS"
WEIGHTS = (WEIGHTS_NAME, *FOREIGN_WEIGHTS.values())
PARTS = (CARD_NAME, README_NAME, *WEIGHTS)
TEXT_LIMIT_BYTES = 1 << 20
"""The longest card, README or list of digests that is read."""
CHUNK_BYTES = 1 << 20

_NAME = re.compile(r"\w(?:[\w .+()-]{0,98}[\w+()-])?")
_SUM = re.compile(r"([0-9a-f]{64})  (\S.*)")


def pack_models(names: tuple[str | Path, ...], output: Path) -> dict[str, str]:
    """Write the models of these names or folders into one new file; return name -> sha256 of the weights.

    Raises ModelError for one that cannot be used here: its weights are damaged, do not fit or are not finite.
    """
    folders = {folder.name: folder for folder in (find_model(name).resolve() for name in names)}
    if len(folders) < len(names):
        raise ModelError(f"{len(names)} models, but only {len(folders)} names; give each model and each name once")
    for name in folders:
        if not _NAME.fullmatch(name):
            raise ModelError(f"model {name!r} has a name that not every system takes; rename its folder")
    if output.exists():
        raise ModelError(f"{output} exists already; remove it, or choose another name")
    sums: dict[str, str] = {}
    weights: dict[str, str] = {}
    with replacing(output) as path, zipfile.ZipFile(path, "w") as archive:
        for name, folder in sorted(folders.items()):
            card = read_card(folder)
            load_network(folder, card)
            for part in (CARD_NAME, README_NAME, card.weights_name):
                if part != README_NAME or (folder / part).is_file():
                    sums[f"{name}/{part}"] = _add(archive, f"{name}/{part}", folder / part)
            weights[name] = sums[f"{name}/{card.weights_name}"]
            if weights[name] != card.weights_sha256:
                raise ModelError(f"{folder}: the weights were changed meanwhile; try again")
        text = "".join(f"{digest}  {entry}\n" for entry, digest in sums.items())
        archive.writestr(_info(SUMS_NAME), text)
    return weights


def _info(name: str) -> zipfile.ZipInfo:
    """Return the head of an entry that says nothing about when and where it was made."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o100644 << 16
    return info


def _add(archive: zipfile.ZipFile, entry: str, source: Path) -> str:
    """Copy a file into the archive and return its sha256."""
    info = _info(entry)
    try:
        info.file_size = source.stat().st_size
        opened = source.open("rb")
    except OSError as error:
        raise ModelError(f"{source}: cannot be read ({error.strerror}); fetch the model again") from error
    with opened, archive.open(info, "w") as target:
        return _copy(opened, target)


def _copy(source: IO[bytes], target: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def unpack_models(file: Path, folder: Path) -> dict[str, Path]:
    """Make a new model folder in `folder` of each model in a pack, whole or not at all; return name -> folder.

    Raises ModelError for a file that is damaged or no pack, RunError where a model of the name is there already.
    """
    made: dict[str, Path] = {}
    with _opened(file) as archive, ExitStack() as stack:
        for name, entries in _models(archive, file).items():
            made[name] = folder / name
            target = stack.enter_context(new_folder(made[name]))
            for part, (info, expected) in entries.items():
                with archive.open(info) as source, (target / part).open("wb") as written:
                    digest = _copy(source, written)
                if digest != expected:
                    raise _refusal(file, f"{info.filename} is damaged")
            text = (target / CARD_NAME).read_text(encoding="utf-8")
            card = ModelCard.from_json(text, f"{file}: {name}/{CARD_NAME}")
            if entries.keys() - {README_NAME} != {CARD_NAME, card.weights_name}:
                raise _refusal(file, f"{name} has other files than its card names")
            if card.weights_sha256 != entries[card.weights_name][1]:
                raise _refusal(file, f"the weights of {name} are not those of its card")
    return made


@contextmanager
def _opened(file: Path) -> Iterator[zipfile.ZipFile]:
    if file.exists() and not file.is_file():  # a device or a pipe may have no end
        raise ModelError(f"{file}: no file; check the path")
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except FileNotFoundError as error:
        raise ModelError(f"{file}: no such file; check the path") from error
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror or error}); check the path") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise _refusal(file, " ".join(str(error).split())[:200] or "cut short") from error


def _refusal(file: Path, reason: str) -> ModelError:
    return ModelError(
        f"{file}: not a whole pack of models ({reason}); copy it again, or make it anew with `glomseg models pack`"
    )


def _models(archive: zipfile.ZipFile, file: Path) -> dict[str, dict[str, tuple[zipfile.ZipInfo, str]]]:
    """Return name -> part -> entry and sha256, of a pack that holds whole models and nothing else."""
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) < len(archive.infolist()):
        raise _refusal(file, "an entry is there twice")
    _check_sizes(entries, file)
    listed = entries.pop(SUMS_NAME, None)
    if listed is None:
        raise _refusal(file, f"no {SUMS_NAME} in it")
    sums = {}
    for line in archive.read(listed).decode("utf-8").splitlines():
        match = _SUM.fullmatch(line)
        if match is None:
            raise _refusal(file, f"{SUMS_NAME} has the line {line[:80]!r}")
        sums[match[2]] = match[1]
    if sums.keys() != entries.keys() or not entries:
        raise _refusal(file, f"{SUMS_NAME} does not name what is in it")
    models: dict[str, dict[str, tuple[zipfile.ZipInfo, str]]] = {}
    for entry, info in entries.items():
        name, _, part = entry.partition("/")
        if not _NAME.fullmatch(name) or part not in PARTS:
            raise _refusal(file, f"{entry[:80]!r} is no part of a model")
        models.setdefault(name, {})[part] = info, sums[entry]
    for name, parts in models.items():
        if CARD_NAME not in parts or not parts.keys() & set(WEIGHTS):
            raise _refusal(file, f"{name} has no card or no weights")
    return models


def _check_sizes(entries: dict[str, zipfile.ZipInfo], file: Path) -> None:
    """Refuse what would take more room unpacked than it takes packed, or more memory than its text should."""
    for name, info in entries.items():
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise _refusal(file, f"{name[:80]!r} is compressed or encrypted")
        if not name.endswith(WEIGHTS) and info.file_size > TEXT_LIMIT_BYTES:
            raise _refusal(file, f"{name[:80]!r} has {info.file_size} bytes")
    if sum(info.file_size for info in entries.values()) > file.stat().st_size:
        raise _refusal(file, "it claims to hold more than its own size")
