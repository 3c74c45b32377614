"""From scores of images to numbers for groups and overall, with intervals: what metrics.json holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glomseg.evaluation.curves import agreement, calibration, pr_curve
from glomseg.evaluation.intervals import RESAMPLES, Intervals, intervals
from glomseg.evaluation.metrics import IOU_THRESHOLDS, ObjectScore, PixelScore
from glomseg.evaluation.score import ImageScore, object_values, pixel_values

FORMAT_VERSION = 1
VALIDATION = "validation"
MEAN = ("dice", "iou", "pixel_precision", "pixel_recall", "f1", "precision", "recall", "dq", "sq", "pq", "f1_50_95",
        "hausdorff95_um", "mean_distance_um", "count_bias", "kpis_f1")  # fmt: skip
_COUNTS = 3 + 4 * len(IOU_THRESHOLDS)


def summarise(images: Sequence[ImageScore], *, unit: str, group_by: str) -> dict[str, Any]:
    """Summarise overall and by group; `unit` and `group_by` say in words what is drawn and what is grouped by."""
    names = sorted({image.info.group for image in images})
    groups = {name: [image for image in images if image.info.group == name] for name in names}
    overall = summarise_group(images)
    summary: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "unit": unit,
        "group_by": group_by,
        "interval": f"95 %, percentile bootstrap, {RESAMPLES} draws of whole units ({unit}), seed 0",
        "overall": overall,
        "groups": {name: overall if len(groups) == 1 else summarise_group(part) for name, part in groups.items()},
        "bland_altman": _bland_altman(images),
        "calibration": _or_none(calibration(images)),
        "precision_recall": _threshold(images),
    }
    cleaned: dict[str, Any] = clean(summary)
    return cleaned


def summarise_group(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Summarise some images: `mean` over images (as the challenge does), `pooled` from all areas and counts added up.

    Each value comes with the ends of its interval, None where there are fewer than two units.
    """
    tables = [image.values() for image in images]
    names = [name for name in MEAN if name in tables[0]]
    single = np.array([[table[name] for name in names] for table in tables], dtype=float)
    sums = np.array([_counts(image) for image in images], dtype=float)

    def statistic(chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.concatenate([_nan_mean(single[chosen]), list(_pooled(sums[chosen].sum(axis=0)).values())])

    drawn = intervals(statistic, [image.info.unit for image in images])
    pooled = _pooled(sums.sum(axis=0))
    total = reduce(add, (image.half for image in images), ObjectScore())
    return {
        "images": len(images),
        "units": len({image.info.unit for image in images}),
        "true_objects": total.true,
        "predicted_objects": total.predicted,
        "matched": total.matched,
        "splits": sum(image.splits for image in images),
        "merges": sum(image.merges for image in images),
        "mean": _with_interval(names, _nan_mean(single), drawn, 0),
        "pooled": _with_interval(list(pooled), np.array(list(pooled.values())), drawn, len(names)),
        "f1_at_iou": {
            f"{threshold:.2f}": reduce(add, (image.at[index] for image in images), ObjectScore()).f1
            for index, threshold in enumerate(IOU_THRESHOLDS)
        },
    }


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
    known = np.isfinite(table)
    count = known.sum(axis=0)
    total = np.where(known, table, 0.0).sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), math.nan))


def _with_interval(
    names: Sequence[str], values: NDArray[np.float64], drawn: Intervals | None, offset: int
) -> dict[str, Any]:
    return {
        name: {
            "value": float(values[index]),
            "low": None if drawn is None else float(drawn.low[offset + index]),
            "high": None if drawn is None else float(drawn.high[offset + index]),
        }
        for index, name in enumerate(names)
    }


def _bland_altman(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Compare counts and areas an image, and the areas of matched objects: predicted less true."""
    pairs = matched_areas(images)
    whole = [image for image in images if image.mpp is not None]
    tables = [image.values() for image in whole]
    return {
        "count": _or_none(agreement([i.half.predicted for i in images], [i.half.true for i in images])),
        "area_um2": _or_none(
            agreement([t["predicted_area_um2"] for t in tables], [t["true_area_um2"] for t in tables])
        ),
        "matched_area_um2": _or_none(agreement([p for p, _ in pairs], [t for _, t in pairs])),
    }


def matched_areas(images: Sequence[ImageScore]) -> list[tuple[float, float]]:
    """List the predicted and the true area (um2) of each match, where the size of a pixel is known."""
    pairs = []
    for image in images:
        true = {row.number: row for row in image.objects if row.side == "true"}
        for row in image.objects:
            if row.side == "predicted" and row.partner is not None and math.isfinite(row.area_um2):
                pairs.append((row.area_um2, true[row.partner].area_um2))
    return pairs


def _threshold(images: Sequence[ImageScore]) -> dict[str, Any] | None:
    """Give the area under the curve, and the best threshold: chosen on validation images, reported on the others."""
    curve = pr_curve(images)
    if curve is None:
        return None
    found: dict[str, Any] = {"average_precision": curve.average_precision, "best_threshold": None}
    chosen = pr_curve([image for image in images if image.info.split == VALIDATION])
    if chosen is None:
        return {**found, "note": "no best threshold: no image is marked as validation, and others must not choose it"}
    threshold = chosen.best()
    rest = [image for image in images if image.info.split != VALIDATION]
    return {
        **found,
        "best_threshold": threshold,
        "f1_on_validation": float(chosen.f1.max()),
        "f1_on_others": _f1_at(rest, threshold) if rest else None,
    }


def _f1_at(images: Sequence[ImageScore], threshold: float) -> float:
    """Compute the pooled object F1 of the predictions with at least this confidence."""
    kept = [row for image in images for row in image.objects if row.side == "predicted" and row.confidence >= threshold]
    matched = sum(row.status == "matched" for row in kept)
    return ObjectScore(matched, len(kept), sum(image.half.true for image in images)).f1


def _or_none(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def clean(value: Any) -> Any:
    """Replace what JSON has no word for (NaN) by None, and round to what can matter."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
