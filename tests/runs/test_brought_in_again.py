"""A run that was taken back, and that QuPath's own import brought in again, stands."""

import json

import pytest
from support.groovy import evaluate, import_run
from support.qupath_side import draw
from support.runs import FREE, discs, made_run

from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.run import load_run

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def test_a_run_that_qupath_brings_in_again_is_not_undone_any_more(moved, one_process, glomseg):
    """The import does not write run.json, where the undo is."""
    run = made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    assert glomseg("undo", moved).code == 0
    assert load_run(run.folder).images["1"].undone is not None
    assert "run run-1 was taken back" in glomseg("measure", moved).err
    assert one_process.call(import_run, moved, "1", "run-1")["added"] == len(FREE)
    assert load_run(run.folder).images["1"].undone is None
    assert "undone" not in glomseg("measure", moved).err
    image = json.loads(glomseg("status", moved, "--json").out)["images"][0]
    assert [one["state"] for one in image["runs"]] == ["collected"]
    assert glomseg("undo", moved).code == 0
    assert load_run(run.folder).images["1"].undone is not None
    assert "run run-1 was taken back" in glomseg("measure", moved).err


IS_BROUGHT_IN = """
    def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(SHARED))
    shared.load("glomseg_runs").isBroughtIn(java.nio.file.Path.of(RUN), "1")
"""


def test_a_run_that_was_taken_back_and_has_nothing_to_add_any_more_stands_too(moved, one_process, glomseg):
    """That import is no write, and leaves but a note; `measure` called the run taken back for good."""
    run = made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    assert glomseg("undo", moved).code == 0
    image = read_project(moved).images[0]
    one_process.call(draw, moved, "1", image.path, [(x, y, "Glomerulus", "annotation") for x, y in FREE])
    where = {"SHARED": str(list_scripts()["import_results"].with_name("glomseg_shared.groovy")), "RUN": str(run.folder)}
    assert "run run-1 was taken back" in glomseg("measure", moved).err
    assert one_process.call(evaluate, IS_BROUGHT_IN, where) == "False"
    assert one_process.call(import_run, moved, "1", "run-1")["added"] == 0
    assert one_process.call(evaluate, IS_BROUGHT_IN, where) == "True"
    assert "taken back" not in glomseg("measure", moved).err
    assert state(glomseg, moved) == ["collected"]
    assert list(run.folder.glob("unchanged/*"))
    assert glomseg("restore", moved, "1", "last").code == 0
    assert not list(run.folder.glob("unchanged/*"))  # whatever a clock would say of it


def state(glomseg, project):
    image = json.loads(glomseg("status", project, "--json").out)["images"][0]
    return [one["state"] for one in image["runs"]]
