"""Tiles on their way through a model: pixels are read ahead in threads, and a GPU works while the next are read."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from glomseg.errors import DeviceError
from glomseg.geometry import Bytes
from glomseg.models.device import give_back, memory_guard
from glomseg.models.pixels import GPU_PART_PX, PixelBatch, read_for
from glomseg.models.predict import Model
from glomseg.segment.read_ahead import read_ahead
from glomseg.segment.tiles import ReadingFrame, Tile
from glomseg.slides.slide import CACHE_BYTES, CHUNK_PX, Part, Slide

_CACHE_A_READER = 32_000_000
"""Bytes of decoded blocks kept for each reading thread: what it reads borders on what others read."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How pixels go through a device; none of it changes what comes out, but for the rounding of averages on a GPU.

    `readers` threads read parts of `part_px` pixels of a level a side, `parts_ahead` of them at a time; `averages` on
    the device, through `pinned` memory; `in_flight` batches are begun before the first of them must be done; a batch
    has at most `batch` tiles (None: as many as `batch_px` pixels and the device's memory hold).
    """

    readers: int = 2
    parts_ahead: int = 4
    part_px: int = CHUNK_PX
    averages: bool = False
    pinned: bool = False
    in_flight: int = 0
    batch: int | None = 1
    batch_px: int = 16_000_000


@dataclass(frozen=True, slots=True)
class _ToRead:
    """A part to read of the tile `index` of a batch."""

    batch: list[Tile]
    index: int
    part: Part
    is_first: bool
    is_last: bool


def pace_for(model: Model, batch: int | None = None) -> Pace:
    """Return how a model's device is kept busy; `batch` tiles together where that is given."""
    if model.device.type == "cuda":
        readers = max(2, min(16, os.cpu_count() or 1))
        return Pace(
            readers=readers,
            parts_ahead=3 * readers,
            part_px=GPU_PART_PX,
            averages=True,
            pinned=True,
            in_flight=2,
            batch=batch,
        )
    # On a CPU one tile alone is the fastest: what it needs stays in the cache.
    return Pace(batch=batch or (2 if model.device.type == "mps" else 1))


def predict_tiles(
    slide: Slide,
    model: Model,
    frame: ReadingFrame,
    tiles: Sequence[Tile],
    *,
    pace: Pace | None = None,
    tta: bool = False,
    scales: Sequence[float] = (),
    waited: Callable[[], None] = lambda: None,
) -> Iterator[tuple[list[Tile], Bytes]]:
    """Yield batches of tiles with what the model says of their pixels (N, planes, H, W), halos included.

    `waited` is called whenever pixels had to be waited for. Raises what `Slide.read` and `Model.predict` raise.
    """
    pace = pace or pace_for(model)
    slide.cache_bytes = max(CACHE_BYTES, pace.readers * _CACHE_A_READER if pace.readers > 2 else 0)
    begun: deque[tuple[list[Tile], list[Callable[[], Bytes]]]] = deque()
    for batch, pixels in _filled(slide, model, frame, _batches(tiles, model, pace), pace):
        waited()
        if len(begun) > pace.in_flight:
            yield _finished(*begun.popleft())
        try:
            waiting = [model.begin(pixels, tta=tta, scales=scales)]
        except DeviceError:  # no memory: what is begun holds some
            while begun:
                yield _finished(*begun.popleft())
            waiting = _begun_in_halves(model, pixels, tta, scales)
        begun.append((batch, waiting))
        if pace.in_flight == 0:
            yield _finished(*begun.popleft())
    while begun:
        yield _finished(*begun.popleft())


def _finished(batch: list[Tile], waiting: list[Callable[[], Bytes]]) -> tuple[list[Tile], Bytes]:
    parts = [finish() for finish in waiting]
    return batch, parts[0] if len(parts) == 1 else np.concatenate(parts)


def _begun_in_halves(model: Model, pixels: PixelBatch, tta: bool, scales: Sequence[float]) -> list[Callable[[], Bytes]]:
    """Predict a batch for which there is no memory in halves, one after the other; raises DeviceError for one tile."""
    give_back(model.device)
    count = len(pixels)
    if count == 1:
        return [_given(model.begin(pixels, tta=tta, scales=scales)())]
    done: list[Callable[[], Bytes]] = []
    for part in (pixels.some(0, count // 2), pixels.some(count // 2, count)):
        try:
            done.append(_given(model.begin(part, tta=tta, scales=scales)()))
        except DeviceError:
            done += _begun_in_halves(model, part, tta, scales)
    return done


def _given(planes: Bytes) -> Callable[[], Bytes]:
    return lambda: planes


def _batches(tiles: Sequence[Tile], model: Model, pace: Pace) -> Iterator[list[Tile]]:
    """Group tiles of one shape, at most as many together as the pace allows."""
    batch: list[Tile] = []
    for tile in tiles:
        other = batch and (tile.width, tile.height, tile.halo) != (batch[0].width, batch[0].height, batch[0].halo)
        if other or len(batch) == _most(tile, model, pace):
            yield batch
            batch = []
        batch.append(tile)
    if batch:
        yield batch


def _most(tile: Tile, model: Model, pace: Pace) -> int:
    if pace.batch is not None:
        return pace.batch
    pixels = (tile.width + 2 * tile.halo) * (tile.height + 2 * tile.halo)
    return max(1, min(pace.batch_px, model.room_px()) // pixels)


def _filled(
    slide: Slide, model: Model, frame: ReadingFrame, batches: Iterable[list[Tile]], pace: Pace
) -> Iterator[tuple[list[Tile], PixelBatch]]:
    """Yield batches with their pixels, read in threads while the network works on earlier ones."""

    def parts() -> Iterator[_ToRead]:
        for batch in batches:
            pieces = [
                (index, part)
                for index, tile in enumerate(batch)
                for part in slide.parts(tile.read_box(frame), frame.mpp, pace.part_px)
            ]
            for number, (index, part) in enumerate(pieces, start=1):
                yield _ToRead(batch, index, part, number == 1, number == len(pieces))

    def read(piece: _ToRead) -> Bytes | None:
        return read_for(slide, piece.part, averages=pace.averages, pinned=pace.pinned)

    for piece, values in read_ahead(read, parts(), threads=pace.readers, most=pace.parts_ahead):
        if piece.is_first:
            height, width = (side + 2 * piece.batch[0].halo for side in (piece.batch[0].height, piece.batch[0].width))
            with memory_guard(model.device, f"{len(piece.batch)} x {height} x {width} px"):
                pixels = PixelBatch(model.device, len(piece.batch), height, width, averages=pace.averages)
        pixels.put(piece.index, piece.part, values)
        if piece.is_last:
            yield piece.batch, pixels
