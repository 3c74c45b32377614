import gzip
import json
import uuid
from pathlib import Path

import pytest
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from glomseg.errors import GeoJSONError
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    ring = Point(500, 400).buffer(60).difference(Point(500, 400).buffer(10))
    written = [
        PathObject(
            geometry=ring,
            class_name="Glomerulus: Sclerotic",
            color=(120, 0, 120),
            name="Glomerulus 1",
            object_id=str(uuid.uuid4()),
            is_locked=True,
            measurements={"Area µm^2": 12.5},
            metadata={"glomseg.run": "2026-01-01"},
        ),
        PathObject(geometry=MultiPolygon([box(0, 0, 10, 10), box(20, 0, 30, 10)]), class_name="Glomerulus"),
        PathObject(geometry=box(0, 0, 5, 5)),
    ]
    path = tmp_path / "objects.geojson"
    write_geojson(path, written)
    read = read_geojson(path)
    assert [item.geometry.equals_exact(twin.geometry, 1e-6) for item, twin in zip(read, written, strict=True)]
    assert read[0].geometry.symmetric_difference(ring).area < 1e-3
    for name in ("class_name", "color", "name", "object_id", "is_locked", "measurements", "metadata"):
        assert getattr(read[0], name) == getattr(written[0], name)
    assert read[2].class_name is None
    assert list(tmp_path.iterdir()) == [path]


def test_writes_what_qupath_demands(tmp_path: Path) -> None:
    """A class without a colour, a null name or id, and NaN each make QuPath refuse the whole file."""
    path = tmp_path / "objects.geojson"
    write_geojson(
        path,
        [PathObject(geometry=box(0, 0, 9, 9), class_name="Glomerulus", measurements={"a": float("nan"), "b": 1})],
    )
    feature = json.loads(path.read_text())["features"][0]
    assert len(feature["properties"]["classification"]["color"]) == 3
    assert "name" not in feature["properties"]
    assert uuid.UUID(feature["id"])
    assert feature["properties"]["measurements"] == {"b": 1.0}
    ring = feature["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]


@pytest.mark.parametrize(
    "geometry",
    [Polygon([(0, 0), (10, 10), (10, 0), (0, 10)]), Polygon(), LineString([(0, 0), (1, 1)])],
    ids=["bow-tie", "empty", "line"],
)
def test_refuses_what_would_spoil_an_import(tmp_path: Path, geometry) -> None:
    path = tmp_path / "objects.geojson"
    with pytest.raises(GeoJSONError, match="QuPath would refuse"):
        write_geojson(path, [PathObject(geometry=geometry)])
    assert not path.exists()


@pytest.mark.parametrize("version", ["0_5_1", "0_6_0"])
def test_reads_what_qupath_exports(data: Path, version: str) -> None:
    objects = read_geojson(data / f"qupath/tiles/qupath_{version}_kidney_01.geojson")
    assert [item.class_name for item in objects].count("Glomerulus") == 5
    assert [item.class_name for item in objects].count("Glomerulus: Sclerotic") == 2
    assert sum(item.object_type == "detection" for item in objects) == 5
    locked = [item for item in objects if item.is_locked]
    assert [item.name for item in locked] == ["manual 0"]
    assert locked[0].color == (120, 0, 120)
    assert locked[0].measurements == {"Reviewer score": 0.0}
    cortex = next(item for item in objects if item.class_name == "Cortex")
    assert len(cortex.geometry.interiors) == 1


@pytest.mark.parametrize("container", ["array", "feature", "gzip"])
def test_reads_every_container(tmp_path: Path, container: str) -> None:
    plain = tmp_path / "plain.geojson"
    write_geojson(plain, [PathObject(geometry=box(1, 2, 3, 4), class_name="Glomerulus")])
    features = json.loads(plain.read_text())["features"]
    path = tmp_path / ("objects.json.gz" if container == "gzip" else "objects.json")
    text = json.dumps(features if container != "feature" else features[0])
    path.write_bytes(gzip.compress(text.encode()) if container == "gzip" else text.encode())
    (item,) = read_geojson(path)
    assert item.geometry.bounds == (1, 2, 3, 4)
    assert item.class_name == "Glomerulus"


def test_reads_older_spellings(tmp_path: Path) -> None:
    path = tmp_path / "old.geojson"
    properties = {
        "classification": {"name": "Tumor", "colorRGB": -3670016},
        "measurements": [{"name": "Area", "value": 3}],
    }
    geometry = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    path.write_text(json.dumps({"type": "Feature", "geometry": geometry, "properties": properties}))
    (item,) = read_geojson(path)
    assert item.color == (200, 0, 0)
    assert item.measurements == {"Area": 3.0}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"type": "Nonsense"}', '{"type": "Feature"}', "null", "3"])
def test_bad_files_get_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    with pytest.raises(GeoJSONError) as caught:
        read_geojson(path)
    assert "\n" not in str(caught.value)
    assert "bad.geojson" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(GeoJSONError, match="does not exist"):
        read_geojson(tmp_path / "none.geojson")
