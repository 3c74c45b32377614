"""Slides made for tests: pyramids of any kind, and discs whose number, place and area are known.

Everything is drawn in level-0 pixels with the pixel-edge convention: a disc's centre (10.0, 10.0) is a corner of
four pixels. Nothing is random but by a seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from glomseg.geometry import Box
from glomseg.slides.slide import Slide

Pixels = NDArray[np.uint8]
Painter = Callable[[int, int, int, int, int], Pixels | None]
"""(x, y, width, height, factor) in pixels of the level reduced by `factor`, to (height, width, 3); None is a gap."""

GLASS = (244, 244, 244)
TISSUE = (225, 180, 215)
DISC = (120, 30, 140)


@dataclass(frozen=True)
class Disc:
    """An ellipse with its axes along x and y; `hole` is the part of the radii that is empty (0 for a full disc)."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    hole: float = 0.0
    colour: tuple[int, int, int] = DISC

    @property
    def area(self) -> float:
        return math.pi * self.radius_x * self.radius_y * (1 - self.hole**2)


@dataclass(frozen=True)
class DiscSlide:
    """The truth of a drawn slide, in level-0 pixels; `tissue` is (x, y, width, height) of the patch they lie on."""

    path: Path
    width: int
    height: int
    mpp: float | None
    tissue: tuple[int, int, int, int]
    discs: tuple[Disc, ...]


def disc_slide(
    path: Path,
    *,
    size: tuple[int, int] = (2048, 1536),
    mpp: float | None = 0.5,
    count: int = 12,
    radius_um: float = 40.0,
    discs: Sequence[Disc] | None = None,
    tissue: tuple[int, int, int, int] | None = None,
    seed: int = 0,
    kind: str = "tiff",
    **options: object,
) -> DiscSlide:
    """Draw discs on a patch of tissue on white glass and write them as a slide of `kind` (see write_pyramid).

    Without `discs`, `count` of them with radii of 0.7 to 1.3 times `radius_um` are strewn without touching; every
    third is an ellipse.
    """
    width, height = size
    margin = min(width, height) // 16
    tissue = tissue or (margin, margin, width - 2 * margin, height - 2 * margin)
    if discs is None:
        discs = strew(tissue, count, radius_um / (mpp or 0.5), seed)
    write_pyramid(path, draw(size, tissue, discs), mpp, kind=kind, **options)
    return DiscSlide(path, width, height, mpp, tissue, tuple(discs))


def strew(area: tuple[int, int, int, int], count: int, radius: float, seed: int) -> list[Disc]:
    """Place discs well inside an area, at least a fifth of a radius apart."""
    rng = np.random.default_rng(seed)
    left, top, width, height = area
    discs: list[Disc] = []
    for _ in range(10_000):
        if len(discs) == count:
            return discs
        rx = ry = radius * rng.uniform(0.7, 1.3)
        if len(discs) % 3 == 2:
            ry *= 0.75
        edge = 1.2 * rx
        x, y = rng.uniform(left + edge, left + width - edge), rng.uniform(top + edge, top + height - edge)
        if all(math.hypot(x - disc.x, y - disc.y) > rx + disc.radius_x + 0.2 * radius for disc in discs):
            discs.append(Disc(x, y, rx, ry))
    raise ValueError(f"{count} discs of radius {radius} px do not fit into {width} x {height} px")


def draw(size: tuple[int, int], tissue: tuple[int, int, int, int], discs: Sequence[Disc]) -> Pixels:
    """Paint the picture (H, W, 3): a pixel belongs to a disc when its centre does."""
    width, height = size
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = GLASS
    left, top, across, down = tissue
    picture[top : top + down, left : left + across] = TISSUE
    for disc in discs:
        x0, x1 = max(0, int(disc.x - disc.radius_x)), min(width, math.ceil(disc.x + disc.radius_x) + 1)
        y0, y1 = max(0, int(disc.y - disc.radius_y)), min(height, math.ceil(disc.y + disc.radius_y) + 1)
        y, x = np.mgrid[y0:y1, x0:x1] + 0.5
        distance = np.hypot((x - disc.x) / disc.radius_x, (y - disc.y) / disc.radius_y)
        picture[y0:y1, x0:x1][(distance <= 1) & (distance >= disc.hole)] = disc.colour
    return picture


