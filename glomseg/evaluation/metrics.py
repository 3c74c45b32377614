"""Pixel and object metrics of one image, from polygons.

All areas are in level-0 pixels. Where a ratio has nothing to count, agreement decides: 1 where truth and prediction
are both empty, 0 where only one of them is.
"""

from __future__ import annotations

from dataclasses import dataclass

import shapely

from glomseg.evaluation.matching import Matching, Overlaps, overlaps
from glomseg.geometry import Geometries, geometries, polygons

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, ... 0.95, as in COCO."""


def ratio(part: float, whole: float) -> float:
    """Divide, with 1 for nothing of nothing: both sides empty agree."""
    return part / whole if whole else 1.0


def _share(part: float, whole: float, other: float) -> float:
    """Divide `part` by `whole`; where that is empty, 1 if the `other` side is empty too, else 0."""
    return part / whole if whole else float(not other)


@dataclass(frozen=True, slots=True)
class PixelScore:
    """Areas in px: covered by both, by the prediction, and by the truth. Sums over images give pooled scores."""

    overlap: float = 0.0
    predicted: float = 0.0
    true: float = 0.0

    def __add__(self, other: PixelScore) -> PixelScore:
        """Add the areas of two images."""
        return PixelScore(self.overlap + other.overlap, self.predicted + other.predicted, self.true + other.true)

    @property
    def dice(self) -> float:
        """2 |P and T| / (|P| + |T|), the same as pixel F1 (Dice 1945); 1 where both are empty."""
        return ratio(2 * self.overlap, self.predicted + self.true)

    @property
    def iou(self) -> float:
        """|P and T| / |P or T| (Jaccard 1912); 1 where both are empty."""
        return ratio(self.overlap, self.predicted + self.true - self.overlap)

    @property
    def precision(self) -> float:
        """|P and T| / |P|; for an empty prediction 1 where the truth is empty, else 0."""
        return _share(self.overlap, self.predicted, self.true)

    @property
    def recall(self) -> float:
        """|P and T| / |T|; for an empty truth 1 where the prediction is empty, else 0."""
        return _share(self.overlap, self.true, self.predicted)


def pixel_score(predicted: Geometries, true: Geometries, met: Overlaps) -> PixelScore:
    """Measure the areas that both sides cover, each pixel once even where objects of one side overlap."""
    if _is_disjoint(predicted) and _is_disjoint(true):
        return PixelScore(float(met.shared.sum()), float(met.predicted_areas.sum()), float(met.true_areas.sum()))
    flat_p, flat_t = _flat(predicted), _flat(true)
    again = overlaps(flat_p, flat_t)
    return PixelScore(float(again.shared.sum()), float(again.predicted_areas.sum()), float(again.true_areas.sum()))


def _is_disjoint(items: Geometries) -> bool:
    first, second = shapely.STRtree(items).query(items, predicate="intersects")
    apart = first < second
    return not shapely.area(shapely.intersection(items[first[apart]], items[second[apart]])).any()


def _flat(items: Geometries) -> Geometries:
    return geometries(polygons(shapely.union_all(items)))


@dataclass(frozen=True, slots=True)
class ObjectScore:
    """Counts of objects: matched, predicted and true, and the sum of the matches' IoU. They add up over images."""

    matched: int = 0
    predicted: int = 0
    true: int = 0
    iou_sum: float = 0.0

    def __add__(self, other: ObjectScore) -> ObjectScore:
        """Add the counts of two images."""
        return ObjectScore(
            self.matched + other.matched,
            self.predicted + other.predicted,
            self.true + other.true,
            self.iou_sum + other.iou_sum,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP); without predictions 1 where there is nothing to find, else 0."""
        return _share(self.matched, self.predicted, self.true)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); without true objects 1 where nothing was predicted, else 0."""
        return _share(self.matched, self.true, self.predicted)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), the detection quality DQ of Kirillov 2019; 1 where both are empty."""
        return ratio(2 * self.matched, self.predicted + self.true)

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matches (Kirillov 2019); without any 1 where both are empty, else 0."""
        return _share(self.iou_sum, self.matched, self.predicted + self.true)

    @property
    def pq(self) -> float:
        """Panoptic quality DQ x SQ (Kirillov 2019): sum of IoU / (TP + FP/2 + FN/2); 1 where both are empty."""
        return self.f1 * self.sq

    @property
    def count_bias(self) -> int:
        """Predicted less true objects."""
        return self.predicted - self.true


def object_score(met: Overlaps, matching: Matching) -> ObjectScore:
    """Count what a matching found."""
    return ObjectScore(len(matching.iou), len(met.predicted_areas), len(met.true_areas), float(matching.iou.sum()))
