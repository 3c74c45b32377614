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

from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import ObjectScore, PixelScore, object_score, pixel_score
from glomseg.geometry import Geometries, geometries
from glomseg.labelled.masks import outline
from glomseg.models.predict import Model
from glomseg.segment.pipeline import SegmentSettings, outline_map
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile, plan_tiles
from glomseg.training.arrays import Pixels8
from glomseg.training.data.examples import Labelled
from glomseg.training.data.sampling import Images

READERS = 2
AHEAD = 4


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The counts of one class."""

    objects: ObjectScore = field(default_factory=ObjectScore)
    pixels: PixelScore = field(default_factory=PixelScore)

    def __add__(self, other: ClassScore) -> ClassScore:
        """Add the counts of two images."""
        return ClassScore(self.objects + other.objects, self.pixels + other.pixels)


@dataclass(frozen=True, slots=True)
class ThresholdScore:
    """What a threshold gives, class by class, added up over images."""

    threshold: float
    classes: tuple[ClassScore, ...] = ()

    def __add__(self, other: ThresholdScore) -> ThresholdScore:
        """Add the counts of two images; a point without any class yet adds nothing."""
        if not self.classes:
            return ThresholdScore(self.threshold, other.classes)
        pairs = zip(self.classes, other.classes, strict=True)
        return ThresholdScore(self.threshold, tuple(mine + theirs for mine, theirs in pairs))

    @property
    def objects(self) -> ObjectScore:
        """The objects of all classes."""
        return sum((score.objects for score in self.classes), ObjectScore())

    @property
    def pixels(self) -> PixelScore:
        """The pixels of all classes."""
        return sum((score.pixels for score in self.classes), PixelScore())

    @property
    def f1(self) -> float:
        """The object F1, of several classes the mean over those that are there or were predicted."""
        there = [score.objects.f1 for score in self.classes if score.objects.true or score.objects.predicted]
        return sum(there) / len(there) if there else 1.0

    @property
    def dice(self) -> float:
        """The Dice of the pixels, of several classes the mean over those that are there or were predicted."""
        there = [score.pixels.dice for score in self.classes if score.pixels.true or score.pixels.predicted]
        return sum(there) / len(there) if there else 1.0

    @property
    def rank(self) -> tuple[float, float]:
        """What decides between two: object F1, then Dice."""
        return self.f1, self.dice


@dataclass(frozen=True, slots=True)
class Judged:
    """One image: its loss, and its counts at each threshold."""

    index: int
    loss: float
    points: tuple[ThresholdScore, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """All images together: mean loss, and each threshold's sums."""

    loss: float
    points: tuple[ThresholdScore, ...]

    @classmethod
    def of(cls, images: Sequence[Judged]) -> Verdict:
        """Add up images that were judged at the same thresholds; in their order, whoever judged them."""
        points = [ThresholdScore(point.threshold) for point in images[0].points]
        for image in sorted(images, key=lambda image: image.index):
            points = [a + b for a, b in zip(points, image.points, strict=True)]
        return cls(math.fsum(image.loss for image in images) / len(images), tuple(points))

    @property
    def best(self) -> ThresholdScore:
        """The threshold of the best object F1; of equals the one nearest to a half."""
        return max(self.points, key=lambda point: (*point.rank, -abs(point.threshold - 0.5)))


