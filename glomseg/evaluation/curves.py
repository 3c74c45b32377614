"""What the confidence is worth, and how two methods agree: curves over all objects or images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from glomseg.evaluation.score import ImageScore
from glomseg.geometry import Numbers

BINS = 10
LEAST_PAIRS = 3


@dataclass(frozen=True)
class PrCurve:
    """Precision and recall of the objects when only those of at least `thresholds` confidence are kept, falling."""

    thresholds: Numbers
    precision: Numbers
    recall: Numbers
    average_precision: float

    @property
    def f1(self) -> Numbers:
        """2 P R / (P + R) at each threshold, 0 where both are 0."""
        total = self.precision + self.recall
        return np.asarray(np.divide(2 * self.precision * self.recall, total, np.zeros_like(total), where=total > 0))

    def best(self) -> float:
        """Return the threshold of the highest F1, the highest such threshold where several share it."""
        return float(self.thresholds[int(np.argmax(self.f1))])


def pr_curve(images: Iterable[ImageScore]) -> PrCurve | None:
    """Draw precision against recall over the confidence; a prediction is right where it matched at IoU 0.5.

    Average precision is the sum of (R_n - R_(n-1)) P_n over the falling thresholds. None without true objects, or
    where a prediction has no confidence.
    """
    images = list(images)
    rows = [row for image in images for row in image.objects if row.side == "predicted"]
    wanted = sum(image.half.true for image in images)
    confidence = np.array([row.confidence for row in rows])
    if not wanted or not rows or not np.isfinite(confidence).all():
        return None
    right = np.array([row.status == "matched" for row in rows])
    order = np.argsort(-confidence, kind="stable")
    last_of_tie = np.flatnonzero(np.diff(confidence[order], append=-np.inf))
    hits = np.cumsum(right[order])[last_of_tie]
    recall, precision = hits / wanted, hits / (last_of_tie + 1)
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    return PrCurve(confidence[order][last_of_tie], precision, recall, average)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often predictions of a confidence are right: bins of equal width with their counts, and the mean gap.

    `error` is the expected calibration error (Naeini 2015): the mean over predictions of |share right - mean
    confidence| of their bin.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    right: tuple[float, ...]
    error: float


def calibration(images: Iterable[ImageScore]) -> Calibration | None:
    """Compare confidence with the share of predictions that matched at IoU 0.5; None where none has a confidence."""
    rows = [row for image in images for row in image.objects if row.side == "predicted"]
    rows = [row for row in rows if np.isfinite(row.confidence)]
    if not rows:
        return None
    confidence = np.array([row.confidence for row in rows])
    right = np.array([row.status == "matched" for row in rows], dtype=float)
    bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    divisor = np.maximum(counts, 1)
    means = np.bincount(bins, confidence, BINS) / divisor
    shares = np.bincount(bins, right, BINS) / divisor
    error = float((counts * np.abs(means - shares)).sum() / counts.sum())
    return Calibration(tuple(counts.tolist()), tuple(means.tolist()), tuple(shares.tolist()), error)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The mean difference of two measurements, and limits of agreement (Bland and Altman 1986) around it.

    Between them lie 95 % of further differences, if these are normally distributed: of n pairs they are Student's
    t * SD * sqrt(1 + 1/n), which of many is 1.96 SD. None for fewer than three pairs, and where all differ alike.
    """

    bias: float
    low: float | None
    high: float | None
    count: int


def agreement(predicted: Sequence[float], true: Sequence[float]) -> Agreement | None:
    """Compare predicted with true values, one a pair; None without any."""
    difference = np.asarray(predicted, dtype=float) - np.asarray(true, dtype=float)
    if not len(difference):
        return None
    bias = float(difference.mean())
    count = len(difference)
    spread = float(difference.std(ddof=1)) if count >= LEAST_PAIRS else 0.0
    if spread <= 1e-9 * float(np.abs(difference).max()):
        return Agreement(bias, None, None, count)
    reach = float(t.ppf(0.975, count - 1)) * spread * (1 + 1 / count) ** 0.5
    return Agreement(bias, bias - reach, bias + reach, count)
