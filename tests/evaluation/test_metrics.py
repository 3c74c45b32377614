"""Every number by hand, and against independent implementations."""

import sys

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support.scenes import boxes

from glomseg.evaluation.matching import match, merges, overlaps, splits
from glomseg.evaluation.metrics import IOU_THRESHOLDS, ObjectScore, PixelScore, object_score, pixel_score
from glomseg.geometry import geometries
from glomseg.labelled.masks import outline
from glomseg.models.extras import usable_torchvision


def scores(predicted, true, threshold=0.5):
    met = overlaps(predicted, true)
    return pixel_score(predicted, true, met), object_score(met, match(met, threshold))


def test_two_squares_that_share_a_half() -> None:
    pixels, objects = scores(boxes((0, 0, 10, 10)), boxes((5, 0, 10, 10)))
    assert pixels == PixelScore(50, 100, 100)
    assert pixels.dice == 0.5
    assert pixels.iou == pytest.approx(1 / 3)
    assert pixels.precision == pixels.recall == 0.5
    assert objects == ObjectScore(0, 1, 1, 0.0)
    assert objects.f1 == objects.sq == objects.pq == 0


def test_iou_of_one_half_is_a_match() -> None:
    _, objects = scores(boxes((0, 0, 20, 10)), boxes((0, 0, 10, 10)))
    assert objects == ObjectScore(1, 1, 1, 0.5)
    assert objects.f1 == 1
    assert objects.sq == objects.pq == 0.5


def test_panoptic_quality_by_hand() -> None:
    """Two matches of IoU 0.8 and 0.6, one false, one missed: DQ 4/6, SQ 0.7, PQ 1.4 / 3."""
    predicted = boxes((0, 0, 8, 10), (20, 0, 6, 10), (40, 0, 5, 5))
    true = boxes((0, 0, 10, 10), (20, 0, 10, 10), (60, 0, 5, 5))
    _, objects = scores(predicted, true)
    assert objects.f1 == pytest.approx(4 / 6)
    assert objects.sq == pytest.approx(0.7)
    assert objects.pq == pytest.approx(1.4 / 3)
    assert objects.precision == objects.recall == pytest.approx(2 / 3)
    assert objects.count_bias == 0
    assert [scores(predicted, true, t)[1].matched for t in (0.6, 0.65, 0.8, 0.85)] == [2, 1, 1, 0]


def test_split_one_true_object_found_as_two() -> None:
    met = overlaps(boxes((0, 0, 10, 6), (0, 6, 10, 4)), boxes((0, 0, 10, 10)))
    assert splits(met).tolist() == [0]
    assert merges(met).tolist() == []
    assert object_score(met, match(met)) == ObjectScore(1, 2, 1, 0.6)


def test_merge_two_true_objects_found_as_one() -> None:
    met = overlaps(boxes((0, 0, 22, 10)), boxes((0, 0, 10, 10), (12, 0, 10, 10)))
    assert merges(met).tolist() == [0]
    assert splits(met).tolist() == []
    assert object_score(met, match(met)) == ObjectScore(0, 1, 2, 0.0)


def test_touching_objects_stay_two() -> None:
    both = boxes((0, 0, 10, 10), (10, 0, 10, 10))
    met = overlaps(both, both)
    assert object_score(met, match(met)) == ObjectScore(2, 2, 2, 2.0)
    assert not len(splits(met))
    assert not len(merges(met))
    assert pixel_score(both, both, met) == PixelScore(200, 200, 200)


def test_a_hole_is_no_part_of_its_object_and_no_object() -> None:
    ring = geometries([shapely.box(0, 0, 10, 10) - shapely.box(3, 3, 7, 7)])
    pixels, objects = scores(boxes((0, 0, 10, 10)), ring)
    assert pixels == PixelScore(84, 100, 84)
    assert objects == ObjectScore(1, 1, 1, 0.84)


def test_overlapping_predictions_cover_a_pixel_once() -> None:
    predicted = boxes((0, 0, 10, 10), (0, 0, 10, 10), (5, 0, 10, 10))
    pixels, objects = scores(predicted, boxes((0, 0, 10, 10)))
    assert pixels == PixelScore(100, 150, 100)
    assert objects == ObjectScore(1, 3, 1, 1.0)


@pytest.mark.parametrize(
    ("predicted", "true", "value"), [([], [], 1.0), ([(0, 0, 5, 5)], [], 0.0), ([], [(0, 0, 5, 5)], 0.0)]
)
def test_empty_sides_have_defined_values(predicted, true, value) -> None:
    pixels, objects = scores(boxes(*predicted), boxes(*true))
    assert {pixels.dice, pixels.iou, pixels.precision, pixels.recall} == {value}
    assert {objects.f1, objects.precision, objects.recall, objects.sq, objects.pq} == {value}


