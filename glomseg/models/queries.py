"""Queries as objects: which pixels of a picture are of which query, and the objects that labels tell apart."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

SURE, WHOLE, INSIDE = 0.8, 0.8, 0.5
"""A query counts from this probability of a class, where others leave it this share of its mask: as published."""
_JUMP = 1.0
"""Places inside an object of three pixels differ by no more from one pixel to the next; where objects touch, by 2."""


def objects_of(masks: Tensor, kinds: Tensor) -> Tensor:
    """Number the objects (N, H, W) from 1 that queries stand for, 0 where there is none.

    `masks` (N, Q, H, W) and `kinds` (N, Q, classes and none) are probabilities. A pixel is of the query whose
    probability times mask is the largest, if its mask is there; a query of which others take more than a fifth is no
    object, and leaves its pixels to them (Cheng et al. 2022, panoptic inference, with its constants).
    """
    sure = kinds[..., :-1].amax(dim=-1)
    weighed = masks * (sure * (sure >= SURE))[..., None, None]
    is_won, winner = _won(masks, weighed)
    size = (masks >= INSIDE).sum(dim=(2, 3))
    won = torch.zeros_like(size).scatter_add_(1, winner.flatten(1), is_won.flatten(1).long())
    weighed = weighed * (won >= WHOLE * size)[..., None, None]
    is_won, winner = _won(masks, weighed)
    return torch.where(is_won, winner + 1, 0)


def _won(masks: Tensor, weighed: Tensor) -> tuple[Tensor, Tensor]:
    """Return which query each pixel (N, H, W) is of, and whether it is of any."""
    best, winner = weighed.max(dim=1)
    there = masks.gather(1, winner[:, None])[:, 0] >= INSIDE
    return there & (best > 0), winner


def told_apart(plane: NDArray[np.bool_], places: NDArray[np.float32] | None) -> tuple[NDArray[np.int32], int]:
    """Number the objects of one class (H, W) from 1: connected parts, cut where `places` (2, H, W) in objects jump."""
    if places is None:
        numbers, count = ndimage.label(plane, structure=np.ones((3, 3)))
        return numbers, int(count)
    index = np.arange(plane.size).reshape(plane.shape)
    pairs = []
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        jump = np.hypot(*(axis[one] - axis[other] for axis in places))
        joined = plane[one] & plane[other] & (jump <= _JUMP)
        pairs.append((index[one][joined], index[other][joined]))
    first, second = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    graph = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(plane.size, plane.size))
    _, parts = connected_components(graph, directed=False)
    _, numbers = np.unique(parts.reshape(plane.shape)[plane], return_inverse=True)
    result = np.zeros(plane.shape, np.int32)
    result[plane] = numbers + 1
    return result, int(result.max())
