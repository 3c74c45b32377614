"""Intervals and tests over slides or animals: glomeruli of one slide are no independent samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
MAX_EXACT = 14
"""Up to this many units all 2^n signs are tried; beyond it RESAMPLES random ones."""

Statistic = Callable[[NDArray[np.intp]], NDArray[np.float64]]
"""From indices of images, some of them many times, to values (K,)."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """The 95 % intervals of K values, and the number of units that they were drawn from."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    units: int


def intervals(statistic: Statistic, units: Sequence[str], *, seed: int = 0) -> Intervals | None:
    """Draw whole units (animals, slides) with replacement and take the 2.5th and 97.5th percentiles (Efron 1979).

    `units` names the unit of each image. The same seed gives the same interval. None for fewer than two units, which
    say nothing about others. Values that are not defined (NaN) in a draw are left out of it.
    """
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None
    members = [np.flatnonzero(unit == index) for index in range(len(names))]
    draws = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    values = np.array([statistic(np.concatenate([members[index] for index in draw])) for draw in draws])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a value that no draw defines is NaN, and is meant to be
        low, high = np.nanpercentile(values, (2.5, 97.5), axis=0)
    return Intervals(low, high, len(names))


def sign_flip_test(differences: NDArray[np.float64], *, seed: int = 0) -> float:
    """Give the two-sided p of a paired permutation test (Fisher 1935): is the mean of the differences 0?

    Under the hypothesis that two models are alike, each unit's difference could as well have the other sign: p is the
    share of sign choices with a mean at least as far from 0. Exact up to MAX_EXACT units; 1 where all are 0.
    """
    count = len(differences)
    if not count or not differences.any():
        return 1.0
    observed = abs(differences.sum())
    if count <= MAX_EXACT:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return float((np.abs(signs @ differences) >= observed - 1e-12).mean())
    signs = np.random.default_rng(seed).choice((-1, 1), (RESAMPLES * 5, count))
    extreme = int((np.abs(signs @ differences) >= observed - 1e-12).sum())
    return (extreme + 1) / (len(signs) + 1)