def test_matching_takes_as_many_pairs_as_it_can() -> None:
    """Greedy would take 0.50 first and leave one over; below 0.5 objects compete."""
    true = boxes((0, 0, 10, 10), (10, 0, 10, 10))
    predicted = boxes((4, 0, 10, 10), (0, 0, 4, 10))
    matching = match(overlaps(predicted, true), 0.2)
    assert sorted(zip(matching.predicted.tolist(), matching.true.tolist(), strict=True)) == [(0, 1), (1, 0)]


def blobs(seed: int, shift: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((90, 110)), 4)
    other = ndimage.gaussian_filter(np.random.default_rng(seed + 500).random((90, 110)), 4)
    return np.roll(noise + 0.35 * shift * (other - other.mean()), shift, axis=1) > np.quantile(noise, 0.7)


def by_pixels(predicted: np.ndarray, true: np.ndarray, threshold: float) -> tuple[float, ObjectScore]:
    """Dice and the matching of stardist's definition on label images: every pair, a dense assignment."""
    from scipy.optimize import linear_sum_assignment

    a, count_a = ndimage.label(predicted, np.ones((3, 3)))
    b, count_b = ndimage.label(true, np.ones((3, 3)))
    table = np.zeros((count_a + 1, count_b + 1))
    np.add.at(table, (a, b), 1)
    shared = table[1:, 1:]
    union = np.bincount(a.ravel())[1:, None] + np.bincount(b.ravel())[None, 1:] - shared
    iou = shared / union
    least = min(count_a, count_b)
    rows, columns = linear_sum_assignment(-(iou >= threshold).astype(float) - iou / (2 * max(least, 1)))
    hits = iou[rows, columns] >= threshold
    dice = 2 * (predicted & true).sum() / (predicted.sum() + true.sum())
    return dice, ObjectScore(int(hits.sum()), count_a, count_b, float(iou[rows, columns][hits].sum()))


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_matching_on_pixels(seed: int) -> None:
    predicted, true = blobs(seed, 1 + seed % 3), blobs(seed)
    met = overlaps(outline(predicted)[0], outline(true)[0])
    for threshold in (0.3, *IOU_THRESHOLDS):
        dice, expected = by_pixels(predicted, true, threshold)
        found = object_score(met, match(met, threshold))
        assert (found.matched, found.predicted, found.true) == (expected.matched, expected.predicted, expected.true)
        assert found.iou_sum == pytest.approx(expected.iou_sum, abs=0.02 if threshold < 0.5 else 1e-9)
    assert pixel_score(outline(predicted)[0], outline(true)[0], met).dice == pytest.approx(dice)


def test_agrees_with_torchmetrics() -> None:
    usable_torchvision()  # which torchmetrics imports where it is there
    for name in [name for name in sys.modules if name.startswith("torchmetrics")]:
        del sys.modules[name]  # what is left of an import by another library before that
    functional = pytest.importorskip("torchmetrics.functional", reason="torchmetrics is not installed")
    import torch

    predicted, true = blobs(3, 2), blobs(3)
    shapes = outline(predicted)[0], outline(true)[0]
    pixels = pixel_score(*shapes, overlaps(*shapes))
    ours, theirs = torch.from_numpy(predicted.copy()), torch.from_numpy(true.copy())
    assert pixels.dice == pytest.approx(float(functional.classification.binary_f1_score(ours, theirs)))
    assert pixels.iou == pytest.approx(float(functional.classification.binary_jaccard_index(ours, theirs)))
    assert pixels.precision == pytest.approx(float(functional.classification.binary_precision(ours, theirs)))
    assert pixels.recall == pytest.approx(float(functional.classification.binary_recall(ours, theirs)))


corner = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(1, 25), st.integers(1, 25))


@settings(max_examples=40, deadline=None)
@given(st.lists(corner, max_size=6), st.lists(corner, max_size=6), st.randoms(), st.integers(-5000, 50_000))
def test_neither_order_nor_place_nor_side_changes_a_score(predicted, true, random, shift) -> None:
    ours, theirs = boxes(*predicted), boxes(*true)
    pixels, objects = scores(ours, theirs)
    random.shuffle(predicted)
    random.shuffle(true)
    moved = [boxes(*((x + shift, y - shift, w, h) for x, y, w, h in items)) for items in (predicted, true)]
    again, same = scores(*moved)
    assert again.dice == pytest.approx(pixels.dice)
    assert (same.matched, same.predicted, same.true) == (objects.matched, objects.predicted, objects.true)
    turned, swapped = scores(theirs, ours)
    assert (turned.precision, turned.recall) == pytest.approx((pixels.recall, pixels.precision))
    assert swapped.matched == objects.matched
    assert 0 <= objects.pq <= objects.f1 <= 1
