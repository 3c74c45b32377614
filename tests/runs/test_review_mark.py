"""A mark "fully reviewed" is true of the outlines that stood there then, and of no others."""

import json
from dataclasses import replace

import pytest
from support.groovy import evaluate, import_run
from support.runs import FREE, deleted, discs, made_run

from glomseg.errors import ProjectError
from glomseg.qupath.objects import write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.review_mark import REVIEWED, REVIEWED_OF
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.reviewed import read_reviewed
from glomseg.study.measure_project import MeasureOptions, measure_project

pytestmark = pytest.mark.qupath

MARK = """
def image = java.awt.image.BufferedImage
def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), image)
def entry = project.getImageList().find { it.getID() == "1" }
def data = entry.readImageData()
qupath.lib.scripting.QP.setBatchProjectAndImage(project, data)
def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(SHARED))
if (REGION) {
    def region = qupath.lib.objects.PathObjects.createAnnotationObject(
        qupath.lib.roi.ROIs.createRectangleROI(0, 0, 2000, 2000, null))
    data.getHierarchy().addObject(region)
    shared.markReviewed(entry, data, region, true, "AB")
} else {
    shared.markReviewed(entry, data, null, true, "AB")
}
entry.saveImageData(data)
project.syncChanges()
return [shared.reviewedBy(entry, data), shared.reviewedOnDisk(entry)].join("|")
"""
MOVE_REGION = """
def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
def entry = project.getImageList().find { it.getID() == "1" }
def data = entry.readImageData()
def region = data.getHierarchy().getAnnotationObjects().find { it.getMetadata()["glomseg.reviewed"] }
if (REGION == "copied")
    data.getHierarchy().addObject(qupath.lib.objects.PathObjectTools.transformObject(
        region, java.awt.geom.AffineTransform.getTranslateInstance(3000, 0), true, true))
else
    region.setROI(REGION == "back" ? region.getROI().translate(-3000, 0) : region.getROI().translate(3000, 0))
entry.saveImageData(data)
"""
LOCK = """
def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
def entry = project.getImageList().find { it.getID() == "1" }
def data = entry.readImageData()
data.getHierarchy().getAnnotationObjects().each { it.setLocked(true) }
entry.saveImageData(data)
"""
LOOK = """
def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
def entry = project.getImageList().find { it.getID() == "1" }
def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(SHARED))
return [shared.reviewedBy(entry, entry.readImageData()), shared.reviewedOnDisk(entry)].join("|")
"""


@pytest.fixture
def collected(moved, one_process, glomseg):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    return moved


def said_in_qupath(qupath, study, script, region=""):
    shared = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
    return qupath.call(evaluate, script, {"PROJECT": str(study), "SHARED": str(shared), "REGION": region})


def is_taken(study):
    """Whether a training takes what stands in the image for truth."""
    try:
        images = read_reviewed(study).images
    except ProjectError as error:
        if "was marked as fully reviewed (AB " not in str(error):
            raise
        return False
    return [image.image.entry_id for image in images] == ["1"]


@pytest.mark.parametrize("by_script", [False, True])
def test_outlines_that_came_after_the_review_are_not_reviewed(collected, one_process, glomseg, by_script):
    """They teach nothing and count as nobody's word; undo brings back what was reviewed, and so does a restore."""
    assert said_in_qupath(one_process, collected, MARK).count("AB ") == 2
    assert is_taken(collected)
    run = made_run(collected, "run-2", discs("run-2", FREE, shift=6))
    run.update("1", replace(run.images["1"], doubts=("looks odd",)))
    assert "looks odd" in glomseg("status", collected).out, "what is reviewed are the outlines of the run before"
    if by_script:
        assert one_process.call(import_run, collected, "1", "run-2")["added"] == len(FREE)
    else:
        assert glomseg("collect", collected).code == 0
    assert not is_taken(collected)
    assert said_in_qupath(one_process, collected, LOOK) == "null|null"
    status = json.loads(glomseg("status", collected, "--json").out)["images"][0]
    assert status["reviewed"] is None
    assert "it was marked as fully reviewed (AB " in glomseg("status", collected).out
    measured = measure_project(collected, MeasureOptions())
    assert not all(profile.reviewed for profile in measured.study.slides[0].profiles)
    assert any("looks odd" in remark for remark in measured.study.remarks), "a mark of before is no word on it"
    assert glomseg("undo", collected).code == 0
    assert is_taken(collected)
    assert said_in_qupath(one_process, collected, LOOK).count("AB ") == 2
    assert glomseg("restore", collected, "1", "last").code == 0
    assert not is_taken(collected)
    remarks = json.loads(glomseg("status", collected, "--json").out)["images"][0]["remarks"]
    assert any("`glomseg undo` where a run came in since, else with `glomseg restore`" in remark for remark in remarks)


def test_an_undo_that_finds_nothing_to_take_back_leaves_a_review_as_it_is(collected, one_process, glomseg):
    """All that the run found is a person's by then: the same outlines stand, and "others" was said of them."""
    said_in_qupath(one_process, collected, LOCK)
    said_in_qupath(one_process, collected, MARK)
    assert glomseg("undo", collected).code == 0
    assert is_taken(collected)
    assert said_in_qupath(one_process, collected, LOOK).count("AB ") == 2
    assert glomseg("undo", collected).code == 1, "and yet it is taken back"
    made_run(collected, "run-2", discs("run-2", [(x + 2, y + 700) for x, y in FREE[:2]]))
    assert glomseg("collect", collected).code == 0
    assert not is_taken(collected)


