"""Collect, undo and restore as a user types them, on a real QuPath: what a run did can be taken back."""

import json
import shutil
import subprocess
import sys
import time

import pytest
from support.qupath_side import add_to_predictions, draw, twin
from support.runs import FREE, collected, discs, judged_by_a_person, made_run, same, standing

from glomseg.qupath.java import read_annotations
from glomseg.qupath.project import image_state, read_project
from glomseg.runs import collect, each_image
from glomseg.runs.lock import locked
from glomseg.runs.ownership import RUN, owner
from glomseg.runs.run import load_run


@pytest.mark.qupath
def test_an_image_that_qupath_cannot_open_is_named(moved, one_process, glomseg):
    """As one whose format this QuPath has no reader for, or whose metadata it does not understand."""
    project = json.loads(moved.read_text("utf-8"))
    size = {name: project["images"][1]["serverBuilder"]["metadata"][name] for name in ("width", "height")}
    project["images"][1]["serverBuilder"]["metadata"] = size
    moved.write_text(json.dumps(project), "utf-8")
    shutil.rmtree(moved.parent / "data/2", ignore_errors=True)
    made_run(moved, "run-1", discs("run-1", FREE), keys=("1", "2"))
    done = glomseg("collect", moved)
    assert done.code == 1
    assert "QuPath cannot open kidney_02.tif, and has never saved it" in done.out + done.err
    assert "unexpected" not in done.out + done.err
    assert sum(item.metadata.get(RUN) == "run-1" for item in standing(one_process, moved).values()) == len(FREE)


@pytest.mark.qupath
def test_undo_after_a_run_is_the_identity(study, one_process, glomseg):
    drawn = standing(one_process, study)
    made_run(study, "run-1", discs("run-1", FREE))
    made_run(study, "run-2", discs("run-2", FREE[:3]) + discs("run-2", FREE[4:], shift=9))
    assert glomseg("collect", study, "run-1").code == 0
    first = standing(one_process, study)
    assert glomseg("collect", study, "run-2").code == 0
    second = standing(one_process, study)
    assert {item.metadata.get(RUN) for item in second.values()} == {None, "run-1", "run-2"}
    early = glomseg("undo", study, "run-1")
    assert early.code == 1
    assert "glomseg undo PROJECT run-2" in early.err
    assert same(standing(one_process, study), second)
    result = json.loads(glomseg("undo", study, "--json").out)
    assert result["run"] == "run-2"
    assert (result["images"]["1"]["undone"]["removed"], result["images"]["1"]["undone"]["restored"]) == (4, 5)
    assert same(standing(one_process, study), first)
    assert glomseg("undo", study).code == 0
    assert same(standing(one_process, study), drawn)
    nothing = glomseg("undo", study)
    assert nothing.code == 1
    assert "nothing to undo" in nothing.err
    assert glomseg("collect", study, "run-2").code == 0  # and forward again: an undo rejects nothing
    assert len(standing(one_process, study)) == len(drawn) + 7


@pytest.mark.qupath
def test_what_was_deleted_since_stays_deleted(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE, shift=6))
    made_run(study, "run-2", discs("run-2", FREE))
    glomseg("collect", study, "run-1")
    glomseg("collect", study, "run-2")
    judged_by_a_person(one_process, study, FREE[:3])
    undone = json.loads(glomseg("undo", study, "--json").out)["images"]["1"]["undone"]
    assert (undone["removed"], undone["restored"], undone["left_as_rejected"]) == (3, 3, 5)
    again = json.loads(glomseg("collect", study, "run-2", "--json").out)["images"]["1"]["collected"]
    assert (again["added"], again["removed"], again["dropped_as_rejected"]) == (3, 3, 5)


@pytest.mark.qupath
def test_a_backup_is_listed_and_restored(study, one_process, glomseg, no_qupath):
    drawn = standing(one_process, study)
    assert "no backup" in glomseg("restore", study, "1").err
    made_run(study, "run-1", discs("run-1", FREE))
    glomseg("collect", study, "run-1")
    collected = standing(one_process, study)
    (listed,) = json.loads(glomseg("restore", study, "kidney_01.tif", "--json").out)
    assert (listed["backup"], listed["why"]) == ("run-1", "before the run")
    assert "run-1" in glomseg("restore", study, "1", "run-9").err
    assert glomseg("restore", study, "1", "run-1").code == 0
    assert same(standing(one_process, study), drawn)
    assert load_run(study.parent / "glomseg/run-1").images["1"].collected is None
    assert "nothing to undo" in glomseg("undo", study).err
    assert glomseg("restore", study, "1", "last").code == 0  # what stood before the restore
    assert same(standing(one_process, study), collected)
    assert len(json.loads(glomseg("restore", study, "1", "--json").out)) == 3
    glomseg("restore", study, "1", "run-1")
    again = json.loads(glomseg("collect", study, "run-1", "--json").out)["images"]["1"]["collected"]
    assert again["added"] == len(FREE)  # a restore is no rejection


