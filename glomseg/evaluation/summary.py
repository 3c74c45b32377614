"""From scores of images to numbers for groups and overall, with intervals: what metrics.json holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glomseg.evaluation.curves import Agreement, Calibration, agreement, calibration, pr_curve
from glomseg.evaluation.intervals import ENOUGH_UNITS, Interval, Scale, assumption, intervals
from glomseg.evaluation.metrics import IOU_THRESHOLDS, ObjectScore, PixelScore
from glomseg.evaluation.score import ImageScore, object_values, pixel_values

FORMAT_VERSION = 1
VALIDATION = "validation"
MEAN = ("dice", "iou", "pixel_precision", "pixel_recall", "f1", "precision", "recall", "dq", "sq", "pq", "f1_50_95",
        "hausdorff95_um", "mean_distance_um", "count_bias", "kpis_f1")  # fmt: skip
_SCALES = {"hausdorff95_um": Scale.LENGTH, "mean_distance_um": Scale.LENGTH, "count_bias": Scale.DIFFERENCE}
_COUNTS = 3 + 4 * len(IOU_THRESHOLDS)


@dataclass(frozen=True, kw_only=True)
class GroupSummary:
    """The scores of some images: `mean` over images (as the challenge does), `pooled` from areas and counts added up.

    `units` are the animals, cases or slides that the intervals are over.
    """

    images: int
    units: int
    true_objects: int
    predicted_objects: int
    matched: int
    splits: int
    merges: int
    mean: Mapping[str, Interval]
    pooled: Mapping[str, Interval]
    f1_at_iou: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ClassFound:
    """How many true objects of a class were found as a class at IoU 0.5; `predicted` is "" for those missed.

    `true` is "" for predictions without a true object.
    """

    true: str
    predicted: str
    objects: int


@dataclass(frozen=True, kw_only=True)
class BestThreshold:
    """Which confidence to cut at, chosen on validation images and reported on the others; `note` says why none is."""

    average_precision: float
    best_threshold: float | None = None
    f1_on_validation: float | None = None
    f1_on_others: float | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class BlandAltman:
    """Predicted less true: glomeruli an image, their area an image, and the areas of matched ones."""

    count: Agreement | None
    area_um2: Agreement | None
    matched_area_um2: Agreement | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What came out over all images and by group; `unit` and `group_by` say in words what is counted and grouped by.

    Where both sides name several classes, `classes` holds the scores of each that both have, each class for itself, and
    `classes_found` what true objects of each class were found as.
    """

    unit: str
    group_by: str
    overall: GroupSummary
    groups: Mapping[str, GroupSummary]
    classes: Mapping[str, GroupSummary]
    classes_found: tuple[ClassFound, ...]
    bland_altman: BlandAltman
    calibration: Calibration | None
    precision_recall: BestThreshold | None

    def to_table(self) -> dict[str, Any]:
        """Return what metrics.json says; numbers that are not known are None."""
        table = {
            "format_version": FORMAT_VERSION,
            "interval": f"95 %, over jackknife pseudo-values of whole units ({self.unit}): Student's t, shares on the "
            "logit scale; distances on the logarithm's and differences midway between that and Hall's correction for "
            f"skewness; none for fewer than {ENOUGH_UNITS} units, nor where all are alike; lowest and highest are of "
            f"single units; {assumption(self.overall.units)}",
            **asdict(self),
        }
        return dict(clean(table))


def summarise(
    images: Sequence[ImageScore],
    *,
    unit: str,
    group_by: str,
    classes: Mapping[str, Sequence[ImageScore]] | None = None,
) -> Summary:
    """Summarise overall, by group, and by class where `classes` holds the scores of each class for itself.

    `unit` and `group_by` say in words what is counted and what is grouped by.
    """
    names = sorted({image.info.group for image in images})
    groups = {name: [image for image in images if image.info.group == name] for name in names}
    overall = summarise_group(images)
    return Summary(
        unit=unit,
        group_by=group_by,
        overall=overall,
        groups={name: overall if len(groups) == 1 else summarise_group(part) for name, part in groups.items()},
        classes={name: summarise_group(part) for name, part in (classes or {}).items()},
        classes_found=_classes_found(images),
        bland_altman=_bland_altman(images),
        calibration=calibration(images),
        precision_recall=_threshold(images),
    )


