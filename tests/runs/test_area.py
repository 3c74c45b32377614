"""The part of an image that a run looked at is that of the result that lies beside it."""

import json
import os
from dataclasses import replace

import pytest
from shapely.geometry import box
from support.oracle import save_oracle
from support.slides import Disc, disc_slide

from glomseg.models.predict import load_model
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs.area import area_path, processed_area, save_area
from glomseg.runs.listener import Listener
from glomseg.runs.run import Run
from glomseg.runs.segment_batch import Extras, Job, segment_one
from glomseg.segment.pipeline import SegmentSettings
from glomseg.segment.region import Region

LEFT, ALL = (Region(box(0, 0, width, 600), box(0, 0, 0, 0)) for width in (600, 1200))


@pytest.fixture
def looked(tmp_path):
    """Look at a part of a slide again and again, into one run."""
    discs = [Disc(300, 300, 60, 60), Disc(900, 300, 60, 60)]
    slide = disc_slide(tmp_path / "slide.tif", size=(1200, 600), discs=discs, tissue=(0, 0, 1200, 600))
    model = load_model(save_oracle(tmp_path / "oracle"), "cpu")
    job = Job(entry_id="1", name="slide", path=slide.path, size=(1200, 600))
    run = Run(tmp_path / "run", "run-1")

    def look(region):
        segment_one(replace(job, region=region), model, run, SegmentSettings(), Extras(), Listener())
        area = processed_area(run, "1")
        return len(read_geojson(run.result_path("1"))), None if area is None else area.bounds[2]

    return look, run, slide.path


def test_the_part_is_that_of_the_result(looked):
    look, run, _ = looked
    assert look(LEFT) == (1, 600)
    assert look(LEFT) == (1, 600)
    assert look(ALL) == (2, 1200)
    assert look(None) == (2, None)
    assert not area_path(run, "1").exists()


@pytest.mark.parametrize("keep", ["header", "nothing"])
def test_a_result_that_stays_is_one_of_the_part_of_then(looked, keep):
    """The slide cannot be read any more: nobody has looked at what was added to the part since."""
    look, _, slide = looked
    assert look(LEFT) == (1, 600)
    content, before = slide.read_bytes(), slide.stat()
    slide.write_bytes(content[: len(content) // 3] if keep == "header" else b"x" * len(content))
    os.utime(slide, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(ALL) == (1, 600)


def test_who_is_stopped_before_an_image_leaves_its_part(looked, monkeypatch):
    look, run, _ = looked
    assert look(LEFT) == (1, 600)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "begin", stop)
    with pytest.raises(KeyboardInterrupt):
        look(ALL)
    assert processed_area(run, "1").bounds[2] == 600


def test_a_persons_file_of_that_name_stays(looked):
    _, run, _ = looked
    write_geojson(area_path(run, "1"), [PathObject(geometry=box(0, 0, 9, 9), name="mine")])
    save_area(run, "1", None, None)
    assert json.loads(area_path(run, "1").read_text("utf-8"))["features"][0]["properties"]["name"] == "mine"
