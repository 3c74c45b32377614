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
    rarest_shown,
    sign_flip_test,
)

DRAWS = 1500
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


def interval(
    values: np.ndarray, scale: Scale = Scale.SHARE, units: list[str] | None = None, *, enough: int = ENOUGH_UNITS
) -> Interval:
    names = units or [str(index) for index in range(len(values))]
    return intervals(mean_of(values), names, [scale], enough=enough)[0]


def coverage(draw: Draw, truth: float, scale: Scale, count: int, *, enough: int = ENOUGH_UNITS) -> float:
    """Tell how many of the intervals hold the truth: all draws at once, column k of the statistic is draw k's mean."""
    values = draw(np.random.default_rng(count), (count, DRAWS))
    units = [str(index) for index in range(count)]
    found = intervals(lambda some: values[some].mean(axis=0), units, [scale] * DRAWS, enough=enough)
    return float(np.mean([item.low <= truth <= item.high for item in found if item.low is not None]))


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("count", [15, 30])
def test_of_100_intervals_93_to_97_hold_the_true_mean(kind: str, count: int) -> None:
    scale, draw, truth = SCORES[kind]
    assert 0.93 <= coverage(draw, truth, scale, count) <= 0.97


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("count", [3, 4, 5, 8])
def test_so_do_those_of_few_units_that_are_known_to_be_alike(kind: str, count: int) -> None:
    scale, draw, truth = SCORES[kind]
    assert 0.93 <= coverage(draw, truth, scale, count, enough=3) <= 0.97


def failing(share: float, good: Draw, bad: Draw, means: tuple[float, float]) -> tuple[Draw, float]:
    """Some units fail: `share` of them do not, and the others come out of another distribution."""

    def draw(rng: np.random.Generator, n) -> np.ndarray:
        return np.where(rng.random(n) < share, good(rng, n), bad(rng, n))

    return draw, share * means[0] + (1 - share) * means[1]


FAILURES: dict[str, tuple[Scale, Draw, float]] = {
    "one in five finds little": (Scale.SHARE, *failing(
        0.8, lambda rng, n: rng.beta(36, 4, n), lambda rng, n: rng.beta(4, 16, n), (0.9, 0.2))),
    "one in five finds nothing": (Scale.SHARE, *failing(
        0.8, lambda rng, n: rng.beta(36, 4, n), lambda rng, n: np.zeros(n), (0.9, 0.0))),
    "three in ten find half": (Scale.SHARE, *failing(
        0.7, lambda rng, n: rng.beta(27, 3, n), lambda rng, n: rng.beta(12, 8, n), (0.9, 0.6))),
    "one in five loses all against another model": (Scale.DIFFERENCE, *failing(
        0.8, lambda rng, n: rng.normal(0.02, 0.03, n), lambda rng, n: rng.normal(-0.7, 0.1, n), (0.02, -0.7))),
    "one in five lies far away": (Scale.LENGTH, *failing(
        0.8, lambda rng, n: rng.gamma(8, 0.5, n), lambda rng, n: rng.gamma(8, 5, n), (4.0, 40.0))),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("count", [ENOUGH_UNITS, 20, 40])
def test_where_some_fail_wholly_they_hold_it_too(kind: str, count: int) -> None:
    scale, draw, truth = FAILURES[kind]
    assert 0.93 <= coverage(draw, truth, scale, count) <= 0.99


@pytest.mark.parametrize("count", [3, 5, 8, ENOUGH_UNITS - 1])
def test_there_is_none_where_a_failure_may_not_have_shown(count: int) -> None:
    """It would hold the truth 65 to 92 times in 100: the range over units is given in its place."""
    scale, draw, truth = FAILURES["one in five finds nothing"]
    if count <= 8:
        assert coverage(draw, truth, scale, count, enough=3) < 0.9
    values = draw(np.random.default_rng(0), (count, 1))[:, 0]
    found = interval(values, Scale.SHARE)
    assert (found.low, found.high) == (None, None)
    assert (found.lowest, found.highest) == (values.min(), values.max())
    assert "no 95 % intervals below 15 units" in assumption(count)


def test_it_says_which_failures_would_have_shown() -> None:
    assert [rarest_shown(count) for count in (15, 30, 100)] == [5, 10, 33]
    for count in (15, 30, 100):
        assert (1 - 1 / rarest_shown(count)) ** count <= 0.05
        assert f"one in {rarest_shown(count)}" in assumption(count)


def test_a_pooled_score_of_unequal_slides_is_covered_too() -> None:
    """Slides of 5 to 60 objects each of which is found with a chance that differs between animals."""
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(800):
        true = rng.integers(5, 60, 8)
        found = rng.binomial(true, rng.beta(16, 4, 8))
        pooled = lambda some, found=found, true=true: np.array([found[some].sum() / true[some].sum()])  # noqa: E731
        (item,) = intervals(pooled, list("abcdefgh"), [Scale.SHARE], enough=3)
        inside += item.low <= 0.8 <= item.high
    assert 0.925 <= inside / 800 <= 0.975


def test_it_is_students_where_values_may_be_anything() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0])
    found = interval(values, Scale.DIFFERENCE, enough=3)
    reach = 3.1824463 * values.std(ddof=1) / 2
    assert (found.value, found.units) == (3.0, 4)
    assert (found.low, found.high) == pytest.approx((3 - reach, 3 + reach))


def test_a_share_stays_between_0_and_1() -> None:
    found = interval(np.array([1.0, 1.0, 0.9]), enough=3)
    assert 0 <= found.low < found.value < found.high <= 1


def test_copies_of_an_animal_make_nothing_surer() -> None:
    """Ten slides of each of six animals are six measurements, not sixty."""
    values = np.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.8])
    few = interval(values, enough=3)
    many = interval(values.repeat(10), units=[name for name in "abcdef" for _ in range(10)], enough=3)
    assert many.units == 6
    assert (many.low, many.high) == pytest.approx((few.low, few.high))
    naive = interval(values.repeat(10), enough=3)
    assert naive.high - naive.low < (few.high - few.low) / 2


@pytest.mark.parametrize(
    ("values", "units"),
    [([0.5, 0.7], "ab"), ([0.5, 0.7, 0.9], "aab"), ([1.0] * 20, "abcdefghijklmnopqrst"), ([0.3], "a")],
)
def test_none_where_none_can_be_carried(values: list[float], units: str) -> None:
    found = interval(np.array(values), units=list(units))
    assert (found.low, found.high) == (None, None)
    assert found.value == pytest.approx(np.mean(values))


def test_units_without_the_value_do_not_count() -> None:
    """Distances exist where something matched alone: n is the units that have one."""
    values = np.array([1.0, 2.0, np.nan, 4.0])
    statistic = lambda some: np.array([np.nan if np.isnan(values[some]).all() else np.nanmean(values[some])])  # noqa: E731
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
