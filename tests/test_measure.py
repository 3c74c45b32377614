import math

import pytest
from shapely.geometry import Point, Polygon, box

from glomseg.measure import measure_shape


def test_disc_on_anisotropic_pixels() -> None:
    """A disc of 50 um radius is an ellipse of pixels where they are not square."""
    ellipse = [(200 * math.cos(t / 500), 100 * math.sin(t / 500)) for t in range(int(2 * math.pi * 500))]
    shape = measure_shape(Polygon(ellipse), 0.25, 0.5)
    assert shape.area_um2 == pytest.approx(math.pi * 50**2, rel=1e-3)
    assert shape.perimeter_um == pytest.approx(2 * math.pi * 50, rel=1e-3)
    assert shape.equivalent_diameter_um == pytest.approx(100, rel=1e-3)
    assert shape.circularity == pytest.approx(1, abs=1e-3)
    assert shape.solidity == pytest.approx(1, abs=1e-3)


def test_square_and_ring() -> None:
    square = measure_shape(box(10, 10, 30, 30), 0.5, 0.5)
    assert square.area_um2 == 100
    assert square.circularity == pytest.approx(math.pi / 4)
    ring = measure_shape(Point(0, 0).buffer(20, 64).difference(Point(0, 0).buffer(10, 64)), 1, 1)
    assert ring.area_um2 == pytest.approx(math.pi * 300, rel=2e-3)
    assert ring.solidity == pytest.approx(0.75, rel=1e-3)
    assert set(ring.measurements()) >= {"Area µm^2", "Circularity"}
