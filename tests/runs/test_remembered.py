"""What is remembered of an image is true of the data that stands, whichever data that is."""

import json
import shutil

import pytest
from support.runs import FREE, collected, deleted, discs, made_run, same, standing

from glomseg.runs.collect import collect_run
from glomseg.runs.ownership import owner
from glomseg.runs.undo_run import undo_run


@pytest.mark.qupath
def test_a_write_that_never_came_about_is_none(study, one_process, glomseg):
    """Killed before the data was replaced: its record and its memory are there, and true of no data that is."""
    made_run(study, "run-1", discs("run-1", FREE))
    data = study.parent / "data/1/data.qpdata"
    before = data.read_bytes()
    glomseg("collect", study)
    data.write_bytes(before)
    assert glomseg("undo", study).code == 1
    assert data.read_bytes() == before
    again = collected(glomseg, study)
    assert (again["added"], again["deletions_not_believed"]) == (len(FREE), 0)
    assert glomseg("undo", study).code == 0
    assert all(owner(item) == "person" for item in standing(one_process, study).values())


@pytest.mark.qupath
def test_what_is_remembered_is_true_of_the_data_that_stands(study, one_process, glomseg):
    """Data of three days, put back by hand in any order: what was deleted later was not deleted in it."""
    made_run(study, "run-1", discs("run-1", FREE))
    made_run(study, "run-2", discs("run-2", FREE))
    data, days = study.parent / "data/1/data.qpdata", {}
    days["before"] = data.read_bytes()
    assert collected(glomseg, study, "run-1")["added"] == 8
    days["collected"] = data.read_bytes()
    assert deleted(one_process, study, keep=3) == 5
    days["reviewed"] = data.read_bytes()
    offered = {"before": (8, 0), "collected": (0, 0), "reviewed": (0, 5)}
    for day in ("reviewed", "before", "collected", "before", "reviewed", "collected"):
        data.write_bytes(days[day])
        made = collected(glomseg, study, "run-2")
        assert (made["added"], made["dropped_as_rejected"]) == offered[day], day
        assert made["deletions_not_believed"] == 0


@pytest.mark.qupath
def test_what_was_said_of_a_lost_memory_stands_in_the_result(study, one_process):
    """From Python, without a listener, nothing else says it."""
    made_run(study, "run-1", discs("run-1", FREE))
    assert not collect_run(study).remarks
    shutil.rmtree(study.parent / "glomseg/memory")
    made_run(study, "run-2", discs("run-2", FREE, shift=6))
    for result in (collect_run(study), undo_run(study)):
        said = [remark for remark in result.remarks if "was read from the record of its last write" in remark]
        assert len(said) == (result.records["1"].undone is None)  # the collect remembers anew


@pytest.mark.qupath
def test_a_qupath_that_was_open_saves_over_what_was_brought_in(study, one_process, glomseg):
    """It knows nothing of our write, and so has deleted nothing of it; its own mark is that of the write before."""
    made_run(study, "run-1", discs("run-1", FREE[:4]))
    made_run(study, "run-2", discs("run-2", FREE))
    data = study.parent / "data/1/data.qpdata"
    assert collected(glomseg, study, "run-1")["added"] == 4
    opened_then = data.read_bytes()
    assert collected(glomseg, study, "run-2")["added"] == 4
    data.write_bytes(opened_then)
    assert deleted(one_process, study, keep=3) == 1  # the person deletes one of the first run, and saves
    status = glomseg("status", study)
    assert "run run-2 is not in the data of kidney_01.tif any more" in status.err
    assert f"`glomseg collect {study.parent} run-2` brings it in again" in status.err
    made = collected(glomseg, study, "run-2")
    assert (made["added"], made["dropped_as_rejected"]) == (4, 1)
    assert "any more" not in glomseg("status", study).err


