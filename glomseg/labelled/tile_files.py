"""What lies beside exported tiles: `<image>-tiles.json` with the names of labels, `export.json` with their scale."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from glomseg.errors import LabelError, in_words
from glomseg.files import from_json
from glomseg.labelled.names import stem_of
from glomseg.slides.pixel_size import MAX_MPP, stated_mpp

TILE = re.compile(r"^(?P<image>.+?) \[(d=[\d.]+,)?x=-?\d+,y=-?\d+,w=\d+,h=\d+(,[zt]=\d+)*\]$")
EXPORT = "export.json"
UNFINISHED = "unfinished"
_ABOVE = 3


@dataclass(frozen=True)
class TileLabels:
    """The classes that the labels of an export stand for, by number; none where the numbers count objects."""

    classes: Mapping[int, str]
    are_objects: bool = False


def tile_labels(path: Path) -> TileLabels | None:
    """Tell what the numbers in a tile's label mean, by the `-tiles.json` beside it or above; None without one.

    QuPath calls the numbers of objects `Label 12`. Raises LabelError where the file is damaged.
    """
    tile = TILE.match(stem_of(path))
    file = _above(path.parent, f"{tile['image']}-tiles.json") if tile else None
    if file is None:
        return None
    try:
        classes = {int(item["label"]): str(item["classification"]) for item in _read(file).get("labels", [])}
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise LabelError(f"{file} cannot be read ({in_words(error)}); export the tiles again") from error
    classes.pop(0, None)
    if not classes:
        return None
    if all(name == f"Label {number}" for number, name in classes.items()):
        return TileLabels({}, are_objects=True)
    return TileLabels(classes)


def tile_mpp(path: Path) -> float | None:
    """Tell um per pixel of a tile by the export.json above it; raises LabelError where that is damaged or odd."""
    file = _above(path.parent, EXPORT)
    if file is not None and _is_cut_short(file, path):
        raise LabelError(f"{file} says that its export was cut short, so that tiles are missing; export them again")
    said = None if file is None else _read(file).get("mpp")
    if said is None:
        return None
    number = said if isinstance(said, int | float) and not isinstance(said, bool) and 0 < said < MAX_MPP else math.nan
    stated = stated_mpp(number, number)
    if stated.mpp is None:
        raise LabelError(f"{file} says that its tiles have {str(said)[:20]!r} um per pixel; export the tiles again")
    return stated.mpp[0]


def is_unfinished(export: Path) -> bool:
    """Tell whether an export.json is of an export that was cut short; raises LabelError where that is damaged."""
    return _read(export).get(UNFINISHED) is True


def _is_cut_short(export: Path, tile: Path) -> bool:
    """Tell whether the export of a tile was; the script in QuPath names the folders of those images."""
    unfinished = _read(export).get(UNFINISHED)
    folder = tile.relative_to(export.parent).parts[0]
    return unfinished is True or (isinstance(unfinished, list) and folder in unfinished)


def _above(folder: Path, name: str) -> Path | None:
    """Find a file in a folder or up to three above it."""
    return next((place / name for place in (folder, *folder.parents[:_ABOVE]) if (place / name).is_file()), None)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, TypeError) as error:
        raise LabelError(f"{path} cannot be read ({in_words(error)}); export the tiles again") from error


@lru_cache(maxsize=64)
def _parsed(path: Path, modified_ns: int) -> Mapping[str, Any]:
    return dict(from_json(path.read_text(encoding="utf-8")))
