"""Outlines of a run that a person brought into an image themselves: they are theirs, whatever is written in them."""

import json
import shutil

import pytest
from support.groovy import import_run
from support.qupath_side import bring_in, put_on_another_plane
from support.runs import FREE, discs, made_run, same, standing

from glomseg.qupath.objects import write_geojson
from glomseg.qupath.project import read_project
from glomseg.runs.ownership import RUN

pytestmark = pytest.mark.qupath


def found(study, run, spots, shift=0):
    """A run that found something on the second image, and elsewhere on the first."""
    made = made_run(study, run, discs(run, FREE[6:], shift), keys=("1", "2"))
    write_geojson(made.result_path("2"), discs(run, [FREE[spot] for spot in spots], shift))
    return made


def brought_in(qupath, study, file):
    assert qupath.call(bring_in, study, "2", read_project(study).images[1].path, file) > 0


def runs_at(qupath, study):
    """The runs whose outlines stand on the second image, by the place."""
    return {
        min(range(len(FREE)), key=lambda spot: abs(FREE[spot][0] - item.geometry.centroid.x)): item.metadata[RUN]
        for item in standing(qupath, study, "2").values()
        if RUN in item.metadata
    }


@pytest.mark.parametrize("by_script", [False, True])
def test_what_was_copied_from_another_image_stays(moved, one_process, glomseg, tmp_path, by_script):
    """As from one section to the next: no run found it here, and the next one does not take it away."""
    found(moved, "run-1", (0, 1, 2))
    assert glomseg("collect", moved).code == 0
    write_geojson(tmp_path / "copied.geojson", discs("run-1", FREE[6:]))
    brought_in(one_process, moved, tmp_path / "copied.geojson")
    found(moved, "run-2", (0, 1, 6), shift=6)
    if by_script:
        assert one_process.call(import_run, moved, "2", "run-2")["person"] == 1
    else:
        assert glomseg("collect", moved).code == 0
    assert runs_at(one_process, moved) == {0: "run-2", 1: "run-2", 6: "run-1", 7: "run-1"}
    assert glomseg("undo", moved, "run-2").code == 0
    assert runs_at(one_process, moved) == {0: "run-1", 1: "run-1", 2: "run-1", 6: "run-1", 7: "run-1"}


@pytest.mark.parametrize("by_script", [False, True])
def test_what_was_copied_from_another_project_stays(moved, one_process, glomseg, tmp_path, by_script):
    """No run of this project found it, and what its writes left there is known."""
    found(moved, "run-1", (0, 1, 2))
    assert glomseg("collect", moved).code == 0
    write_geojson(tmp_path / "copied.geojson", discs("run-of-another-project", FREE[6:]))
    brought_in(one_process, moved, tmp_path / "copied.geojson")
    images = json.loads(glomseg("status", moved, "--json").out)["images"]
    (status,) = (image for image in images if image["entry_id"] == "2")
    assert (status["machine"], status["persons"], status["since"]["added"]) == (3, 3, {"Glomerulus": 2})
    found(moved, "run-2", (0, 1, 6), shift=6)
    if by_script:
        assert one_process.call(import_run, moved, "2", "run-2")["person"] == 1
    else:
        assert glomseg("collect", moved).code == 0
    theirs = "run-of-another-project"
    assert runs_at(one_process, moved) == {0: "run-2", 1: "run-2", 6: theirs, 7: theirs}
    assert glomseg("undo", moved, "run-2").code == 0
    assert runs_at(one_process, moved) == {0: "run-1", 1: "run-1", 2: "run-1", 6: theirs, 7: theirs}


@pytest.mark.parametrize("by_script", [False, True])
def test_what_was_put_on_another_plane_is_a_persons_and_what_it_was_copied_from_is_not(
    moved, one_process, glomseg, by_script
):
    """The next run replaces the original and not the copy, undo brings it back; what was moved there is not offered."""
    found(moved, "run-1", (0, 1, 2))
    assert glomseg("collect", moved).code == 0
    assert one_process.call(put_on_another_plane, moved, "2", read_project(moved).images[1].path) == 3
    before = standing(one_process, moved, "2")
    theirs = {key: item for key, item in before.items() if item.is_off_plane}
    assert len(theirs) == 3
    said = glomseg("measure", moved).err
    assert "3 annotations lie on other planes than the first, and count as if there" in said
    for run, shift in (("run-2", 4), ("run-3", 8)):
        found(moved, run, (0, 1, 2), shift)
        if by_script:
            done = one_process.call(import_run, moved, "2", run)
            assert (done["added"], done["removed"], done["person"], done["rejected"]) == (2, 2, 1, 0)
        else:
            assert glomseg("collect", moved).code == 0
        after = standing(one_process, moved, "2")
        assert {item.metadata.get(RUN) for item in after.values() if not item.is_off_plane} >= {run}
        assert same({key: item for key, item in after.items() if item.is_off_plane}, theirs)
        assert glomseg("undo", moved, run).code == 0
        assert same(standing(one_process, moved, "2"), before)


@pytest.mark.parametrize("what", ["its own", "of a run that is gone"])
def test_what_may_be_a_runs_own_result_is_the_machines(moved, one_process, glomseg, what):
    """Dragged into QuPath on a machine without glomseg's Python, it gives way to the next run."""
    run = found(moved, "run-1", (0, 1, 2))
    brought_in(one_process, moved, run.result_path("2"))
    if what != "its own":
        shutil.rmtree(run.folder)
    found(moved, "run-2", (0, 3), shift=6)
    assert glomseg("collect", moved).code == 0
    assert runs_at(one_process, moved) == {0: "run-2", 3: "run-2"}
