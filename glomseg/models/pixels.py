"""The pixels of a batch on their way to a device: read in parts by threads, averaged where that is cheapest.

On a GPU a part goes up as the level of the slide holds it, from pinned memory and beside the network's work, and is
averaged there. Everywhere else it is averaged where it was read.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from glomseg.geometry import Bytes
from glomseg.slides.resample import Axis
from glomseg.slides.slide import Part, Slide

GPU_PART_PX = 1536
"""A side of what one thread reads of a level for a GPU: small enough to occupy many threads with one tile."""


class PixelBatch:
    """Pixels (N, H, W, 3) uint8 of a batch of tiles on a device, white until they are put there."""

    def __init__(self, device: torch.device, count: int, height: int, width: int, *, averages: bool) -> None:
        """Make room; `averages` says that parts come as `Slide.read_source` gives them."""
        self._averages = averages
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._going: deque[tuple[torch.cuda.Event, Bytes]] = deque()
        with self._uploading():
            self._pixels = torch.full((count, height, width, 3), 255, dtype=torch.uint8, device=device)

    def __len__(self) -> int:
        """Count the tiles."""
        return len(self._pixels)

    def put(self, index: int, part: Part, values: Bytes | None) -> None:
        """Put what was read of a part into the tile `index`; None where all of it is white."""
        if values is None:
            return
        (height, width), device = part.shape, self._pixels.device
        with self._uploading():
            source = torch.from_numpy(values).to(device, non_blocking=True)
            if self._averages:
                source = averaged(source, part.rows, part.columns)
            self._pixels[index, part.top : part.top + height, part.left : part.left + width] = source
            if self._stream is not None:
                self._going.append((self._stream.record_event(), values))
        while self._going and self._going[0][0].query():
            self._going.popleft()

    def on_device(self) -> Tensor:
        """Return the pixels; what the current stream does with them waits until they are there."""
        if self._stream is not None:
            now = torch.cuda.current_stream(self._pixels.device)
            now.wait_stream(self._stream)
            self._pixels.record_stream(now)
        return self._pixels

    def some(self, first: int, last: int) -> PixelBatch:
        """Return some of the tiles as a batch of their own."""
        part = object.__new__(PixelBatch)
        part._averages, part._stream, part._going = self._averages, self._stream, self._going
        part._pixels = self._pixels[first:last]
        return part

    def _uploading(self) -> AbstractContextManager[object]:
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)


def read_for(slide: Slide, part: Part, *, averages: bool, pinned: bool) -> Bytes | None:
    """Read a part as a `PixelBatch` takes it; called from many threads."""
    if not averages:
        return slide.read_part(part)
    return slide.read_source(part, _pinned) if pinned else slide.read_source(part)


def _pinned(shape: tuple[int, int, int]) -> Bytes:
    """Make room in memory that a GPU can fetch from by itself; torch keeps it for the next."""
    return np.asarray(torch.empty(shape, dtype=torch.uint8, pin_memory=True).numpy())


def averaged(source: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Average (rows.size, columns.size, 3) uint8 on its device, as `resample` does, to within rounding."""
    if rows.identity and columns.identity:
        return source
    tall = _along(source.float(), rows, 0)
    wide = _along(tall, columns, 1)
    totals = _on(rows.totals, source)[:, None] * _on(columns.totals, source)[None, :]
    return wide.div_(totals[:, :, None]).add_(0.5).to(torch.uint8)


def _along(values: Tensor, axis: Axis, dimension: int) -> Tensor:
    """Sum the pixels that each output pixel covers along a dimension, by their shares."""
    starts, weights = _on(axis.starts, values), _on(np.ascontiguousarray(axis.weights.T), values)
    shape = [1, 1, 1]
    shape[dimension] = -1
    total = values.index_select(dimension, starts).mul_(weights[0].view(shape))
    for tap in range(1, len(weights)):
        total.addcmul_(values.index_select(dimension, starts + tap), weights[tap].view(shape))
    return total


def _on(array: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.device, non_blocking=True)
