"""`status` says whose the annotations are, and what people changed since the last run."""

import getpass
import json
import os

import pytest
from support.another_process import EDIT, in_another_process
from support.groovy import import_run
from support.qupath_side import draw
from support.runs import FREE, discs, judged_by_a_person, made_run

from glomseg.qupath.project import image_state, read_project
from glomseg.runs import collect
from glomseg.runs.lock import who


@pytest.mark.qupath
def test_status_tells_whose_the_annotations_are(study, one_process, glomseg, monkeypatch):
    def first():
        return json.loads(glomseg("status", study, "--json").out)["images"][0]

    def told(image):
        return image["machine"], image["persons"], image["saved_since_counted"]

    assert told(first()) == (0, 10, False)
    made_run(study, "run-1", discs("run-1", FREE))
    made_run(study, "run-2", discs("run-2", FREE, shift=7))
    glomseg("collect", study, "run-1")
    assert told(first()) == (8, 10, False)
    assert first()["runs"] == [
        {"run": "run-1", "state": "collected", "glomeruli": None, "doubts": []},
        {"run": "run-2", "state": "done", "glomeruli": None, "doubts": []},
    ]
    judged_by_a_person(one_process, study, FREE[:3])
    assert told(json.loads(glomseg("status", study, "--json", "--files-only").out)["images"][0]) == (8, 10, True)
    assert "~8" in glomseg("status", study, "--files-only").out
    assert told(first()) == (3, 10, False)
    assert "5 deleted" in glomseg("status", study).out
    monkeypatch.setattr(collect, "image_state", lambda image: image_state(read_project(study).images[1]))
    glomseg("collect", study, "run-2")
    assert "saved by somebody else" in first()["conflict"]
    monkeypatch.setattr(collect, "image_state", image_state)
    glomseg("undo", study)
    assert (told(first()), first()["runs"][0]["state"]) == ((0, 10, False), "undone")


@pytest.mark.qupath
def test_status_tells_what_people_changed_since_the_last_run(study, one_process, glomseg):
    made_run(study, "run-1", discs("run-1", FREE))
    assert glomseg("collect", study).code == 0
    assert json.loads(glomseg("status", study, "--json").out)["images"][0]["since"] is None
    in_another_process(EDIT, study, one_process)
    image = read_project(study).images[0]
    drawn = [(300, 700, "Tubule", "annotation"), (600, 700, "", "annotation"), (900, 700, "Glomerulus", "detection")]
    one_process.call(draw, study, "1", image.path, drawn)
    since = json.loads(glomseg("status", study, "--json").out)["images"][0]["since"]
    assert since.pop("written_by") == who()
    assert since.pop("saved_by") == getpass.getuser()
    assert since == {
        "run": "run-1",
        "added": {"Tubule": 1, "": 1},
        "deleted": {"Glomerulus": 1},
        "reshaped": {"Glomerulus": 1},
        "reclassified": {"Glomerulus": 1},
        "changed": {"Glomerulus": 3},
        "judged": {"accept": 1},
        "judged_by": {},
    }
    shown = glomseg("status", study).out
    assert "2 added, 1 deleted, 1 reshaped, 1 reclassified, 3 changed, 1 judged; saved by" in shown


CLEAR = """
import sys
from paquo.projects import QuPathProject
project = QuPathProject(sys.argv[1], mode="r+")
project.images[0].hierarchy.java_object.clearAll()
project.images[0].save()
project.save(images=False)
print("RESULT{}")
"""


@pytest.mark.qupath
def test_outlines_that_qupath_brought_in_and_a_person_deleted_all_of_are_told(moved, one_process, glomseg):
    """Of such a run's outlines none is left in the data; what people had drawn is gone, too."""
    made_run(moved, "run-1", discs("run-1", FREE))
    one_process.call(import_run, moved, "1", "run-1")
    in_another_process(CLEAR, moved, one_process)
    image = json.loads(glomseg("status", moved, "--json").out)["images"][0]
    theirs = {"Glomerulus: Sclerotic": 2, "Cortex": 1, "Ignore*": 1, "": 1}
    assert image["since"]["deleted"] == {"Glomerulus": len(FREE) + 5, **theirs}
    assert (image["machine"], image["persons"]) == (0, 0)


