"""Every command says of an outline whose it is alike, whatever it takes to know that."""

import csv
import json

import pytest
from support.qupath_side import add_to_predictions, bring_in
from support.runs import FREE, discs, made_run, standing

from glomseg.evaluation.projects import project_side
from glomseg.labelled.label_files import Selection
from glomseg.qupath.objects import write_geojson
from glomseg.qupath.project import read_project
from glomseg.runs.ownership import owner

pytestmark = pytest.mark.qupath


def test_what_only_the_memory_tells_is_a_persons_in_every_command(moved, one_process, glomseg, tmp_path):
    """A measurement of a person's own and an outline copied in are told by what is remembered, not by the outline."""
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    image = read_project(moved).images[0]
    before = sum(owner(item) == "person" for item in standing(one_process, moved).values())
    assert one_process.call(add_to_predictions, moved, "1", image.path) == 4
    write_geojson(tmp_path / "copied.geojson", discs("run-1", [(400, 900)]))
    assert one_process.call(bring_in, moved, "1", image.path, tmp_path / "copied.geojson") == 1

    said = json.loads(glomseg("status", moved, "--json").out)["images"][0]
    assert (said["machine"], said["persons"]) == (4, before + 5)
    assert glomseg("measure", moved, "-o", tmp_path / "measured").code in (0, 1)
    with (tmp_path / "measured/glomeruli.csv").open(encoding="utf-8-sig") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] == image.name]
    assert sum(row["owner"] == "machine" for row in rows) == 4
    (side,) = (source.annotated for source in project_side(read_project(moved)).sources if source.stem == "kidney_01")
    assert side.data_problem is None
    assert sum(Selection(whose="machine").owns(item) for item in side.objects) == 4
