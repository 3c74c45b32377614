"""An undo killed when an image was written, and before its record was: it is taken back, and nothing is lost."""

import json
from dataclasses import replace

import pytest
from support.runs import FREE, discs, made_run

from glomseg.qupath.project import read_project
from glomseg.runs.lost_writes import lost_write
from glomseg.runs.run_list import list_runs

pytestmark = pytest.mark.qupath


def states(glomseg, study):
    images = json.loads(glomseg("status", study, "--json", "--files-only").out)["images"]
    return [image["runs"][-1]["state"] for image in images[:2] if image["runs"]]


def test_the_same_undo_goes_on_and_what_was_taken_back_is_not_called_lost(moved, one_process, glomseg, tmp_path):
    for run, shift in (("run-1", 0), ("run-2", 4)):
        made = made_run(moved, run, discs(run, FREE, shift), keys=("1", "2"))
        for key in "12":
            made.update(key, replace(made.images[key], glomeruli=len(FREE)))
        assert glomseg("collect", moved).code == 0
    record = moved.parent / "glomseg/run-2/run.json"
    data = read_project(moved).images[1].data_folder / "data.qpdata"
    before, of_the_second = record.read_text(), data.read_bytes()
    assert glomseg("undo", moved).code == 0
    record.write_text(before)
    data.write_bytes(of_the_second)
    runs, runs_folder = list_runs(moved.parent / "glomseg"), moved.parent / "glomseg"
    assert lost_write(runs, runs_folder, "1", moved.parent / "data/1") is None
    assert states(glomseg, moved) == ["undone", "collected"]
    assert "run-2 is newer and not in it yet" not in glomseg("measure", moved, "-o", tmp_path / "once").err
    again = glomseg("undo", moved, "run-2")
    assert again.code == 0, again.err
    assert "kidney_01.tif: taken back before; left as it stands" in again.err
    assert states(glomseg, moved) == ["undone", "undone"]
    assert glomseg("undo", moved).code == 0
    twice = glomseg("measure", moved, "-o", tmp_path / "twice").err
    assert "run run-1 was taken back and nobody marked it as reviewed" in twice
    assert "run-2" not in twice


def test_what_was_brought_in_again_after_an_undo_and_saved_over_is_lost(moved, one_process, glomseg):
    data = read_project(moved).images[0].data_folder / "data.qpdata"
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    assert glomseg("undo", moved).code == 0
    taken_back = data.read_bytes()
    assert glomseg("collect", moved).code == 0
    data.write_bytes(taken_back)
    runs_folder = moved.parent / "glomseg"
    assert lost_write(list_runs(runs_folder), runs_folder, "1", moved.parent / "data/1") == "run-1"


def test_outlines_whose_record_is_damaged_are_not_called_lost(moved, one_process, glomseg):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    (record,) = moved.parent.glob("glomseg/run-1/changes/1/*.json")
    record.write_text(record.read_text()[:40])
    runs_folder = moved.parent / "glomseg"
    assert lost_write(list_runs(runs_folder), runs_folder, "1", moved.parent / "data/1") is None
    assert states(glomseg, moved)[:1] == ["collected"]
