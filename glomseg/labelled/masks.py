"""Read a mask file as numbers or as polygons, by one rule for every command.

How its values are read is decided once for a file (`look_at`), strip by strip, so that memory goes with the objects
and not with the slide.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import LabelError
from glomseg.geometry import Geometries
from glomseg.labelled.label_block import LabelPixels
from glomseg.labelled.label_census import LabelCensus, TooManyValues
from glomseg.labelled.label_objects import MAX_RUNS, Runs, merged, objects_of, runs_of
from glomseg.labelled.label_pieces import refuse_pieces
from glomseg.labelled.label_pixels import open_label
from glomseg.labelled.label_values import LabelKind, LabelReading, SaidOfValues, decide
from glomseg.slides.pixel_size import Mpp


@dataclass(frozen=True, kw_only=True)
class Mask:
    """The objects of a mask file in its own pixels, in reading order, each with its value; size is (width, height)."""

    geometries: Geometries
    values: NDArray[np.int64]
    size: tuple[int, int]
    mpp: Mpp
    reading: LabelReading


@dataclass(frozen=True, kw_only=True)
class Label:
    """A mask read whole: `numbers` (H, W), 0 for background, and how they were read."""

    numbers: NDArray[Any]
    reading: LabelReading


def look_at(path: Path, *, numbers: Collection[int] | None = None) -> LabelReading:
    """Look through a mask file and decide how its values are read.

    `numbers` are those to which a file beside it gives a meaning. Raises LabelError for a file that is no mask, or
    could be meant in two ways.
    """
    with open_label(path) as pixels:
        reading = decide(_census(pixels, path), _said(pixels, numbers), str(path))
        refuse_pieces(_runs(pixels, reading, path), pixels.size, path, named=numbers is not None)
    return reading


def read_label(path: Path, *, numbers: Collection[int] | None = None, reading: LabelReading | None = None) -> Label:
    """Read a mask whole; `reading` is how, where `look_at` said it before. Raises LabelError."""
    with open_label(path) as pixels:
        width, height = pixels.size
        values = pixels.read(0, 0, width, height)
        if reading is None:
            reading = decide(_census(pixels, path), _said(pixels, numbers), str(path))
            refuse_pieces(_runs(pixels, reading, path), pixels.size, path, named=numbers is not None)
    return Label(numbers=reading.numbers_of(values), reading=reading)


def read_mask(path: Path, *, numbers: Collection[int] | None = None) -> Mask:
    """Read a mask and outline its objects.

    What touches, corners included, is one object in black and white; neighbours of two numbers are two objects. Raises
    LabelError as `look_at` does.
    """
    with open_label(path) as pixels:
        reading = decide(_census(pixels, path), _said(pixels, numbers), str(path))
        runs = _runs(pixels, reading, path)
        size, mpp, bits = pixels.size, pixels.mpp, 8 * pixels.said.dtype.itemsize
    refuse_pieces(runs, size, path, named=numbers is not None)
    shapes, kinds = objects_of(runs, size[0], path, wide=bits > 8 and reading.kind is LabelKind.NUMBERED)
    return Mask(geometries=shapes, values=kinds, size=size, mpp=mpp, reading=reading)


def outline(values: NDArray[Any], path: Path = Path("mask")) -> tuple[Geometries, NDArray[np.int64]]:
    """Outline the objects of an array (H, W), as `read_mask` does those of a file; returns them and their values.

    `path` names it in an error.
    """
    census = LabelCensus()
    if values.size:
        census.add(values)
        census.fill_up((values.shape[1], values.shape[0]))
    reading = decide(census, SaidOfValues(dtype=values.dtype), str(path))
    wide = values.dtype.itemsize > 1 and reading.kind is LabelKind.NUMBERED
    return objects_of(merged([runs_of(reading.numbers_of(values), 0, 0)]), values.shape[1], path, wide=wide)


def _said(pixels: LabelPixels, numbers: Collection[int] | None) -> SaidOfValues:
    return pixels.said if numbers is None else replace(pixels.said, numbers=frozenset(numbers))


def _runs(pixels: LabelPixels, reading: LabelReading, path: Path) -> Runs:
    """Cut a whole mask into runs, in reading order; raises LabelError for what has more than a mask has."""
    runs: list[Runs] = []
    count = 0
    for block in pixels.blocks():
        runs.append(runs_of(reading.numbers_of(block.values), block.x, block.y))
        count += len(runs[-1])
        if count > MAX_RUNS:
            raise LabelError(f"{path} has objects in {count} pieces; is it a mask, and not a picture?")
    return merged(runs)


def _census(pixels: LabelPixels, path: Path) -> LabelCensus:
    census = LabelCensus()
    try:
        for block in pixels.blocks():
            census.add(block.values, x=block.x, y=block.y, size=pixels.size)
            census.coloured |= block.coloured
    except TooManyValues as error:
        raise LabelError(f"{path} has {error} values; is it a mask, and not a picture?") from error
    census.fill_up(pixels.size)
    return census
