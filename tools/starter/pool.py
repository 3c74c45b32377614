"""A pool of composed images in shared memory: some processes fill it, over and over, and trainings draw from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glomseg.training.data.sampling import Draw, TrainSample
from tools.starter.composed import ComposedSource

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """Composed images: `images` (N, S, S, 3), `labels` and `valid` (N, S, S); `written` counts what each filler made.

    Filler i of k owns the places i, i + k, i + 2k, ... and goes round in them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    valid: NDArray[np.uint8]
    written: Whole

    @classmethod
    def at(cls, folder: Path, *, count: int, side_px: int, fillers: int) -> Pool:
        """Map the pool that lies in a folder, which is best one in memory, or make it there."""

        def part(name: str, shape: tuple[int, ...], kind: type) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
            path = folder / name
            return np.memmap(path, dtype=kind, mode="r+" if path.exists() else "w+", shape=shape)

        flat = (count // fillers * fillers, side_px, side_px)
        return cls(
            part("images", (*flat, 3), np.uint8),
            part("labels", flat, np.uint8),
            part("valid", flat, np.uint8),
            part("written", (fillers,), np.int64),
        )

    def put(self, filler: int, sample: TrainSample) -> None:
        """Lay an image where this filler's oldest one lies."""
        fillers = len(self.written)
        at = int(self.written[filler]) % (len(self.images) // fillers) * fillers + filler
        self.images[at], self.labels[at], self.valid[at] = sample.image, sample.label, sample.valid
        self.written[filler] += 1

    def draw(self, rng: np.random.Generator, count: int) -> Whole:
        """Draw places that hold an image; each filler must have made one."""
        fillers = len(self.written)
        filler = rng.integers(fillers, size=count)
        full = np.minimum(self.written, len(self.images) // fillers)[filler]
        drawn: Whole = rng.integers(0, full) * fillers + filler
        return drawn


def fill(pool: Pool, filler: int, source: ComposedSource, *, seed: int) -> None:
    """Compose without end."""
    index = 0
    while True:
        pool.put(filler, source.sample(Draw(index, (seed, filler, index))))
        index += 1