def summarise_group(images: Sequence[ImageScore]) -> GroupSummary:
    """Summarise some images; each value has its interval, None where too few units carry one, and range over units."""
    tables = [image.values() for image in images]
    names = [name for name in MEAN if name in tables[0]]
    single = np.array([[table[name] for name in names] for table in tables], dtype=float)
    sums = np.array([_counts(image) for image in images], dtype=float)
    pooled = list(_pooled(sums.sum(axis=0)))

    def statistic(some: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.concatenate([_nan_mean(single[some]), list(_pooled(sums[some].sum(axis=0)).values())])

    estimates = intervals(
        statistic,
        [image.info.unit for image in images],
        [_SCALES.get(name, Scale.SHARE) for name in (*names, *pooled)],
        has=np.hstack([np.isfinite(single), np.ones((len(images), len(pooled)), np.bool_)]),
    )
    total = reduce(add, (image.half for image in images), ObjectScore())
    return GroupSummary(
        images=len(images),
        units=len({image.info.unit for image in images}),
        true_objects=total.true,
        predicted_objects=total.predicted,
        matched=total.matched,
        splits=sum(image.splits for image in images),
        merges=sum(image.merges for image in images),
        mean=dict(zip(names, estimates, strict=False)),
        pooled=dict(zip(pooled, estimates[len(names) :], strict=True)),
        f1_at_iou={
            f"{threshold:.2f}": reduce(add, (image.at[index] for image in images), ObjectScore()).f1
            for index, threshold in enumerate(IOU_THRESHOLDS)
        },
    )


def _counts(image: ImageScore) -> list[float]:
    """Put all that adds up over images into one row."""
    pixels = image.pixels
    row = [pixels.overlap, pixels.predicted, pixels.true]
    for score in image.at:
        row += [score.matched, score.predicted, score.true, score.iou_sum]
    assert len(row) == _COUNTS
    return row


def _pooled(row: NDArray[np.float64]) -> dict[str, float]:
    """Compute the scores of areas and counts added up."""
    scores = [ObjectScore(int(m), int(p), int(t), iou) for m, p, t, iou in row[3:].reshape(-1, 4).tolist()]
    return {
        **pixel_values(PixelScore(*row[:3].tolist())),
        **object_values(scores[0]),
        "f1_50_95": float(np.mean([score.f1 for score in scores])),
    }


def _nan_mean(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the columns over the rows where they are defined."""
    finite = np.isfinite(table)
    count = finite.sum(axis=0)
    total = np.where(finite, table, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), math.nan))


def _classes_found(images: Sequence[ImageScore]) -> tuple[ClassFound, ...]:
    """Count which class the partner of each object has; nothing where no side names two classes."""
    counts: Counter[tuple[str, str]] = Counter()
    for image in images:
        predicted = {row.number: row.class_name for row in image.objects if row.side == "predicted"}
        for row in image.objects:
            if row.side == "true":
                counts[row.class_name, "" if row.partner is None else predicted[row.partner]] += 1
            elif row.partner is None:
                counts["", row.class_name] += 1
    if len({name for pair in counts for name in pair if name}) < 2:
        return ()
    return tuple(ClassFound(true=true, predicted=ours, objects=n) for (true, ours), n in sorted(counts.items()))


def _bland_altman(images: Sequence[ImageScore]) -> BlandAltman:
    """Compare counts and areas an image, and the areas of matched objects: predicted less true."""
    pairs = matched_areas(images)
    tables = [image.values() for image in images if image.mpp is not None]
    return BlandAltman(
        count=agreement([i.half.predicted for i in images], [i.half.true for i in images]),
        area_um2=agreement([t["predicted_area_um2"] for t in tables], [t["true_area_um2"] for t in tables]),
        matched_area_um2=agreement([p for p, _ in pairs], [t for _, t in pairs]),
    )


def matched_areas(images: Sequence[ImageScore]) -> list[tuple[float, float]]:
    """List the predicted and the true area (um2) of each match, where the size of a pixel is known."""
    pairs = []
    for image in images:
        true = {row.number: row for row in image.objects if row.side == "true"}
        for row in image.objects:
            if row.side == "predicted" and row.partner is not None and math.isfinite(row.area_um2):
                pairs.append((row.area_um2, true[row.partner].area_um2))
    return pairs


def _threshold(images: Sequence[ImageScore]) -> BestThreshold | None:
    """Give the area under the curve, and the best threshold: chosen on validation images, reported on the others."""
    curve = pr_curve(images)
    if curve is None:
        return None
    validation = pr_curve([image for image in images if image.info.split == VALIDATION])
    if validation is None:
        note = "no best threshold: no image is marked as validation, and others must not choose it"
        return BestThreshold(average_precision=curve.average_precision, note=note)
    threshold = validation.best()
    rest = [image for image in images if image.info.split != VALIDATION]
    return BestThreshold(
        average_precision=curve.average_precision,
        best_threshold=threshold,
        f1_on_validation=float(validation.f1.max()),
        f1_on_others=_f1_at(rest, threshold) if rest else None,
    )


def _f1_at(images: Sequence[ImageScore], threshold: float) -> float:
    """Compute the pooled object F1 of the predictions with at least this confidence."""
    kept = [row for image in images for row in image.objects if row.side == "predicted" and row.confidence >= threshold]
    matched = sum(row.status == "matched" for row in kept)
    return ObjectScore(matched, len(kept), sum(image.half.true for image in images)).f1


def clean(value: Any) -> Any:
    """Replace what JSON has no word for (NaN) by None, and round to what can matter."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
