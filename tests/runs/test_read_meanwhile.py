"""A run comes into an image while a command reads it: that is no review, and no result of none."""

import json

import pytest
from support.runs import FREE, discs, made_run

from glomseg.errors import ProjectError
from glomseg.runs.reviewed import read_reviewed
from glomseg.study.sources import read_sources

pytestmark = pytest.mark.qupath


@pytest.fixture
def comes_in(moved, one_process, glomseg):
    """What brings a second run into image 1, which has one, when the next image is about to be read."""
    made_run(moved, "run-1", discs("run-1", FREE[:4]))
    assert glomseg("collect", moved).code == 0
    made_run(moved, "run-2", discs("run-2", FREE))

    def meanwhile(name):
        if name == "kidney_02.tif":
            assert glomseg("collect", moved, "run-2").code == 0

    return meanwhile


def test_what_came_in_meanwhile_is_not_taught_as_deleted(moved, comes_in):
    content = json.loads(moved.read_text("utf-8"))
    content["images"][0].setdefault("metadata", {})["glomseg.reviewed"] = "AB 2026-11-25"
    moved.write_text(json.dumps(content), "utf-8")
    (before,) = read_reviewed(moved).images
    assert not before.rejected
    with pytest.raises(ProjectError, match=r"kidney_01.tif was saved by somebody else while it was read"):
        read_reviewed(moved, progress=comes_in)


def test_what_came_in_meanwhile_is_not_measured_as_it_was_before(moved, comes_in):
    sources = read_sources(moved, progress=comes_in)
    assert sources.problems == (
        "kidney_01.tif: kidney_01.tif was saved by somebody else while it was read; run the same command again",
    )
    assert len(sources.slides) == 2
