"""A project's images with their annotations: one loop, in which what fails stops nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from shapely.geometry import box

from glomseg.errors import ProjectError, QuPathError
from glomseg.qupath.annotations import read_annotated_images, read_annotated_slide
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.review_mark import REVIEWED

DETECTIONS = {("", "detection"): 5}


@pytest.mark.qupath
def test_real_projects_read_as_they_were_exported(qupath, study: Path, data: Path) -> None:
    told: list[str] = []
    images = read_annotated_images(read_project(study), progress=told.append)
    assert told == [image.name for image in images] == ["kidney_01.tif", "kidney_02.tif", "Ünï cöde #3.png"]
    first = images[0]
    assert (first.size_px, first.path.name, first.problem, first.data_problem) == ((2048, 2048), told[0], None, None)
    assert [item.class_name for item in first.objects].count("Glomerulus") == 5
    assert len(first.objects) == 10
    assert first.others.counts == DETECTIONS
    assert images[2].objects == ()
    assert all(image.remarks == () for image in images)


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_damaged_data_is_that_images_problem(qupath, study: Path) -> None:
    data = study.parent / "data" / "1" / "data.qpdata"
    data.write_bytes(data.read_bytes()[:2000])
    first, second, third = read_annotated_images(read_project(study))
    assert "is damaged" in first.data_problem
    assert first.objects == ()
    assert second.objects
    assert (second.data_problem, third.data_problem) == (None, None)


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_garbage_that_looks_complete_is_that_images_problem(qupath, study: Path) -> None:
    data = study.parent / "data" / "1" / "data.qpdata"
    content = data.read_bytes()
    data.write_bytes(content[:500] + bytes(len(content) - 600) + content[-100:])
    first, second, _ = read_annotated_images(read_project(study))
    assert first.data_problem
    assert second.objects
    assert second.data_problem is None


def test_without_qupath_the_caller_says_what_stands(project: Path, no_qupath: None) -> None:
    stands = PathObject(geometry=box(0, 0, 9, 9))
    images = read_annotated_images(read_project(project), without_qupath=lambda image: [stands])
    assert all(image.objects == (stands,) for image in images)

    def refuse(image):
        raise ProjectError(f"nothing of {image.name}")

    images = read_annotated_images(read_project(project), without_qupath=refuse)
    assert [image.data_problem for image in images] == [f"nothing of {image.name}" for image in images]
    with pytest.raises(QuPathError, match="no QuPath was found"):
        read_annotated_images(read_project(project))


def test_what_was_reviewed(project: Path, no_qupath: None) -> None:
    content = json.loads((project / "project.qpproj").read_text())
    content["images"][0].setdefault("metadata", {})[REVIEWED] = "AB 2026-01-01"
    (project / "project.qpproj").write_text(json.dumps(content))
    region = PathObject(geometry=box(0, 0, 9, 9), metadata={REVIEWED: "AB"})
    images = read_annotated_images(read_project(project), without_qupath=lambda image: [region])
    assert [image.is_reviewed for image in images] == [True, False, False]
    assert all(image.reviewed_regions == (region.geometry,) for image in images)
    with pytest.raises(ProjectError, match="name its folder with `slides`"):
        assert replace(images[0], path=None).readable_path


def test_a_slide_and_its_geojson(tmp_path: Path) -> None:
    objects = [
        PathObject(geometry=box(0, 0, 9, 9), class_name="Glomerulus"),
        PathObject(geometry=box(0, 0, 3, 3), class_name="Glomerulus", object_type="detection"),
    ]
    write_geojson(tmp_path / "a.geojson", objects)
    image = read_annotated_slide(tmp_path / "a.tif", tmp_path / "a.geojson")
    assert [item.object_type for item in image.objects] == ["annotation"]
    assert str(image.others) == "left out: 1 detection of class Glomerulus"
