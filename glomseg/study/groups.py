"""Means and differences of groups of animals, each with a 95 % interval. A value stands for an animal, never less."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with the limits of its 95 % interval; NaN where there are too few animals."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean with Student's interval; NaN limits for fewer than two."""
    if not values:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def mean_difference(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the difference of the means, `values` less `reference`, with Welch's interval."""
    if not values or not reference:
        return Interval(math.nan, math.nan, math.nan)
    difference = float(np.mean(values) - np.mean(reference))
    if len(values) < 2 or len(reference) < 2:
        return Interval(difference, math.nan, math.nan)
    a, b = np.var(values, ddof=1) / len(values), np.var(reference, ddof=1) / len(reference)
    if a + b == 0:
        return Interval(difference, difference, difference)
    freedom = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (len(reference) - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(a + b))
    return Interval(difference, difference - half, difference + half)


def hedges_g(values: Sequence[float], reference: Sequence[float]) -> Interval:
    """Return the standardised difference of the means (Hedges 1981), its interval from the noncentral t."""
    n, m = len(values), len(reference)
    if n < 2 or m < 2:
        return Interval(math.nan, math.nan, math.nan)
    freedom = n + m - 2
    pooled = ((n - 1) * np.var(values, ddof=1) + (m - 1) * np.var(reference, ddof=1)) / freedom
    if pooled == 0:
        return Interval(math.nan, math.nan, math.nan)
    unbiased = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    d = float((np.mean(values) - np.mean(reference)) / math.sqrt(pooled))
    root = math.sqrt(n * m / (n + m))
    low, high = (_noncentrality(d * root, freedom, tail) / root for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Interval(unbiased * d, unbiased * low, unbiased * high)


def _noncentrality(t: float, freedom: int, probability: float) -> float:
    """Find the noncentrality at which `t` has this cumulative probability."""
    off: Callable[[float], float] = lambda delta: float(stats.nct.cdf(t, freedom, delta)) - probability  # noqa: E731
    reach = 5 + abs(t)
    try:
        return float(optimize.brentq(off, t - reach, t + reach, xtol=1e-6))
    except ValueError:  # beyond what the distribution can be computed for
        return math.nan
