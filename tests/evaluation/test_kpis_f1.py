"""The challenge's own F1, faults included, and its folders."""

from pathlib import Path

import numpy as np
import pytest
import shapely
from support.scenes import boxes

from glomseg.evaluation.kpis_f1 import MARGIN, KpisScore, kpis_score
from glomseg.evaluation.matching import match, overlaps
from glomseg.evaluation.metrics import object_score
from glomseg.geometry import geometries
from glomseg.labelled.kpis import kpis_place, reduction
from glomseg.labelled.masks import outline

SIZE = (4000, 4000)


def grid(count: int, poor: int):
    """`count` squares in rows; `poor` predictions are moved by half a side, the others by a twenty-fifth."""
    places = [(200 + index % 30 * 100, 200 + index // 30 * 100) for index in range(count)]
    true = boxes(*((x, y, 50, 50) for x, y in places))
    step = count / poor
    bad = {int(step * (index + 0.5)) for index in range(poor)}
    predicted = boxes(*((x + (25 if index in bad else 2), y, 50, 50) for index, (x, y) in enumerate(places)))
    return predicted, true


@pytest.mark.parametrize(("count", "poor", "theirs", "ours"), [(200, 18, 0.953, 0.910), (302, 55, 0.899, 0.818)])
def test_the_wrong_values_of_the_challenge_are_reproduced(count, poor, theirs, ours) -> None:
    predicted, true = grid(count, poor)
    met = overlaps(predicted, true)
    assert object_score(met, match(met)).f1 == pytest.approx(ours, abs=0.01)
    assert kpis_score(predicted, true, SIZE).f1 == pytest.approx(theirs, abs=0.01)


def test_by_hand_one_good_and_one_poor_overlap() -> None:
    """The poor one is false, yet what it should have found is "found" in the corner: P 1/2, R 1, F1 2/3, not 1/2."""
    predicted, true = boxes((202, 200, 50, 50), (425, 400, 50, 50)), boxes((200, 200, 50, 50), (400, 400, 50, 50))
    assert kpis_score(predicted, true, SIZE) == KpisScore(1, 1, 0)
    assert kpis_score(predicted, true, SIZE).f1 == pytest.approx(2 / 3)


def test_by_hand_two_predictions_of_one_object_are_both_right() -> None:
    predicted, true = boxes((200, 200, 50, 50), (204, 200, 46, 50)), boxes((200, 200, 50, 50))
    first = kpis_score(predicted[:1], true, SIZE)
    assert first == KpisScore(1, 0, 0)
    at_corner = boxes((MARGIN, MARGIN, 50, 50))  # where the first comparison leaves the truth
    assert kpis_score(np.concatenate([at_corner, predicted[:1]]), true, SIZE) == KpisScore(2, 0, 0)


def test_by_hand_a_hole_is_an_object() -> None:
    ring = geometries([shapely.box(100, 100, 200, 200) - shapely.box(130, 130, 170, 170)])
    assert kpis_score(ring, ring, SIZE) == KpisScore(2, 0, 0)
    assert kpis_score(boxes((100, 100, 100, 100)), ring, SIZE) == KpisScore(1, 0, 1)


def test_by_hand_what_touches_the_edge_is_no_object() -> None:
    items = boxes((0, 100, 60, 60), (500, 500, 60, 60))
    assert kpis_score(items, items, SIZE) == KpisScore(1, 0, 0)
    assert kpis_score(items, items, None) == KpisScore(2, 0, 0)


def test_by_hand_a_contour_is_one_pixel_wider_than_its_object() -> None:
    """10 x 10 against 10 x 20 has IoU 1/2; the challenge compares 120 + 20 with 240 + 20 px, which is more."""
    exactly_half = boxes((100, 100, 10, 10)), boxes((100, 100, 10, 20))
    less = boxes((100, 100, 10, 10)), boxes((100, 100, 10, 21))
    assert kpis_score(*exactly_half, SIZE) == KpisScore(1, 0, 0)
    assert kpis_score(*less, SIZE) == KpisScore(1, 0, 0)
    assert object_score(overlaps(*less), match(overlaps(*less))).matched == 0


def test_no_true_positive_is_0_even_where_there_is_nothing() -> None:
    assert kpis_score(boxes(), boxes(), SIZE).f1 == 0
    assert kpis_score(boxes((10, 10, 5, 5)), boxes(), SIZE) == KpisScore(0, 1, 0)


def test_a_slide_at_80x_is_halved_first() -> None:
    """At 80X 20 x 40 px and 42 x 40 px share 920 of 1844 px with their rims, at 40X 260 of 502."""
    predicted, true = (outline(np.pad(np.ones((2 * n, 40), bool), 30))[0] for n in (10, 21))
    assert kpis_score(predicted, true, (200, 200)) == KpisScore(0, 1, 1)
    assert kpis_score(predicted, true, (200, 200), reduce=2) == KpisScore(1, 0, 0)
    nep25, dn = (kpis_place(Path(f"Task2_WSI_level/{group}/1_2_wsi.tiff")) for group in ("NEP25", "DN"))
    assert reduction(0.12, nep25) == 2
    assert reduction(0.2395, dn) == 1
    assert [reduction(None, place) for place in (nep25, dn, None)] == [1, 2, 1]
    assert reduction(None, kpis_place(Path("Task1_patch_level/train/DN/1_2/img/1_2_0_0_0_img.jpg"))) == 1
