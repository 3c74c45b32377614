"""Read the AIDPATH kidney data: tiles with their masks, and single glomeruli cut out; split them without a leak.

Layout of a data folder: `tiles/{images,masks}/<id>.png` and `crops/images/{sclerotic,non_sclerotic}/<name>.jpg` with
`crops/masks/<name>.png`. Pairs are matched by name. A crop's name begins with its slide, so crops are split by slide.
The id of a tile carries no slide: tiles are split by runs of neighbouring ids, the best guess at one biopsy, and two
parts may still share one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from glomseg.errors import TrainingError
from glomseg.geometry import Bools, Bytes

TILE_UM_PX = 0.5
CROP_PX = 160
"""Crops are kept at this size: the largest that they are ever pasted at."""

UNLABELLED = {"10165": (270, 230, 690, 630)}
"""Tile id -> box (left, top, right, bottom) around a tuft that the annotators left out: never learned from."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Tissue at `TILE_UM_PX`: image (H, W, 3), label (glomerulus) and ignore (no label to trust), both (H, W)."""

    name: str
    image: Bytes
    label: Bools
    ignore: Bools


@dataclass(frozen=True, slots=True)
class Crop:
    """One glomerulus, tightly cut, its scale lost: image (S, S, 3), mask (S, S), and what it is."""

    name: str
    slide: str
    image: Bytes
    mask: Bools
    sclerotic: bool


@dataclass(frozen=True, slots=True)
class Part:
    """The tiles and crops of one part of a split."""

    tiles: tuple[Tile, ...]
    crops: tuple[Crop, ...]


@dataclass(frozen=True, slots=True)
class Split:
    """Train to learn from, validation to choose by, test to report on."""

    train: Part
    validation: Part
    test: Part


def _read(path: Path, mode: str) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert(mode)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error


def _mask_of(path: Path, image: Image.Image) -> Image.Image:
    if not path.is_file():
        raise TrainingError(f"{path}: no mask of that name for its image; add it or remove the image")
    mask = _read(path, "L")
    if mask.size != image.size:
        raise TrainingError(f"{path}: {mask.size} px, but its image has {image.size}; export the pair again")
    return mask


def read_tiles(folder: Path) -> tuple[Tile, ...]:
    """Read `folder/images` and `folder/masks`, sorted by name; raise TrainingError for a pair that does not match."""
    tiles = []
    for path in sorted((folder / "images").glob("*.png")):
        image = _read(path, "RGB")
        label = np.asarray(_mask_of(folder / "masks" / path.name, image)) >= 128
        ignore = np.zeros(label.shape, dtype=np.bool_)
        if path.stem in UNLABELLED:
            left, top, right, bottom = UNLABELLED[path.stem]
            ignore[top:bottom, left:right] = True
        tiles.append(Tile(path.stem, np.asarray(image), label, ignore & ~label))
    if not tiles:
        raise TrainingError(f"{folder}: no images/*.png in it; give a folder with tiles/ and crops/")
    return tuple(tiles)


def slide_of(crop_name: str) -> str:
    """Return the slide that a crop was cut from: its name without the running number, and one name a slide."""
    name = crop_name.rsplit("-", 1)[0]
    match = re.match(r"(SAS_\d+|SESCAM_\d+|VUHSK_\d+)", name)
    return match.group(1) if match else name


def read_crops(folder: Path) -> tuple[Crop, ...]:
    """Read both classes of crops, sorted by name, shrunk to `CROP_PX`; raise TrainingError as `read_tiles` does."""
    crops = []
    for kind in ("non_sclerotic", "sclerotic"):
        for path in sorted((folder / "images" / kind).glob("*.jpg")):
            image = _read(path, "RGB")
            mask = _mask_of(folder / "masks" / f"{path.stem}.png", image)
            size = (CROP_PX, CROP_PX)
            label = np.asarray(mask.resize(size, Image.Resampling.BOX)) >= 128
            if not label.any():
                raise TrainingError(f"{path}: its mask is empty; draw the glomerulus or remove the crop")
            pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
            crops.append(Crop(path.stem, slide_of(path.stem), pixels, label, kind == "sclerotic"))
    if not crops:
        raise TrainingError(f"{folder}: no crops in images/; give a folder with tiles/ and crops/")
    return tuple(crops)


def tile_groups(names: Sequence[str], *, gap: int = 5) -> list[list[str]]:
    """Group tile ids into runs whose neighbours differ by at most `gap`; an id that is no number stands alone."""
    groups: list[list[str]] = []
    last: int | None = None
    for name in sorted(names, key=lambda n: (not n.isdigit(), int(n) if n.isdigit() else 0, n)):
        number = int(name) if name.isdigit() else None
        if groups and number is not None and last is not None and number - last <= gap:
            groups[-1].append(name)
        else:
            groups.append([name])
        last = number
    return groups


def split(tiles: Sequence[Tile], crops: Sequence[Crop], *, every: int = 5) -> Split:
    """Split crops by slide and tiles by runs of ids: of every `every` groups one to validation and one to test."""
    tile_part = _deal(tile_groups([tile.name for tile in tiles]), every)
    crop_part = _deal([[slide] for slide in sorted({crop.slide for crop in crops})], every)
    parts = [
        Part(
            tuple(tile for tile in tiles if tile_part[tile.name] == part),
            tuple(crop for crop in crops if crop_part[crop.slide] == part),
        )
        for part in range(3)
    ]
    if any(not part.tiles or not part.crops for part in parts):
        raise TrainingError(f"{len(tiles)} tiles and {len(crops)} crops are too few to split three ways; add slides")
    return Split(*parts)


def joined(*parts: Part) -> Part:
    """Return one part with everything in `parts`."""
    tiles = tuple(tile for part in parts for tile in part.tiles)
    return Part(tiles, tuple(crop for part in parts for crop in part.crops))


def _deal(groups: list[list[str]], every: int) -> dict[str, int]:
    """Deal groups to parts 0 (train), 1 (validation) and 2 (test)."""
    place = {1: 1, every - 1: 2}
    return {name: place.get(i % every, 0) for i, group in enumerate(groups) for name in group}
