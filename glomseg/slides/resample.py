"""Resample pixels so that the value of one depends on where it lies, and not on what else was asked for.

Every output pixel is the mean of the source pixels that it covers, partly covered ones by their share. Edges are
rounded to a fixed fine grid first: the same pixel reached from two boxes differs by floating-point noise, and a
probability map that is read tile by tile has to come out the same for any tiling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

GRID = 65536  # an edge lies on a multiple of 1/GRID source pixel
BAND_VALUES = 100_000  # worked on at once, so that what lies between the two passes stays in the processor's cache


@dataclass(frozen=True, slots=True)
class Axis:
    """How output pixels along one axis draw on source pixels `first` to `first + size - 1`.

    `starts` (count,) is the first source pixel of each output pixel, counted from `first`; `weights` (count, taps) are
    the shares of it and its followers, and `totals` (count,) their sums. `identity` means a plain copy.
    """

    first: int
    size: int
    starts: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    totals: npt.NDArray[np.float32]
    identity: bool


def axis(start: float, step: float, count: int, skip: int = 0) -> Axis:
    """Plan `count` output pixels of `step` source pixels each, after `skip` of them that begin at `start`.

    A step of one or more averages over the area; a smaller one interpolates linearly between pixel centres.
    """
    edges = np.floor((start + step * np.arange(skip, skip + count + 1)) * GRID + 0.501) / GRID
    low, high = edges[:-1], edges[1:]
    if step < 1 - 1e-9:
        centre = (low + high) / 2 - 0.5
        begin = np.floor(centre)
        share = centre - begin
        weights = np.stack([1 - share, share], axis=1)
    else:
        begin = np.floor(low)
        taps = int((np.ceil(high) - begin).max())
        place = begin[:, None] + np.arange(taps)
        weights = np.minimum(high[:, None], place + 1) - np.maximum(low[:, None], place)
        weights = np.clip(weights, 0, None)
    first = int(begin[0])
    taps = weights.shape[1]
    return Axis(
        first=first,
        size=int(begin[-1]) - first + taps,
        starts=(begin - first).astype(np.int32),
        weights=weights.astype(np.float32),
        totals=weights.sum(axis=1).astype(np.float32),
        identity=taps == 1 and bool((weights == 1).all()),
    )


def resample(region: npt.NDArray[np.uint8], rows: Axis, columns: Axis) -> npt.NDArray[np.uint8]:
    """Average `region` (rows.size, columns.size, 3) to (rows count, columns count, 3), rounded half up."""
    if rows.identity and columns.identity:
        return region
    height, width = len(rows.starts), len(columns.starts)
    out = np.empty((height, width, 3), np.uint8)
    across = _matrix(columns.starts, columns.weights, columns.size)
    tall_band = max(16, BAND_VALUES // (3 * columns.size))
    for top in range(0, height, tall_band):
        band = slice(top, min(top + tall_band, height))
        starts, weights = rows.starts[band], rows.weights[band]
        low = int(starts[0])
        size = int(starts[-1]) - low + weights.shape[1]
        count = len(starts)
        tall = _matrix(starts - low, weights, size) @ region[low : low + size].reshape(size, -1)
        turned = tall.reshape(count, columns.size, 3).transpose(1, 0, 2).reshape(columns.size, -1)
        wide = (across @ turned).reshape(width, count, 3)
        wide /= (columns.totals[:, None] * rows.totals[None, band])[:, :, None]
        wide += 0.5
        out[band] = wide.astype(np.uint8).transpose(1, 0, 2)
    return out


def _matrix(starts: npt.NDArray[np.int32], weights: npt.NDArray[np.float32], size: int) -> csr_array:
    """Build the sparse matrix (count, size) whose rows hold the weights of one output pixel each.

    scipy multiplies row by row in the order of the columns, so a row's result does not depend on its neighbours.
    """
    count, taps = weights.shape
    indices = starts[:, None] + np.arange(taps, dtype=np.int32)
    pointers = np.arange(0, count * taps + 1, taps, dtype=np.int32)
    return csr_array((weights.ravel(), indices.ravel(), pointers), shape=(count, size))
