"""What a careless user does with the files around a project, and what glomseg says and does then."""

import json
import os
import shutil

import pytest
from support.qupath_side import bring_in, delete_predictions
from support.runs import FREE, discs, image_1, made_run, runs_of, same, standing

from glomseg.errors import RunError
from glomseg.qupath import image_copies
from glomseg.qupath.objects import write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import list_backups
from glomseg.runs.ownership import RUN
from glomseg.runs.run import load_run

pytestmark = pytest.mark.qupath


@pytest.fixture
def collected(moved, one_process, glomseg):
    """A project into which two runs were brought."""
    for run, shift in (("run-1", 0), ("run-2", 4)):
        made_run(moved, run, discs(run, FREE, shift))
        assert glomseg("collect", moved).code == 0
    return moved


def test_the_folder_of_an_older_run_is_deleted(collected, one_process, glomseg):
    """The newest run still stands, and can be taken back; before that of which nothing is known there is a way out."""
    shutil.rmtree(collected.parent / "glomseg/run-1")
    assert [(run["run"], run["state"]) for run in image_1(glomseg, collected)["runs"]] == [("run-2", "collected")]
    assert glomseg("undo", collected).code == 0
    assert runs_of(standing(one_process, collected)) == ["run-1"]
    refused = glomseg("undo", collected)
    assert refused.code == 1
    assert "is lost or damaged; take it back with `glomseg restore PROJECT 1`" in refused.err
    made_run(collected, "run-3", discs("run-3", FREE, 8))
    assert glomseg("collect", collected).code == 0
    assert runs_of(standing(one_process, collected)) == ["run-3"]


def test_a_damaged_record_of_the_run_itself_is_no_reason_to_undo_half_of_it(collected, one_process, glomseg):
    image = read_project(collected).images[0]
    made_run(collected, "run-2", discs("run-2", FREE[:5], 4))
    assert glomseg("collect", collected).code == 0
    (collected.parent / "glomseg/run-2/changes/1/2.json").write_text("{")
    before = (image.data_folder / "data.qpdata").read_bytes()
    refused = glomseg("undo", collected)
    assert refused.code == 1
    assert "lost or damaged" in refused.err
    assert (image.data_folder / "data.qpdata").read_bytes() == before


@pytest.mark.parametrize("damage", ["all is gone", "the memory is gone", "the memory is half"])
def test_what_was_remembered_is_lost(collected, one_process, glomseg, damage):
    """The last write's record says as much; where that is lost too, nothing comes back that nobody asked for."""
    image = read_project(collected).images[0]
    one_process.call(delete_predictions, collected, "1", image.path, 5)
    runs = collected.parent / "glomseg"
    if damage == "all is gone":
        shutil.rmtree(runs)
    for path in runs.glob("memory/1/*"):
        if damage == "the memory is gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:100])
    if damage == "the memory is gone":  # an undo remembers it anew
        aside = shutil.copytree(collected.parent, collected.parents[1] / "aside") / collected.name
        assert "kidney_01.tif: what was remembered of it was read from the record" in glomseg("undo", aside).err
    run, before = made_run(collected, "run-3", discs("run-3", FREE, 1)), standing(one_process, collected)
    brought = glomseg("collect", collected)
    if damage == "all is gone":
        assert brought.code == 1
        assert "what was remembered of it is lost (" in brought.err
        assert "`glomseg annotate PROJECT --image 1 --forget-rejections`, with the settings of the run" in brought.err
        assert same(standing(one_process, collected), before)
        assert glomseg("collect", collected, "--forget-rejections").code == 0  # as annotate gives it
        assert glomseg("collect", collected).code == 0
    else:
        assert (brought.code, "was read from the record of its last write (" in brought.err) == (0, True)
    rejected = load_run(run.folder).images["1"].collected.dropped_as_rejected
    assert rejected == (0 if damage == "all is gone" else 3)
    assert runs_of(standing(one_process, collected)) == ["run-3"]


