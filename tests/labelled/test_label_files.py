"""What counts as an outline, and what is said of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from glomseg.errors import EvaluationError, GeoJSONError
from glomseg.labelled.label_files import Selection, check_classes, read_outlines, select_outlines
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.runs.ownership import stamp

SQUARE = shapely.box(0, 0, 10, 10)


def test_a_class_and_those_below_it_count() -> None:
    names = ("Glomerulus", "Glomerulus: Sclerotic", "Cortex", "Glomeruloid", None)
    found = select_outlines([PathObject(geometry=SQUARE, class_name=name) for name in names], Selection(), "a")
    assert len(found.geometries) == 2
    assert found.other_classes == {"Cortex", "Glomeruloid"}
    sclerotic = select_outlines(
        [PathObject(geometry=SQUARE, class_name=name) for name in names],
        Selection(class_name="Glomerulus: Sclerotic"),
        "a",
    )
    assert len(sclerotic.geometries) == 1


def test_without_any_class_all_count_aloud() -> None:
    found = select_outlines([PathObject(geometry=SQUARE)], Selection(), "plain.geojson")
    assert len(found.geometries) == 1
    assert found.remarks == ("plain.geojson: no annotation has a class; 1 counts as Glomerulus",)


def test_labels_that_are_no_classes_are_named(tmp_path: Path) -> None:
    """Other programs write label where QuPath writes a class: which of them count is the reader's to see."""
    shape = shapely.geometry.mapping(SQUARE)
    named = ({"label": "Tubule"}, {"name": "Glomerulus"}, {"label": "Tubule"})
    features = [{"type": "Feature", "geometry": shape, "properties": properties} for properties in named]
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    said = read_outlines(tmp_path / "a.geojson", Selection()).remarks
    assert said[0] == "a.geojson: no annotation has a class; all 3 (named Glomerulus, Tubule) count as Glomerulus"


def test_a_persons_and_the_machines_are_told_apart() -> None:
    ours = stamp(PathObject(geometry=SQUARE, class_name="Glomerulus"), run="1", model="m")
    moved = PathObject(geometry=shapely.box(5, 0, 15, 10), class_name="Glomerulus", metadata=ours.metadata)
    drawn = PathObject(geometry=shapely.box(20, 0, 30, 10), class_name="Glomerulus")
    objects = [ours, moved, drawn]
    counts = {
        whose: len(select_outlines(objects, Selection(whose=whose), "a").geometries)
        for whose in ("all", "machine", "person", "run:1", "run:2")
    }
    assert counts == {"all": 3, "machine": 1, "person": 2, "run:1": 2, "run:2": 0}
    with pytest.raises(EvaluationError, match="'robot'"):
        Selection(whose="robot")


def test_broken_outlines_are_repaired_aloud(tmp_path: Path) -> None:
    bow_tie = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]
    shapes = [
        {"type": "Polygon", "coordinates": [bow_tie]},
        {"type": "Point", "coordinates": [1, 1]},
        {"type": "Polygon", "coordinates": [[[0, 0], [5, 0], [5, 5], [0, 0]]]},
    ]
    features = [
        {"type": "Feature", "geometry": shape, "properties": {"classification": {"name": "Glomerulus"}}}
        for shape in shapes
    ]
    path = tmp_path / "broken.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_outlines(path, Selection())
    assert shapely.area(found.geometries).tolist() == pytest.approx([50, 12.5])
    assert found.remarks == ("broken.geojson: 1 invalid outline repaired (object 1)",)
    assert str(found.left_out) == "left out: 1 point of class Glomerulus"


def test_detections_do_not_count_aloud(data: Path) -> None:
    found = read_outlines(data / "qupath/tiles/qupath_0_6_0_kidney_01.geojson", Selection())
    objects = read_geojson(data / "qupath/tiles/qupath_0_6_0_kidney_01.geojson")
    assert len(found.geometries) == 7
    assert found.ignored is not None
    assert "Cortex" in found.other_classes
    assert any(item.object_type == "detection" for item in objects)


def test_what_lies_in_an_ignored_area_is_left_out() -> None:
    objects = [
        PathObject(geometry=SQUARE, class_name="Glomerulus"),
        PathObject(geometry=shapely.box(50, 0, 90, 40), class_name="Ignore*"),
        PathObject(geometry=shapely.box(60, 10, 70, 20), class_name="Glomerulus"),
    ]
    found = select_outlines(objects, Selection(), "a")
    assert len(found.without(found.ignored).geometries) == 1


def test_an_unknown_class_is_refused_by_name_with_those_there() -> None:
    sides = [
        select_outlines([PathObject(geometry=SQUARE, class_name=name)], Selection(class_name="Tuft"), "a")
        for name in ("Glomerulus", "Cortex")
    ]
    with pytest.raises(EvaluationError, match=r"'Tuft'.*truth.*Cortex, Glomerulus.*`class_name`"):
        check_classes(sides, Selection(class_name="Tuft"), "truth")
    check_classes([select_outlines([], Selection(), "a")], Selection(), "truth")


def test_confidence_comes_from_the_measurement() -> None:
    items = [PathObject(geometry=SQUARE, class_name="Glomerulus", measurements={"Confidence": 0.7})]
    assert select_outlines(items, Selection(), "a").confidences.tolist() == [0.7]
    bare = [PathObject(geometry=SQUARE, class_name="Glomerulus")]
    assert np.isnan(select_outlines(bare, Selection(), "a").confidences).all()


def test_a_missing_geojson_is_named(tmp_path: Path) -> None:
    with pytest.raises(GeoJSONError, match=r"none\.geojson"):
        read_outlines(tmp_path / "none.geojson", Selection())


def test_near_spellings_count_and_what_does_not_is_counted(tmp_path: Path) -> None:
    names = ["Glomerulus", "glomeruli", "Glomerulus:Sclerotic", None, "Tubule"]
    objects = [PathObject(geometry=SQUARE, class_name=name) for name in names]
    objects.append(PathObject(geometry=SQUARE, class_name="Glomerulus", object_type="detection"))
    outlines = select_outlines(objects, Selection(), "a")
    assert len(outlines.geometries) == 3
    assert any("'glomeruli' is read as Glomerulus" in remark for remark in outlines.remarks)
    assert str(outlines.left_out) == (
        "left out: 1 annotation without a class, 1 detection of class Glomerulus, 1 annotation of class Tubule"
    )