@pytest.mark.qupath
def test_all_of_a_run_gone_at_once_is_said_and_not_believed(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE))
    collected(glomseg, study)
    assert deleted(one_process, study, keep=0) == 8
    again = glomseg("collect", study)
    assert again.code == 0
    assert "all 8 outlines of run run-1 are gone from it at once" in again.err
    assert "--believe-deletions" in again.err
    assert len(standing(one_process, study)) == 10 + 8
    deleted(one_process, study, keep=0)
    made = collected(glomseg, study, "--believe-deletions")
    assert (made["added"], made["dropped_as_rejected"]) == (0, 8)
    deleted(one_process, study, keep=0)
    assert "not taken for a review" in glomseg("undo", study).err


@pytest.mark.qupath
def test_a_duplicate_of_an_image_knows_what_was_deleted_on_the_original(study, one_process, glomseg):
    """As QuPath's "Duplicate image" makes it: another entry with a copy of the data."""
    made_run(study, "run-1", discs("run-1", FREE), keys=("1", "7"))
    collected(glomseg, study)
    deleted(one_process, study, keep=3)
    content = json.loads(study.read_text("utf-8"))
    twin = {**content["images"][0], "entryID": 7, "imageName": "copy"}
    study.write_text(json.dumps({**content, "images": [*content["images"], twin], "lastID": 7}), "utf-8")
    shutil.copytree(study.parent / "data/1", study.parent / "data/7")
    made = collected(glomseg, study, key="7")
    assert (made["added"], made["dropped_as_rejected"]) == (0, 5)


@pytest.mark.qupath
def test_an_undo_takes_a_run_back_on_a_duplicate_too(study, one_process, glomseg):
    """Made after the run, which has no record of it; else the run stands there for good, and is always the last."""
    made_run(study, "run-1", discs("run-1", FREE))
    collected(glomseg, study)
    content = json.loads(study.read_text("utf-8"))
    twin = {**content["images"][0], "entryID": 7, "imageName": "copy"}
    study.write_text(json.dumps({**content, "images": [*content["images"], twin], "lastID": 7}), "utf-8")
    shutil.copytree(study.parent / "data/1", study.parent / "data/7")
    assert "copy" in glomseg("undo", study, "--dry-run").out
    undone = glomseg("undo", study)
    assert undone.code == 0
    assert "copy" in undone.out
    assert b"glomseg.run" not in (study.parent / "data/7/data.qpdata").read_bytes()
    assert "nothing to undo" in glomseg("undo", study).err


def as_the_first_versions_left_it(study):
    """Take the marks away: data, record and memory as glomseg wrote them before there were any."""
    home = study.parent / "glomseg"
    (path,) = home.glob("*/changes/1/*.json")
    change = json.loads(path.read_text())
    old = ("run", "before_sha256", "stood", "added", "removed", "remembered")
    path.write_text(json.dumps({"format_version": 1, **{name: change[name] for name in old}}))
    (home / f"memory/1/{change['mark']}.geojson").rename(home / "memory/1.geojson")
    data = study.parent / "data/1/data.qpdata"
    data.write_bytes(data.read_bytes().replace(b"glomseg.write=", b"another-thing="))
    return data


@pytest.mark.qupath
def test_what_the_first_versions_wrote_is_known(study, one_process, glomseg):
    drawn = standing(one_process, study)
    made_run(study, "run-1", discs("run-1", FREE))
    made_run(study, "run-2", discs("run-2", FREE, shift=6))
    collected(glomseg, study, "run-1")
    data = as_the_first_versions_left_it(study)
    first = standing(one_process, study)
    before = data.read_bytes()
    assert deleted(one_process, study, keep=5) == 3
    made = collected(glomseg, study, "run-2")
    assert (made["added"], made["removed"], made["dropped_as_rejected"]) == (5, 5, 3)
    assert glomseg("undo", study).code == 0
    again = collected(glomseg, study, "run-2")
    assert (again["added"], again["dropped_as_rejected"]) == (5, 3)
    data.write_bytes(before)
    assert same(standing(one_process, study), first)
    assert json.loads(glomseg("undo", study, "--json").out)["run"] == "run-1"
    assert same(standing(one_process, study), drawn)
