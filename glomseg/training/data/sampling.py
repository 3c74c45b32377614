"""What a network is shown: squares cut out of labelled images, or whole images resized.

An epoch is a list of `Draw`s, which seed and epoch decide; a draw decides its sample, in whatever process it is made.
So a training that goes on shows what an uninterrupted one would have shown.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glomseg.geometry import Bytes
from glomseg.training.arrays import Random
from glomseg.training.augment.transplant import paste_between
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Example, Labelled, read_example
from glomseg.training.data.whole import read_whole
from glomseg.training.hover import numbered

SHARDS, MANY = 8, 1000
"""From so many images on, a batch is of every eighth image, so that a process reads always the same ones, and keeps
them. This goes by the data alone: the number of processes does not change what is learned."""
PASTED = 2
"""Glomeruli, and pieces of plain tissue, that are pasted at most into one square."""


@dataclass(frozen=True, slots=True)
class HardBox:
    """A place in a training image where a network saw a glomerulus that is none: name, and centre in reading px."""

    name: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Draw:
    """One sample to be made: of which image, where (x, y in reading px, or `on` a glomerulus, or anywhere), its seed.

    With `kind` it is one of that class. `other` is an image whose glomeruli are pasted in.
    """

    index: int
    seed: tuple[int, ...]
    on: bool = False
    kind: int | None = None
    at: tuple[float, float] | None = None
    other: int | None = None


@dataclass(frozen=True, slots=True)
class TrainSample:
    """One square to learn from: image (S, S, 3), label (S, S) of classes or 0, valid (S, S); and what it is from.

    `objects` numbers the objects of the square and as far around it as one of them may reach (S + 2R, S + 2R), for a
    network with the head `hover`; None without.
    """

    name: str
    image: Bytes
    label: Bytes
    valid: NDArray[np.bool_]
    objects: NDArray[np.int32] | None = None


class SampleSource(Protocol):
    """Where samples come from. It is sent to other processes and must be light to pickle.

    A batch is of the draws of one of `shards`: those of one remainder of their index.
    """

    shards: int

    def draws(self, epoch: int, hard: Sequence[HardBox]) -> list[Draw]:
        """Decide the samples of an epoch."""

    def sample(self, draw: Draw) -> TrainSample:
        """Make a sample."""


class Images(Protocol):
    """Whole images, each with its name and group, to be judged on."""

    def __len__(self) -> int:
        """Count them."""

    def name(self, index: int) -> str:
        """Name one."""

    def read(self, index: int) -> Labelled:
        """Read one at the spacing of the training."""


class ExampleImages:
    """The images of examples, read as they are trained on."""

    def __init__(self, examples: Sequence[Example], config: TrainConfig) -> None:
        """Keep the examples and how to read them."""
        self._examples = tuple(examples)
        self._config = config

    def __len__(self) -> int:
        """Count them."""
        return len(self._examples)

    def name(self, index: int) -> str:
        """Name one."""
        return self._examples[index].name

    def read(self, index: int) -> Labelled:
        """Read one."""
        return read_as(self._examples[index], self._config)


def read_as(example: Example, config: TrainConfig) -> Labelled:
    """Read an example at the um per pixel of the training, or resized as a whole."""
    if config.data.sample == "whole":
        return read_whole(example, config)
    return read_example(example, config.model_mpp)


class ExampleSource:
    """Samples out of examples, as the config says."""

    def __init__(self, examples: Sequence[Example], config: TrainConfig) -> None:
        """Sort the examples into what is drawn from."""
        self.examples = tuple(examples)
        self.config = config
        self._cache = _Cache(config.data.cache_mb * 2**20)
        self._number = {example.name: index for index, example in enumerate(self.examples)}
        everything = range(len(self.examples))
        self._all = self._pool(everything)
        self._positive = self._pool([i for i in everything if self.examples[i].positive])
        kinds = range(1, len(config.model.classes) + 1)
        of_kind = {kind: self._pool([i for i in everything if kind in self.examples[i].holds]) for kind in kinds}
        self._of_kind = {kind: pool for kind, pool in of_kind.items() if pool} if len(kinds) > 1 else {}
        self._hard = [i for i in everything if self.examples[i].hard]
        self.shards = SHARDS if len(self.examples) >= MANY and config.data.sample == "crop" else 1
        positive = [i for i in everything if self.examples[i].positive]
        self._donors = [self._pool([i for i in positive if i % self.shards == shard]) for shard in range(self.shards)]

    def _pool(self, indices: Sequence[int]) -> list[list[int]]:
        """Group examples so that each group is drawn equally often."""
        key = self.config.data.balance
        groups: dict[str, list[int]] = defaultdict(list)
        for index in indices:
            groups["" if key == "none" else str(getattr(self.examples[index], key))].append(index)
        return [groups[name] for name in sorted(groups)]

    def draws(self, epoch: int, hard: Sequence[HardBox]) -> list[Draw]:
        """Decide the samples of an epoch; `hard` are places to look at beside the examples that are hard."""
        config = self.config
        rng = np.random.default_rng([config.seed, epoch])
        if config.data.sample == "whole":
            return [Draw(int(index), (epoch, i)) for i, index in enumerate(rng.permutation(len(self.examples)))]
        places = [(index, None) for index in self._hard]
        boxes = [(self._number[box.name], (box.x, box.y)) for box in hard if box.name in self._number]
        return [
            self._draw(rng, (epoch, i), [*places, *boxes])
            for i in range(config.data.samples_per_epoch or len(self.examples))
        ]

    def _draw(self, rng: Random, seed: tuple[int, int], hard: Sequence[tuple[int, Any]]) -> Draw:
        config, chance = self.config, float(rng.random())
        paste = bool(self._positive) and float(rng.random()) < config.data.paste_share
        if self._positive and chance < config.data.positive_share:
            kind, pool = None, self._positive
            if self._of_kind:  # of several classes each as often, however rare
                kind = list(self._of_kind)[int(rng.integers(len(self._of_kind)))]
                pool = self._of_kind[kind]
            index = _drawn(rng, pool)
            return Draw(index, seed, on=True, kind=kind, other=self._donor(rng, index) if paste else None)
        if hard and chance < config.data.positive_share + config.data.hard_share:
            index, at = hard[int(rng.integers(len(hard)))]
            return Draw(index, seed, at=at)
        index = _drawn(rng, self._all)
        return Draw(index, seed, other=self._donor(rng, index) if paste else None)

    def _donor(self, rng: Random, index: int) -> int | None:
        """Draw an image to paste from, of the shard of `index`."""
        donors = self._donors[index % self.shards]
        return _drawn(rng, donors) if donors else None

    def sample(self, draw: Draw) -> TrainSample:
        """Cut a sample out of its image."""
        config, example = self.config, self.examples[draw.index]
        labelled = self._read(draw.index)
        if config.data.sample == "whole":
            objects = numbered(labelled.label) if config.model.hover else None
            return TrainSample(example.name, labelled.image, labelled.label, labelled.valid, objects)
        rng = np.random.default_rng([config.seed, *draw.seed])
        side = config.data.crop_px + 2 * config.data.margin_px
        left, top = _corner(rng, labelled, draw, side)
        square = cut(labelled, left, top, side)
        if draw.other is not None:
            other = self._read(draw.other)
            donor = cut(other, *_corner(rng, other, Draw(draw.other, draw.seed, on=True), side), side)
            square = paste_between(rng, square, [donor], glomeruli=PASTED, decoys=PASTED)
        objects = None
        if config.model.hover:
            objects = objects_around(labelled, square.label, left, top, reach_px(config))
        return TrainSample(example.name, square.image, square.label, square.valid, objects)

    def _read(self, index: int) -> Labelled:
        return self._cache.get(index, lambda: read_as(self.examples[index], self.config))

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was read behind."""
        return {**self.__dict__, "_cache": _Cache(self._cache.limit)}


