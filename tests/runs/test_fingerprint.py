"""What a person can change about an object changes its fingerprint, and nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box
from support.plans import disc, ours

from glomseg.qupath.objects import read_geojson, write_geojson
from glomseg.runs.ownership import FINGERPRINT, RUN, fingerprint, owner, snap, stamp

GLOMERULUS = "Glomerulus"


def through_qupath(geometry):
    """What QuPath gives back: float32 vertices, rounded to 0.01 px, in another order and direction."""
    moved = shapely.transform(geometry, lambda xy: np.round(xy.astype(np.float32).astype(float) / 0.01) * 0.01)
    return shapely.normalize(shapely.reverse(moved))


@given(
    x=st.floats(0, 400_000),
    y=st.floats(0, 400_000),
    radius=st.floats(3, 500),
    corners=st.integers(3, 200),
    hole=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_fingerprint_survives_qupath(x, y, radius, corners, hole, seed):
    angles = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, corners))
    ring = np.c_[x + radius * np.cos(angles), y + radius * np.sin(angles)]
    shape = Polygon(ring).buffer(0)
    if hole:
        shape = shape.difference(shape.centroid.buffer(radius / 5))
    geometry = snap(shape)
    assert geometry.is_valid
    assert fingerprint(snap(geometry), None) == fingerprint(geometry, None)
    assert fingerprint(through_qupath(geometry), None) == fingerprint(geometry, None)


def test_a_fingerprint_survives_other_ways_to_write_a_shape():
    square = Polygon([(0, 0), (50, 0), (100, 0), (100, 100), (0, 100)])
    expected = fingerprint(box(0, 0, 100, 100), GLOMERULUS)
    assert fingerprint(square, GLOMERULUS) == expected
    assert fingerprint(MultiPolygon([square]), GLOMERULUS) == expected
    assert fingerprint(Polygon([(0, 0), (0, 0), (100, 0), (100, 100), (0, 100)]), GLOMERULUS) == expected
    one, two = box(0, 0, 10, 10), box(20, 0, 30, 10)
    assert fingerprint(MultiPolygon([one, two]), None) == fingerprint(MultiPolygon([two, one]), None)


def test_a_fingerprint_survives_geojson(tmp_path):
    item = ours(123456.789, 98765.4321)
    write_geojson(tmp_path / "a.geojson", [item])
    (read,) = read_geojson(tmp_path / "a.geojson")
    assert read.metadata == item.metadata
    assert owner(read) == "machine"


@pytest.mark.parametrize("step", [(0.02, 0), (0, 0.02), (-1, 0)])
def test_the_smallest_edit_changes_the_fingerprint(step):
    item = ours(100_000, 100_000)
    points = shapely.get_coordinates(item.geometry)
    points[3] += step
    assert owner(replace(item, geometry=Polygon(points))) == "person"


def test_snapping_keeps_area_and_place():
    glomerulus = Point(1000.3, 2000.7).buffer(64)
    snapped = snap(glomerulus)
    assert snapped.area == pytest.approx(glomerulus.area, rel=2e-3)
    assert snapped.centroid.distance(glomerulus.centroid) < 0.1
    assert snap(box(0, 0, 100, 100)).area == 10_000


def test_the_fingerprint_is_written_down():
    """Pinned: objects in people's projects carry it, and the Groovy scripts compute the same."""
    item = stamp(disc(0, 0, geometry=box(10, 20, 110, 120)), run="r", model="m")
    assert item.metadata[RUN] == "r"
    assert item.metadata[FINGERPRINT] == "1-3706c0a624337f618f85b56b107b1059"
