import gzip
import json
import uuid
from pathlib import Path

import pytest
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box, mapping

from glomseg.errors import GeoJSONError
from glomseg.qupath.objects import PathObject, read_geojson, read_objects, repair, write_geojson


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


def test_coordinates_are_those_of_the_shape_to_six_decimals(tmp_path: Path) -> None:
    ring = Point(40123.456, 7.1).buffer(33.3).difference(Point(40123.456, 7.1).buffer(4))
    shapes = [ring, MultiPolygon([ring, box(0, 0, 1 / 3, 2 / 3)]), Point(5, 5).buffer(3 + 1 / 256)]
    write_geojson(tmp_path / "a.geojson", [PathObject(geometry=shape) for shape in shapes])
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]

    def rounded(value: object) -> object:
        return round(value, 6) if isinstance(value, float) else [rounded(one) for one in value]

    for feature, shape in zip(features, shapes, strict=True):
        assert feature["geometry"]["type"] == shape.geom_type
        assert feature["geometry"]["coordinates"] == rounded(mapping(shape)["coordinates"])


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


# --- what other people and programs write


def polygon(*points: tuple[float, float]) -> dict:
    return {"type": "Polygon", "coordinates": [[list(point) for point in points]]}


SQUARE = polygon((0, 0), (9, 0), (9, 9), (0, 9), (0, 0))
LINE = {"type": "LineString", "coordinates": [[0, 0], [9, 9]]}
HOLE = polygon((7, 3), (15, 3), (15, 6), (7, 6), (7, 3))
DOUBLED = polygon((0, 0), (0, 0), (9, 0), (9, 0), (9, 9), (0, 9), (0, 0))
OPEN = polygon((0, 0), (9, 0), (9, 9))
BOW_TIE = polygon((0, 0), (10, 10), (10, 0), (0, 10), (0, 0))


def feature(geometry, **more) -> dict:
    properties = {"objectType": "annotation", "classification": {"name": "Glomerulus"}, **more.pop("properties", {})}
    return {"type": "Feature", "geometry": geometry, "properties": properties, **more}


@pytest.fixture
def read(tmp_path: Path):
    """Read features as a person's file."""

    def run(*features):
        path = tmp_path / "a.geojson"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        return read_objects(path)

    return run


@pytest.mark.parametrize(
    ("geometry", "area"),
    [
        (BOW_TIE, 50),
        ({"type": "MultiPolygon", "coordinates": [BOW_TIE["coordinates"]]}, 50),
        ({"type": "GeometryCollection", "geometries": [SQUARE, LINE]}, 81),
        ({"type": "GeometryCollection", "geometries": [SQUARE, BOW_TIE]}, 90),
        ({"type": "Polygon", "coordinates": [*SQUARE["coordinates"], *HOLE["coordinates"]]}, 75),
        ({"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"], SQUARE["coordinates"]]}, 81),
        (OPEN, 40.5),
        ({"type": "MultiPolygon", "coordinates": [OPEN["coordinates"]]}, 40.5),
    ],
    ids=["bow-tie", "multi", "collection with a line", "collection", "hole leaves", "twice the same", "open", "opens"],
)
def test_invalid_outlines_are_repaired_and_said(read, tmp_path: Path, geometry, area) -> None:
    content = read(feature(SQUARE), feature(geometry))
    assert content.objects[1].geometry.is_valid
    assert content.objects[1].geometry.area == pytest.approx(area, abs=0.5)
    assert content.remarks == ("a.geojson: 1 invalid outline repaired (object 2)",)
    write_geojson(tmp_path / "b.geojson", content.objects)


@pytest.mark.parametrize("geometry", [SQUARE, DOUBLED])
def test_what_is_no_error_is_not_talked_about(read, geometry) -> None:
    """Points that stand twice."""
    content = read(feature(geometry))
    assert content.objects[0].geometry.is_valid
    assert content.objects[0].geometry.area > 40
    assert content.remarks == ()


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (None, "Feature"),
        (feature(None), "no geometry"),
        ({"type": "Feature"}, "geometry"),
        (feature({"type": "Polygon", "coordinates": []}), "empty"),
        (feature(polygon((0, 0), (9, 0))), "linearring"),
        (feature(polygon((0, 0), (9, 0), (float("nan"), 9), (0, 0))), "no number"),
        (feature(polygon((0, 0), (9, 0), (9, float("inf")), (0, 0))), "no number"),
        (feature({"type": "Circle", "coordinates": [0, 0]}), ""),
        (feature({"type": "Polygon", "coordinates": [[["a", "b"], [1, 2], [3, 4], ["a", "b"]]]}), ""),
        (feature([1, 2]), ""),
    ],
)
def test_one_odd_object_ends_nothing(read, odd, why) -> None:
    content = read(feature(SQUARE), odd, feature(SQUARE))
    assert len(content.objects) == 2
    (remark,) = content.remarks
    assert remark.startswith("a.geojson: left out object 2: ")
    assert why.lower() in remark.lower() or odd is None
    assert "\n" not in remark
    with pytest.raises(GeoJSONError, match="object 1: "):
        read(odd)