def test_candidates_that_nobody_judged_are_no_part_of_what_is_reviewed(moved, one_process, glomseg):
    """They are offered by the review; one that a glomerulus stands upon, or a rejected one, is judged."""
    run = made_run(moved, "run-1", discs("run-1", FREE[:6]))
    assert glomseg("collect", moved).code == 0
    write_geojson(run.candidates_path("1"), discs("run-1", FREE[4:], shift=9))
    said_in_qupath(one_process, moved, MARK)
    (image,) = read_reviewed(moved).images
    assert [round(item.geometry.centroid.x) - 9 for item in image.candidates] == [x for x, _ in FREE[6:]]
    assert deleted(one_process, moved, keep=5) == 1
    (image,) = read_reviewed(moved).images
    assert (len(image.rejected), len(image.candidates)) == (1, 2)


def test_data_of_before_the_review_are_not_reviewed(collected, one_process):
    data = read_project(collected).images[0].data_folder / "data.qpdata"
    before = data.read_bytes()
    said_in_qupath(one_process, collected, MARK)
    assert is_taken(collected)
    data.write_bytes(before)
    assert not is_taken(collected)


def test_a_reviewed_region_is_so_as_it_stood(collected, one_process, glomseg):
    said_in_qupath(one_process, collected, MARK, region="yes")
    assert is_taken(collected)
    made_run(collected, "run-2", discs("run-2", FREE, shift=6))
    assert glomseg("collect", collected).code == 0
    assert not is_taken(collected)
    assert glomseg("undo", collected).code == 0
    assert is_taken(collected)


def test_a_reviewed_region_is_so_where_it_lay(collected, one_process, glomseg, tmp_path):
    """A mouse moves it, and whoever copies it to look at the next place copies its mark."""
    said_in_qupath(one_process, collected, MARK, region="yes")
    said_in_qupath(one_process, collected, MOVE_REGION, region="moved")
    assert not is_taken(collected)
    said = glomseg("train", "--from-project", collected, "-o", tmp_path / "model")
    assert (said.code, "in another place or shape than it has now" in said.err) == (1, True)
    said_in_qupath(one_process, collected, MOVE_REGION, region="back")
    assert is_taken(collected)
    said_in_qupath(one_process, collected, MOVE_REGION, region="copied")
    (image,) = read_reviewed(collected).images
    assert image.area.bounds == (0, 0, 2000, 2000)


def test_a_mark_of_a_version_that_did_not_say_of_what_is_believed(collected, glomseg):
    content = json.loads(collected.read_text("utf-8"))
    content["images"][0].setdefault("metadata", {})["glomseg.reviewed"] = "AB 2026-11-25"
    collected.write_text(json.dumps(content), "utf-8")
    made_run(collected, "run-2", discs("run-2", FREE, shift=6))
    assert glomseg("collect", collected).code == 0
    assert is_taken(collected)


def test_where_a_run_is_gone_at_once_a_mark_makes_no_background_of_it(collected, one_process, glomseg, tmp_path):
    """Neither in tiles nor in a training, until a person says that it was on purpose."""
    deleted(one_process, collected, keep=0)
    said_in_qupath(one_process, collected, MARK)
    doubted = glomseg("export-tiles", collected, "-o", tmp_path / "doubted", "--reviewed-only")
    assert doubted.code == 1
    assert "all 8 outlines of run run-1 are gone from it at once" in doubted.err
    assert "give --believe-deletions" in doubted.err
    assert not list(tmp_path.glob("doubted/**/*.png"))
    believed = glomseg(
        "export-tiles", collected, "-o", tmp_path / "believed", "--reviewed-only", "--believe-deletions", "--json"
    )
    assert believed.code == 0
    (image,) = json.loads(believed.out)["images"]
    assert image["annotated"] + image["background"] > 0
    taught = "train", "--from-project", collected, "-o", tmp_path / "model", "--preview", "--start", "pas-starter"
    refused = glomseg(*taught)
    assert refused.code == 1
    assert "give --believe-deletions" in refused.err
    assert "gone from it at once" not in glomseg(*taught, "--believe-deletions").err


def test_a_mark_that_another_qupath_saved_over_is_missed(collected, one_process, glomseg, tmp_path):
    """It lies in the project's file, which each QuPath writes as it read it; the image's data still say it."""
    assert said_in_qupath(one_process, collected, MARK).count("AB ") == 2
    assert "marked as fully reviewed, and the project's file does not" not in glomseg("status", collected).out
    content = json.loads(collected.read_text("utf-8"))
    for name in (REVIEWED, REVIEWED_OF):
        content["images"][0]["metadata"].pop(name)
    collected.write_text(json.dumps(content), "utf-8")
    images = json.loads(glomseg("status", collected, "--json").out)["images"]
    missed = ["the project's file does not" in str(image["remarks"]) for image in images]
    assert (missed, images[0]["reviewed"]) == ([True, False, False], None)
    taught = "train", "--from-project", collected, "-o", tmp_path / "model", "--preview", "--start", "pas-starter"
    for command in (taught, ("measure", collected, "-o", tmp_path / "tables")):
        assert "the project's file does not" in glomseg(*command).err
    made_run(collected, "run-2", discs("run-2", FREE, shift=6))
    assert glomseg("collect", collected).code == 0
    assert "the project's file does not" not in glomseg("status", collected).out, "other outlines stand there now"
