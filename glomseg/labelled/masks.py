"""Turn a mask file into polygons, strip by strip, so that memory goes with the objects and not with the slide.

A mask is cut into runs: stretches of one value in one row. Runs that touch, corners included, are one object (as
KPIs' own tools join them), whose polygon follows the pixels' edges: its area is its number of pixels, whatever tiles
the file has.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glomseg.errors import EvaluationError
from glomseg.geometry import Geometries, geometries
from glomseg.slides.readers import BROKEN, Mpp, reason
from glomseg.slides.tiff import tiff_mpp

Runs = NDArray[np.int64]
"""(N, 4): row, first column, column after the last, value."""

HALF = 128
"""Masks with values from here on are black and white; JPEG blurs them, so this is the border between the two."""
COLOUR = 48
"""Channels of a mask are alike; those of a picture differ by more than this. JPEG blurs a little."""
MAX_RUNS = 10_000_000
MAX_OBJECT_RUNS = 200_000
"""More pieces than any object has: the noise of a picture."""
MAX_STRIP_PX = 500_000_000
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Mask:
    """The objects of a mask file in its own pixels, in reading order, each with its value; size is (width, height)."""

    geometries: Geometries
    values: NDArray[np.int64]
    size: tuple[int, int]
    mpp: Mpp


class _BlackAndWhite(Exception):
    """A value that no class has: the mask is black and white."""


def read_mask(path: Path) -> Mask:
    """Read a mask and outline its objects.

    8-bit masks with values of 128 and more are black and white; with smaller ones every value but 0 is a class, and
    neighbours of two classes are two objects. In 16-bit and 32-bit masks every value but 0 is one object. Raises
    EvaluationError for a file that is no mask, a colour picture among them.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        return _read_tiff(path) if magic[:2] in (b"II", b"MM") else _read_plain(path)
    except BROKEN as error:
        raise EvaluationError(f"{path} cannot be read as a mask ({reason(error)}); export it again") from error


def outline(values: NDArray[Any], path: Path = Path("mask")) -> tuple[Geometries, NDArray[np.int64]]:
    """Outline the objects of an array (H, W), as `read_mask` does; returns them and their values.

    `path` names it in an error.
    """
    values = values.astype(np.uint8) if values.dtype == np.bool_ else values
    instances = values.dtype.itemsize > 1
    if not instances and values.size and values.max() >= HALF:
        values = (values >= HALF).view(np.uint8)
    return _objects(_merged([_runs(values, 0, 0)]), values.shape[1], path, instances=instances)


def _read_plain(path: Path) -> Mask:
    with Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
        if image.mode in ("I", "I;16"):
            values = np.asarray(image).astype(np.int32)
        else:
            values = np.asarray(image if image.mode in ("L", "P", "1") else image.convert("RGB"))
        values = one_channel(values, path) if values.ndim == 3 else values
    if path.suffix.lower() in (".jpg", ".jpeg"):
        values = (values >= HALF).view(np.uint8)
    found, kinds = outline(values, path)
    return Mask(geometries=found, values=kinds, size=(values.shape[1], values.shape[0]), mpp=None)


def _read_tiff(path: Path) -> Mask:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if page.dtype is None or page.dtype.kind not in "uib":
            raise EvaluationError(f"{path} has values of type {page.dtype}; a mask holds whole numbers: convert it")
        size = (int(page.imagewidth), int(page.imagelength))
        rows = page.tilelength * page.tilewidth if page.is_tiled else page.rowsperstrip * size[0]
        if min(rows, size[0] * size[1]) > MAX_STRIP_PX:
            raise EvaluationError(
                f"{path} is {size[0]} x {size[1]} px in one piece; write it in tiles: vips tiffsave IN OUT.tif --tile"
            )
        black_and_white = page.compression in (6, 7, 33007)  # JPEG, which keeps no exact values
        instances = page.dtype.itemsize > 1
        try:
            runs = list(_file_runs(path, page, instances, black_and_white))
        except _BlackAndWhite:
            runs = list(_file_runs(path, page, instances, True))
        mpp = tiff_mpp(tiff, page)
    merged = _merged(runs)
    found, values = _objects(merged, size[0], path, instances=instances)
    return Mask(geometries=found, values=values, size=size, mpp=mpp)


def one_channel(values: NDArray[Any], path: Path) -> NDArray[Any]:
    """Take the first channel of (H, W, C); raises EvaluationError where it is not like the others."""
    if values.shape[2] >= 3 and (np.abs(values[..., 1:3].astype(int) - values[..., :1]) > COLOUR).any():
        raise EvaluationError(f"{path} is a colour picture and no mask; export labels in grey, 0 for background")
    return values[..., 0]


