"""Means and differences of groups of animals, each with a 95 % interval. A value stands for an animal, never less."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95
LEAST_ANIMALS = 3
"""Fewer in a group carry no interval: Welch's of two animals against five holds the truth 89 times in 100."""
NO_SPREAD = 1e-9
"""Values whose standard deviation is below this part of their size are equal but for rounding."""

_REACH = 60
"""How far from t its noncentrality is looked for."""

CONTROLS = ("control", "ctrl", "normal", "sham", "wt", "wild type", "wildtype", "vehicle", "healthy")


@dataclass(frozen=True)
class Estimate:
    """An estimate with the limits of its 95 % interval; NaN where there are too few animals, or they do not differ."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One quantity of one group of animals, beside the same of the reference group.

    `values` and `reference_values` hold one number an animal; `of` names what a density refers to. `limits` are the
    least and the most that the quantity can be: animals that lie there do not scatter as the intervals take it, which
    then hold the truth 90 times in 100 or less, so there are none; no interval reaches further.
    """

    quantity: str
    unit: str
    title: str
    group: str
    values: tuple[float, ...]
    of: str = ""
    primary: bool = False
    reference_group: str | None = None
    reference_values: tuple[float, ...] = ()
    limits: tuple[float, float] = (-math.inf, math.inf)

    @cached_property
    def mean(self) -> Estimate:
        """Give the mean of the group."""
        return group_mean(self.values, self.limits)

    @property
    def sd(self) -> float | None:
        """Give the standard deviation between animals, None for one animal."""
        if len(self.values) < 2:
            return None
        return statistics.stdev(self.values) if varies(self.values) else 0.0

    @cached_property
    def difference(self) -> Estimate | None:
        """Give the difference to the reference group, None for that group itself and where it has no value."""
        if not self._compared:
            return None
        difference = mean_difference(self.values, self.reference_values)
        return Estimate(difference.value, math.nan, math.nan) if self._bounded else difference

    @cached_property
    def effect(self) -> Estimate | None:
        """Give the standardised difference to the reference group, None for that group itself."""
        if not self._compared:
            return None
        effect = hedges_g(self.values, self.reference_values)
        return Estimate(effect.value, math.nan, math.nan) if self._bounded else effect

    @property
    def remark(self) -> str:
        """Say why an interval or an effect size is missing."""
        if len(self.values) < LEAST_ANIMALS:
            return f"fewer than {LEAST_ANIMALS} animals: no interval"
        if self._compared and len(self.reference_values) < LEAST_ANIMALS:
            return f"fewer than {LEAST_ANIMALS} animals in the reference group: no interval of the difference"
        if self.reference_group is not None and not self.reference_values:
            return f"no value in {self.reference_group}: no difference"
        if self._compared and not varies(self.values, self.reference_values):
            return "no spread between animals: no intervals, no effect size"
        if not varies(self.values):
            return "no spread between animals: no interval of the mean"
        if at_limit(self.values, self.limits):
            ends = [f"{end:g}" for end in self.limits if end in self.values]
            return f"animals at {' and '.join(ends)}: no intervals"
        if self._bounded:
            return "animals of the reference group at the least or most that can be: no interval of the difference"
        if self.effect is not None and math.isnan(self.effect.low):
            return "too large an effect for its interval to be computed"
        return ""

    @property
    def _bounded(self) -> bool:
        return at_limit((*self.values, *self.reference_values), self.limits)

    @property
    def _compared(self) -> bool:
        return self.reference_group not in (None, self.group) and bool(self.reference_values)


def varies(*groups: Sequence[float]) -> bool:
    """Tell whether values differ within some group by more than rounding does."""
    size = max((abs(value) for group in groups for value in group), default=0.0)
    return any(len(group) > 1 and float(np.std(group)) > NO_SPREAD * size for group in groups)


def at_limit(values: Sequence[float], limits: tuple[float, float]) -> bool:
    """Tell whether some value is the least or the most that can be."""
    return any(value <= limits[0] or value >= limits[1] for value in values)


def group_mean(values: Sequence[float], limits: tuple[float, float]) -> Estimate:
    """Return the mean of animals with its interval, within what can be; NaN limits where animals lie at an end of it.

    Where some animals are at 0 % and others are not, Student's interval holds the mean 90 times in 100.
    """
    mean = mean_interval(values)
    if math.isnan(mean.low) or at_limit(values, limits):
        return Estimate(mean.value, math.nan, math.nan)
    return Estimate(mean.value, max(mean.low, limits[0]), min(mean.high, limits[1]))


def mean_interval(values: Sequence[float]) -> Estimate:
    """Return the mean with Student's interval; NaN limits for fewer than three values, and for equal ones."""
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(np.mean(values))
    if len(values) < LEAST_ANIMALS or not varies(values):
        return Estimate(mean, math.nan, math.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Estimate(mean, mean - half, mean + half)


def mean_difference(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return the difference of the means, `values` less `reference`, with Welch's interval.

    NaN limits where a group has fewer than three values, or neither varies.
    """
    if not values or not reference:
        return Estimate(math.nan, math.nan, math.nan)
    difference = float(np.mean(values) - np.mean(reference))
    if abs(difference) <= NO_SPREAD * max(map(abs, (*values, *reference))):
        difference = 0.0  # what is left of it is rounding
    if not _comparable(values, reference):
        return Estimate(difference, math.nan, math.nan)
    a, b = np.var(values, ddof=1) / len(values), np.var(reference, ddof=1) / len(reference)
    freedom = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (len(reference) - 1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(a + b))
    return Estimate(difference, difference - half, difference + half)


def hedges_g(values: Sequence[float], reference: Sequence[float]) -> Estimate:
    """Return the standardised difference of the means (Hedges 1981), its interval from the noncentral t.

    NaN where a group has fewer than three values, or neither varies: what does not vary is no yardstick.
    """
    if not _comparable(values, reference):
        return Estimate(math.nan, math.nan, math.nan)
    n, m = len(values), len(reference)
    freedom = n + m - 2
    pooled = ((n - 1) * np.var(values, ddof=1) + (m - 1) * np.var(reference, ddof=1)) / freedom
    unbiased = math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)
    d = float((np.mean(values) - np.mean(reference)) / math.sqrt(pooled))
    root = math.sqrt(n * m / (n + m))
    low, high = (_noncentrality(d * root, freedom, tail) / root for tail in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Estimate(unbiased * d, unbiased * low, unbiased * high)


def choose_reference(names: Sequence[str], asked: str | None) -> str | None:
    """Choose the group that the others are compared with: the one asked for, else one named as a control is."""
    groups = sorted(set(names) - {""})
    if asked is not None or len(groups) < 2:
        return asked
    return next((name for name in groups if name.strip().lower() in CONTROLS), groups[0])


def _comparable(values: Sequence[float], reference: Sequence[float]) -> bool:
    return min(len(values), len(reference)) >= LEAST_ANIMALS and varies(values, reference)


def _noncentrality(t: float, freedom: int, probability: float) -> float:
    """Find the noncentrality at which `t` has this cumulative probability; NaN where that cannot be computed.

    The distribution is computed well near `t` alone, so that the search begins there and goes out in steps of 1.
    """
    off: Callable[[float], float] = lambda delta: float(stats.nct.cdf(t, freedom, delta)) - probability  # noqa: E731
    low = high = t
    for _ in range(_REACH):
        if off(low) >= 0 >= off(high):
            return float(optimize.brentq(off, low, high, xtol=1e-6))
        low, high = (low - 1 if off(low) < 0 else low), (high + 1 if off(high) > 0 else high)
    return math.nan
