"""Which tiles of an image become training data: QuPath's grid, the annotated ones, and background.

`export_training_tiles.groovy` follows the same rules, and nothing here is random: background tiles are taken in the
order of the MD5 of "<seed>/<tile name>".
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Box
from glomseg.slides.readers import Pixels
from glomseg.training.tiles.drawing import round_half_up

COLOURED = 20  # difference between a pixel's largest and smallest channel, from which it counts as stained
STAINED_SHARE = 0.25  # of a tile's pixels, from which it counts as tissue
KNOWN_SHARE = 0.2  # of a tile's area, from which it is worth having
LONGEST_STEM = 150  # bytes of a name; a tile's adds up to 60, a temporary file's 15, and systems take 255
_EXTENSION = re.compile(r"(\.ome\.tiff?|\.ome\.zarr|\.tar\.gz|\.\w*?\.gz|\.\w*)$", re.IGNORECASE)


def grid(width: int, height: int, downsample: float, size_px: int, overlap_px: int) -> Iterator[Box]:
    """Give the level-0 boxes of QuPath's TileExporter, row by row; tiles that reach off the image are left out."""
    columns, rows = (_spans(side, downsample, size_px, overlap_px) for side in (width, height))
    for y, tall in rows:
        for x, wide in columns:
            yield Box(x, y, wide, tall)


def _spans(side: int, downsample: float, size_px: int, overlap_px: int) -> list[tuple[int, int]]:
    found = []
    for start in range(0, round_half_up(side / downsample), size_px - overlap_px):
        first, past = round_half_up(start * downsample), round_half_up((start + size_px) * downsample)
        if past <= side:
            found.append((first, past - first))
    return found


def boxes_around(
    points: Iterable[tuple[float, float]], width: int, height: int, downsample: float, size_px: int
) -> list[Box]:
    """Give one level-0 box with each point in its middle, moved onto the image as far as it fits there."""
    side = round_half_up(size_px * downsample)
    right, bottom = max(0, width - side), max(0, height - side)
    corners = [(min(max(round(x - side / 2), 0), right), min(max(round(y - side / 2), 0), bottom)) for x, y in points]
    return [Box(x, y, side, side) for x, y in dict.fromkeys(corners)]


def boxes_over(
    area: BaseGeometry, width: int, height: int, downsample: float, size_px: int, overlap_px: int
) -> list[Box]:
    """Give level-0 boxes that cover an area, those at the right and the bottom moved onto the image as far as they fit.

    Boxes that hold little of the area are left out; a part of it that is smaller than a box has one to itself.
    """
    side, step = round_half_up(size_px * downsample), round_half_up((size_px - overlap_px) * downsample)
    columns, rows = (
        sorted({*range(0, length - side - step // 4, step), max(0, length - side)}) for length in (width, height)
    )
    parts = shapely.get_parts(area)
    shapely.prepare(area)
    found = [Box(x, y, side, side) for y in rows for x in columns]
    kept = [box for box in found if shapely.intersection(area, _outline(box)).area >= KNOWN_SHARE * side**2]
    small = [part.envelope.centroid for part in parts if part.area > 0 and max(_extent(part)) <= side]
    more = boxes_around([(point.x, point.y) for point in small], width, height, downsample, size_px)
    return list(dict.fromkeys([*kept, *more]))


def _outline(box: Box) -> BaseGeometry:
    return shapely.box(box.x, box.y, box.x + box.width, box.y + box.height)


def _extent(part: BaseGeometry) -> tuple[float, float]:
    left, top, right, bottom = part.bounds
    return right - left, bottom - top


def tile_name(stem: str, box: Box, downsample: float) -> str:
    """Name a tile as QuPath's TileExporter does, without extension."""
    number = Decimal(downsample).quantize(Decimal("0.00001"), ROUND_HALF_EVEN)
    scale = "" if downsample == 1 else f"d={number.normalize():f},"
    return f"{stem} [{scale}x={box.x:.0f},y={box.y:.0f},w={box.width:.0f},h={box.height:.0f}]"


def stem_of(name: str) -> str:
    """Strip an image's extension, and what no file name may hold, as QuPath does.

    Control characters go too, a name that is nothing else becomes "image", and a long one is cut and ends in a digest
    of itself, so that the names of tiles fit.
    """
    stem = re.sub(r'[\\/:"*?<>|\x00-\x1f\x7f]+', "", _EXTENSION.sub("", name)).encode("utf-8", "replace").decode()
    if not stem.strip(". "):
        return "image"
    encoded = stem.encode()
    if len(encoded) <= LONGEST_STEM:
        return stem
    digest = hashlib.md5(encoded, usedforsecurity=False).hexdigest()[:8]
    return f"{encoded[: LONGEST_STEM - 9].decode('utf-8', 'ignore').rstrip()}~{digest}"


def tile_folders(images: Sequence[tuple[str, str]]) -> list[str]:
    """Name the folder of each image, (entry id, name): its name without extension, and its id where two are alike."""
    stems = [stem_of(name) for _, name in images]
    alike = Counter(stem.casefold() for stem in stems)
    return [
        stem if alike[stem.casefold()] == 1 else f"{stem} [{entry_id}]"
        for stem, (entry_id, _) in zip(stems, images, strict=True)
    ]


def annotated(boxes: Iterable[Box], shapes: Sequence[BaseGeometry]) -> list[bool]:
    """Tell which boxes QuPath counts as annotated: an outline comes within a level-0 pixel of them."""
    tree = shapely.STRtree(shapes)
    marks = []
    for box in boxes:
        near = shapely.box(box.x - 1, box.y - 1, box.x + box.width + 1, box.y + box.height + 1)
        marks.append(bool(len(tree.query(near, predicate="intersects"))))
    return marks


def inside(boxes: Iterable[Box], region: BaseGeometry) -> list[Box]:
    """Give the boxes that lie inside a region as a whole."""
    shapely.prepare(region)
    return [box for box in boxes if region.covers(_outline(box))]


def not_inside(boxes: Iterable[Box], area: BaseGeometry) -> list[Box]:
    """Give the boxes that do not lie inside an area as a whole."""
    shapely.prepare(area)
    return [box for box in boxes if not area.covers(_outline(box))]


def draw_background(names: Sequence[str], count: int, seed: int, read: Callable[[int], Pixels]) -> list[int]:
    """Choose up to `count` empty tiles that show tissue; returns their positions in `names`, `read` gives pixels."""
    order = sorted(range(len(names)), key=lambda position: _rank(names[position], seed))
    chosen: list[int] = []
    for position in order:
        if len(chosen) == count:
            break
        if shows_tissue(read(position)):
            chosen.append(position)
    return chosen


def shows_tissue(pixels: Pixels) -> bool:
    """Tell whether enough of a tile (H, W, 3) is stained."""
    spread = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    return bool(np.count_nonzero(spread >= COLOURED) >= STAINED_SHARE * spread.size)


def _rank(name: str, seed: int) -> str:
    return hashlib.md5(f"{seed}/{name}".encode(), usedforsecurity=False).hexdigest()
