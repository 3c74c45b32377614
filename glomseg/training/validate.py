"""Judge a network on whole images, tile by tile, as a slide is segmented and as `glomseg evaluate` scores it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glomseg.evaluation.metrics import ObjectScore, PixelScore, match, object_score, overlaps, pixel_score
from glomseg.geometry import Geometries, geometries
from glomseg.labelled.masks import outline
from glomseg.models.predict import Model
from glomseg.segment.outlines import find_glomeruli
from glomseg.segment.pipeline import SegmentSettings, outline_settings
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile, plan_tiles
from glomseg.training.data.examples import Labelled
from glomseg.training.data.sampling import Images

UInt8 = NDArray[np.uint8]
Progress = Callable[[int, int], None]

READERS = 2
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold gives, added up over images."""

    threshold: float
    objects: ObjectScore = field(default_factory=ObjectScore)
    pixels: PixelScore = field(default_factory=PixelScore)

    def __add__(self, other: Point) -> Point:
        """Add the counts of two images."""
        return Point(self.threshold, self.objects + other.objects, self.pixels + other.pixels)

    @property
    def rank(self) -> tuple[float, float]:
        """What decides between two: object F1, then Dice."""
        return self.objects.f1, self.pixels.dice


@dataclass(frozen=True, slots=True)
class Judged:
    """One image: its loss, and its counts at each threshold."""

    index: int
    loss: float
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All images together: mean loss, and each threshold's sums."""

    loss: float
    points: tuple[Point, ...]

    @classmethod
    def of(cls, images: Sequence[Judged]) -> Verdict:
        """Add up images that were judged at the same thresholds; in their order, whoever judged them."""
        points = [Point(point.threshold) for point in images[0].points]
        for image in sorted(images, key=lambda image: image.index):
            points = [a + b for a, b in zip(points, image.points, strict=True)]
        return cls(math.fsum(image.loss for image in images) / len(images), tuple(points))

    @property
    def best(self) -> Point:
        """The threshold of the best object F1; of equals the one nearest to a half."""
        return max(self.points, key=lambda point: (*point.rank, -abs(point.threshold - 0.5)))


def predict(model: Model, image: UInt8) -> UInt8:
    """Return the probability 0..255 (H, W) of an image (H, W, 3) of any size."""
    height, width = image.shape[:2]
    tile_px, halo_px = model.card.patch_size_pixels, model.card.halo_pixels
    if max(height, width) <= tile_px:
        single: UInt8 = model.predict(image[None])[0, 0]
        return single
    frame = ReadingFrame.of(width, height, 1, 1, 1)
    tiles = plan_tiles(np.ones(frame.blocks, np.bool_), tile_px=tile_px, halo_px=halo_px)
    halo = tiles[0].halo
    rows, columns = frame.blocks
    below, right = rows * BLOCK - height + halo, columns * BLOCK - width + halo
    padded = np.pad(image, ((halo, below), (halo, right), (0, 0)), constant_values=255)  # as off a slide
    result = np.zeros((rows * BLOCK, columns * BLOCK), np.uint8)
    for tile in tiles:
        read = padded[tile.y : tile.y + tile.height + 2 * halo, tile.x : tile.x + tile.width + 2 * halo]
        result[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = tile.core(model.predict(read[None])[0, 0])
    return result[:height, :width]


def found_at(model: Model, probability: UInt8, thresholds: Sequence[float]) -> Iterator[Geometries]:
    """Yield, for each threshold, the outlines of a probability (H, W) in its pixels, as segmenting a slide gives."""
    height, width = probability.shape
    mpp = model.card.mpp
    frame = ReadingFrame.of(width, height, mpp, mpp, mpp)
    rows, columns = frame.blocks
    whole = Tile(0, 0, columns * BLOCK, rows * BLOCK, 0)
    padded = np.pad(probability, ((0, whole.height - height), (0, whole.width - width)))
    with ProbabilityMap(frame) as values:
        values.write(whole, padded[None])
        for threshold in thresholds:
            settings = outline_settings(model.card, SegmentSettings(threshold=threshold))
            yield geometries([item.geometry for item in find_glomeruli(values, settings)])


def judge(
    model: Model,
    images: Images,
    indices: Sequence[int],
    criterion: nn.Module,
    thresholds: Sequence[float],
    *,
    progress: Progress = lambda done, total: None,
) -> list[Judged]:
    """Judge some of the images at each of the thresholds."""
    judged = []
    for index, found in read_ahead(images, indices):
        probability = probability_of(model, found)
        points = points_of(model, probability, found, thresholds)
        judged.append(Judged(index, _loss(criterion, probability, found), points))
        progress(len(judged), len(indices))
    return judged


def probability_of(model: Model, found: Labelled) -> UInt8:
    """Return what the model says of an image, and 0 where that is not valid."""
    return np.where(found.valid, predict(model, found.image), 0).astype(np.uint8)


def points_of(model: Model, probability: UInt8, found: Labelled, thresholds: Sequence[float]) -> tuple[Point, ...]:
    """Score a probability at each of the thresholds."""
    true = outline(found.label > 0)[0]
    points = []
    for threshold, predicted in zip(thresholds, found_at(model, probability, thresholds), strict=True):
        met = overlaps(predicted, true)
        points.append(Point(threshold, object_score(met, match(met)), pixel_score(predicted, true, met)))
    return tuple(points)


def read_ahead(images: Images, indices: Sequence[int]) -> Iterator[tuple[int, Labelled]]:
    """Read images in threads, a few ahead of where they are needed."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="read") as pool:
        waiting: deque[tuple[int, Future[Labelled]]] = deque()
        try:
            for index in indices:
                waiting.append((index, pool.submit(images.read, index)))
                if len(waiting) >= AHEAD:
                    number, future = waiting.popleft()
                    yield number, future.result()
            while waiting:
                number, future = waiting.popleft()
                yield number, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _loss(criterion: nn.Module, probability: UInt8, found: Labelled) -> float:
    """Return the loss of a probability, which eight bits keep well enough for a curve."""
    p = np.clip(probability / 255.0, 1 / 510, 1 - 1 / 510)
    logits, target, weight = (
        torch.from_numpy(values.astype(np.float32))[None, None]
        for values in (np.log(p / (1 - p)), found.label > 0, found.valid)
    )
    with torch.inference_mode():
        return float(criterion(logits, target, weight))
