"""An id that means another image now, and another file under an image: what a run found there is not of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import FREE, discs, image_1, image_of, made_run, runs_of, same, standing

from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.image_record import ImageRecord, Inputs, State
from glomseg.runs.run import load_run
from glomseg.slides.file_sample import file_sample

pytestmark = pytest.mark.qupath


def exchanged(study, *, with_data=True):
    """Give the first two images each other's ids, as where a project is made again in its folder."""
    content = json.loads(study.read_text("utf-8"))
    one, two = content["images"][:2]
    one["entryID"], two["entryID"] = two["entryID"], one["entryID"]
    study.write_text(json.dumps(content), "utf-8")
    if with_data:
        data = study.parent / "data"
        for old, new in (("1", "x"), ("2", "1"), ("x", "2")):
            (data / old).rename(data / new)


@pytest.mark.parametrize("told_by", ["the size", "the file"])
def test_a_run_looked_at_another_image_under_this_id(moved, one_process, glomseg, tmp_path, told_by):
    """Its outlines come on no other slide, and its results count for none."""
    size = (2048, 1024) if told_by == "the size" else None
    run = made_run(moved, "run-1", discs("run-1", FREE))
    inputs = Inputs(file="elsewhere.svs", bytes=3, modified_ns=1)
    run.update("1", ImageRecord(name="elsewhere", state=State.DONE, size=size, inputs=inputs, glomeruli=8))
    before = (moved.parent / "data/1/data.qpdata").read_bytes()
    brought = glomseg("collect", moved)
    assert brought.code == 1
    assert "run run-1 looked at another image under the id 1 (elsewhere, " in brought.err
    assert "do not belong on kidney_01.tif; annotate that one anew: `glomseg annotate PROJECT --image 1`" in brought.err
    assert (moved.parent / "data/1/data.qpdata").read_bytes() == before
    assert image_1(glomseg, moved)["runs"][0]["state"].startswith("of another image (elsewhere, ")
    measured = glomseg("measure", moved, "-o", tmp_path / "measured")
    assert "run run-1 looked at another image under its id" in measured.err


