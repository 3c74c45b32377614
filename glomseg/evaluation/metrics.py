"""Pixel and object metrics of one image, from polygons.

All areas are in level-0 pixels. Where a ratio has nothing to count, agreement decides: 1 where truth and prediction
are both empty, 0 where only one of them is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glomseg.geometry import Geometries, Numbers, geometries, polygons

Indices = NDArray[np.intp]

IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, ... 0.95, as in COCO."""

_EXACT = 1e-9  # an IoU of one half is a match, whatever rounding made of it


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


@dataclass(frozen=True)
class Overlaps:
    """The pairs of a predicted and a true object that share area, with that area and their IoU; the areas of all."""

    predicted: Indices
    true: Indices
    shared: Numbers
    iou: Numbers
    predicted_areas: Numbers
    true_areas: Numbers


def overlaps(predicted: Geometries, true: Geometries) -> Overlaps:
    """Find which objects share area, through an index: the cost goes with the objects that meet, not with the slide."""
    areas_p, areas_t = shapely.area(predicted).astype(float), shapely.area(true).astype(float)
    first, second = shapely.STRtree(true).query(predicted, predicate="intersects")
    shared = shapely.area(shapely.intersection(predicted[first], true[second])).astype(float)
    real = shared > 0
    first, second, shared = first[real], second[real], shared[real]
    union = areas_p[first] + areas_t[second] - shared
    return Overlaps(first, second, shared, shared / union, areas_p, areas_t)


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


@dataclass(frozen=True)
class Matching:
    """Pairs of a predicted and a true object, each object in at most one pair, and their IoU."""

    predicted: Indices
    true: Indices
    iou: Numbers


def match(met: Overlaps, threshold: float = 0.5) -> Matching:
    """Match objects one to one: as many pairs of IoU >= `threshold` as can be, of those with the greatest sum of IoU.

    Solved as a linear assignment (as stardist.matching defines it), separately for each group of objects that meet.
    """
    good = met.iou >= threshold - _EXACT
    predicted, true, iou = met.predicted[good], met.true[good], met.iou[good]
    if not len(iou):
        return Matching(predicted, true, iou)
    offset = len(met.predicted_areas)
    size = offset + len(met.true_areas)
    graph = coo_array((np.ones(len(iou)), (predicted, offset + true)), shape=(size, size))
    _, group = connected_components(graph, directed=False)
    groups = group[predicted]
    sizes = np.bincount(groups)
    chosen = sizes[groups] == 1
    for label in np.flatnonzero(sizes > 1):
        chosen[_assigned(np.flatnonzero(groups == label), predicted, true, iou)] = True
    return Matching(predicted[chosen], true[chosen], iou[chosen])


def _assigned(pairs: Indices, predicted: Indices, true: Indices, iou: Numbers) -> Indices:
    """Choose among competing pairs."""
    rows, row = np.unique(predicted[pairs], return_inverse=True)
    columns, column = np.unique(true[pairs], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    place = np.full(gain.shape, -1)
    gain[row, column] = 1 + iou[pairs] / (len(pairs) + 1)  # the number of pairs first, their IoU second
    place[row, column] = pairs
    found = place[linear_sum_assignment(gain, maximize=True)]
    return np.asarray(found[found >= 0], dtype=np.intp)


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


def splits(met: Overlaps) -> Indices:
    """Return the true objects that were split: two or more predictions lie in them with more than half their area."""
    return _holders(met.true, met.shared / met.predicted_areas[met.predicted])


def merges(met: Overlaps) -> Indices:
    """Return the predictions that merge: two or more true objects lie in them with more than half their area."""
    return _holders(met.predicted, met.shared / met.true_areas[met.true])


def _holders(holder: Indices, inside: Numbers) -> Indices:
    held = np.bincount(holder[inside > 0.5]) if len(holder) else np.zeros(0, np.intp)
    return np.flatnonzero(held >= 2)