def test_a_file_of_ours_must_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([feature(SQUARE), feature(None)]))
    with pytest.raises(GeoJSONError, match="object 2: it has no geometry"):
        read_geojson(path)


@pytest.mark.parametrize(
    "properties",
    [
        None,
        [],
        {
            "name": 7,
            "color": "red",
            "isLocked": "no",
            "measurements": {"a": None, "b": "NaN", "c": 1.5},
            "metadata": [],
        },
        {"classification": 3, "color": [1, 2]},
        {
            "classification": {"name": None, "color": None},
            "measurements": [1, {"name": "x"}, {"name": "c", "value": 1.5}],
        },
        {"classification": {"names": [], "color": [1, 2, 999]}},
        {"classification": []},
    ],
)
def test_odd_properties_are_no_obstacle(read, properties) -> None:
    content = read({"type": "Feature", "id": 5, "geometry": SQUARE, "properties": properties})
    (item,) = content.objects
    assert item.object_type == "annotation"
    assert item.is_locked is False
    assert set(item.measurements) <= {"c"}


def test_classes_are_named_as_qupath_names_them(read) -> None:
    written = ["Glomerulus:Sclerotic", " Glomerulus ", "", "  ", "A : B:", None]
    content = read(*(feature(SQUARE, properties={"classification": {"name": name}}) for name in written))
    names = [item.class_name for item in content.objects]
    assert names == ["Glomerulus: Sclerotic", "Glomerulus", None, None, "A: B", None]


def test_kinds_of_qupath_0_2_stand_in_the_id(read) -> None:
    ids = ("PathAnnotationObject", "PathDetectionObject", "PathCellObject", "PathTileObject", "TMACoreObject")
    features = [{"type": "Feature", "id": kind, "geometry": SQUARE, "properties": {}} for kind in ids]
    objects = read(*features).objects
    assert [item.object_type for item in objects] == ["annotation", "detection", "cell", "tile", "core"]
    assert {item.object_id for item in objects} == {None}


def test_points_and_lines_stay_what_they_are() -> None:
    for geometry in (Point(1, 1), LineString([(0, 0), (1, 1)])):
        assert repair(geometry) is geometry


def square_of(corner, **more) -> dict:
    ring = [[0, 0], [9, 0], [9, 9], corner]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]], **more}}


def collected(item: dict) -> dict:
    return {"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": [item["geometry"]]}}


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (None, "it is null and no GeoJSON Feature"),
        ("a", 'it is "a" and no GeoJSON Feature'),
        ({"type": "Feature", "geometry": "Polygon"}, 'its geometry is "Polygon"'),
        (square_of(["0", "9"]), 'a coordinate is "0" and no number'),
        (collected(square_of(["0", "9"])), 'a coordinate is "0" and no number'),
        (square_of([0, True]), "a coordinate is true and no number"),
        (square_of([0, None]), "a coordinate is null and no number"),
    ],
)
def test_what_is_no_object_is_named_as_what_it_is(tmp_path: Path, odd, said: str) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([odd, square_of([0, 9])]))
    content = read_objects(path)
    assert [item.geometry.area for item in content.objects] == [81]
    assert content.remarks == (f"a.geojson: left out object 1: {said}",)


def test_objects_of_other_planes_are_counted(tmp_path: Path) -> None:
    planes = [{"c": -1, "z": 0, "t": 0}, {"c": -1, "z": 1, "t": 0}, {"c": -1, "z": 1, "t": 0}, {"z": 0, "t": 2}, None]
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps([square_of([0, 9], plane=plane) for plane in planes]))
    content = read_objects(path)
    assert len(content.objects) == len(planes)
    assert content.remarks == ("a.geojson: 3 objects of other planes (2 at z=1; 1 at t=2) are taken, too",)
