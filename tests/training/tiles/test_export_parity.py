"""The two exporters of training tiles, `glomseg export-tiles` and the script in QuPath, write the same files."""

import json

import numpy as np
import pytest
from PIL import Image
from support.runs import FREE, deleted, discs, made_run

pytestmark = pytest.mark.qupath

CASES = {
    "plain": (["size=256"], ["--size", 256]),
    "background": (["size=128", "negatives=0.7", "seed=3"], ["--size", 128, "--negatives", 0.7, "--seed", 3]),
    "subdir": (
        ["size=256", "downsample=1", "subdir", "class=Glomerulus: Sclerotic", "reviewed-only"],
        ["--size", 256, "--downsample", 1, "--subdir", "--reviewed-only", "--class", "Glomerulus: Sclerotic"],
    ),
    "region": (["size=128", "region=Cortex", "overlap=0"], ["--size", 128, "--region", "Cortex", "--overlap", 0]),
    "parents": (["size=256", "class=Glomerulus"], ["--size", 256, "--class", "Glomerulus"]),
    "odd scale": (["size=256", "mpp=0.6"], ["--size", 256, "--tile-mpp", 0.6]),
}


IGNORE = """
import static qupath.lib.gui.scripting.QPEx.*
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
def outline = getAnnotationObjects().find { it.getPathClass()?.toString()?.startsWith("Glomerulus") }
if (outline != null) {
    def left = outline.getROI().getCentroidX() as int
    def roi = ROIs.createRectangleROI(left, 0, 300, 3000, ImagePlane.getDefaultPlane())
    addObject(PathObjects.createAnnotationObject(roi, PathClass.fromString("Ignore*")))
    for (place in [[outline.getROI().getBoundsX() - 150, outline.getROI().getBoundsY()], [
            outline.getROI().getBoundsX(), outline.getROI().getBoundsY()]]) {
        def candidate = ROIs.createRectangleROI(place[0] as int, place[1] as int, 90, 90, ImagePlane.getDefaultPlane())
        addObject(PathObjects.createAnnotationObject(candidate, PathClass.fromString("Candidate: Glomerulus")))
    }
    getProjectEntry().saveImageData(getCurrentImageData())
}
"""


def review(project, image):
    content = json.loads(project.read_text("utf-8"))
    content["images"][image]["metadata"]["glomseg.reviewed"] = "AB 2026-01-01"
    project.write_text(json.dumps(content), "utf-8")


def contents(folder):
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def read(path):
    if path.suffix == ".json":
        content = {**json.loads(path.read_text("utf-8")), "base_directory": ""}
        for image in content.get("images", {}).values():
            del image["sum"]  # which is of the PNGs' bytes, and both write these in their own way
        return content
    with Image.open(path) as picture:
        return picture.mode, picture.getpalette(), np.asarray(picture)


@pytest.mark.slow
def test_both_label_what_is_to_be_ignored(moved, drive, tmp_path, glomseg):
    call = f"export_training_tiles|folder={tmp_path / 'qupath'}|size=128|overlap=0|downsample=1|negatives=1"
    drive(moved, call, before=IGNORE)
    options = ("--size", 128, "--overlap", 0, "--downsample", 1, "--negatives", 1)
    outcome = glomseg("export-tiles", moved, "-o", tmp_path / "glomseg", *options)
    assert "annotations reach into them" in outcome.err
    theirs, ours = contents(tmp_path / "qupath"), contents(tmp_path / "glomseg")
    assert theirs.keys() == ours.keys()
    for key, path in ours.items():
        one, two = read(theirs[key]), read(path)
        if path.suffix == ".json":
            assert one == two
        else:
            assert one[:2] == two[:2]
            assert np.array_equal(one[2], two[2])
    labels = [read(path)[2] for key, path in ours.items() if key.endswith("-labelled.png")]
    assert any((item == 3).any() and (item == 1).any() for item in labels)
    assert not any((item == 3).all() for item in labels)


@pytest.mark.slow
def test_neither_makes_background_of_an_image_from_which_a_run_is_gone(moved, one_process, drive, tmp_path, glomseg):
    """Or whose data are those of before a run, marked as reviewed as it is: what is no review teaches nothing."""
    made_run(moved, "run-1", discs("run-1", FREE))
    data = moved.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    assert glomseg("collect", moved).code == 0
    review(moved, 0)
    collected = data.read_bytes()
    assert deleted(one_process, moved, keep=0) == len(FREE)
    gone = data.read_bytes()
    states = {
        "gone": (gone, "all 8 outlines of run run-1 are gone from it at once"),
        "older": (before, "its data is older than the outlines that run run-1 brought in, or not based on them"),
        "believed": (gone, ""),
        "as it was": (collected, ""),
    }
    for name, (content, said) in states.items():
        data.write_bytes(content)
        believe = name == "believed"
        call = f"export_training_tiles|folder={tmp_path / 'qupath' / name}|size=256" + "|believe-deletions" * believe
        printed = drive(moved, call, image="kidney_01.tif")[-1]
        options = ("--size", 256, *["--believe-deletions"] * believe)
        outcome = glomseg("export-tiles", moved, "-o", tmp_path / "glomseg" / name, *options)
        assert outcome.code == (1 if said else 0)
        for told in (printed, outcome.err):
            assert said in told
            assert said or "gone from it" not in told
        places = [tmp_path / side / name / "kidney_01" for side in ("qupath", "glomseg")]
        assert [place.exists() for place in places] == [not said] * 2


def test_both_exporters_write_the_same_tiles(moved, drive, tmp_path, glomseg):
    review(moved, 1)
    scripts = [
        "|".join(["export_training_tiles", f"folder={tmp_path / 'qupath' / name}", *given])
        for name, (given, _) in CASES.items()
    ]
    other_scale = f"export_training_tiles|folder={tmp_path / 'qupath/plain'}|size=64|mpp=2"
    printed = drive(moved, *scripts, other_scale)
    refused = [text for text in printed if "REFUSED" in text]
    assert len(refused) == 2  # the images with annotations
    assert all("choose another folder" in text for text in refused)
    for name, (_, options) in CASES.items():
        assert glomseg("export-tiles", moved, "-o", tmp_path / "glomseg" / name, *options).code == 0
        theirs, ours = (contents(tmp_path / side / name) for side in ("qupath", "glomseg"))
        assert theirs.keys() == ours.keys()
        assert len(ours) > 5
        for key, path in ours.items():
            one, two = read(theirs[key]), read(path)
            if path.suffix == ".json":
                if name == "parents":  # QuPath lists the derived classes too
                    one["labels"] = [item for item in one.get("labels", []) if ": " not in item["classification"]]
                    two.setdefault("labels", [])
                assert one == two
                continue
            assert one[:2] == two[:2]
            if name != "odd scale" or one[0] == "P":
                assert np.array_equal(one[2], two[2])
            else:  # no level of this scale: QuPath interpolates, we average
                assert np.abs(one[2].astype(int) - two[2]).mean() < 8