def _drawn(rng: Random, pool: Sequence[Sequence[int]]) -> int:
    group = pool[int(rng.integers(len(pool)))]
    return group[int(rng.integers(len(group)))]


def _corner(rng: Random, labelled: Labelled, draw: Draw, side: int) -> tuple[int, int]:
    """Return the corner (left, top) of a square `on` a glomerulus, `at` a place or anywhere; off only a small image."""
    height, width = labelled.label.shape
    x, y = (rng.uniform(side / 2, max(side / 2, length - side / 2)) for length in (width, height))
    if draw.at is not None:
        x, y = draw.at
    elif draw.on:
        of_kind = labelled.label == draw.kind
        inside = np.flatnonzero(of_kind if draw.kind is not None and of_kind.any() else labelled.label)
        if inside.size:
            y, x = divmod(int(inside[int(rng.integers(inside.size))]), width)
    if draw.on or draw.at is not None:
        x, y = np.array([x, y]) + rng.uniform(-side / 4, side / 4, 2)
    left, top = (
        int(np.clip(round(middle - side / 2), 0, length - side))
        if length >= side
        else int(rng.integers(length - side, 1))
        for middle, length in ((x, width), (y, height))
    )
    return left, top


def cut(labelled: Labelled, left: int, top: int, side: int) -> Labelled:
    """Cut a square; off the image there is mirrored tissue that is not valid."""
    height, width = labelled.label.shape
    rows, columns = _mirrored(top, side, height), _mirrored(left, side, width)
    where = np.ix_(rows, columns)
    y, x = np.arange(top, top + side), np.arange(left, left + side)
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    return Labelled(
        labelled.image[where], np.where(inside, labelled.label[where], np.uint8(0)), labelled.valid[where] & inside
    )


