"""Pieces of one mask, joined again where neither the waist nor the places in objects say that two objects meet there.

Places say more than where they jump. Of two pieces that touch, two answers are possible: one object, or two; for each
the places are known, as they are counted from its shape. Whichever is nearer to what the network says is the likelier
one, by all pixels of both sides: a jump that only a few noisy pixels show changes little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.geometry import Numbers
from glomseg.models.planes import places_along

Evidence = Callable[["Piece", "Piece", float], float]
"""Of two pieces and how wide the mask is at most between them (px to its edge), whether they are two: below 0 one."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Pixels of a mask: where they lie (2, n), x first, their places in the map (2, n), the depth of the deepest."""

    at: Numbers
    places: Numbers
    deepest_px: float

    @property
    def size_px(self) -> int:
        """Count its pixels."""
        return int(self.at.shape[1])

    def with_other(self, other: Piece) -> Piece:
        """Return both as one."""
        return Piece(
            np.concatenate([self.at, other.at], axis=1),
            np.concatenate([self.places, other.places], axis=1),
            max(self.deepest_px, other.deepest_px),
        )


def two_or_one(one: Piece, other: Piece) -> float:
    """Return 1 where places are those of two objects, -1 where they are those of one, and what lies between.

    With p the places of the map, a those in one object of both and b those in two: (|p - a|^2 - |p - b|^2) / |a - b|^2.
    Places that are too small by a factor, as unsure networks give, have that factor in place of 1.
    """
    given = np.concatenate([one.places, other.places], axis=1)
    apart = np.stack([np.concatenate([places_along(each.at[axis]) for each in (one, other)]) for axis in (0, 1)])
    whole = np.stack([places_along(np.concatenate([one.at[axis], other.at[axis]])) for axis in (0, 1)])
    differ = float(((apart - whole) ** 2).sum())
    return float((((given - whole) ** 2).sum() - ((given - apart) ** 2).sum()) / max(differ, 1e-6))


def join_pieces(
    numbers: NDArray[np.int32], depth_px: Numbers, places: NDArray[np.float32], evidence: Evidence
) -> NDArray[np.int32]:
    """Join the pieces of one mask (H, W), numbered from 1, the least likely cut first, until all that stay are likely.

    `depth_px` is how far each pixel lies from the edge of the mask, `places` (2, H, W) what the map says.
    """
    pieces = _pieces(numbers, depth_px, places)
    widest = _widest(numbers, depth_px)
    scores = {(a, b): evidence(pieces[a], pieces[b], wide) for (a, b), wide in widest.items()}
    owner = np.arange(int(numbers.max()) + 1)
    while scores:
        kept, gone = least = min(scores, key=scores.__getitem__)
        if scores[least] >= 0:
            break
        owner[owner == gone] = kept
        pieces[kept] = pieces[kept].with_other(pieces.pop(gone))
        for pair in [pair for pair in widest if gone in pair]:
            wide = widest.pop(pair)
            del scores[pair]
            other = sum(pair) - gone
            if other != kept:
                new = min(kept, other), max(kept, other)
                widest[new] = max(wide, widest.get(new, 0.0))
        for (a, b), wide in widest.items():
            if kept in (a, b):
                scores[a, b] = evidence(pieces[a], pieces[b], wide)
    _, dense = np.unique(owner[1:], return_inverse=True)
    return np.asarray(np.concatenate([[0], dense + 1])[numbers], np.int32)


def _pieces(numbers: NDArray[np.int32], depth_px: Numbers, places: NDArray[np.float32]) -> dict[int, Piece]:
    pieces = {}
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        if box is None:
            continue
        mine = numbers[box] == number
        rows, columns = np.nonzero(mine)
        at = np.stack([columns + box[1].start, rows + box[0].start]).astype(np.float64)
        pieces[number] = Piece(at, places[:, *box][:, mine].astype(np.float64), float(depth_px[box][mine].max()))
    return pieces


def _widest(numbers: NDArray[np.int32], depth_px: Numbers) -> dict[tuple[int, int], float]:
    """Return of each two pieces that touch how far from the edge of the mask one can step from one into the other."""
    widest: dict[tuple[int, int], float] = {}
    for first, second in (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:]):
        one, other = numbers[first], numbers[second]
        meet = (one != other) & (one > 0) & (other > 0)
        through = np.minimum(depth_px[first], depth_px[second])[meet].tolist()
        for a, b, depth in zip(one[meet].tolist(), other[meet].tolist(), through, strict=True):
            pair = min(a, b), max(a, b)
            widest[pair] = max(depth, widest.get(pair, 0.0))
    return widest
