"""Intervals and tests over slides or animals: glomeruli of one slide are no independent samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, t

from glomseg.geometry import Numbers

LEAST_UNITS = 3
"""Fewer units say nothing about others that an interval could hold."""
RESAMPLES = 9999
"""More sign choices than this are not all tried: so many are drawn, from 14 units on."""
_SEED = 0
_MARGIN = 0.035  # shares are moved off 0 and 1 by this over the number of units, so that their logit is finite

ENOUGH_UNITS = 12
"""From here on an interval holds 92 % and more where a few units fail wholly and the others do well."""
ASSUMPTION = "the units scatter around one value"

Statistic = Callable[[NDArray[np.intp]], Numbers]
"""From indices of images to values (K,)."""


class Scale(StrEnum):
    """What a value can be: a share lies in 0..1, a length above 0, a difference anywhere."""

    SHARE = "share"
    LENGTH = "length"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval, None where too few units carry one, and the units that have the value."""

    value: float
    low: float | None
    high: float | None
    units: int


def intervals(
    statistic: Statistic, units: Sequence[str], scales: Sequence[Scale], *, has: NDArray[np.bool_] | None = None
) -> list[Interval]:
    """Give each value of a statistic the 95 % interval of Student's t over jackknife pseudo-values (Tukey 1958).

    `units` names the unit (animal, slide) of each image: whole units are left out, one after another. Shares are taken
    to the logit for it and lengths to the logarithm, which their intervals need to hold with few units: then they
    cover 93 to 97 % from three units on (tests/evaluation/test_intervals.py), where a bootstrap covers 75 %; more where
    many units have the same score. That is so where the units scatter around one value. Where some fail wholly and the
    others do well, a few units may show none of the failures: intervals of fewer than ENOUGH_UNITS hold 65 to 90 %
    then, which nothing in the values tells; `assumption` says it. `has` (images, K) tells which images have a value,
    all without it. No interval with fewer than LEAST_UNITS units, nor where all are alike.
    """
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    everything = np.arange(len(unit))
    values = np.asarray(statistic(everything), dtype=np.float64)
    there = np.ones((len(unit), len(values)), np.bool_) if has is None else has
    counted = np.array([there[unit == index].any(axis=0) for index in range(len(names))])
    left_out = np.array([_without(statistic, unit, index, len(values)) for index in range(len(names))])
    return [
        _interval(float(values[k]), left_out[counted[:, k], k], scales[k], int(counted[:, k].sum()))
        for k in range(len(values))
    ]


def assumption(units: int) -> str:
    """Say in words what an interval over so many units takes for granted."""
    if units >= ENOUGH_UNITS:
        return f"if {ASSUMPTION}"
    return f"if {ASSUMPTION}; where a few fail wholly, an interval over fewer than {ENOUGH_UNITS} holds 65 to 90 %"


def _without(statistic: Statistic, unit: NDArray[np.intp], index: int, count: int) -> Numbers:
    rest = np.flatnonzero(unit != index)
    return np.asarray(statistic(rest), dtype=np.float64) if len(rest) else np.full(count, np.nan)


def _interval(value: float, left_out: Numbers, scale: Scale, units: int) -> Interval:
    """Compute one interval from a value and those without one unit each."""
    if units < LEAST_UNITS or not np.isfinite(value) or not np.isfinite(left_out).all():
        return Interval(value, None, None, units)
    if scale is Scale.LENGTH and min(value, *left_out) <= 0:
        scale = Scale.DIFFERENCE
    forth, back = _transform(scale, _MARGIN / units)
    centre = float(forth(np.array([value]))[0])
    pseudo = units * centre - (units - 1) * forth(left_out)
    error = float(pseudo.std(ddof=1)) / units**0.5
    if error <= 1e-12 * max(1.0, abs(centre)):
        return Interval(value, None, None, units)
    reach = float(t.ppf(0.975, units - 1)) * error
    low, high = back(np.array([centre - reach, centre + reach]))
    return Interval(value, float(low), float(high), units)


def _transform(scale: Scale, margin: float) -> tuple[Callable[[Numbers], Numbers], Callable[[Numbers], Numbers]]:
    """Return the way to a scale without ends, and back."""
    if scale is Scale.SHARE:

        def logit(share: Numbers) -> Numbers:
            inner = margin + (1 - 2 * margin) * share
            return np.asarray(np.log(inner / (1 - inner)))

        def back(value: Numbers) -> Numbers:
            inner = 1 / (1 + np.exp(-np.clip(value, -700, 700)))
            return np.asarray(np.clip((inner - margin) / (1 - 2 * margin), 0, 1))

        return logit, back
    if scale is Scale.LENGTH:
        return lambda length: np.asarray(np.log(length)), lambda value: np.asarray(np.exp(np.minimum(value, 700)))
    return lambda value: value, lambda value: value


def sign_flip_test(differences: Numbers) -> float:
    """Give the two-sided p of a paired permutation test (Fisher 1935): is the mean of the differences 0?

    Under the hypothesis that two models are alike, each unit's difference could as well have the other sign: p is the
    share of sign choices with a mean at least as far from 0, so that it cannot be below `least_p`. 1 where all are
    0, and for one unit.
    """
    if len(differences) < 2 or not differences.any():
        return 1.0
    test = permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=RESAMPLES, rng=_SEED
    )
    return min(1.0, float(test.pvalue))


def least_p(units: int) -> float:
    """Return the smallest p that `sign_flip_test` can give: all differences have one sign, or all the other."""
    return min(1.0, max(2.0 / 2.0**units, 2.0 / (RESAMPLES + 1)))
