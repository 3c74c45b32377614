"""What a file of a run holds that is not what its run found is said, by `collect` and by the import in QuPath."""

import json
from dataclasses import replace

import pytest
from shapely.affinity import scale
from support.groovy import evaluate
from support.runs import FREE, discs, made_run

from glomseg.qupath.objects import write_geojson
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.ownership import stamp
from glomseg.runs.predictions import read_predictions

REMARKS = """
def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(SCRIPT))
def file = shared.load("glomseg_run_file"), run = java.nio.file.Path.of(RUN)
def (ours, foreign) = file.outlines(run, "1")
return qupath.lib.io.GsonTools.getInstance().toJson(file.remarks(ours, foreign, run, "1")*.toString())
"""
FOUND = discs("run-1", FREE)
LARGER = [stamp(replace(item, geometry=scale(item.geometry, 1.1, 1.1)), run="run-1", model="starter") for item in FOUND]
FILES = {
    "as it was": (FOUND, None),
    "one deleted": (FOUND[1:], "holds 7 outlines, and the run found 8"),
    "one twice": ([*FOUND, replace(FOUND[0], object_id=None)], "holds 9 outlines, and the run found 8"),
    "another image's": (LARGER, "may be another image's"),
    "another run's": (discs("run-0", FREE)[:2] + FOUND[2:], "are of run-0; they count as this run's"),
    "candidates shown": ([*FOUND, replace(FOUND[0], class_name="Candidate: Glomerulus")], "1 outline was changed"),
}


def made(folder, name):
    run = made_run(folder / "project.qpproj", "run-1", FOUND)
    area = sum(item.geometry.area for item in FOUND) * 0.25
    run.update("1", replace(run.images["1"], glomeruli=8, mpp=(0.5, 0.5), glomerular_area_um2=round(area, 1)))
    write_geojson(run.result_path("1"), FILES[name][0])
    return run


@pytest.mark.parametrize("name", FILES)
def test_what_a_run_did_not_find_is_said(tmp_path, name):
    _, said = read_predictions(made(tmp_path, name), "1")
    wanted = FILES[name][1]
    assert len(said) == (wanted is not None)
    assert wanted is None or wanted in said[0]


@pytest.mark.qupath
@pytest.mark.parametrize("name", FILES)
def test_the_import_in_qupath_says_it_too(tmp_path, one_process, name):
    run = made(tmp_path, name)
    script = {"SCRIPT": str(list_scripts()["find_missed"].with_name("glomseg_shared.groovy")), "RUN": str(run.folder)}
    said = json.loads(one_process.call(evaluate, REMARKS, script))
    wanted = FILES[name][1]
    assert len(said) == (wanted is not None)
    assert wanted is None or wanted in said[0]
