"""Several classes on both sides: each for itself, and what was taken for what."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image
from support.scenes import evaluated, side

from glomseg import EvaluateOptions, evaluate_predictions
from glomseg.evaluation.summary import ClassFound
from glomseg.qupath.objects import PathObject, write_geojson

HEALTHY, SCLEROTIC = "Glomerulus", "Glomerulus: Sclerotic"


def test_classes_by_hand() -> None:
    """Two true sclerotic, of which one is found as such and one as healthy; a healthy one is found."""
    true = replace(side((0, 0, 9, 9), (20, 0, 9, 9), (40, 0, 9, 9)), class_names=(HEALTHY, SCLEROTIC, SCLEROTIC))
    predicted = replace(side((0, 0, 9, 9), (20, 0, 9, 9), (40, 0, 9, 9)), class_names=(HEALTHY, SCLEROTIC, HEALTHY))
    summary = evaluated((predicted, true)).summary
    assert summary.overall.pooled["f1"].value == 1
    assert summary.classes[HEALTHY].pooled["precision"].value == 0.5
    assert summary.classes[SCLEROTIC].pooled["recall"].value == 0.5
    assert summary.classes[SCLEROTIC].pooled["dice"].value == pytest.approx(2 / 3)
    assert summary.classes_found == (
        ClassFound(true=HEALTHY, predicted=HEALTHY, objects=1),
        ClassFound(true=SCLEROTIC, predicted=HEALTHY, objects=1),
        ClassFound(true=SCLEROTIC, predicted=SCLEROTIC, objects=1),
    )


def test_spellings_of_one_class_are_one_class_in_its_row_too() -> None:
    """They were in the row of all, and a class of their own in the rows of the classes."""
    boxes = [(0, 0, 9, 9), (20, 0, 9, 9), (40, 0, 9, 9), (60, 0, 9, 9)]
    true = replace(side(*boxes), class_names=("glomeruli", HEALTHY, SCLEROTIC, "Glomeruli: sclerotic"))
    predicted = replace(side(*boxes), class_names=(HEALTHY, HEALTHY, SCLEROTIC, SCLEROTIC))
    evaluation = evaluated((predicted, true))
    assert list(evaluation.summary.classes) == [HEALTHY, SCLEROTIC]
    assert [row.pooled["f1"].value for row in evaluation.summary.classes.values()] == [1, 1]
    assert "1 of class 'Glomeruli: sclerotic' is scored as Glomerulus: Sclerotic" in evaluation.remarks
    assert not [remark for remark in evaluation.remarks if "'glomeruli'" in remark]  # said by who reads the file


def test_one_class_says_nothing_of_classes() -> None:
    scene = replace(side((0, 0, 9, 9)), class_names=(HEALTHY,))
    summary = evaluated((scene, scene)).summary
    assert (summary.classes, summary.classes_found) == ({}, ())


def test_a_model_of_one_class_against_two(tmp_path: Path, glomseg) -> None:
    boxes = [shapely.box(0, 0, 40, 40), shapely.box(60, 0, 100, 40), shapely.box(0, 60, 40, 100)]
    for folder, names in (("truth", (HEALTHY, SCLEROTIC, SCLEROTIC)), ("ours", (HEALTHY, HEALTHY))):
        objects = [PathObject(geometry=box, class_name=name) for box, name in zip(boxes, names, strict=False)]
        write_geojson(tmp_path / f"{folder}.geojson", objects)
    command = ("evaluate", tmp_path / "ours.geojson", tmp_path / "truth.geojson", "-o", tmp_path / "out")
    result = glomseg(*command, "--no-pictures")
    assert result.code == 0, result.err
    assert f"{SCLEROTIC}: 2 true, 1 found as {HEALTHY}, 1 missed" in result.out
    assert f"class {HEALTHY}" in result.out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert list(metrics["classes"]) == [HEALTHY]
    assert "class_name" in (tmp_path / "out/per_object.csv").read_text().splitlines()[0]


def test_labels_of_tiles_say_their_classes(tmp_path: Path) -> None:
    """What is not of the class does not count, and what is to be ignored is not scored."""
    name = "s [x=0,y=0,w=100,h=100]"
    numbers = np.zeros((100, 100), np.uint8)
    for number, (x, y) in enumerate(((0, 0), (60, 0), (0, 60), (60, 60)), 1):
        numbers[y : y + 30, x : x + 30] = number
    Image.fromarray(numbers).save(tmp_path / f"{name}-labelled.png")
    classes = ("*Background*", HEALTHY, SCLEROTIC, "Tubule", "Ignore*")
    labels = [{"label": number, "classification": label} for number, label in enumerate(classes)]
    (tmp_path / "s-tiles.json").write_text(json.dumps({"labels": labels}))
    (tmp_path / "export.json").write_text(json.dumps({"mpp": 0.5}))
    result = evaluate_predictions(tmp_path, tmp_path, tmp_path / "out", EvaluateOptions(pictures=False))
    assert result.summary.overall.true_objects == 2
    assert sorted(result.summary.classes) == [HEALTHY, SCLEROTIC]
    assert "truth: left out: 1 labelled object of class Tubule" in result.remarks
    assert result.evaluation.images[0].mpp == (0.5, 0.5)
    tubules = evaluate_predictions(tmp_path, tmp_path, tmp_path / "t", EvaluateOptions(class_name="Tubule"))
    assert tubules.summary.overall.true_objects == 1


def test_labels_that_number_objects_are_objects(tmp_path: Path) -> None:
    name = "s [x=0,y=0,w=100,h=100]"
    numbers = np.zeros((100, 100), np.uint8)
    for number, (x, y) in ((12, (0, 0)), (140, (30, 0)), (201, (0, 60))):
        numbers[y : y + 30, x : x + 30] = number
    Image.fromarray(numbers).save(tmp_path / f"{name}-labelled.png")
    labels = [{"label": 0, "classification": "*Background*"}]
    labels += [{"label": number, "classification": f"Label {number}"} for number in range(1, 220)]
    (tmp_path / "s-tiles.json").write_text(json.dumps({"labels": labels}))
    result = evaluate_predictions(tmp_path, tmp_path, tmp_path / "out", EvaluateOptions(pictures=False))
    assert result.summary.overall.true_objects == 3
