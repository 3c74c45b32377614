"""Where outlines run and what counts: threshold and sureness, chosen on images that were not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import ObjectScore, PixelScore
from glomseg.geometry import Geometries, Numbers
from glomseg.training.scores import ClassScore, ThresholdScore

SURENESSES = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97)
FEWEST = 10
"""With fewer true objects no sureness is chosen: all count."""


@dataclass(frozen=True, slots=True)
class ComparedObjects:
    """What a threshold outlined of a class on one image: mean probability, IoU with the match or 0, area of each.

    Areas are in px; `shared` is what an object covers of the truth, `true` and `true_area` what there is to find.
    """

    threshold: float
    confidence: Numbers
    iou: Numbers
    area: Numbers
    shared: Numbers
    true: int
    true_area: float

    def __add__(self, other: ComparedObjects) -> ComparedObjects:
        """Put the objects of two images together."""
        pairs = ((self.confidence, other.confidence), (self.iou, other.iou), (self.area, other.area))
        confidence, iou, area = (np.concatenate(pair) for pair in pairs)
        shared = np.concatenate((self.shared, other.shared))
        true, true_area = self.true + other.true, self.true_area + other.true_area
        return ComparedObjects(self.threshold, confidence, iou, area, shared, true, true_area)

    def score(self, sureness: float | None) -> ClassScore:
        """Count what is at least so sure (None: all)."""
        sure = self.confidence >= (sureness or 0.0)
        iou = self.iou[sure]
        return ClassScore(
            ObjectScore(int((iou > 0).sum()), int(sure.sum()), self.true, float(iou.sum())),
            PixelScore(float(self.shared[sure].sum()), float(self.area[sure].sum()), self.true_area),
        )


OutlinedImage = tuple[tuple[ComparedObjects, ...], ...]
"""What was outlined on an image: by threshold, then by class."""


@dataclass(frozen=True, slots=True)
class ChosenDials:
    """A threshold and a sureness (None: all count), what is sure by them, and that with the candidates."""

    threshold: float
    sureness: float | None
    sure: ThresholdScore
    with_candidates: ThresholdScore


def outlined(threshold: float, predicted: Geometries, confidence: Numbers, true: Geometries) -> ComparedObjects:
    """Compare the outlines of one class on one image with the truth."""
    met = overlaps(predicted, true)
    matching = match(met)
    iou, shared = np.zeros(len(predicted)), np.zeros(len(predicted))
    iou[matching.predicted] = matching.iou
    np.add.at(shared, met.predicted, met.shared)
    return ComparedObjects(
        threshold, confidence, iou, met.predicted_areas, shared, len(true), float(met.true_areas.sum())
    )


def at_dials(images: Sequence[OutlinedImage], threshold: float, sureness: float | None) -> ChosenDials:
    """Add up images, each outlined at the same thresholds, at one of these and a sureness."""
    return _at(_totals(images, threshold), threshold, sureness)


def choose_dials(
    images: Sequence[OutlinedImage], thresholds: Sequence[float], *, surenesses: Sequence[float] = SURENESSES
) -> ChosenDials:
    """Choose what gives the best object F1 over images outlined at `thresholds`, by Dice where that is equal.

    Of equals it is the least sureness, and the threshold nearest to a half.
    """
    choices = []
    for threshold in thresholds:
        totals = _totals(images, threshold)
        few = sum(one.true for one in totals) < FEWEST
        choices += [_at(totals, threshold, sureness or None) for sureness in ((0.0,) if few else surenesses)]
    return max(choices, key=lambda one: (*one.sure.rank, -(one.sureness or 0.0), -abs(one.threshold - 0.5)))


def _at(totals: Sequence[ComparedObjects], threshold: float, sureness: float | None) -> ChosenDials:
    sure, everything = (
        ThresholdScore(threshold, tuple(one.score(least) for one in totals)) for least in (sureness, None)
    )
    return ChosenDials(threshold, sureness, sure, everything)


def _totals(images: Sequence[OutlinedImage], threshold: float) -> list[ComparedObjects]:
    """Put the objects of all images at a threshold together, class by class."""
    at = next(number for number, one in enumerate(images[0]) if one[0].threshold == threshold)
    first, *rest = (image[at] for image in images)
    totals = list(first)
    for image in rest:
        totals = [mine + theirs for mine, theirs in zip(totals, image, strict=True)]
    return totals
