"""Which probability to cut at: precision and recall over the threshold, the best one chosen on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glomseg.errors import EvaluationError, RunError
from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import ObjectScore, PixelScore, object_score, pixel_score
from glomseg.evaluation.summary import VALIDATION
from glomseg.geometry import Geometries, geometries
from glomseg.labelled.label_files import Outlines
from glomseg.models.card import ModelCard
from glomseg.progress import ProgressCount
from glomseg.segment.pipeline import SegmentSettings, outline_map
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import ReadingFrame

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 20))
"""0.1, 0.15, ... 0.95."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The probabilities that a run kept of one image, how it was read, and its truth."""

    probability: Path
    frame: ReadingFrame
    true: Outlines
    split: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """What a threshold gives, added up over validation images and over all others."""

    threshold: float
    validation: ObjectScore
    validation_pixels: PixelScore
    others: ObjectScore
    others_pixels: PixelScore


def sweep(
    images: Sequence[Kept],
    card: ModelCard,
    settings: SegmentSettings,
    *,
    extras: Sequence[str] = (),
    scratch: Path | None = None,
    progress: ProgressCount = lambda done, total: None,
) -> list[Point]:
    """Outline the kept probabilities at each of THRESHOLDS and score them; the network does not run again.

    `extras` are the planes that the model gives beside the classes. The threshold of `settings` is not used.
    Raises EvaluationError, SlideError where a probability is missing.
    """
    points = [Point(threshold, ObjectScore(), PixelScore(), ObjectScore(), PixelScore()) for threshold in THRESHOLDS]
    for done, image in enumerate(images):
        progress(done, len(images))
        with _map(image, card, extras, scratch) as probability:
            for index, point in enumerate(points):
                counted, _ = outline_map(probability, card, replace(settings, threshold=point.threshold))
                points[index] = _added(point, image, geometries([item.geometry for item in counted]))
    return points


def best(points: Sequence[Point]) -> float | None:
    """Return the threshold of the best object F1 on validation images, by Dice where F1 is equal; None without any."""
    if not any(point.validation.true or point.validation.predicted for point in points):
        return None
    point = max(points, key=lambda point: (point.validation.f1, point.validation_pixels.dice))
    return point.threshold


def _added(point: Point, image: Kept, outlines: Geometries) -> Point:
    """Add the score of one image at a point's threshold."""
    true = image.true.without(image.true.ignored)
    predicted = Outlines(geometries=outlines, confidences=np.full(len(outlines), np.nan)).without(image.true.ignored)
    met = overlaps(predicted.geometries, true.geometries)
    objects, pixels = object_score(met, match(met)), pixel_score(predicted.geometries, true.geometries, met)
    if image.split == VALIDATION:
        return replace(point, validation=point.validation + objects, validation_pixels=point.validation_pixels + pixels)
    return replace(point, others=point.others + objects, others_pixels=point.others_pixels + pixels)


def _map(image: Kept, card: ModelCard, extras: Sequence[str], scratch: Path | None) -> ProbabilityMap:
    """Lay the kept probabilities out again."""
    if not image.probability.is_file():
        raise EvaluationError(f"{image.probability} is not there; predict with `sweep` into a new `output`")
    try:
        return ProbabilityMap.kept(image.probability, image.frame, card.num_classes, scratch, extras)
    except RunError as error:
        raise EvaluationError(str(error)) from error
