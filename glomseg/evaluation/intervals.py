"""Intervals and tests over slides or animals: glomeruli of one slide are no independent samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test, t

from glomseg.geometry import Numbers

ENOUGH_UNITS = 15
"""Fewer units carry no interval: where one in five fails wholly, too many samples of them show no failure."""
SURELY_SHOWN = 0.05
"""A kind of unit is taken to show itself among some where all of them miss it at most this often."""
RESAMPLES = 9999
"""More sign choices than this are not all tried: so many are drawn, from 14 units on."""
_SEED = 0
_MARGIN = 0.035  # shares are moved off 0 and 1 by this over the number of units, so that their logit is finite

Statistic = Callable[[NDArray[np.intp]], Numbers]
"""From indices of images to values (K,)."""


class Scale(StrEnum):
    """What a value can be: a share lies in 0..1, a length above 0, a difference anywhere."""

    SHARE = "share"
    LENGTH = "length"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval, None where too few units carry one, and the units that have the value.

    `lowest` and `highest` are the value of the lowest and of the highest unit taken alone.
    """

    value: float
    low: float | None
    high: float | None
    units: int
    lowest: float | None = None
    highest: float | None = None


def intervals(
    statistic: Statistic,
    units: Sequence[str],
    scales: Sequence[Scale],
    *,
    has: NDArray[np.bool_] | None = None,
    enough: int = ENOUGH_UNITS,
) -> list[Interval]:
    """Give each value of a statistic its 95 % interval from jackknife pseudo-values (Tukey 1958), and its range.

    `units` names the unit (animal, slide) of each image: whole units are left out, one after another. Shares are taken
    to the logit for it and lengths to the logarithm; shares then have Student's interval, the others the one midway
    between Student's and that corrected for skewness (Hall 1992). They hold the truth in 93 to 97 of 100 samples, and
    in up to 99 where some units fail wholly (tests/evaluation/test_intervals.py). No interval with fewer units than
    `enough`, nor where all are alike: where one unit in five fails, a third of all samples of five show no failure,
    nothing in their values tells so, and any interval from them holds the truth 65 to 90 times in 100. Units that are
    known to scatter around one value carry one from three on. `has` (images, K) tells which images have a value, all
    without it.
    """
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    everything = np.arange(len(unit))
    values = np.asarray(statistic(everything), dtype=np.float64)
    there = np.ones((len(unit), len(values)), np.bool_) if has is None else has
    counted = np.array([there[unit == index].any(axis=0) for index in range(len(names))])
    left_out = np.array([_without(statistic, unit, index, len(values)) for index in range(len(names))])
    alone = np.array([statistic(np.flatnonzero(unit == index)) for index in range(len(names))], dtype=np.float64)
    return [
        _with_range(
            _interval(float(values[k]), left_out[counted[:, k], k], scales[k], int(counted[:, k].sum()), enough),
            alone[counted[:, k], k],
        )
        for k in range(len(values))
    ]


def rarest_shown(units: int) -> int:
    """Return N such that what befalls one unit in N shows among so many units, but for 5 samples of 100."""
    return int(1 / (1 - SURELY_SHOWN ** (1 / units)))


def assumption(units: int) -> str:
    """Say in words what an interval over so many units takes for granted, or why there is none."""
    if units < ENOUGH_UNITS:
        return (
            f"no 95 % intervals below {ENOUGH_UNITS} units: where one in five fails wholly, as models do, so few may "
            "show no failure"
        )
    return f"if units that fail wholly are no rarer than one in {rarest_shown(units)}"


def _without(statistic: Statistic, unit: NDArray[np.intp], index: int, count: int) -> Numbers:
    rest = np.flatnonzero(unit != index)
    return np.asarray(statistic(rest), dtype=np.float64) if len(rest) else np.full(count, np.nan)


def _with_range(interval: Interval, alone: Numbers) -> Interval:
    if interval.units < 2 or not np.isfinite(alone).all():
        return interval
    return replace(interval, lowest=float(alone.min()), highest=float(alone.max()))


def _interval(value: float, left_out: Numbers, scale: Scale, units: int, enough: int) -> Interval:
    """Compute one interval from a value and those without one unit each."""
    if units < max(2, enough) or not np.isfinite(value) or not np.isfinite(left_out).all():
        return Interval(value, None, None, units)
    if scale is Scale.LENGTH and min(value, *left_out) <= 0:
        scale = Scale.DIFFERENCE
    forth, back = _transform(scale, _MARGIN / units)
    centre = float(forth(np.array([value]))[0])
    pseudo = units * centre - (units - 1) * forth(left_out)
    if float(pseudo.std(ddof=1)) <= 1e-12 * max(1.0, abs(centre)) * units**0.5:
        return Interval(value, None, None, units)
    reach = _reach(pseudo, corrected=scale is not Scale.SHARE)
    low, high = back(centre + reach)
    return Interval(value, float(low), float(high), units)


def _reach(pseudo: Numbers, *, corrected: bool) -> Numbers:
    """Return how far an interval goes below and above: Student's, or midway between it and Hall's (1992)."""
    units, spread = len(pseudo), float(pseudo.std(ddof=1))
    student = _student(units) / units**0.5
    skewness = float(((pseudo - pseudo.mean()) ** 3).mean()) / spread**3
    if not corrected or abs(skewness) < 1e-6:
        return np.asarray(np.array([-student, student]) * spread)

    def untransformed(reach: float) -> float:
        return 3 / skewness * (float(np.cbrt(1 + skewness * (reach - skewness / (6 * units)))) - 1)

    hall = np.array([-untransformed(student), -untransformed(-student)])
    return np.asarray((np.array([-student, student]) + hall) / 2 * spread)


@cache
def _student(units: int) -> float:
    return float(t.ppf(0.975, units - 1))


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
