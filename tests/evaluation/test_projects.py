"""A project as one side of a comparison: an image that cannot be read leaves the others."""

from pathlib import Path

import pytest
from shapely.geometry import box

from glomseg.errors import EvaluationError
from glomseg.evaluation.evaluate import EvaluateSettings, evaluate
from glomseg.evaluation.projects import without_unread
from glomseg.labelled.find_files import Source
from glomseg.labelled.pairs import Pair
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import LeftOutObjects
from glomseg.qupath.objects import PathObject


def pair(name: str, **image) -> Pair:
    annotated = AnnotatedImage(entry_id=name, name=name, size_px=(100, 100), mpp=(0.5, 0.5), **image)
    side = Source(path=Path("project.qpproj"), stem=name, annotated=annotated)
    return Pair(key=name, predicted=side, true=side)


def test_an_image_that_cannot_be_read_is_left_out_and_named() -> None:
    outline = PathObject(geometry=box(10, 10, 50, 50), class_name="Glomerulus")
    good, bad = pair("a", objects=(outline,)), pair("b", data_problem="data.qpdata is damaged")
    kept, remarks = without_unread([good, bad])
    assert kept == [good]
    assert remarks == ["b: data.qpdata is damaged; left out"]
    with pytest.raises(EvaluationError, match=r"b: data\.qpdata is damaged"):
        without_unread([bad])


def test_what_a_project_holds_beside_is_counted() -> None:
    objects = tuple(PathObject(geometry=box(10, 10, 50, 50), class_name=name) for name in ("glomerulus", "Tubule"))
    others = LeftOutObjects(counts={("Glomerulus", "detection"): 3})
    evaluation = evaluate([pair("a", objects=objects, others=others)], EvaluateSettings())
    assert evaluation.images[0].mpp == (0.5, 0.5)
    assert any("'glomerulus' is read as Glomerulus" in remark for remark in evaluation.remarks)
    assert "truth: left out: 3 detections of class Glomerulus, 1 annotation of class Tubule" in evaluation.remarks