def predict(model: Model, image: Pixels8) -> Pixels8:
    """Return the probabilities 0..255, and the model's extras (planes, H, W), of an image (H, W, 3) of any size."""
    height, width = image.shape[:2]
    tile_px, halo_px = model.card.patch_size_pixels, model.card.halo_pixels
    if max(height, width) <= tile_px:
        single: Pixels8 = model.predict_planes(image[None])[0]
        return single
    frame = ReadingFrame.of(width, height, 1, 1, 1)
    tiles = plan_tiles(np.ones(frame.blocks, np.bool_), tile_px=tile_px, halo_px=halo_px)
    halo = tiles[0].halo
    rows, columns = frame.blocks
    below, right = rows * BLOCK - height + halo, columns * BLOCK - width + halo
    padded = np.pad(image, ((halo, below), (halo, right), (0, 0)), constant_values=255)  # as off a slide
    planes = model.card.num_classes + len(model.extras)
    result = np.zeros((planes, rows * BLOCK, columns * BLOCK), np.uint8)
    for tile in tiles:
        read = padded[tile.y : tile.y + tile.height + 2 * halo, tile.x : tile.x + tile.width + 2 * halo]
        for plane, values in zip(result, model.predict_planes(read[None])[0], strict=True):
            plane[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = tile.core(values)
    return result[:, :height, :width]


def outlines_at(
    model: Model, probability: Pixels8, thresholds: Sequence[float]
) -> Iterator[tuple[Geometries, NDArray[np.intp]]]:
    """Yield, for each threshold, the outlines of what `predict` gave (planes, H, W) and the class of each, from 0.

    They are in pixels, and what segmenting a slide gives.
    """
    _, height, width = probability.shape
    mpp = model.card.mpp
    frame = ReadingFrame.of(width, height, mpp, mpp, mpp)
    rows, columns = frame.blocks
    whole = Tile(0, 0, columns * BLOCK, rows * BLOCK, 0)
    padded = np.pad(probability, ((0, 0), (0, whole.height - height), (0, whole.width - width)))
    with ProbabilityMap(frame, model.card.num_classes, extras=model.extras) as values:
        values.write(whole, padded)
        for threshold in thresholds:
            items, _ = outline_map(values, model.card, SegmentSettings(threshold=threshold))
            kinds = np.array([item.class_index for item in items], np.intp)
            yield geometries([item.geometry for item in items]), kinds


def judge(
    model: Model,
    images: Images,
    indices: Sequence[int],
    criterion: nn.Module,
    thresholds: Sequence[float],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Judged]:
    """Judge some of the images at each of the thresholds."""
    judged = []
    for index, labelled in read_ahead(images, indices):
        probability = probability_of(model, labelled)
        points = points_of(model, probability, labelled, thresholds)
        loss = _loss(criterion, probability[: model.card.num_classes], labelled)
        judged.append(Judged(index, loss, points))
        progress(len(judged), len(indices))
    return judged


def probability_of(model: Model, labelled: Labelled) -> Pixels8:
    """Return what the model says of an image (planes, H, W), and 0 where that is not valid."""
    return np.where(labelled.valid, predict(model, labelled.image), 0).astype(np.uint8)


def classes_at(probability: Pixels8, threshold: float) -> Pixels8:
    """Return the most probable class of each pixel (H, W), from 1; 0 where none reaches the threshold."""
    there = probability.max(axis=0) >= threshold * 255
    return np.where(there, probability.argmax(axis=0) + 1, 0).astype(np.uint8)


def points_of(
    model: Model, probability: Pixels8, labelled: Labelled, thresholds: Sequence[float]
) -> tuple[ThresholdScore, ...]:
    """Score what `predict` gave (planes, H, W) at each of the thresholds."""
    true = [_true(labelled, index + 1) for index in range(model.card.num_classes)]
    points = []
    for threshold, (items, kinds) in zip(thresholds, outlines_at(model, probability, thresholds), strict=True):
        scores = [_score(items[kinds == index], of_class) for index, of_class in enumerate(true)]
        points.append(ThresholdScore(threshold, tuple(scores)))
    return tuple(points)


def _true(labelled: Labelled, kind: int) -> Geometries:
    """Outline the objects of one class, told apart as the label tells them."""
    of_kind = labelled.label == kind
    if labelled.objects is None:
        return outline(of_kind)[0]
    numbers = np.unique(labelled.objects[of_kind])
    apart = [outline(of_kind & (labelled.objects == number))[0] for number in numbers]
    return np.concatenate(apart) if apart else geometries([])


def _score(predicted: Geometries, true: Geometries) -> ClassScore:
    met = overlaps(predicted, true)
    return ClassScore(object_score(met, match(met)), pixel_score(predicted, true, met))


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


def _loss(criterion: nn.Module, probability: Pixels8, labelled: Labelled) -> float:
    """Return the loss of probabilities (classes, H, W), which eight bits keep well enough for a curve.

    Of a network with more heads it is that of the mask alone.
    """
    p = np.clip(probability / 255.0, 1 / 510, 1 - 1 / 510)
    target = np.stack([labelled.label == index + 1 for index in range(len(probability))])
    logits, targets, weight = (
        torch.from_numpy(values.astype(np.float32))[None]
        for values in (np.log(p / (1 - p)), target, labelled.valid[None])
    )
    with torch.inference_mode():
        return float(criterion(logits, targets, weight))