@pytest.mark.parametrize("damage", ["gone", "half"])
def test_an_import_offers_nothing_again_where_what_was_remembered_is_lost(collected, damage, glomseg):
    image = read_project(collected).images[0]
    for path in collected.parent.glob("glomseg/memory/1/*"):
        path.unlink() if damage == "gone" else path.write_bytes(path.read_bytes()[:100])
    made_run(collected, "run-3", discs("run-3", FREE, 1))
    before = (image.data_folder / "data.qpdata").read_bytes()
    refused = glomseg("qupath", "run", list_scripts()["import_results"], collected, "--image", "kidney_01.tif")
    assert refused.code == 1
    told = refused.out + refused.err
    assert f"what was remembered of it is lost ({collected.parent / 'glomseg/memory/1'}" in told
    assert "glomseg collect PROJECT, which reads the record of the last write instead" in told
    assert (image.data_folder / "data.qpdata").read_bytes() == before


def test_no_older_run_comes_in_for_one_whose_record_is_gone(moved, one_process, glomseg):
    """Whoever tidied up took run.json alone: the newer outlines stay, and what that means is said with two ways out."""
    older, newer = "20260101-100000", "20260102-100000"
    for run, shift in ((older, 0), (newer, 6)):
        made_run(moved, run, discs(run, FREE, shift))
        assert glomseg("collect", moved, run).code == 0
    kept = (moved.parent / "glomseg" / newer / "run.json").rename(moved.parent / "kept.json")
    before = standing(one_process, moved)
    for command in ("collect", "undo"):
        refused = glomseg(command, moved)
        assert refused.code == 1
        assert f"{newer}/run.json " in refused.err
        assert "is not known; " in refused.err
    assert "run.json is gone" in glomseg("status", moved, "--files-only").err
    assert standing(one_process, moved) == before
    kept.rename(moved.parent / "glomseg" / newer / "run.json")
    assert glomseg("undo", moved).code == 0
    assert runs_of(standing(one_process, moved)) == [older]


def test_the_newest_backup_is_the_last_made(collected, one_process, glomseg):
    """However a project was copied since, and though the clock was set back."""
    runs = collected.parent / "glomseg"
    for folder in (runs / "run-1/backup/1", runs / "run-2/backup/1"):
        os.utime(folder, (2e9, 2e9) if "run-1" in str(folder) else (1e9, 1e9))
    assert [backup.name for backup in list_backups(runs, "1")] == ["run-2", "run-1"]
    data = collected.parent / "data/1/data.qpdata"
    os.utime(data, (3e9, 3e9))  # as written by a clock that was set back since
    made_run(collected, "run-3", discs("run-3", FREE, 8))
    assert glomseg("collect", collected, "run-3").code == 0
    assert list_backups(runs, "1")[0].name == "run-3"
    assert glomseg("restore", collected, "1", "last").code == 0
    assert runs_of(standing(one_process, collected)) == ["run-2"]
    made_run(collected, "run-4", discs("run-4", FREE, -8))  # by now the clock is behind two backups
    assert glomseg("collect", collected, "run-4").code == 0
    assert [backup.why for backup in list_backups(runs, "1")][:3] == [
        "before the run", "before a restore", "before the run",
    ]  # fmt: skip
    assert list_backups(runs, "1")[0].name == "run-4"
    assert glomseg("restore", collected, "1", "last").code == 0
    assert runs_of(standing(one_process, collected)) == ["run-2"]


def no_room(*_, **__):
    raise RunError("cannot write summary.json: No space left on device; free space")


def test_a_restore_that_found_no_room_is_given_again(collected, glomseg, monkeypatch):
    """The backup that it had made by then is of what stands: the last that is something else is brought back."""
    backup = (collected.parent / "glomseg/run-2/backup/1/data.qpdata").read_bytes()
    data = collected.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("glomseg.runs.restore.restore_image_data", no_room)
        assert glomseg("restore", collected, "1", "last").code == 1
    assert data.read_bytes() == before
    assert glomseg("restore", collected, "1", "last").code == 0
    assert data.read_bytes() == backup


