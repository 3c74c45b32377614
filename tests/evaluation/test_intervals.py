"""Intervals over units that hold what they say, and the paired test."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from glomseg.evaluation.intervals import (
    ENOUGH_UNITS,
    Interval,
    Scale,
    assumption,
    intervals,
    least_p,
    sign_flip_test,
)

DRAWS = 4000
Draw = Callable[[np.random.Generator, int], np.ndarray]
SCORES: dict[str, tuple[Scale, Draw, float]] = {
    "scores around 0.8": (Scale.SHARE, lambda rng, n: rng.beta(16, 4, n), 0.8),
    "scores near 1": (Scale.SHARE, lambda rng, n: rng.beta(9, 1, n), 0.9),
    "scores all over": (Scale.SHARE, lambda rng, n: rng.beta(3, 3, n), 0.5),
    "distances": (Scale.LENGTH, lambda rng, n: rng.gamma(8, 0.5, n), 4.0),
    "differences": (Scale.DIFFERENCE, lambda rng, n: rng.normal(0.02, 0.05, n), 0.02),
}


def mean_of(values: np.ndarray):
    return lambda some: values[some].mean(keepdims=True)


def interval(values: np.ndarray, scale: Scale = Scale.DIFFERENCE, units: list[str] | None = None) -> Interval:
    return intervals(mean_of(values), units or [str(index) for index in range(len(values))], [scale])[0]


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("count", [3, 4, 5, 8, 15])
def test_of_100_intervals_93_to_97_hold_the_true_mean(kind: str, count: int) -> None:
    """All draws at once: column k of the statistic is the mean of draw k."""
    scale, draw, truth = SCORES[kind]
    values = draw(np.random.default_rng(count), (count, DRAWS))
    found = intervals(lambda some: values[some].mean(axis=0), [str(i) for i in range(count)], [scale] * DRAWS)
    covered = np.mean([item.low <= truth <= item.high for item in found])
    assert 0.93 <= covered <= 0.97


def failing(share: float, high: tuple[int, int], low: tuple[int, int]) -> tuple[Draw, float]:
    """Some units fail: `share` of them score around one value, the others around a lower one."""

    def draw(rng: np.random.Generator, n) -> np.ndarray:
        return np.where(rng.random(n) < share, rng.beta(*high, n), rng.beta(*low, n))

    return draw, share * high[0] / sum(high) + (1 - share) * low[0] / sum(low)


@pytest.mark.parametrize(("share", "high", "low"), [(0.8, (36, 4), (4, 16)), (0.7, (27, 3), (12, 8))])
@pytest.mark.parametrize("count", [3, 5, 8, 12, 20])
def test_where_some_fail_wholly_it_holds_what_the_output_says(share: float, high, low, count: int) -> None:
    draw, truth = failing(share, high, low)
    values = draw(np.random.default_rng(count), (count, DRAWS))
    found = intervals(lambda some: values[some].mean(axis=0), list(map(str, range(count))), [Scale.SHARE] * DRAWS)
    covered = np.mean([item.low <= truth <= item.high for item in found])
    assert covered >= (0.91 if count >= ENOUGH_UNITS else 0.65)
    assert ("65 to 90 %" in assumption(count)) == (count < ENOUGH_UNITS)


def test_a_pooled_score_of_unequal_slides_is_covered_too() -> None:
    """Slides of 5 to 60 objects each of which is found with a chance that differs between animals."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(800):
        true = rng.integers(5, 60, 8)
        found = rng.binomial(true, rng.beta(16, 4, 8))
        pooled = lambda some, found=found, true=true: np.array([found[some].sum() / true[some].sum()])  # noqa: E731
        (item,) = intervals(pooled, list("abcdefgh"), [Scale.SHARE])
        inside += item.low <= 0.8 <= item.high
    assert 0.925 <= inside / 800 <= 0.975


def test_it_is_students_where_values_may_be_anything() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    found = interval(values)
    reach = 3.1824463 * values.std(ddof=1) / 2
    assert (found.value, found.units) == (3.0, 4)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach))


def test_a_share_stays_between_0_and_1() -> None:
    found = interval(np.array([1.0, 1.0, 0.9]), Scale.SHARE)
    assert 0 <= found.low < found.value < found.high <= 1


def test_copies_of_an_animal_make_nothing_surer() -> None:
    """Ten slides of each of six animals are six measurements, not sixty."""
    values = np.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.8])
    few = interval(values)
    many = interval(values.repeat(10), units=[name for name in "abcdef" for _ in range(10)])
    assert many.units == 6
    assert (many.low, many.high) == pytest.approx((few.low, few.high))
    naive = interval(values.repeat(10))
    assert naive.high - naive.low < (few.high - few.low) / 2


@pytest.mark.parametrize(
    ("values", "units"), [([0.5, 0.7], "ab"), ([0.5, 0.7, 0.9], "aab"), ([1.0, 1.0, 1.0, 1.0], "abcd"), ([0.3], "a")]
)
def test_none_where_none_can_be_carried(values: list[float], units: str) -> None:
    found = interval(np.array(values), Scale.SHARE, list(units))
    assert (found.low, found.high) == (None, None)
    assert found.value == pytest.approx(np.mean(values))


def test_units_without_the_value_do_not_count() -> None:
    """Distances exist where something matched alone: n is the units that have one."""
    values = np.array([1.0, 2.0, np.nan, 4.0])
    statistic = lambda some: np.array([np.nanmean(values[some])])  # noqa: E731
    (found,) = intervals(statistic, list("abcd"), [Scale.LENGTH], has=np.isfinite(values)[:, None])
    assert found.units == 3
    (alone,) = intervals(lambda some: np.array([np.nan]), list("abcd"), [Scale.SHARE], has=np.zeros((4, 1), bool))
    assert (alone.units, alone.low) == (0, None)


def test_sign_flips_by_hand() -> None:
    """Of the 8 signs of (1, 2, 3), only +++ and --- reach a sum of 6."""
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert sign_flip_test(np.array([1.0, -1.0])) == 1
    assert sign_flip_test(np.zeros(4)) == 1


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_the_smallest_p_that_can_be(count: int) -> None:
    assert sign_flip_test(np.full(count, 0.3)) == pytest.approx(least_p(count)) == pytest.approx(2 / 2**count)
    assert 0 < least_p(40) < 0.001


def test_random_flips_agree_with_all_of_them() -> None:
    difference = np.random.default_rng(1).normal(0.3, 1, 16)
    sums = [abs(np.dot(signs, difference)) for signs in itertools.product((-1, 1), repeat=16)]
    assert sign_flip_test(difference) == pytest.approx(np.mean(np.array(sums) >= abs(difference.sum())), abs=0.02)
    assert sign_flip_test(difference) == sign_flip_test(difference)
