"""Batches of samples, made ahead by other processes while the network works."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from glomseg.errors import GlomsegError
from glomseg.models.places import places_in
from glomseg.training.augment.augment import Augment
from glomseg.training.config import TrainConfig
from glomseg.training.data.sampling import Draw, SampleSource, TrainSample

LoadedBatch = tuple[Tensor, Tensor, Tensor, Tensor, list[str]]
"""Images (N, 3, S, S), labels (N, S, S) and valid (N, S, S), all uint8, objects (N, S + 2R, S + 2R), and the names.

Of a network without the head `hover` the objects are (N, 0, 0).
"""

MAX_WORKERS = 8


class Loader:
    """The batches of one epoch after another, from processes that stay."""

    def __init__(self, source: SampleSource, config: TrainConfig, device: torch.device) -> None:
        """Start nothing yet: processes start with the first batch."""
        self._draws, self._shards = _Draws(), source.shards
        workers = worker_count(config)
        self._loader: DataLoader[Any] = DataLoader(
            _Samples(source),
            batch_sampler=self._draws,
            num_workers=workers,
            collate_fn=_collate,
            multiprocessing_context="spawn" if workers else None,  # a fork would copy threads' locks
            persistent_workers=workers > 0,
            prefetch_factor=4 if workers else None,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # or the global one is drawn from
        )

    def batches(self, draws: Sequence[Draw], size: int) -> Iterator[LoadedBatch]:
        """Yield batches of `size`; the last may be smaller, but a single sample is left out.

        Raises what a process raised that could not read a sample.
        """
        self._draws.batches = batches_of(draws, size, self._shards)
        for batch in self._loader:
            if isinstance(batch, GlomsegError):
                raise batch
            yield batch


def batches_of(draws: Sequence[Draw], size: int, shards: int = 1) -> list[list[Draw]]:
    """Cut draws into batches of `size`, the last of at least two.

    Batches are of one shard each, in turn, as long as each shard has a whole one; then of what is left.
    """
    rows = [[draw for draw in draws if draw.index % shards == shard] for shard in range(shards)]
    turns = min(len(row) // size for row in rows)
    batches = [row[turn * size : (turn + 1) * size] for turn in range(turns) for row in rows]
    rest = [draw for row in rows for draw in row[turns * size :]]
    batches += [rest[i : i + size] for i in range(0, len(rest), size)]
    return [batch for batch in batches if len(batch) > 1]


def worker_count(config: TrainConfig) -> int:
    """Return the processes that make samples; where the config leaves it open, 8, 4, 2 or 1, as there are cores.

    A power of two gives each process the same shards again and again.
    """
    spare = max(1, min(MAX_WORKERS, (os.cpu_count() or 1) - 1))
    return config.data.workers if config.data.workers >= 0 else 1 << (spare.bit_length() - 1)


class _Draws(Sampler[list[Draw]]):
    def __init__(self) -> None:
        self.batches: list[list[Draw]] = []

    def __iter__(self) -> Iterator[list[Draw]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Samples(Dataset[TrainSample | GlomsegError]):
    def __init__(self, source: SampleSource) -> None:
        self._source = source

    def __getitem__(self, draw: Draw) -> TrainSample | GlomsegError:
        try:
            return self._source.sample(draw)
        except GlomsegError as error:  # raised in another process, it would come with a traceback in its message
            return error


def _collate(samples: Sequence[TrainSample | GlomsegError]) -> LoadedBatch | GlomsegError:
    made = [sample for sample in samples if isinstance(sample, TrainSample)]
    return next((sample for sample in samples if isinstance(sample, GlomsegError)), None) or collate(made)


def collate(samples: Sequence[TrainSample]) -> LoadedBatch:
    """Stack samples."""
    images = np.stack([sample.image.transpose(2, 0, 1) for sample in samples])
    labels = np.stack([sample.label for sample in samples])
    valid = np.stack([sample.valid for sample in samples]).astype(np.uint8)
    numbers = [sample.objects for sample in samples if sample.objects is not None]
    objects = np.stack(numbers) if numbers else np.zeros((len(samples), 0, 0), np.int32)
    made = (torch.from_numpy(part) for part in (images, labels, valid, objects))
    return *made, [sample.name for sample in samples]  # type: ignore[return-value]


def augmented(
    batch: tuple[Tensor, Tensor, Tensor],
    config: TrainConfig,
    augment: Augment,
    *,
    seed: int,
    objects: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn a batch of uint8 into images (N, 3, S, S) of 0..1, and what to learn from them.

    That are labels (N, classes, S, S), each 1 where a pixel is of its class, and weights (N, 1, S, S). Where there are
    `objects` (N, S + 2R, S + 2R), the places in them (N, 2, S, S) follow the labels, as they lie once all is changed.
    """
    images, labels, valid = batch
    pixels = images.float().div_(255)
    classes = torch.arange(1, len(config.model.classes) + 1, device=labels.device)[:, None, None]
    targets, weights = (labels[:, None] == classes).float(), valid.float()[:, None]
    known = objects if objects is not None and objects.numel() else None
    (pixels, targets, weights), turned = augment.with_objects(pixels, targets, weights, known, seed=seed)
    if turned is not None:
        reach = (turned.shape[2] - targets.shape[2]) // 2
        inside = slice(reach, reach + targets.shape[2])
        targets = torch.cat([targets, places_in(turned)[..., inside, inside]], dim=1)
    if config.data.margin_px and config.data.sample == "crop":
        inner = slice(config.data.margin_px, -config.data.margin_px)
        pixels, targets, weights = (part[..., inner, inner] for part in (pixels, targets, weights))
    return pixels.contiguous(memory_format=torch.channels_last), targets, weights
