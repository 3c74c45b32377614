"""Counts that add up over images: by class, and by threshold."""

from __future__ import annotations

from dataclasses import dataclass, field

from glomseg.evaluation.metrics import ObjectScore, PixelScore


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