@pytest.mark.qupath
@pytest.mark.slow
def test_a_run_that_goes_on_backs_up_what_was_drawn_in_between(study_0_6_0, one_process, glomseg):
    """It has a backup of before its first write already, in which that is not."""
    made_run(study_0_6_0, "run-1", discs("run-1", FREE))
    assert glomseg("collect", study_0_6_0).code == 0
    image = read_project(study_0_6_0).images[0]
    one_process.call(draw, study_0_6_0, "1", image.path, [(300, 700, "Tubule", "annotation")])
    stood = standing(one_process, study_0_6_0)
    made_run(study_0_6_0, "run-1", discs("run-1", FREE, shift=9))
    assert glomseg("collect", study_0_6_0).code == 0
    assert not same(standing(one_process, study_0_6_0), stood)
    listed = json.loads(glomseg("restore", study_0_6_0, "1", "--json").out)
    assert [backup["why"] for backup in listed] == ["before the run went on", "before the run"]
    assert glomseg("restore", study_0_6_0, "1", "last").code == 0
    assert same(standing(one_process, study_0_6_0), stood)


@pytest.mark.qupath
def test_an_image_that_was_never_saved_is_so_again(study, one_process, glomseg):
    shutil.rmtree(study.parent / "data/3")
    made_run(study, "run-1", discs("run-1", [(500, 500)]), keys=["3"])
    assert glomseg("collect", study).code == 0
    assert glomseg("restore", study, "3", "run-1").code == 0
    assert not (study.parent / "data/3/data.qpdata").exists()
    assert glomseg("collect", study).code == 0


@pytest.mark.qupath
@pytest.mark.parametrize(("how", "collected"), [("stop", set()), ("skip", {"2"}), ("merge", {"1", "2"})])
def test_somebody_saves_while_we_write(study, one_process, glomseg, monkeypatch, how, collected):
    made_run(study, "run-1", discs("run-1", FREE), keys=("1", "2"))
    (image, other, _) = read_project(study).images
    states = iter([image_state(other)])  # not what is there: as if another QuPath had saved in between

    def stale(asked):
        return next(states, None) or image_state(asked) if asked.entry_id == "1" else image_state(asked)

    for module in (collect, each_image):
        monkeypatch.setattr(module, "image_state", stale)
    before = (image.data_folder / "data.qpdata").read_bytes()
    result = glomseg("collect", study, "--on-conflict", how)
    records = load_run(study.parent / "glomseg/run-1").images
    assert {key for key, record in records.items() if record.collected} == collected
    assert result.code == (0 if how == "merge" else 1)
    if how != "merge":
        assert "saved by somebody else" in result.err
        assert records["1"].conflict
        assert (image.data_folder / "data.qpdata").read_bytes() == before
        assert not list((study.parent / "glomseg/run-1/changes/1").glob("*"))
    monkeypatch.undo()


@pytest.mark.qupath
def test_data_that_is_missing_is_not_an_image_that_was_never_saved(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE), keys=("1", "2"))
    data = study.parent / "data/1/data.qpdata"
    data.rename(study.parent / "aside")
    result = glomseg("collect", study)
    assert result.code == 1
    assert "data.qpdata is missing" in result.err
    assert not data.exists()
    assert load_run(study.parent / "glomseg/run-1").images["2"].collected is not None


@pytest.mark.qupath
def test_one_odd_object_or_image_stops_nothing_else(study, one_process, glomseg):
    """Outlines that somebody edited by hand in the run folder, and an image that cannot be opened."""
    run = made_run(study, "run-1", discs("run-1", FREE), keys=("1", "2", "3"))
    content = json.loads(run.result_path("1").read_text())
    features = content["features"]
    features[0]["properties"]["metadata"].pop("glomseg.run")
    features[1]["id"] = "no uuid"
    features[2]["geometry"]["coordinates"] = [[[0, 0], [90, 90], [90, 0], [0, 90], [0, 0]]]  # a bow-tie
    features[3]["geometry"]["coordinates"][0][1] = [float("nan"), 3]
    features[4]["properties"]["name"] = 7
    run.result_path("1").write_text(json.dumps(content))
    run.result_path("2").write_text("{ half")
    result = glomseg("collect", study)
    assert result.code == 1
    assert "Traceback" not in result.err
    records = load_run(run.folder).images
    assert records["1"].collected.added >= 5
    assert "left out" in result.err
    assert records["2"].collected is None
    assert "2.geojson" in records["2"].reason
    assert records["3"].collected.added > 0


