"""Make the slide that the benchmarks read: real tissue in two sections on glass, a pyramid of JPEG tiles.

    python benchmarks/make_slide.py FOLDER [--size 24000x18000] [--share 0.5] [--gaps]

The tissue is that of `../shared/data/kidney/tiles` (0.5 um/px), doubled to 0.25 um/px, turned and strewn; it is made
tile by tile, so that a slide of any size fits into memory, and kept in FOLDER for the next time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import gettempdir

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.slides import GLASS, Painter, Pixels, reduce, write_pyramid

TILES = Path(__file__).parents[1] / "../shared/data/kidney/tiles/images"
CELL = 2048  # level-0 px that one source tile covers
FACTORS = (1, 4, 16)


def main() -> None:
    parser = slide_parser(__doc__, size="24000x18000")
    parser.add_argument("--gaps", action="store_true", help="store no tiles where there is no tissue")
    options = parser.parse_args()
    print(make_slide(options.folder, options.tiles, size=options.size, share=options.share, gaps=options.gaps))


def slide_parser(description: str | None, *, size: str) -> argparse.ArgumentParser:
    """Read which slide is to be made, of which tissue and where."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(gettempdir()) / "glomseg-benchmark")
    parser.add_argument("--tiles", type=Path, default=TILES)
    parser.add_argument("--size", type=size_px, default=size, help="in px")
    parser.add_argument("--share", type=float, default=0.5, help="of the slide that is tissue")
    return parser


def size_px(text: str) -> tuple[int, int]:
    """Read a size such as 24000x18000: (width, height)."""
    width, height = (int(side) for side in text.split("x"))
    return width, height


def make_slide(
    folder: Path,
    tiles: Path = TILES,
    *,
    size: tuple[int, int] = (24_000, 18_000),
    share: float = 0.5,
    gaps: bool = False,
) -> Path:
    """Write the slide of `size` (width, height) into `folder`, or find it there from the last time."""
    path = folder / f"tissue_{size[0]}x{size[1]}_{share:g}{'_gaps' if gaps else ''}.tif"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    write_pyramid(
        part,
        sections(read_tissue(tiles), size, share, gaps),
        0.25,
        size=size,
        factors=FACTORS,
        tile=512,
        compression="jpeg",
        level=80,
        bigtiff=size[0] * size[1] > 1e9,
    )
    return part.rename(path)


def read_tissue(folder: Path) -> list[dict[int, Pixels]]:
    """Read the tiles that are nearly all tissue, at the size of every level."""
    found = []
    for path in sorted((*folder.glob("*.png"), *folder.glob("*.jpg"))):
        image = Image.open(path).convert("RGB")
        if np.mean(np.asarray(image.resize((64, 64), Image.Resampling.BOX))[:, :, 1] < 225) > 0.8:
            full = np.asarray(image.resize((CELL, CELL), Image.Resampling.BICUBIC))
            found.append({factor: reduce(full, factor) for factor in FACTORS})
    if not found:
        raise SystemExit(f"no tiles of tissue in {folder}")
    return found


def sections(tissue: list[dict[int, Pixels]], size: tuple[int, int], share: float, gaps: bool) -> Painter:
    """Paint two rounded sections side by side that cover `share` of the slide; every cell shows a tile, turned."""
    across, down = -(-size[0] // CELL), -(-size[1] // CELL)
    rng = np.random.default_rng(0)
    choice = rng.integers(0, len(tissue), (down, across))
    turns = rng.integers(0, 4, (down, across))

    def paint(x: int, y: int, width: int, height: int, factor: int) -> Pixels | None:
        inside = _inside(x, y, width, height, factor, size, share)
        if not inside.any():
            return None if gaps else np.full((height, width, 3), GLASS, np.uint8)
        side = CELL // factor
        rows, columns = range(y // side, -(-(y + height) // side)), range(x // side, -(-(x + width) // side))
        cells = [
            np.concatenate([np.rot90(tissue[choice[row, column]][factor], turns[row, column]) for column in columns], 1)
            for row in rows
        ]
        top, left = y - rows.start * side, x - columns.start * side
        part = np.concatenate(cells)[top : top + height, left : left + width].copy()
        part[~inside] = GLASS
        return part

    return paint


def _inside(
    x: int, y: int, width: int, height: int, factor: int, size: tuple[int, int], share: float
) -> NDArray[np.bool_]:
    """Tell which pixels lie in a section: |u|^4 + |v|^4 < 1 covers 0.927 of its bounding box."""
    half_width = 0.25 * min(0.92, (share / 0.927) ** 0.5) * size[0]
    half_height = share * size[0] * size[1] / (0.927 * 8 * half_width)
    v = ((np.arange(y, y + height) + 0.5) * factor - size[1] / 2) / half_height
    at = (np.arange(x, x + width) + 0.5) * factor
    u = np.minimum(np.abs(at - size[0] / 4), np.abs(at - size[0] * 3 / 4)) / half_width
    return np.asarray(v[:, None] ** 4 + u[None, :] ** 4 < 1)


if __name__ == "__main__":
    main()