def whole(opened: Slide) -> Box:
    """Return the box of all that a slide shows."""
    return Box(0, 0, opened.width, opened.height)


def write_pyramid(
    path: Path,
    source: Pixels | Painter,
    mpp: float | tuple[float, float] | None = 0.25,
    *,
    size: tuple[int, int] | None = None,
    kind: str = "tiff",
    factors: Sequence[int] = (1, 2, 4),
    tile: int = 256,
    compression: str = "deflate",
    level: int | None = None,
    bigtiff: bool = False,
) -> Path:
    """Write a slide; `source` is a picture, or paints tiles of a slide of `size` (width, height), one at a time.

    Kinds: `tiff` (tiled, a page a level), `ome` (OME-TIFF, levels as SubIFDs), `svs` (Aperio's description),
    `strips` (one untiled page), `png`, `jpeg` (one picture without mpp).
    """
    if isinstance(source, np.ndarray):
        size = source.shape[1], source.shape[0]
        if kind in ("png", "jpeg"):
            Image.fromarray(source).save(path, format=kind)
            return path
        if kind == "strips":
            tifffile.imwrite(path, source, photometric="rgb", compression=compression, metadata=None, **_unit(mpp, 1))
            return path
        source = _painter(source, factors)
    assert size is not None
    with tifffile.TiffWriter(path, bigtiff=bigtiff, ome=kind == "ome") as tiff:
        for index, factor in enumerate(factors):
            width, height = size[0] // factor, size[1] // factor
            tiff.write(
                _tiles(source, width, height, factor, tile),
                shape=(height, width, 3),
                dtype=np.uint8,
                tile=(tile, tile),
                photometric="rgb",
                compression=compression,
                compressionargs=None if level is None else {"level": level},
                **_place(kind, index, len(factors), size, mpp),
                **_unit(mpp if kind != "svs" else None, factor),
            )
    return path


def _painter(picture: Pixels, factors: Sequence[int]) -> Painter:
    """Cut tiles from a picture and its reductions, each the rounded mean of factor x factor pixels."""
    levels = {factor: reduce(picture, factor) for factor in factors}
    return lambda x, y, width, height, factor: levels[factor][y : y + height, x : x + width]


def reduce(picture: Pixels, factor: int) -> Pixels:
    """Average blocks of factor x factor pixels, rounded half up; what is left over at the edges is dropped."""
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    sums = blocks.sum(axis=(1, 3), dtype=np.uint32)
    return ((2 * sums + factor**2) // (2 * factor**2)).astype(np.uint8)


def _tiles(source: Painter, width: int, height: int, factor: int, tile: int) -> Iterator[Pixels | None]:
    """Paint one level tile by tile, those at its edges filled up with their last pixels."""
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            part = source(x, y, min(tile, width - x), min(tile, height - y), factor)
            if part is None and x == y == 0:
                part = np.full((tile, tile, 3), GLASS, np.uint8)  # tifffile takes the type from the first tile
            if part is not None and part.shape != (tile, tile, 3):
                part = np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)), mode="edge")
            yield part


def _unit(mpp: float | tuple[float, float] | None, factor: int) -> dict[str, object]:
    """Say the resolution of a level in pixels per centimetre."""
    if mpp is None:
        return {}
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    return {"resolution": (1e4 / (x * factor), 1e4 / (y * factor)), "resolutionunit": "CENTIMETER"}


def _place(
    kind: str, index: int, levels: int, size: tuple[int, int], mpp: float | tuple[float, float] | None
) -> dict[str, object]:
    """Say how a level stands in its file."""
    x, y = mpp if isinstance(mpp, tuple) else (mpp, mpp)
    if kind == "ome":
        if index:
            return {"subfiletype": 1}
        sizes = {"PhysicalSizeX": x, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": y, "PhysicalSizeYUnit": "µm"}
        return {"subifds": levels - 1, "metadata": {"axes": "YXS", **(sizes if mpp else {})}}
    if kind == "svs":
        text = f"Aperio Image Library v11.2.1\r\n{size[0]}x{size[1]} (256x256) JPEG/RGB Q=80"
        return {"metadata": None, "description": text + (f"|AppMag = 40|MPP = {x:.4f}" if mpp else "")}
    assert kind == "tiff", f"no such kind of slide: {kind}"
    return {"metadata": None, "subfiletype": 1 if index else 0}
