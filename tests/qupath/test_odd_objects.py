"""What is odd in a project does not keep a real QuPath from writing into it, nor us from reading what it holds."""

import json

import pytest
import shapely
from shapely.affinity import translate

from glomseg.qupath.annotations import read_annotated_images
from glomseg.qupath.java import read_image_objects
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import image_state, read_project
from glomseg.runs.ownership import stamp
from glomseg.runs.write_image import Target, collect_image

pytestmark = pytest.mark.qupath
MARKS = {"run": "r", "model": "m"}
SQUARE = shapely.box(1500, 1700, 1520, 1720)


@pytest.mark.parametrize(
    "classes",
    [
        {"pathClasses": [None, {"name": "Tumor", "color": -3670016}]},
        {"pathClasses": [{"name": None, "color": -1}, {"color": -1}, 3]},
        {"pathClasses": ["Tumor"]},
        {"pathClasses": [{"name": "Tumor", "colorRGB": -3670016}]},
        {},
    ],
)
def test_odd_classes_are_kept_and_hinder_nothing(qupath, study_0_6_0, tmp_path, classes) -> None:
    path = study_0_6_0.parent / "classifiers" / "classes.json"
    path.write_text(json.dumps(classes))
    project = read_project(study_0_6_0)
    image = project.images[1]
    ids = ("no uuid", None, "PathAnnotationObject")
    items = [
        stamp(PathObject(geometry=translate(SQUARE, 30 * at), class_name="Glomerulus", object_id=ids[at]), **MARKS)
        for at in range(3)
    ]
    result = qupath.call(
        collect_image,
        Target(
            project_path=project.path,
            entry_id=image.entry_id,
            image_path=image.path,
            state=image_state(image),
            backup_folder=tmp_path / "backup",
        ),
        items,
        processed_area=None,
    )
    assert result.added == 3
    written = json.loads(path.read_text())["pathClasses"]
    assert written[: len(classes.get("pathClasses", []))] == classes.get("pathClasses", [])
    assert written[-1]["name"] == "Glomerulus"


def test_other_objects_are_counted_by_class_and_kind(qupath, moved) -> None:
    """Points and a line are annotations, and a detection is none, as a real QuPath keeps them."""
    qupath.call(add_objects, moved)
    content = qupath.call(read_image_objects, moved, "3")
    kinds = sorted(item.geometry.geom_type for item in content.annotations)
    assert kinds == ["LineString", "MultiPoint", "MultiPolygon"]
    assert content.others.counts == {("Glomerulus", "detection"): 1}
    assert all(item.geometry.is_valid for item in content.annotations)
    (image,) = [image for image in read_annotated_images(read_project(moved)) if image.entry_id == "3"]
    assert len(image.objects) == 3


def add_objects(project_path) -> None:
    """Draw as a person does; runs in the process of QuPath."""
    from paquo.classes import QuPathPathClass
    from paquo.projects import QuPathProject

    glomerulus = QuPathPathClass("Glomerulus")
    with QuPathProject(project_path, mode="r+") as project:
        entry = next(entry for entry in project.images if entry.entry_id == "3")
        bow_tie = shapely.Polygon([(10, 10), (60, 60), (60, 10), (10, 60)])
        entry.hierarchy.add_annotation(roi=bow_tie, path_class=glomerulus)
        entry.hierarchy.add_annotation(roi=shapely.MultiPoint([(5, 5), (9, 9)]), path_class=glomerulus)
        entry.hierarchy.add_annotation(roi=shapely.LineString([(5, 5), (90, 90)]))
        entry.hierarchy.add_detection(roi=shapely.box(1, 1, 9, 9), path_class=glomerulus)
        entry.save()
        project.save(images=False)
