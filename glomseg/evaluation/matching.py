"""Which predicted object is which true one: what meets, who is matched with whom, what was split or merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from glomseg.geometry import Geometries, Numbers

Indices = NDArray[np.intp]

_EXACT = 1e-9  # an IoU of one half is a match, whatever rounding made of it


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
    kept = sizes[groups] == 1
    for label in np.flatnonzero(sizes > 1):
        kept[_assigned(np.flatnonzero(groups == label), predicted, true, iou)] = True
    return Matching(predicted[kept], true[kept], iou[kept])


def _assigned(pairs: Indices, predicted: Indices, true: Indices, iou: Numbers) -> Indices:
    """Choose among competing pairs."""
    rows, row = np.unique(predicted[pairs], return_inverse=True)
    columns, column = np.unique(true[pairs], return_inverse=True)
    gain = np.zeros((len(rows), len(columns)))
    place = np.full(gain.shape, -1)
    gain[row, column] = 1 + iou[pairs] / (len(pairs) + 1)  # the number of pairs first, their IoU second
    place[row, column] = pairs
    pair = place[linear_sum_assignment(gain, maximize=True)]
    return np.asarray(pair[pair >= 0], dtype=np.intp)


def splits(met: Overlaps) -> Indices:
    """Return the true objects that were split: two or more predictions lie in them with more than half their area."""
    return _holders(met.true, met.shared / met.predicted_areas[met.predicted])


def merges(met: Overlaps) -> Indices:
    """Return the predictions that merge: two or more true objects lie in them with more than half their area."""
    return _holders(met.predicted, met.shared / met.true_areas[met.true])


def _holders(holder: Indices, inside: Numbers) -> Indices:
    held = np.bincount(holder[inside > 0.5]) if len(holder) else np.zeros(0, np.intp)
    return np.flatnonzero(held >= 2)