@pytest.mark.qupath
def test_what_a_person_added_in_qupath_outlives_the_next_run_and_undo(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE))
    collected(glomseg, study)
    image = read_project(study).images[0]
    assert one_process.call(add_to_predictions, study, "1", image.path) == 4
    before = standing(one_process, study)
    made_run(study, "run-2", discs("run-2", FREE, shift=8))
    made = collected(glomseg, study, "run-2")
    assert (made["removed"], made["added"], made["dropped_for_a_persons"]) == (4, 4, 4)
    theirs = {key for key, item in before.items() if owner(item) == "person"}
    assert theirs | {key for key, item in before.items() if "Mesangial cells" in item.measurements} <= set(
        standing(one_process, study)
    )
    assert glomseg("undo", study).code == 0
    assert same(standing(one_process, study), before)


# --- faults


@pytest.mark.qupath
def test_two_at_once(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE))
    before = (study.parent / "data/1/data.qpdata").read_bytes()
    with locked(study.parent / "glomseg"):
        for command in (("collect", study), ("undo", study, "run-1"), ("restore", study, "1", "last")):
            result = glomseg(*command)
            assert result.code == 1
            assert "another glomseg" in result.err
    assert (study.parent / "data/1/data.qpdata").read_bytes() == before
    assert glomseg("collect", study).code == 0


@pytest.mark.qupath
@pytest.mark.parametrize("place", ["changes", "backup"])
def test_what_cannot_be_kept_is_not_written(study, one_process, glomseg, place):
    """No room for the backup, or for what undo needs: the image stays as it is, and the others go on."""
    run = made_run(study, "run-1", discs("run-1", FREE), keys=("1", "2"))
    (run.folder / place).mkdir()
    (run.folder / place / "1").write_text("in the way")
    before = (study.parent / "data/1/data.qpdata").read_bytes()
    result = glomseg("collect", study)
    assert result.code == 1
    assert "choose another folder" in result.err
    assert (study.parent / "data/1/data.qpdata").read_bytes() == before
    assert (run.folder / "changes/2/1.json").is_file()
    (run.folder / place / "1").unlink()
    assert glomseg("collect", study).code == 0
    assert glomseg("undo", study).code == 0


@pytest.mark.qupath
@pytest.mark.slow
def test_a_killed_collect_is_completed_by_the_same_command(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE), keys=("1", "2"))
    data = {key: study.parent / f"data/{key}/data.qpdata" for key in "12"}
    before = {key: path.read_bytes() for key, path in data.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "glomseg_cli.main", "collect", str(study)], stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while data["1"].read_bytes() == before["1"] and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()
    for key in "12":
        found = standing(one_process, study, key)
        assert sum(RUN in item.metadata for item in found.values()) in (0, 6, 7, 8)
    assert glomseg("collect", study).code == 0
    assert sum(RUN in item.metadata for item in standing(one_process, study).values()) == len(FREE)
    assert glomseg("undo", study).code == 0
    assert all(owner(item) == "person" for key in "12" for item in standing(one_process, study, key).values())


HAND_DRAWN = [
    ("", "annotation"),
    ("glomeruli", "annotation"),
    ("GLOMERULUS", "annotation"),
    ("Glomerulus: Sclerotic", "annotation"),
    ("Tubule", "annotation"),
    ("Glomerulus", "detection"),
    ("", "detection"),
]


@pytest.mark.qupath
def test_nothing_is_put_on_what_a_person_drew_and_what_was_left_is_said(study, one_process, glomseg):
    drawn = [(*spot, *what) for spot, what in zip(FREE, HAND_DRAWN, strict=False)]
    image = read_project(study).images[0]
    assert one_process.call(draw, study, "1", image.path, drawn) == len(HAND_DRAWN)
    before = standing(one_process, study)
    made_run(study, "run-1", discs("run-1", FREE))
    result = glomseg("collect", study)
    assert result.code == 0, result.err
    assert "left out, outlines: 7 of class Glomerulus (7 on a person's)" in result.err
    assert "left alone, as a person's: " in result.err
    assert "5 of class Glomerulus, " in result.err
    assert "1 of class GLOMERULUS, " in result.err
    after = standing(one_process, study)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 1
    record = json.loads((study.parent / "glomseg/run-1/run.json").read_text())["images"]["1"]
    assert record["collected"]["left_out"] == {"Glomerulus": 7}
    assert record["collected"]["left_alone"]["Tubule"] == 1
    undone = glomseg("undo", study)
    assert undone.code == 0
    assert "left alone, as a person's: " in undone.err
    assert standing(one_process, study).keys() == before.keys()


@pytest.mark.qupath
def test_two_objects_of_one_id_are_told_apart(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE))
    assert glomseg("collect", study).code == 0
    image = read_project(study).images[0]
    assert one_process.call(twin, study, "1", image.path) == 1
    shapes = one_process.call(read_annotations, study, "1")
    made_run(study, "run-2", discs("run-2", FREE, shift=6))
    assert glomseg("collect", study).code == 0
    now = one_process.call(read_annotations, study, "1")
    persons = [item.geometry.wkb for item in shapes if owner(item) == "person"]
    assert sorted(item.geometry.wkb for item in now if owner(item) == "person") == sorted(persons)
    assert sum(owner(item) == "machine" for item in now) == len(FREE)
