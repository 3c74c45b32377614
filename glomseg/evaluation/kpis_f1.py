"""The KPIs 2024 challenge's own F1, faults included.

How the challenge's program for slides computes F1, as far as it differs from ours:

- It traces the background, so that a contour runs one pixel outside of its object, an object that touches the edge of
  the image is none, and a hole in an object is an object.
- To compare two contours whose bounding boxes meet, it moves both, in place, to a corner of a small picture, and leaves
  them there: later comparisons see contours at a place where they never were. A prediction that overlaps badly is
  a false positive, but the object that it missed is then found "again" by one of the contours in that corner, so it
  hardly ever counts as missed.
- Nothing is matched one to one: every prediction with some true object of IoU >= 0.5 is a true positive.

10 % of poor overlaps give 0.953 instead of 0.910 so, 20 % give 0.899 instead of 0.818.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage
from shapely.affinity import scale
from shapely.geometry import Polygon
from skimage.draw import polygon

from glomseg.geometry import Geometries

MARGIN = 10


@dataclass(frozen=True, slots=True)
class KpisScore:
    """The challenge's own counts; its F1 is 0 where it divides by 0."""

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def f1(self) -> float:
        """2 P R / (P + R), with P = TP / (TP + FP), R = TP / (TP + FN); 0 without a true positive, empty or not."""
        tp = self.true_positive
        return 2 * tp / (2 * tp + self.false_positive + self.false_negative) if tp else 0.0


def kpis_score(predicted: Geometries, true: Geometries, size: tuple[int, int] | None, *, reduce: int = 1) -> KpisScore:
    """Count as the challenge's program does; `size` is the image's (width, height), `reduce` that to 40X.

    Without a size no object is taken to touch the edge.
    """
    ours, theirs = _Contours.of(predicted, size, reduce), _Contours.of(true, size, reduce)
    hits = sum(_meets(ours, index, theirs) for index in range(len(ours.masks)))
    missed = sum(not _meets(theirs, index, ours) for index in range(len(theirs.masks)))
    return KpisScore(hits, len(ours.masks) - hits, missed)


@dataclass
class _Contours:
    """Filled contours and where they stand now: the first column and row of each."""

    masks: list[NDArray[np.bool_]]
    places: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, items: Geometries, size: tuple[int, int] | None, reduce: int) -> _Contours:
        """Fill the contours, the last in reading order first and holes after their object, as OpenCV lists them."""
        objects = []
        for part in shapely.get_parts(items):
            part = scale(part, 1 / reduce, 1 / reduce, origin=(0, 0))
            if isinstance(part, Polygon) and not _touches_edge(part, size, reduce):
                holes = [_filled(ring, grow=False) for ring in part.interiors]
                objects.append([_filled(part.exterior, grow=True), *sorted(holes, key=_start, reverse=True)])
        listed = [
            one for family in sorted(objects, key=lambda family: _start(family[0]), reverse=True) for one in family
        ]
        listed = [one for one in listed if one[0].any()]
        places = np.array([place for _, place in listed], np.int64).reshape(-1, 2)
        sizes = np.array([mask.shape[::-1] for mask, _ in listed], np.int64).reshape(-1, 2)
        return cls([mask for mask, _ in listed], places, sizes)


_Filled = tuple[NDArray[np.bool_], tuple[int, int]]


def _touches_edge(part: Polygon, size: tuple[int, int] | None, reduce: int) -> bool:
    if size is None:
        return False
    left, top, right, bottom = part.bounds
    return bool(left <= 0 or top <= 0 or right >= size[0] // reduce or bottom >= size[1] // reduce)


def _filled(ring: shapely.LinearRing, *, grow: bool) -> _Filled:
    """Mark the pixels whose centres a ring holds, and with `grow` those that touch them; with the corner's place."""
    corners = shapely.get_coordinates(ring) - 0.5
    left, top = np.floor(corners.min(axis=0)).astype(int) - 1
    width, height = np.ceil(corners.max(axis=0)).astype(int) + 2 - (left, top)
    mask = np.zeros((height, width), np.bool_)
    mask[polygon(corners[:, 1] - top, corners[:, 0] - left, mask.shape)] = True
    mask = ndimage.binary_dilation(mask) if grow else mask
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return mask, (int(left), int(top))
    cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return cut, (int(left + columns[0]), int(top + rows[0]))


def _start(filled: _Filled) -> tuple[int, int]:
    """Tell where a scan from the top meets a contour first."""
    mask, (left, top) = filled
    return top, left + int(mask[0].argmax()) if mask.size else left


def _meets(ones: _Contours, index: int, others: _Contours) -> bool:
    """Look for a contour with IoU >= 0.5, and leave every two that were compared in their corner."""
    at = 0
    while True:
        place, size = ones.places[index], ones.sizes[index]
        ends, other_ends = place + size, others.places[at:] + others.sizes[at:]
        meet = ((place < other_ends) & (others.places[at:] < ends)).all(axis=1)
        if not meet.any():
            return False
        at += int(meet.argmax())
        corner = np.minimum(place, others.places[at]) - MARGIN
        ones.places[index] -= corner
        others.places[at] -= corner
        if _iou(ones.masks[index], ones.places[index], others.masks[at], others.places[at]) >= 0.5:
            return True
        at += 1


def _iou(
    first: NDArray[np.bool_], place: NDArray[np.int64], second: NDArray[np.bool_], other: NDArray[np.int64]
) -> float:
    low = np.maximum(place, other)
    high = np.minimum(place + first.shape[::-1], other + second.shape[::-1])
    if (low >= high).any():
        return 0.0
    a = first[low[1] - place[1] : high[1] - place[1], low[0] - place[0] : high[0] - place[0]]
    b = second[low[1] - other[1] : high[1] - other[1], low[0] - other[0] : high[0] - other[0]]
    shared = int((a & b).sum())
    return shared / (int(first.sum()) + int(second.sum()) - shared)