def test_a_restore_that_found_no_room_for_what_comes_after_the_data_names_what_ends_it(collected, glomseg, monkeypatch):
    """By then the last backup is what stood before, which the same command would bring back."""
    backup = (collected.parent / "glomseg/run-2/backup/1/data.qpdata").read_bytes()
    data = collected.parent / "data/1/data.qpdata"
    put = image_copies.put_file

    def no_room_beside_the_data(new, old):
        (no_room if old.parent == data.parent else put)(new, old)

    with monkeypatch.context() as patch:
        patch.setattr(image_copies, "put_file", no_room_beside_the_data)
        stopped = glomseg("restore", collected, "1", "last")
    assert (stopped.code, data.read_bytes()) == (1, backup)
    assert "as in the backup already; for the rest: glomseg restore PROJECT 1 run-2" in stopped.err
    assert glomseg("restore", collected, "1", "run-2").code == 0
    assert (data.read_bytes(), data.with_name("summary.json").is_file()) == (backup, True)


def test_a_copy_that_a_sync_tool_left_is_said_and_can_be_brought_back(collected, one_process, glomseg, tmp_path):
    image = read_project(collected).images[0]
    name = "data (Ada's conflicted copy).qpdata"
    shutil.copy(image.data_folder / "data.qpdata", image.data_folder / name)
    one_process.call(delete_predictions, collected, "1", image.path, 5)
    assert any(name in remark for remark in image_1(glomseg, collected)["remarks"])
    assert name in glomseg("measure", collected, "-o", tmp_path / "measured").err
    made_run(collected, "run-3", discs("run-3", FREE, 1))
    assert name in glomseg("collect", collected).err
    assert name in glomseg("restore", collected, "1").out
    assert glomseg("restore", collected, "1", name).code == 0
    stands = standing(one_process, collected)
    assert len([item for item in stands.values() if RUN in item.metadata]) == len(FREE)
    status = image_1(glomseg, collected, "--files-only")
    assert (status["annotations"], status["persons"], status["machine"]) == (None, 10, 8)
    assert image_1(glomseg, collected)["saved"] is not None
    assert glomseg("restore", collected, "1", "last").code == 0
    assert len(standing(one_process, collected)) == 10 + 5


def test_outlines_without_a_record_are_not_lost_with_the_summary(moved, no_qupath, glomseg):
    """A summary that is gone says nothing: it is no proof that nothing stands there."""
    (moved.parent / "data/1/summary.json").unlink()
    status = image_1(glomseg, moved)
    assert (status["annotations"], status["persons"]) == (None, None)
    assert "?" in glomseg("status", moved).out


def test_a_copy_of_a_runs_folder_is_no_run(collected, one_process, glomseg):
    """As somebody makes one to be on the safe side: two records of one run would contradict each other."""
    runs = collected.parent / "glomseg"
    shutil.copytree(runs / "run-2", runs / "run-2 copy")
    shutil.copytree(runs / "run-1", runs / "a copy")
    said = glomseg("status", collected)
    for name, run in (("run-2 copy", "run-2"), ("a copy", "run-1")):
        assert f"{runs / name} is a copy of run {run} and does not count; move it out of {runs}" in said.err
    made_run(collected, "run-2", discs("run-2", FREE, 4))  # a record that knows of no write
    assert "left to a person's" not in glomseg("collect", collected).out  # the newest is run-2, and no copy of it
    assert glomseg("undo", collected).code == 0
    states = {run["run"]: run["state"] for run in image_1(glomseg, collected)["runs"]}
    assert states == {"run-1": "collected", "run-2": "undone"}
    assert runs_of(standing(one_process, collected)) == ["run-1"]
    assert glomseg("collect", collected, "run-2").code == 0
    assert runs_of(standing(one_process, collected)) == ["run-2"]
    assert not (runs / "run-2 copy/changes/1/3.json").exists()


