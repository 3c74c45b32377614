"""Which cuts of a mask stay: those for which the waist and the places in objects say enough together."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.models.places import places_in
from glomseg.models.planes import places_along
from glomseg.segment.cuts import Piece, join_pieces, two_or_one
from glomseg.segment.hover_split import split_by_hover
from glomseg.segment.post import POSTS
from glomseg.segment.waist import split_by_waist

MPP, SIZE = 6.25, 96
ONE = ((300, 300, 100, 100),)
OVAL = ((300, 300, 140, 85),)
APART = ((195, 300, 95, 95), (405, 300, 95, 95))
BARELY = ((200, 300, 100, 100), (390, 300, 95, 95))
PRESSED = ((250, 300, 100, 100), (350, 300, 90, 90))
Ovals = tuple[tuple[float, float, float, float], ...]


def labelled(ovals: Ovals) -> NDArray[np.int32]:
    """Number ovals (x, y, half the width, half the height) in um, as glomeruli of a human lie."""
    y, x = np.mgrid[:SIZE, :SIZE] * MPP
    labels = np.zeros((SIZE, SIZE), np.int32)
    for number, (cx, cy, wide, high) in enumerate(ovals, start=1):
        labels[(((x - cx) / wide) ** 2 + ((y - cy) / high) ** 2 < 1) & (labels == 0)] = number
    return labels


def seen(labels: NDArray[np.int32], noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """Give the places (2, H, W) of a network that is unsure (0.7 for 1), blurs, and errs by patches of 20 um."""
    true = places_in(torch.from_numpy(labels[None]))[0].numpy()
    rough = np.random.default_rng(seed).normal(0, 1, true.shape)
    wrong = ndimage.gaussian_filter(rough, (0, 3, 3))
    soft = ndimage.gaussian_filter(0.7 * true, (0, 1.5, 1.5))
    return np.asarray(soft + noise * wrong / wrong.std(), np.float32)


def mask_of(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Give the mask of a network, whose gaps and corners are soft."""
    return ndimage.gaussian_filter((labels > 0).astype(float), 1) > 0.4


def counted(ovals: Ovals, noise: float, seeds: int = 20) -> list[int]:
    """Count the objects that our own way makes of a scene, for some seeds of the noise."""
    post, labels = POSTS["glomseg"], labelled(ovals)
    assert post.hover is not None
    return [
        int(split_by_hover(mask_of(labels), seen(labels, noise, seed), post.hover, MPP, waist_um=post.waist_um).max())
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(("ovals", "count"), [(ONE, 1), (OVAL, 1), (APART, 2), (BARELY, 2), (PRESSED, 2)])
def test_objects_are_counted_though_places_are_noisy(ovals: Ovals, count: int) -> None:
    assert counted(ovals, 0.0, 1) == [count]
    assert sum(one == count for one in counted(ovals, 0.15)) >= 19


def test_where_there_is_no_waist_the_places_part_what_the_mask_does_not() -> None:
    assert split_by_waist(mask_of(labelled(PRESSED)), 12 / MPP).max() == 1


def test_two_objects_or_one_is_told_by_what_places_are_nearer_to() -> None:
    labels = labelled(PRESSED)
    rows, columns = np.nonzero(labels)
    apart = labels[rows, columns] == 1
    at = np.stack([columns, rows]).astype(float)
    two, one = seen_exactly(labels), seen_exactly((labels > 0).astype(np.int32))
    for places, value in ((two, 1.0), (one, -1.0), (0.5 * two, 0.5), ((two + one) / 2, 0.0)):
        given = places[:, rows, columns]
        pieces = (Piece(at[:, mine], given[:, mine], 1.0) for mine in (apart, ~apart))
        assert two_or_one(*pieces) == pytest.approx(value, abs=0.1)


def seen_exactly(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    return places_in(torch.from_numpy(labels[None]))[0].numpy().astype(float)


def test_places_along_an_axis_are_those_that_are_learned() -> None:
    labels = labelled(PRESSED)
    places = seen_exactly(labels)
    for number in (1, 2):
        rows, columns = np.nonzero(labels == number)
        assert places[0, rows, columns] == pytest.approx(places_along(columns.astype(float)), abs=1e-4)
        assert places[1, rows, columns] == pytest.approx(places_along(rows.astype(float)), abs=1e-4)
    assert places_along(np.array([3.0, 3.0])).tolist() == [0, 0]


def test_what_a_network_says_outside_the_mask_parts_nothing() -> None:
    """Places fall to 0 at an object's edge, which is no border between two."""
    labels, post = labelled(ONE), POSTS["glomseg"]
    assert post.hover is not None
    mask, places = mask_of(labels), seen(labels)
    inside = split_by_hover(mask, places, post.hover, MPP, waist_um=post.waist_um)
    wild = np.where(mask, places, np.random.default_rng(0).uniform(-1, 1, places.shape)).astype(np.float32)
    assert np.array_equal(split_by_hover(mask, wild, post.hover, MPP, waist_um=post.waist_um), inside)


def test_a_piece_too_small_for_an_object_is_none_by_what_places_say() -> None:
    labels, post = labelled(((300, 300, 100, 100), (430, 300, 35, 35))), POSTS["glomseg"]
    assert post.hover is not None
    split = [
        split_by_hover(mask_of(labels), seen(labels), post.hover, MPP, waist_um=post.waist_um, least_um2=least)
        for least in (0.0, 4800.0)
    ]
    assert [int(numbers.max()) for numbers in split] == [2, 1]


def test_a_failure_of_the_model_takes_no_minutes() -> None:
    """Wild places on a mask of all of a large tissue: they are not asked, where the mask has no waist."""
    post, rough = POSTS["glomseg"], np.random.default_rng(0).normal(0, 1, (2, 400, 400))
    assert post.hover is not None
    wild = ndimage.gaussian_filter(rough, (0, 4, 4))
    mask = np.pad(np.ones((360, 360), np.bool_), 20)
    wild = np.clip(wild / wild.std() / 2, -1, 1).astype(np.float32)
    assert split_by_hover(mask, wild, post.hover, MPP, waist_um=post.waist_um).max() == 1


def test_pieces_are_joined_from_the_least_likely_cut_on_and_keep_their_pixels() -> None:
    """A row of pieces, of which the first three are one object."""
    numbers = np.repeat(np.arange(1, 6, dtype=np.int32), 8)[None].repeat(6, axis=0)
    labels = np.where(numbers <= 3, 1, numbers)
    depth = np.ones(numbers.shape)
    joined = join_pieces(numbers, depth, seen_exactly(labels).astype(np.float32), lambda a, b, _: two_or_one(a, b))
    assert np.unique(joined).tolist() == [1, 2, 3]
    assert all(len(np.unique(joined[labels == number])) == 1 for number in (1, 4, 5))
    assert all(joined[labels == a].max() != joined[labels == b].max() for a, b in pairwise((1, 4, 5)))
    assert join_pieces(numbers, depth, np.zeros((2, 6, 40), np.float32), lambda *_: -1.0).max() == 1
    assert np.array_equal(join_pieces(numbers, depth, np.zeros((2, 6, 40), np.float32), lambda *_: 0.0), numbers)
