"""Objects are matched one to one."""

import numpy as np
import pytest

from glomseg.training.score import Score, objects_of, score


def labels(*boxes, size=60):
    out = np.zeros((size, size), np.int32)
    for i, (y, x, h, w) in enumerate(boxes, start=1):
        out[y : y + h, x : x + w] = i
    return out


def test_perfect():
    true = labels((0, 0, 10, 10), (20, 20, 10, 10))
    result = score(true, true)
    assert (result.matched, result.false, result.missed) == (2, 0, 0)
    assert result.f1 == result.dice == 1.0


def test_two_halves_match_at_most_once():
    result = score(labels((0, 0, 10, 6), (0, 6, 10, 4)), labels((0, 0, 10, 10)))
    assert (result.matched, result.false, result.missed) == (1, 1, 0)
    assert result.f1 == pytest.approx(2 / 3)


def test_a_poor_overlap_does_not_count():
    result = score(labels((0, 0, 10, 10)), labels((0, 6, 10, 10)))
    assert (result.matched, result.false, result.missed) == (0, 1, 1)
    assert result.dice == pytest.approx(0.4)


def test_one_over_two_is_no_match():
    result = score(labels((0, 0, 10, 22)), labels((0, 0, 10, 10), (0, 12, 10, 10)))
    assert (result.matched, result.false, result.missed) == (0, 1, 2)


def test_nothing():
    assert score(labels(), labels()).f1 == 1.0
    assert score(labels((0, 0, 9, 9)), labels()).f1 == 0.0
    assert score(labels(), labels((0, 0, 9, 9))) == Score(0, 0, 1, 0, 0, 81)


def test_what_is_ignored():
    ignore = np.zeros((60, 60), bool)
    ignore[:, 30:] = True
    result = score(labels((0, 40, 9, 9)), labels(), ignore)
    assert (result.matched, result.false, result.missed, result.predicted_px) == (0, 0, 0, 0)


def test_slivers_count_neither_way():
    true = labels((0, 0, 2, 20))
    assert score(labels(), true, minimum_true_px=50).missed == 0
    assert score(labels((0, 0, 2, 20)), true, minimum_true_px=50).false == 0


def test_scores_add_up():
    assert Score(1, 2, 3, 4, 5, 6) + Score(1, 1, 1, 1, 1, 1) == Score(2, 3, 4, 5, 6, 7)


def test_objects_drop_small_and_ragged():
    probability = np.zeros((60, 60), np.uint8)
    probability[5:25, 5:25] = 200
    probability[10:12, 10:12] = 0  # a hole is filled
    probability[40:42, 5:8] = 255  # small
    probability[30:55, 30:32] = probability[53:55, 30:55] = 255  # an L
    found = objects_of(probability, threshold=0.5, minimum_area_px=50, minimum_solidity=0.8)
    assert (found > 0).sum() == 400
    assert (objects_of(probability, threshold=0.9, minimum_area_px=50) > 0).sum() == 50 + 46
    assert (objects_of(probability, threshold=0.5, minimum_area_px=50) > 0).sum() == 400 + 50 + 46
