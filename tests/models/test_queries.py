"""Queries as objects: what is sure and left whole is one, and whose each pixel is."""

import torch

from glomseg.models.places import places_in
from glomseg.models.queries import objects_of


def of(*queries: tuple[float, float, slice]) -> torch.Tensor:
    """Number the objects of queries (probability of the class, of the mask, its columns) in a picture of 10 x 40."""
    masks = torch.zeros(1, len(queries), 10, 40)
    for number, (_, inside, columns) in enumerate(queries):
        masks[0, number, :, columns] = inside
    kinds = torch.tensor([[[sure, 1 - sure] for sure, _, _ in queries]])
    return objects_of(masks, kinds)[0, 0]


def test_queries_that_touch_are_two_objects_whose_places_jump() -> None:
    row = of((0.95, 0.9, slice(0, 16)), (0.9, 0.9, slice(16, 32)))
    assert row.unique_consecutive().tolist() == [1, 2, 0]
    right = places_in(row.expand(1, 10, 40))[0, 0, 0]
    assert right[15] == 1
    assert right[16] == -1
    assert (right[32:] == 0).all()


def test_an_unsure_query_and_one_that_repeats_another_are_none() -> None:
    assert of((0.79, 0.9, slice(0, 16))).unique().tolist() == [0]
    assert of((0.81, 0.9, slice(0, 16))).unique().tolist() == [0, 1]
    assert of((0.95, 0.49, slice(0, 16))).unique().tolist() == [0]
    assert of((0.85, 0.9, slice(0, 16)), (0.95, 0.9, slice(0, 16))).unique_consecutive().tolist() == [2, 0]


def test_a_query_that_others_take_more_than_a_fifth_of_is_none() -> None:
    sure, large = (0.99, 0.9, slice(0, 10)), (0.95, 0.9, slice(0, 30))
    assert of(sure, large).unique_consecutive().tolist() == [1, 0]
    assert of((0.99, 0.9, slice(0, 5)), large).unique_consecutive().tolist() == [1, 2, 0]  # a sixth
    behind = (0.85, 0.9, slice(10, 30))  # lost all to `large`: judged at once, as published
    assert of(sure, large, behind).unique_consecutive().tolist() == [1, 0]