@pytest.mark.parametrize("cut", [0, 1000])
def test_of_data_that_cannot_be_read_nothing_is_counted(study_0_6_0, glomseg, no_qupath, cut):
    """QuPath's summary beside it speaks of what stood there once; no run wrote, so no record says otherwise."""
    data = study_0_6_0.parent / "data/1/data.qpdata"
    before = json.loads(glomseg("status", study_0_6_0, "--json").out)["images"]
    assert sum(before[0]["annotations"].values()) == 10
    data.write_bytes(data.read_bytes()[:cut])
    image, *others = json.loads(glomseg("status", study_0_6_0, "--json").out)["images"]
    assert (image["annotations"], image["machine"], image["persons"]) == (None, None, None)
    assert "is damaged; bring a backup back" in image["problem"]
    assert others == before[1:]
    data.unlink()
    image = json.loads(glomseg("status", study_0_6_0, "--json").out)["images"][0]
    assert image["annotations"] is None
    assert "is missing" in image["problem"]


def test_a_hole_in_the_data_is_said_and_the_summary_not_believed(study_0_6_0, glomseg, no_qupath):
    """As a crash or a share leaves it: the file has its size, its beginning and its end."""
    data = study_0_6_0.parent / "data/1/data.qpdata"
    whole = data.read_bytes()
    assert len(whole) > 3 * 4096
    data.write_bytes(whole[:4096] + bytes(4096) + whole[8192:])
    image = json.loads(glomseg("status", study_0_6_0, "--json").out)["images"][0]
    assert image["annotations"] is None
    assert [remark for remark in image["remarks"] if "blocks of its data are zeros" in remark]


@pytest.mark.parametrize("are_times_kept", [True, False])
@pytest.mark.qupath
def test_of_data_that_were_put_back_alone_the_summary_beside_them_is_not_believed(
    study, one_process, glomseg, are_times_kept
):
    """As a sync tool does; no run has written: the number was that of the data which were there before."""
    image = read_project(study).images[0]
    data = image.data_folder / "data.qpdata"
    old, times = data.read_bytes(), data.stat()
    one_process.call(draw, study, "1", image.path, [(x, y, "Glomerulus", "annotation") for x, y in FREE])
    now = json.loads(glomseg("status", study, "--json", "--files-only").out)["images"][0]["annotations"]
    data.write_bytes(old)
    if are_times_kept:
        os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    files_only = json.loads(glomseg("status", study, "--json", "--files-only").out)["images"][0]
    image = json.loads(glomseg("status", study, "--json").out)["images"][0]
    assert (files_only["annotations"], sum(image["annotations"].values())) == (None, 10)
    assert sum(now.values()) != 10
    assert (image["machine"], image["persons"], image["saved_since_counted"]) == (0, 10, False)


@pytest.mark.qupath
def test_what_counts_of_a_qupath_that_was_ended_while_it_saved_is_counted_and_said(study, one_process, glomseg):
    """It moves the data aside before it writes them anew: the image was called one without annotations."""
    folder = read_project(study).images[0].data_folder
    before = json.loads(glomseg("status", study, "--json").out)["images"][0]
    (folder / "data.qpdata").rename(folder / "data.qpdata.bkp")
    status = json.loads(glomseg("status", study, "--json").out)["images"][0]
    assert status["annotations"] == before["annotations"]
    assert sum(status["annotations"].values()) == 10
    assert any("what counts is data.qpdata.bkp" in remark for remark in status["remarks"])
    files_only = json.loads(glomseg("status", study, "--json", "--files-only").out)["images"][0]
    assert files_only["annotations"] is None


@pytest.mark.qupath
def test_of_data_that_were_garbled_since_a_run_nobody_is_said_to_own_anything(study_0_6_0, one_process, glomseg):
    """Garbled where it says whose the outlines are: its beginning and end are whole, and the summary beside it too."""
    made_run(study_0_6_0, "run-1", discs("run-1", FREE))
    assert glomseg("collect", study_0_6_0).code == 0
    data = study_0_6_0.parent / "data/1/data.qpdata"
    whole = data.read_bytes()
    at = whole.index(b"glomseg.run") - 60
    data.write_bytes(whole[:at] + b"\xff" * 120 + whole[at + 120 :].replace(b"glomseg.run", b"glomseg.xun"))
    image = json.loads(glomseg("status", study_0_6_0, "--json").out)["images"][0]
    assert (image["annotations"], image["machine"], image["saved_since_counted"]) == (None, 8, True)
    assert "QuPath cannot read" in image["problem"]
