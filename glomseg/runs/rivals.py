"""When two objects speak of the same place, so that only one of them may stand there.

Two of one base class, however it is spelled, or of which one was a prediction once, are rivals, and overlap where they
share more than 0.3 of the smaller one. Any other two outlines coincide where they share more than half of what both
cover: an outline of a person's says that somebody looked there, whatever class it has, and whether it is an annotation
or a detection. A rectangle of another class is a field that was looked at, and no outline. Geometry is in level-0 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from glomseg.qupath.amend import WRITTEN_BY
from glomseg.qupath.classes import ANNOTATION, is_candidate, is_class, names_of
from glomseg.qupath.objects import PathObject

OVERLAP = 0.3
COINCIDENCE = 0.5
RECTANGLE = 0.999
"""From this share of its bounding box a shape is a rectangle."""


def split_overlapping(
    items: Sequence[PathObject], others: Sequence[PathObject], *, of_any_kind: bool = False
) -> tuple[list[PathObject], list[PathObject]]:
    """Split `items` into those free of `others` and those that overlap a rival among them.

    With `of_any_kind` those that coincide with any outline among `others` are split off too.
    """
    if not items or not others:
        return list(items), []
    pairs = _Pairs.of(items, others)
    taken = _rivals(items, others, pairs.first, pairs.second)
    taken &= pairs.shared > OVERLAP * np.minimum(pairs.our_area, pairs.their_area)
    return pairs.split(items, taken | pairs.coincide if of_any_kind else taken)


def split_coinciding(
    items: Sequence[PathObject], others: Sequence[PathObject]
) -> tuple[list[PathObject], list[PathObject]]:
    """Split `items` into those that coincide with none of the outlines among `others`, and the others."""
    if not items or not others:
        return list(items), []
    pairs = _Pairs.of(items, others)
    return pairs.split(items, pairs.coincide)


@dataclass(frozen=True)
class _Pairs:
    """The pairs of items and others that touch, by position: what they share, and what each covers, in px2."""

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    shared: NDArray[np.float64]
    our_area: NDArray[np.float64]
    their_area: NDArray[np.float64]
    coincide: NDArray[np.bool_]

    @classmethod
    def of(cls, items: Sequence[PathObject], others: Sequence[PathObject]) -> _Pairs:
        """Find the pairs, and which of them coincide."""
        ours, theirs = valid_geometries(items), valid_geometries(others)
        first, second = shapely.STRtree(theirs).query(ours, predicate="intersects")
        shared = shapely.area(shapely.intersection(ours[first], theirs[second]))
        our_area, their_area = shapely.area(ours)[first], shapely.area(theirs)[second]
        is_field = their_area >= RECTANGLE * shapely.area(shapely.envelope(theirs))[second]
        coincide = ~is_field & (shared > COINCIDENCE * (our_area + their_area - shared))
        return cls(first, second, shared, our_area, their_area, coincide)

    def split(self, items: Sequence[PathObject], taken: NDArray[np.bool_]) -> tuple[list[PathObject], list[PathObject]]:
        """Split the items into those of no taken pair, and the others."""
        overlapping = np.zeros(len(items), dtype=bool)
        overlapping[self.first[taken]] = True
        return pick(items, ~overlapping), pick(items, overlapping)


def _rivals(
    items: Sequence[PathObject], others: Sequence[PathObject], first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Tell for pairs of positions which are rivals; a detection inside an outline is none, whatever its class."""
    alike: dict[tuple[str, str], bool] = {}

    def are_rivals(item: PathObject, other: PathObject) -> bool:
        if WRITTEN_BY in other.metadata:
            return True
        names = (_base_class(item), other.class_name or "")
        if names not in alike:
            alike[names] = names[0] == _base_class(other) or is_class(names[1], names[0])
        return other.object_type == ANNOTATION and alike[names]

    return np.array([are_rivals(items[i], others[j]) for i, j in zip(first, second, strict=True)], dtype=bool)


def valid_geometries(items: Sequence[PathObject]) -> NDArray[np.object_]:
    """Return the shapes of objects as an array, those that are not valid repaired."""
    geometries = np.array([item.geometry for item in items], dtype=object)
    broken = ~shapely.is_valid(geometries)
    geometries[broken] = shapely.make_valid(geometries[broken])
    return geometries


def pick(items: Sequence[PathObject], mask: NDArray[np.bool_]) -> list[PathObject]:
    """Return the items for which the mask is true."""
    return [item for item, chosen in zip(items, mask, strict=True) if chosen]


def _base_class(item: PathObject) -> str:
    """Return what a class is derived from; a candidate for a class is of that class here."""
    names = names_of(item.class_name)
    return next(iter(names[1:] if is_candidate(item.class_name) else names), "")