def test_a_slide_that_is_offline_is_taken_back_later(moved, one_process, glomseg):
    """What was written before stays so in words too, and the same `undo` completes what it could not do at once."""

    def states():
        images = json.loads(glomseg("status", moved, "--json").out)["images"]
        return [run["state"] for image in images[:2] for run in image["runs"]]

    made_run(moved, "run-1", discs("run-1", FREE), keys=("1", "2"))
    assert glomseg("collect", moved).code == 0
    slide = read_project(moved).images[1].path
    slide.rename(slide.with_suffix(".away"))
    again = glomseg("collect", moved)
    assert (again.code, "not in the project" in again.out) == (1, False)
    assert states() == ["collected", "collected, not written again"]
    before = glomseg("undo", moved, "--dry-run", "--json")
    preview = json.loads(before.out)
    assert (preview["outlines"], list(preview["left"])) == ({"1": len(FREE)}, ["2"])
    assert "was not found" in preview["left"]["2"]
    assert "kidney_02.tif: the file was not found" in before.err
    assert glomseg("undo", moved).code == 1
    assert states() == ["undone", "not undone"]
    slide.with_suffix(".away").rename(slide)
    rest = glomseg("undo", moved)
    assert rest.code == 0, rest.err
    assert "taken back before" in rest.err
    assert states() == ["undone", "undone"]
    twice = glomseg("undo", moved, "run-1")
    assert (twice.code, states()) == (1, ["undone", "undone"])
    assert "in all its images; nothing to undo" in twice.err


def test_a_refused_backup_is_refused_again(collected, glomseg):
    """The `last` one that is damaged stays the last: it is not what stood when it was refused."""
    data = collected.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    copy = collected.parent / "glomseg/run-2/backup/1/data.qpdata"
    copy.write_bytes(copy.read_bytes()[:50])
    listed = glomseg("restore", collected, "1", "--json").out
    for _ in range(2):
        refused = glomseg("restore", collected, "1", "last")
        assert refused.code == 1
        assert "choose another backup" in refused.err
    assert glomseg("restore", collected, "1", "--json").out == listed
    assert data.read_bytes() == before


def test_no_older_run_is_undone_for_one_whose_record_is_damaged(collected, one_process, glomseg):
    made_run(collected, "run-3", discs("run-3", FREE), keys=("2",))
    assert glomseg("collect", collected, "run-3").code == 0
    (collected.parent / "glomseg/run-3/run.json").write_text('{"run_id": ')
    before = standing(one_process, collected)
    refused = glomseg("undo", collected)
    assert refused.code == 1
    assert "run run-3 changed kidney_02.tif last" in refused.err
    assert standing(one_process, collected) == before


def test_a_review_of_data_that_were_put_back_is_neither_believed_nor_measured_unsaid(
    collected, one_process, glomseg, tmp_path
):
    data = collected.parent / "data/1/data.qpdata"
    older = collected.parent / "glomseg/run-2/backup/1/data.qpdata"
    content = json.loads(collected.read_text("utf-8"))
    content["images"][0].setdefault("metadata", {})["glomseg.reviewed"] = "AB 2026-11-26"
    collected.write_text(json.dumps(content), "utf-8")
    shutil.copyfile(older, data)
    refused = glomseg("train", "--from-project", collected, "-o", tmp_path / "model")
    assert refused.code == 1
    assert "its data is older than the outlines that run run-2 brought in" in refused.err
    assert "`glomseg collect PROJECT run-2`" in refused.err
    measured = glomseg("measure", collected)
    assert "what stands in it was measured, though it is marked as reviewed" in measured.err


@pytest.mark.parametrize("undone", [False, True])
def test_outlines_of_a_run_that_are_all_gone_are_said_where_what_is_left_counts(
    collected, one_process, glomseg, tmp_path, undone
):
    """What a person drew still stands or, as after QuPath's own undo of an import, the outlines of the run before."""
    image = read_project(collected).images[0]
    one_process.call(delete_predictions, collected, "1", image.path, 0)
    if undone:
        write_geojson(tmp_path / "before.geojson", discs("run-1", FREE))
        one_process.call(bring_in, collected, "1", image.path, tmp_path / "before.geojson")
    said = "all 8 outlines of run run-2 are gone from it at once, which is not taken for a review"
    assert said in image_1(glomseg, collected)["remarks"]
    measured = glomseg("measure", collected, "-o", tmp_path / "measured")
    assert (measured.code, f"kidney_01.tif: {said}" in measured.err) == (0, True)
    made_run(collected, "run-3", discs("run-3", [(100, 1500)]))
    assert glomseg("collect", collected, "--believe-deletions").code == 0
    assert "gone from it" not in glomseg("measure", collected, "-o", tmp_path / "measured").err
    assert image_1(glomseg, collected)["remarks"] == []
