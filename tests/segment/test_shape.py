import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.affinity import rotate
from shapely.geometry import MultiPolygon, Point, Polygon, box

from glomseg.segment.shape import measure_shape


def ellipse(a: float, b: float, corners: int = 720) -> Polygon:
    turns = (2 * math.pi * i / corners for i in range(corners))
    return Polygon([(500 + a * math.cos(t), 300 + b * math.sin(t)) for t in turns])


def ramanujan(a: float, b: float) -> float:
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def test_disc_on_anisotropic_pixels() -> None:
    """A disc of 50 um radius is an ellipse of pixels where they are not square."""
    shape = measure_shape(ellipse(200, 100), 0.25, 0.5)
    assert shape.area_um2 == pytest.approx(math.pi * 50**2, rel=1e-3)
    assert shape.perimeter_um == pytest.approx(2 * math.pi * 50, rel=1e-3)
    assert shape.equivalent_diameter_um == pytest.approx(100, rel=1e-3)
    assert shape.max_feret_um == pytest.approx(100, rel=1e-3)
    assert shape.min_feret_um == pytest.approx(100, rel=1e-3)
    assert shape.circularity == pytest.approx(1, abs=1e-3)
    assert shape.solidity == pytest.approx(1, abs=1e-3)
    assert shape.eccentricity == pytest.approx(0, abs=0.02)


@given(st.floats(20, 200), st.floats(0.3, 1), st.floats(0, 180), st.floats(0.1, 2))
def test_ellipses_against_their_formulas(a: float, ratio: float, degrees: float, mpp: float) -> None:
    b = a * ratio
    shape = measure_shape(rotate(ellipse(a, b), degrees), mpp, mpp)
    assert shape.area_um2 == pytest.approx(math.pi * a * b * mpp**2, rel=1e-3)
    assert shape.perimeter_um == pytest.approx(ramanujan(a, b) * mpp, rel=1e-2)
    assert shape.max_feret_um == pytest.approx(2 * a * mpp, rel=1e-2)
    assert shape.min_feret_um == pytest.approx(2 * b * mpp, rel=1e-2)
    assert shape.eccentricity == pytest.approx(math.sqrt(1 - ratio**2), abs=0.01)


def test_square_and_rectangle() -> None:
    square = measure_shape(box(10, 10, 30, 30), 0.5, 0.5)
    assert square.area_um2 == 100
    assert square.circularity == pytest.approx(math.pi / 4)
    assert square.max_feret_um == pytest.approx(math.sqrt(200))
    assert square.min_feret_um == pytest.approx(10)
    flat = measure_shape(box(0, 0, 40, 10), 1, 1)
    assert flat.eccentricity == pytest.approx(math.sqrt(1 - (10 / 40) ** 2))


def test_ring_and_two_parts() -> None:
    ring = measure_shape(Point(0, 0).buffer(20, 64).difference(Point(0, 0).buffer(10, 64)), 1, 1)
    assert ring.area_um2 == pytest.approx(math.pi * 300, rel=1e-3)
    assert ring.perimeter_um == pytest.approx(math.pi * 60, rel=1e-2)
    assert ring.solidity == pytest.approx(0.75, rel=1e-3)
    assert ring.eccentricity == pytest.approx(0, abs=0.02)
    both = measure_shape(MultiPolygon([box(0, 0, 10, 10), box(30, 0, 40, 10)]), 1, 1)
    assert both.area_um2 == 200
    assert both.max_feret_um == pytest.approx(math.hypot(40, 10))
    assert both.min_feret_um == pytest.approx(10)
    assert set(both.measurements()) >= {"Area µm^2", "Max Feret µm", "Eccentricity"}
