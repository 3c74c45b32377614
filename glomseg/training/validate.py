"""Judge a network on whole images, tile by tile, as a slide is segmented and as `glomseg evaluate` scores it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import object_score, pixel_score
from glomseg.geometry import Bytes, Geometries, Numbers, geometries
from glomseg.labelled.masks import outline
from glomseg.models.predict import Model
from glomseg.segment.pipeline import SegmentSettings, outline_map
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.read_ahead import read_ahead
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile, plan_tiles
from glomseg.training.data.examples import Labelled
from glomseg.training.data.sampling import Images
from glomseg.training.dials import ComparedObjects, outlined
from glomseg.training.scores import ClassScore, ThresholdScore

READERS = 2
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Judged:
    """One image: its loss, its counts at each threshold, and what was outlined there, object by object."""

    index: int
    loss: float
    points: tuple[ThresholdScore, ...]
    outlined: tuple[tuple[ComparedObjects, ...], ...] = ()


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


def predict(model: Model, image: Bytes, *, tta: bool = False) -> Bytes:
    """Return the probabilities 0..255, and the model's extras (planes, H, W), of an image (H, W, 3) of any size.

    With `tta` they are means over flips.
    """
    height, width = image.shape[:2]
    tile_px, halo_px = model.card.patch_size_pixels, model.card.halo_pixels
    if max(height, width) <= tile_px:
        single: Bytes = model.predict_planes(image[None], tta=tta)[0]
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
        for plane, values in zip(result, model.predict_planes(read[None], tta=tta)[0], strict=True):
            plane[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width] = tile.core(values)
    return result[:, :height, :width]


def outlines_at(
    model: Model, probability: Bytes, thresholds: Sequence[float]
) -> Iterator[tuple[Geometries, NDArray[np.intp], Numbers]]:
    """Yield, for each threshold, the outlines of (planes, H, W), the class of each, from 0, and its mean.

    They are in pixels, and what segmenting a slide gives, candidates among them.
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
            items, _ = outline_map(values, model.card, SegmentSettings(threshold=threshold, sureness=0.0))
            kinds = np.array([item.class_index for item in items], np.intp)
            means = np.array([item.confidence for item in items], np.float64)
            yield geometries([item.geometry for item in items]), kinds, means


def judge(
    model: Model,
    images: Images,
    indices: Sequence[int],
    criterion: nn.Module,
    thresholds: Sequence[float],
    *,
    tta: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Judged]:
    """Judge some of the images at each of the thresholds, whatever sureness the model's card has."""
    judged = []
    for index, labelled in read_images(images, indices):
        probability = probability_of(model, labelled, tta=tta)
        points, objects = _compared(model, probability, labelled, thresholds)
        loss = _loss(criterion, probability[: model.card.num_classes], labelled)
        judged.append(Judged(index, loss, points, objects))
        progress(len(judged), len(indices))
    return judged


def probability_of(model: Model, labelled: Labelled, *, tta: bool = False) -> Bytes:
    """Return what the model says of an image (planes, H, W), with `tta` over flips, and 0 where that is not valid."""
    return np.where(labelled.valid, predict(model, labelled.image, tta=tta), 0).astype(np.uint8)


def classes_at(probability: Bytes, threshold: float) -> Bytes:
    """Return the most probable class of each pixel (H, W), from 1; 0 where none reaches the threshold."""
    there = probability.max(axis=0) >= threshold * 255
    return np.where(there, probability.argmax(axis=0) + 1, 0).astype(np.uint8)


def points_of(
    model: Model, probability: Bytes, labelled: Labelled, thresholds: Sequence[float]
) -> tuple[ThresholdScore, ...]:
    """Score what `predict` gave (planes, H, W) at each of the thresholds; all that is outlined counts."""
    return _compared(model, probability, labelled, thresholds)[0]


def outlined_of(
    model: Model, probability: Bytes, labelled: Labelled, thresholds: Sequence[float]
) -> tuple[tuple[ComparedObjects, ...], ...]:
    """Compare what each threshold outlines of planes (planes, H, W) with the truth, class by class."""
    return _compared(model, probability, labelled, thresholds)[1]


def _compared(
    model: Model, probability: Bytes, labelled: Labelled, thresholds: Sequence[float]
) -> tuple[tuple[ThresholdScore, ...], tuple[tuple[ComparedObjects, ...], ...]]:
    """Score what `predict` gave (planes, H, W) at each of the thresholds, as sums by class and object by object."""
    true = [_true(labelled, index + 1) for index in range(model.card.num_classes)]
    points, objects = [], []
    for threshold, (items, kinds, means) in zip(thresholds, outlines_at(model, probability, thresholds), strict=True):
        scores = [_score(items[kinds == index], of_class) for index, of_class in enumerate(true)]
        points.append(ThresholdScore(threshold, tuple(scores)))
        by_class = enumerate(true)
        objects.append(
            tuple(outlined(threshold, items[kinds == at], means[kinds == at], of_class) for at, of_class in by_class)
        )
    return tuple(points), tuple(objects)


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


def read_images(images: Images, indices: Sequence[int]) -> Iterator[tuple[int, Labelled]]:
    """Read images in threads, a few ahead of where they are needed."""
    return read_ahead(images.read, indices, threads=READERS, most=AHEAD)


def _loss(criterion: nn.Module, probability: Bytes, labelled: Labelled) -> float:
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
