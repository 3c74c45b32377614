"""A run that was taken back, and that QuPath's own import brought in again, stands."""

import json

import pytest
from support.groovy import import_run
from support.runs import FREE, discs, made_run

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