def _file_runs(path: Path, page: Any, instances: bool, black_and_white: bool) -> Iterator[Runs]:
    """Yield the runs of the tiles or strips of a page, decoded in threads, a few at a time."""
    read = _segment_reader(page)
    options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
    options = {name: value for name, value in options.items() if value is not None}
    width, height = page.imagewidth, page.imagelength

    def work(index: int) -> Runs | None:
        data = read(index)
        if data is None:
            return None
        segment, (_, _, y, x, _), _ = page.decode(data, index, **options)
        if segment is None:
            return None
        values = one_channel(segment[0, : height - y, : width - x], path)
        top = values.max()
        if top == 0:
            return None
        if black_and_white:
            values = (values >= min(HALF, np.iinfo(values.dtype).max)).view(np.uint8)
        elif not instances and top >= HALF:
            raise _BlackAndWhite
        return _runs(values, x, y)

    count = len(page.dataoffsets) // (1 if page.planarconfig == 1 else page.samplesperpixel)
    with ThreadPoolExecutor(WORKERS) as pool:
        for first in range(0, count, 64):
            yield from (runs for runs in pool.map(work, range(first, min(first + 64, count))) if runs is not None)


def _segment_reader(page: Any) -> Callable[[int], bytes | None]:
    """Return a function that reads the bytes of a tile or strip, safe in threads; None for one that is not stored."""
    handle, lock = page.parent.filehandle, threading.Lock()

    def read(index: int) -> bytes | None:
        offset, size = page.dataoffsets[index], page.databytecounts[index]
        if not size:
            return None
        if hasattr(os, "pread"):
            data = os.pread(handle.fileno(), size, offset)
        else:
            with lock:
                handle.seek(offset)
                data = handle.read(size)
        if len(data) < size:
            raise EOFError("unexpected end of file")
        return data

    return read


def _runs(values: NDArray[Any], x: int, y: int) -> Runs:
    """Cut an array (H, W) whose corner lies at (x, y) into runs of one value other than 0, row by row."""
    if not values.size or not values.max():
        return np.zeros((0, 4), np.int64)
    busy = np.flatnonzero(values.max(axis=1))
    edged = np.zeros((len(busy), values.shape[1] + 2), values.dtype)
    edged[:, 1:-1] = values[busy]
    rows, columns = np.nonzero(edged[:, 1:] != edged[:, :-1])
    inside = edged[rows, columns + 1]
    starts = np.flatnonzero(inside != 0)
    return np.column_stack(
        [busy[rows[starts]] + y, columns[starts] + x, columns[starts + 1] + x, inside[starts].astype(np.int64)]
    ).astype(np.int64)


def _merged(parts: list[Runs]) -> Runs:
    """Put the runs of all tiles in reading order, and join those that a tile's border cuts."""
    runs = np.concatenate([np.zeros((0, 4), np.int64), *parts])
    runs = runs[np.lexsort((runs[:, 1], runs[:, 0]))]
    if not len(runs):
        return runs
    goes_on = (runs[1:, 0] == runs[:-1, 0]) & (runs[1:, 1] == runs[:-1, 2]) & (runs[1:, 3] == runs[:-1, 3])
    first = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    last = np.concatenate([first[1:], [len(runs)]]) - 1
    merged = runs[first].copy()
    merged[:, 2] = runs[last, 2]
    return merged


def _objects(runs: Runs, width: int, path: Path, *, instances: bool) -> tuple[Geometries, NDArray[np.int64]]:
    """Join runs to objects and outline them; returns the outlines and their values."""
    if not len(runs):
        return geometries([]), np.zeros(0, np.int64)
    labels = np.unique(runs[:, 3], return_inverse=True)[1] if instances else _components(runs, width)
    if np.bincount(labels).max() > MAX_OBJECT_RUNS or len(runs) > MAX_RUNS:
        raise EvaluationError(f"{path} has objects in {len(runs)} pieces; is it a mask, and not a picture?")
    order = np.argsort(labels, kind="stable")
    firsts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    rows, left, right = runs[order, 0], runs[order, 1], runs[order, 2]
    boxes = shapely.box(left, rows, right, rows + 1)
    found = [shapely.union_all(group) for group in np.split(boxes, firsts[1:])]
    return geometries([shapely.simplify(item, 0) for item in found]), runs[order[firsts], 3]


def _components(runs: Runs, width: int) -> NDArray[np.intp]:
    """Number the objects: runs of one value in neighbouring rows that touch, corners included."""
    row, left, right, value = runs.T
    stride = width + 2
    above = (row - 1) * stride
    low = np.searchsorted(row * stride + right, above + left, "left")
    high = np.searchsorted(row * stride + left, above + right, "right")
    counts = np.maximum(high - low, 0)
    below = np.repeat(np.arange(len(runs)), counts)
    skip = np.repeat(np.cumsum(counts) - counts, counts)
    over = np.repeat(low, counts) + np.arange(len(below)) - skip
    alike = value[below] == value[over]
    graph = coo_array((np.ones(int(alike.sum()), np.int8), (below[alike], over[alike])), shape=(len(runs), len(runs)))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)