def reach_px(config: TrainConfig) -> int:
    """Return how far around a square its objects are looked at: a half more than a glomerulus measures."""
    return round(1.5 * config.diameter_um / config.model_mpp)


def objects_around(labelled: Labelled, label: Bytes, left: int, top: int, reach: int) -> NDArray[np.int32]:
    """Number the objects of a square of `label` (S, S), cut at (left, top), as they reach around it (S + 2R, S + 2R).

    What was pasted into the square are objects of their own, as far as the square shows them.
    """
    side = len(label) + 2 * reach
    left, top = left - reach, top - reach
    height, width = labelled.label.shape
    rows, columns = slice(max(0, top), min(height, top + side)), slice(max(0, left), min(width, left + side))
    objects = np.zeros((side, side), np.int32)
    where = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    known = labelled.objects
    objects[where] = numbered(labelled.label[rows, columns]) if known is None else known[rows, columns]
    inner = objects[reach : side - reach, reach : side - reach]
    inner[label == 0] = 0
    more = numbered(np.where(inner == 0, label, np.uint8(0)))
    inner[more > 0] = more[more > 0] + objects.max()
    return objects


def _mirrored(start: int, count: int, length: int) -> NDArray[np.intp]:
    places = np.arange(start, start + count) % (2 * length)
    return np.where(places < length, places, 2 * length - 1 - places).astype(np.intp)


class _Cache:
    """What was read last, as much of it as `limit` bytes hold."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._items: OrderedDict[int, Labelled] = OrderedDict()

    def get(self, key: int, read: Callable[[], Labelled]) -> Labelled:
        """Return what is kept under `key`, or read it."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        labelled = read()
        self._items[key] = labelled
        self._held += _size(labelled)
        while self._held > self.limit and len(self._items) > 1:
            self._held -= _size(self._items.popitem(last=False)[1])
        return labelled


def _size(labelled: Labelled) -> int:
    objects = 0 if labelled.objects is None else labelled.objects.nbytes
    return int(labelled.image.nbytes + labelled.label.nbytes + labelled.valid.nbytes + objects)
