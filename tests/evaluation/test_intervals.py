"""Intervals over units, and the paired test."""

import itertools

import numpy as np
import pytest

from glomseg.evaluation.intervals import intervals, sign_flip_test


def mean_of(values: np.ndarray):
    return lambda chosen: values[chosen].mean(keepdims=True)


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.random.default_rng(0).normal(5, 2, 60)
    found = intervals(mean_of(values), [str(index) for index in range(60)])
    error = values.std(ddof=1) / np.sqrt(60)
    assert found.low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.15)
    assert found.high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.15)


def test_copies_of_an_animal_make_nothing_surer() -> None:
    """Ten slides of each of six animals are six measurements, not sixty."""
    values = np.array([0.1, 0.9, 0.4, 0.6, 0.2, 0.8])
    few = intervals(mean_of(values), list("abcdef"))
    many = intervals(mean_of(values.repeat(10)), list("abcdef" * 10 and "".join(name * 10 for name in "abcdef")))
    assert many.units == 6
    assert (many.low[0], many.high[0]) == pytest.approx((few.low[0], few.high[0]))
    naive = intervals(mean_of(values.repeat(10)), [str(index) for index in range(60)])
    assert naive.high[0] - naive.low[0] < (few.high[0] - few.low[0]) / 2


def test_the_same_every_time_and_none_for_one_unit() -> None:
    values = np.arange(5.0)
    assert intervals(mean_of(values), list("abcde")).low == intervals(mean_of(values), list("abcde")).low
    assert intervals(mean_of(values), ["a"] * 5) is None


def test_what_is_never_defined_has_no_interval() -> None:
    found = intervals(lambda chosen: np.array([np.nan, 1.0]), ["a", "b"])
    assert np.isnan(found.low[0])
    assert found.low[1] == 1


def test_sign_flips_by_hand() -> None:
    """Of the 8 signs of (1, 2, 3), only +++ and --- reach a sum of 6."""
    assert sign_flip_test(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert sign_flip_test(np.array([1.0, -1.0])) == 1
    assert sign_flip_test(np.zeros(4)) == 1


def test_random_flips_agree_with_all_of_them() -> None:
    difference = np.random.default_rng(1).normal(0.3, 1, 16)
    sums = [abs(np.dot(signs, difference)) for signs in itertools.product((-1, 1), repeat=16)]
    assert sign_flip_test(difference) == pytest.approx(np.mean(np.array(sums) >= abs(difference.sum())), abs=0.02)
