"""Distances between outlines."""

import math

import numpy as np
import pytest
import shapely
from scipy import ndimage

from glomseg.evaluation.boundary import boundary_distance


def test_an_outline_is_at_no_distance_from_itself() -> None:
    shape = shapely.Point(50, 50).buffer(30)
    found = boundary_distance(shape, shape, 0.5, 0.5)
    assert found.hausdorff95_um == pytest.approx(0, abs=1e-9)
    assert found.mean_um == pytest.approx(0, abs=1e-9)


def test_concentric_circles_in_um() -> None:
    found = boundary_distance(shapely.Point(0, 0).buffer(100, 64), shapely.Point(0, 0).buffer(90, 64), 0.25, 0.25)
    assert found.hausdorff95_um == pytest.approx(2.5, rel=0.01)
    assert found.mean_um == pytest.approx(2.5, rel=0.01)


def test_a_spike_counts_in_the_maximum_alone() -> None:
    """A spike on 2 % of the outline is what the 95 % leave out."""
    square = shapely.box(0, 0, 100, 100)
    spiked = square | shapely.box(49, 100, 50, 104)
    found = boundary_distance(spiked, square, 1, 1)
    assert found.hausdorff95_um < 0.1
    assert 0 < found.mean_um < 0.1


def test_pixels_need_not_be_square() -> None:
    a, b = shapely.box(0, 0, 10, 10), shapely.box(2, 0, 12, 10)
    assert boundary_distance(a, b, 3, 1).hausdorff95_um == pytest.approx(6, abs=0.1)
    assert boundary_distance(a, b, 1, 3).hausdorff95_um == pytest.approx(2, abs=0.1)


def test_it_does_not_matter_which_comes_first() -> None:
    a, b = shapely.Point(0, 0).buffer(40), shapely.box(-30, -35, 38, 33)
    there, back = boundary_distance(a, b, 0.5, 0.5), boundary_distance(b, a, 0.5, 0.5)
    assert there.hausdorff95_um == pytest.approx(back.hausdorff95_um)
    assert there.mean_um == pytest.approx(back.mean_um)


def test_agrees_with_distance_maps_of_pixels() -> None:
    """As surface-distance measures them on a fine grid: distance transforms of both outlines."""
    rows, columns = np.mgrid[0:400, 0:400]
    a = np.hypot(rows - 200, columns - 200) < 120
    b = np.hypot((rows - 190) / 1.1, columns - 215) < 110
    edge_a, edge_b = (mask & ~ndimage.binary_erosion(mask) for mask in (a, b))
    there = ndimage.distance_transform_edt(~edge_b)[edge_a]
    back = ndimage.distance_transform_edt(~edge_a)[edge_b]
    angles = np.linspace(0, 2 * math.pi, 720)
    first = shapely.Polygon(np.column_stack([200 + 120 * np.cos(angles), 200 + 120 * np.sin(angles)]))
    second = shapely.Polygon(np.column_stack([215 + 110 * np.cos(angles), 190 + 121 * np.sin(angles)]))
    found = boundary_distance(first, second, 1, 1)
    assert found.hausdorff95_um == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1)
    assert found.mean_um == pytest.approx(np.concatenate([there, back]).mean(), abs=0.5)
