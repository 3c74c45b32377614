"""Suggestions on outlined profiles: how probable it is that each is globally sclerosed. A person decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Bools, Box, Bytes, paint
from glomseg.models.crop_classifier import CROP_PX, CropClassifier
from glomseg.slides.slide import Slide

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A classifier's probability that a profile is of its class, and whether that is enough to name it."""

    class_name: str
    measurement: str
    probability: float
    is_likely: bool


@dataclass(frozen=True, slots=True)
class Suggester:
    """A classifier, and what becomes of its answers: with `classify` the class, else a mark for the review."""

    classifier: CropClassifier
    classify: bool = False

    def suggest(self, slide: Slide, outlines: Sequence[BaseGeometry]) -> list[Suggestion]:
        """Return what the classifier says of each outline of a slide; raises SlideError, ModelError."""
        card = self.classifier.card
        return [
            Suggestion(card.class_name, card.measurement, probability, probability >= card.threshold)
            for probability in probabilities(slide, outlines, self.classifier)
        ]


def crop_profile(slide: Slide, outline: BaseGeometry) -> tuple[Bytes, Bools]:
    """Cut a profile out along its bounding box, scaled to the square (CROP_PX, CROP_PX) that a classifier takes.

    Returns RGB and what of it lies inside the outline, which is in level-0 pixels. Raises SlideError.
    """
    left, top, right, bottom = outline.bounds
    box = Box(left, top, max(right - left, 1), max(bottom - top, 1))
    pixels = slide.read_downsampled(box, box.width / CROP_PX, box.height / CROP_PX)
    return pixels, paint(outline, box, (CROP_PX, CROP_PX))


def probabilities(slide: Slide, outlines: Sequence[BaseGeometry], classifier: CropClassifier) -> list[float]:
    """Return the classifier's probability of each outline of a slide; raises SlideError, ModelError."""
    answers: list[float] = []
    for start in range(0, len(outlines), _BATCH):
        crops = [crop_profile(slide, outline) for outline in outlines[start : start + _BATCH]]
        answers += classifier.probabilities(crops)
    return answers
