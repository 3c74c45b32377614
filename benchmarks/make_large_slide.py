"""Make a slide as large as a scanner's in seconds: the tissue of `make_slide.py`, each different block encoded once.

    python benchmarks/make_large_slide.py FOLDER [--size 50000x50000] [--share 0.5]

Cells of one picture and turn have the same blocks inside a section, so that a slide of 2,500 MP has a few thousand
blocks that differ; they are encoded by several processes and written as often as they stand in it. Reading it costs
what reading any slide of its size costs. Without a folder of pictures the tissue is a generated one.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import numpy as np
import simplejpeg
import tifffile
from make_slide import CELL, FACTORS, _inside, read_tissue, sections, slide_parser
from support.slides import GLASS, Painter, Pixels, reduce

BLOCK = 512
QUALITY = 80


def main() -> None:
    options = slide_parser(__doc__, size="50000x50000").parse_args()
    print(make_large_slide(options.folder, options.tiles, size=options.size, share=options.share))


def make_large_slide(
    folder: Path, tiles: Path | None, *, size: tuple[int, int], share: float = 0.5, mpp: float = 0.25
) -> Path:
    """Write the slide of `size` (width, height) into `folder`, or find it there from the last time."""
    real = tiles is not None and tiles.is_dir()
    path = folder / f"large_{size[0]}x{size[1]}_{share:g}{'' if real else '_generated'}.tif"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    context = get_context("fork" if "fork" in get_all_start_methods() else None)
    start = (tiles if real else None, size, share)
    _start(*start)  # what is read here is there in a process that is forked
    with (
        ProcessPoolExecutor(os.cpu_count(), context, _start, start) as pool,
        tifffile.TiffWriter(part, bigtiff=True) as tiff,
    ):
        for level, factor in enumerate(FACTORS):
            width, height = size[0] // factor, size[1] // factor
            keys = _keys(width, height, factor, size, share, len(_tissue(start[0])))
            places = {key: place for place, key in keys.items()}
            encoded = dict(zip(places, pool.map(_encode, places.values(), chunksize=8), strict=True))
            tiff.write(
                (encoded[key] for key in keys.values()),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(BLOCK, BLOCK),
                photometric="ycbcr",
                subsampling=(2, 2),
                compression="jpeg",
                metadata=None,
                subfiletype=1 if level else 0,
                resolution=(1e4 / (mpp * factor), 1e4 / (mpp * factor)),
                resolutionunit="CENTIMETER",
            )
    return part.rename(path)


def _keys(
    width: int, height: int, factor: int, size: tuple[int, int], share: float, pictures: int
) -> dict[tuple[int, int, int], object]:
    """Give each block (x, y, factor) of a level a key that it shares with those that look the same."""
    choice, turns = _arrangement(size, pictures)
    keys: dict[tuple[int, int, int], object] = {}
    for y in range(0, height, BLOCK):
        for x in range(0, width, BLOCK):
            inside = _inside(x // 32, y // 32, BLOCK // 32, BLOCK // 32, factor * 32, size, share)
            row, column = y * factor // CELL, x * factor // CELL
            whole = inside.all() and factor * BLOCK <= CELL and x + BLOCK <= width and y + BLOCK <= height
            keys[x, y, factor] = (
                (int(choice[row, column]), int(turns[row, column]), y * factor % CELL, x * factor % CELL)
                if whole
                else (x, y)
                if inside.any()
                else "glass"
            )
    return keys


def _arrangement(size: tuple[int, int], pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which picture each cell shows, and how it is turned, as `sections` strews them."""
    across, down = -(-size[0] // CELL), -(-size[1] // CELL)
    rng = np.random.default_rng(0)
    return rng.integers(0, pictures, (down, across)), rng.integers(0, 4, (down, across))


_KEPT: dict[object, list[dict[int, Pixels]]] = {}


def _tissue(tiles: Path | None) -> list[dict[int, Pixels]]:
    if tiles not in _KEPT:
        _KEPT[tiles] = generated() if tiles is None else read_tissue(tiles)
    return _KEPT[tiles]


def generated() -> list[dict[int, Pixels]]:
    """Paint some cells of no real tissue: pink ground with structures of all sizes, and dark round ones."""
    from scipy import ndimage

    made = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        ground = sum(
            ndimage.zoom(rng.normal(0, 1, (CELL // step + 1,) * 2), step, order=1)[:CELL, :CELL] for step in (4, 16, 64)
        )
        y, x = np.mgrid[:CELL, :CELL]
        for _ in range(4):
            at = rng.integers(400, CELL - 400, 2)
            ground += np.where(np.hypot(y - at[0], x - at[1]) < 380, 2.5, 0)
        shade = 22 * ground[:, :, None] * np.array([0.6, 1.2, 0.5])
        full = np.clip(np.array([215, 160, 205]) - shade, 0, 255).astype(np.uint8)
        made.append({factor: reduce(full, factor) for factor in FACTORS})
    return made


_PAINTERS: dict[object, Painter] = {}


def _start(tiles: Path | None, size: tuple[int, int], share: float) -> None:
    """Prepare a process to paint one slide."""
    if (tiles, size, share) not in _PAINTERS:
        _PAINTERS.clear()
        _PAINTERS[tiles, size, share] = sections(_tissue(tiles), size, share, False)


def _encode(place: tuple[int, int, int]) -> bytes:
    """Paint and encode the block at (x, y) of the level that is reduced by a factor."""
    x, y, factor = place
    (((_, size, _), paint),) = _PAINTERS.items()
    width, height = (min(BLOCK, side // factor - at) for side, at in zip(size, (x, y), strict=True))
    pixels = np.full((BLOCK, BLOCK, 3), GLASS, np.uint8)
    pixels[:height, :width] = paint(x, y, width, height, factor)
    return simplejpeg.encode_jpeg(pixels, QUALITY, "RGB", "420")


if __name__ == "__main__":
    main()
