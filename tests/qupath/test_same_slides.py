"""Entries of a project that are of one slide: no glomerulus is found or counted twice without a word."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.dicom import dicom_slide
from support.reviewer import make_project
from support.runs import discs, made_run, standing
from support.slides import Disc, disc_slide

from glomseg.evaluation.projects import project_side
from glomseg.qupath.project import read_project
from glomseg.qupath.same_slides import same_slides


def write_project(folder: Path, *paths: Path) -> Path:
    """Write a project as QuPath does when images are added: each opens in the size of the slide."""
    folder.mkdir()
    images = [
        {
            "entryID": number,
            "imageName": path.name,
            "serverBuilder": {"builderType": "uri", "uri": path.as_uri(), "metadata": {"width": 1024, "height": 768}},
        }
        for number, path in enumerate(paths, 1)
    ]
    content = {"version": "0.6.0", "createTimestamp": 0, "modifyTimestamp": 0, "lastID": len(paths), "images": images}
    (folder / "project.qpproj").write_text(json.dumps(content))
    return folder


@pytest.fixture
def levels(tmp_path: Path) -> list[Path]:
    """Three levels and a label, with one disc."""
    picture = np.full((768, 1024, 3), 244, np.uint8)
    picture[100:700, 100:900] = (225, 180, 215)
    y, x = np.ogrid[:768, :1024]
    picture[(x - 400) ** 2 + (y - 400) ** 2 < 80**2] = (120, 30, 140)
    return [*dicom_slide(tmp_path / "dicom", picture), tmp_path / "dicom/a-label.dcm"]


def test_levels_and_label_of_a_dicom_slide_are_one_slide(levels: list[Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = disc_slide(tmp_path / "other/s.tif", size=(1024, 768)).path
    images = read_project(write_project(tmp_path / "p", levels[1], levels[3], other, levels[0], levels[2])).images
    same = same_slides(images)
    assert [image.name for image in same.left(images)] == ["s.tif", "level-0.dcm"]
    assert same.remarks(images) == [
        f"{name}: another level of the slide of level-0.dcm; left out"
        for name in ("level-1.dcm", "a-label.dcm", "level-2.dcm")
    ]
    assert same_slides(images[:1]).remarks(images) == []


def test_two_entries_of_one_file_are_said_and_both_count(tmp_path: Path) -> None:
    path = disc_slide(tmp_path / "s.tif", size=(1024, 768)).path
    images = read_project(write_project(tmp_path / "p", path, path)).images
    same = same_slides(images)
    assert same.left(images) == images
    (remark,) = same.remarks(images)
    assert remark == "s.tif: of the same file as s.tif (id 1); both count, as if of two slides"


def test_a_dicom_slide_is_annotated_and_measured_once(
    levels: list[Path], tmp_path: Path, no_qupath: None, oracle_folder: Path, glomseg
) -> None:
    project = write_project(tmp_path / "p", *levels[:3])
    result = glomseg("annotate", project, "--model", oracle_folder, "--json")
    assert result.code == 0, result.err
    assert list(json.loads(result.out)["images"]) == ["1"]
    assert json.loads(result.out)["images"]["1"]["glomeruli"] == 1
    assert "level-1.dcm: another level of the slide of level-0.dcm; left out" in result.err
    refused = glomseg("annotate", project, "--model", oracle_folder, "--image", "level-2.dcm")
    assert refused.code == 1
    assert "level-2.dcm: another level of the slide of level-0.dcm" in refused.err
    states = json.loads(glomseg("status", project, "--json").out)["images"]
    other = "another level of the slide of level-0.dcm"
    assert [image["problem"] for image in states] == [None, other, other]
    sheet = tmp_path / "s.csv"
    sheet.write_text("image,animal,group\n" + "".join(f"{path.name},M1,a\n" for path in levels[:3]))
    measured = glomseg("measure", project, "--samples", sheet, "--json")
    slides = json.loads(measured.out)["slides"]
    assert [slide["image"] for slide in slides] == ["level-0.dcm"]
    assert "level-2.dcm: another level of the slide of level-0.dcm; left out" in measured.err


@pytest.mark.qupath
def test_a_dicom_slide_is_evaluated_once(levels: list[Path], tmp_path: Path, qupath) -> None:
    side = project_side(read_project(write_project(tmp_path / "p", *levels[:3])))
    assert [source.stem for source in side.sources] == ["level-0"]
    assert side.remarks == tuple(f"level-{n}.dcm: another level of the slide of level-0.dcm; left out" for n in (1, 2))


@pytest.mark.qupath
def test_a_run_of_before_brings_one_slide_in_once(levels: list[Path], tmp_path: Path, one_process, glomseg) -> None:
    """A run that took each level of a slide for a slide, and one that segmented another level alone."""
    project = one_process.call(make_project, tmp_path / "p", levels[:3])
    made_run(project, "run-1", discs("run-1", [(300, 300)]), ("1", "2", "3"))
    result = glomseg("collect", project)
    assert result.code == 0, result.err
    assert result.err.count("another level of the slide of level-0.dcm; left out") == 2
    assert [len(standing(one_process, project, key)) for key in "123"] == [1, 0, 0]
    made_run(project, "run-2", discs("run-2", [(500, 300)]), ("2",))
    refused = glomseg("collect", project)
    assert refused.code == 1
    assert "another level of the slide of level-0.dcm, which counts for all; annotate that one" in refused.err
    assert [len(standing(one_process, project, key)) for key in "123"] == [1, 0, 0]


def test_a_file_that_is_there_twice_is_measured_aloud(
    tmp_path: Path, no_qupath: None, oracle_folder: Path, glomseg
) -> None:
    path = disc_slide(tmp_path / "s.tif", size=(1024, 768), discs=[Disc(500, 400, 80, 80)]).path
    project = write_project(tmp_path / "p", path, path)
    assert "same file as s.tif (id 1)" in glomseg("annotate", project, "--model", oracle_folder).err
    assert "same file as s.tif (id 1)" in glomseg("measure", project).err


def test_a_copy_of_a_dicom_slide_elsewhere_is_said(levels: list[Path], tmp_path: Path) -> None:
    shutil.copytree(levels[0].parent, tmp_path / "copy")
    images = read_project(write_project(tmp_path / "p", levels[0], tmp_path / "copy/level-1.dcm")).images
    same = same_slides(images)
    assert same.left(images) == images
    (remark,) = same.remarks(images)
    assert remark == "level-1.dcm: of a copy of the slide of level-0.dcm (id 1); both count, as if of two slides"