def test_another_scan_or_pixel_size_since_the_run_is_said(moved, one_process, glomseg, tmp_path):
    """A file of the same name and size in pixels, or a size that was set in QuPath since; a copy is the same file."""
    image = read_project(moved).images[0]
    run = made_run(moved, "run-1", discs("run-1", FREE))
    looked_at = Inputs(file=image.path.name, bytes=image.path.stat().st_size, modified_ns=1)
    record = ImageRecord(name=image.name, state=State.DONE, inputs=looked_at, mpp=image.mpp)
    run.update("1", record)
    copied = glomseg("collect", moved)
    assert (copied.code, "another than run" in copied.err) == (0, False)
    assert not image_1(glomseg, moved, "--files-only")["remarks"]
    run = load_run(run.folder)
    run.update("1", replace(run.images["1"], file_sample=file_sample(image.path)))
    assert not image_1(glomseg, moved, "--files-only")["remarks"], "a copy has another time"
    content = bytearray(image.path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 10] = bytes(len(content) // 10)
    image.path.write_bytes(content)
    (said,) = image_1(glomseg, moved, "--files-only")["remarks"]
    assert "its file is another than run run-1 looked at (of the same length)" in said

    run = load_run(run.folder)
    run.update("1", replace(run.images["1"], inputs=replace(looked_at, bytes=5), mpp=(9.0, 9.0)))
    other, scale = "its file is another than run run-1 looked at", "run run-1 read it with 9 um per pixel"
    for said in (
        glomseg("collect", moved).err,
        glomseg("measure", moved, "-o", tmp_path / "measured").err,
        " ".join(image_1(glomseg, moved, "--files-only")["remarks"]),
    ):
        assert other in said
        assert "`glomseg annotate PROJECT --image 1`" in said
    assert scale in glomseg("measure", moved, "-o", tmp_path / "measured").err
    assert scale in glomseg("collect", moved).err
    imported = glomseg("qupath", "run", "import_results", moved, "--image", "1")
    assert "run-1 read it with 9.0 um per pixel, and it has 0.5 now" in imported.out + imported.err
    assert scale in glomseg("status", moved, "--json", "--files-only").out
    made_run(moved, "run-2", discs("run-2", FREE, shift=3))
    assert scale not in glomseg("collect", moved).err
    assert f"of the outlines that came back, {scale}" in glomseg("undo", moved).err
    assert scale not in glomseg("undo", moved).err
    assert not image_1(glomseg, moved, "--files-only")["remarks"]


def test_two_project_files_over_one_folder(moved, one_process, glomseg, oracle_folder, tmp_path):
    """A copy of project.qpproj in which images have each other's ids: neither takes the other's outlines away."""
    annotate = ("annotate", moved, "--model", oracle_folder, "--mpp", "0.5", "--image", "1", "--threshold", "0.5")
    run = made_run(moved, "run-1", discs("run-1", FREE))
    image = read_project(moved).images[0]
    inputs = Inputs(file=image.path.name, bytes=image.path.stat().st_size, modified_ns=1)
    run.update("1", ImageRecord(name=image.name, state=State.DONE, size=image.size_px, inputs=inputs))
    assert glomseg("collect", moved).code == 0
    before = standing(one_process, moved)
    kept = shutil.copy(moved, tmp_path / "kept.qpproj")
    exchanged(moved, with_data=False)
    refusals = [glomseg(*annotate), glomseg("measure", moved, "-o", tmp_path / "measured")]
    copy = shutil.copy(kept, moved.with_name("project - Copy.qpproj"))
    assert "beside project.qpproj lies project - Copy.qpproj, over the same data" in glomseg("status", moved).err
    Path(copy).unlink()
    made_run(moved, "run-2", discs("run-2", FREE, 9))
    for refused in (*refusals, glomseg("collect", moved, "run-2"), glomseg(*annotate)):
        assert refused.code == 1
        assert "its data holds what run run-1 found on another image (kidney_01.tif, " in refused.err
        assert "`glomseg undo PROJECT run-1`" in refused.err
    imports = list_scripts()["import_results"]
    refused = glomseg("qupath", "run", imports, moved, "--image", "id=1", "--arg", "run-2")
    assert "its data holds what run run-1 found on another image (kidney_01.tif)" in refused.out + refused.err
    assert same(standing(one_process, moved), before)
    assert "two projects share the folder" in image_of(glomseg, moved, "1")["problem"]
    shutil.copy(kept, moved)
    assert glomseg("collect", moved, "run-1").code == 0  # the first project is as it was
    exchanged(moved, with_data=False)
    assert glomseg("undo", moved, "run-1").code == 0  # the way out
    assert glomseg(*annotate).code == 0
    assert not image_of(glomseg, moved, "1")["problem"]


def test_a_renamed_file_or_image_is_the_same(moved, one_process, glomseg):
    path = read_project(moved).images[0].path
    run = made_run(moved, "run-1", discs("run-1", FREE))
    inputs = Inputs(file="as it was called.tif", bytes=path.stat().st_size, modified_ns=1)
    run.update("1", ImageRecord(name="as it was called", state=State.DONE, size=(2048, 2048), inputs=inputs))
    brought = glomseg("collect", moved)
    assert brought.code == 0
    assert runs_of(standing(one_process, moved)) == ["run-1"]
    moved.write_text(moved.read_text("utf-8").replace('"kidney_01.tif"', '"renamed since"'), "utf-8")
    told = [brought, glomseg("undo", moved, "--dry-run"), glomseg("undo", moved)]  # each by the name of then
    names = ["kidney_01.tif", "renamed since", "renamed since"]
    assert all(name in one.out for one, name in zip(told, names, strict=True)), [one.out for one in told]


def test_a_backup_of_another_image_is_not_the_last_one(moved, one_process, glomseg):
    for run, shift in (("run-1", 0), ("run-2", 4)):
        made_run(moved, run, discs(run, FREE, shift))
        assert glomseg("collect", moved).code == 0
    exchanged(moved)
    listed = glomseg("restore", moved, "1")
    assert listed.out.count("of ANOTHER image: kidney_01.tif") == 2
    data = moved.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    refused = glomseg("restore", moved, "1", "last")
    assert refused.code == 1
    assert "has no backup 'last'" in refused.err
    assert data.read_bytes() == before


@pytest.mark.slow
def test_an_import_looks_whose_outlines_they_are(moved, one_process, glomseg):
    imports = list_scripts()["import_results"]
    data = moved.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    run = made_run(moved, "run-1", discs("run-1", FREE))
    for told in ({"size": (2048, 1024)}, {"inputs": Inputs(file="elsewhere.svs", bytes=3, modified_ns=1)}):
        run.update("1", ImageRecord(name="elsewhere", state=State.DONE, **told))
        refused = glomseg("qupath", "run", imports, moved, "--image", "kidney_01.tif")
        assert refused.code == 1
        assert "looked at another image under the id 1 (elsewhere)" in refused.out + refused.err
        assert data.read_bytes() == before
    path = read_project(moved).images[0].path
    inputs = Inputs(file="as it was called.tif", bytes=path.stat().st_size, modified_ns=1)
    run.update("1", ImageRecord(name="elsewhere", state=State.DONE, size=(2048, 2048), inputs=inputs))
    assert glomseg("qupath", "run", imports, moved, "--image", "kidney_01.tif").code == 0
    assert runs_of(standing(one_process, moved)) == ["run-1"]
