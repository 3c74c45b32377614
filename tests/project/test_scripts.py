"""The Groovy scripts, run by a real QuPath: they compile, and do what their headers say."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from test_collect import EDIT, in_another_process
from test_second_stage import FREE, discs, made_run, one_process, standing, study  # noqa: F401

from glomseg.geojson import read_geojson, write_geojson
from glomseg.project.history import read_memory
from glomseg.project.launcher import run_script
from glomseg.project.ownership import FINGERPRINT, RUN, mark
from glomseg.project.scripts import list_scripts

pytestmark = pytest.mark.qupath

COMPILE = """
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.customizers.ImportCustomizer
def imports = new ImportCustomizer()
qupath.lib.gui.scripting.QPEx.getCoreClasses().each { imports.addImports(it.getName()) }
imports.addStaticStars("qupath.lib.gui.scripting.QPEx")
def settings = new CompilerConfiguration()
settings.addCompilationCustomizers(imports)
args.each { new GroovyShell(getClass().getClassLoader(), new Binding(), settings).parse(new File(it)) }
println "compiled " + args.size()
"""


@pytest.fixture
def moved(study):  # noqa: F811
    """The project with its images where it says, so that QuPath itself opens them."""
    study.write_text(study.read_text("utf-8").replace("file:///slides", study.parents[1].as_uri()), "utf-8")
    return study


def test_every_script_compiles_in_qupath(qupath, tmp_path):
    script = tmp_path / "compile.groovy"
    script.write_text(COMPILE)
    printed = []
    paths = [str(path) for path in list_scripts().values()]
    done = run_script(script, arguments=paths, line=lambda level, text: printed.append(text))
    assert (done.code, done.errors) == (0, ())
    assert f"compiled {len(paths)}" in printed


def marks(objects):
    return sorted((item.metadata.get(RUN, ""), mark(item), item.name or "", item.class_name or "") for item in objects)


def test_an_import_in_qupath_does_what_collect_does(moved, one_process, glomseg):  # noqa: F811
    """After a person's edits of every kind, in the whole of image 1 and in a part of image 2."""
    keys = ("1", "2")
    made_run(moved, "run-1", discs("run-1", FREE), keys)
    assert glomseg("collect", moved).code == 0
    in_another_process(EDIT, moved, one_process)
    run = made_run(moved, "run-2", discs("run-2", FREE[:5]) + discs("run-2", FREE[5:], shift=7), keys)
    area = [discs("x", [(200, 200)])[0], discs("x", [(1240, 300)])[0]]
    write_geojson(run.folder / "area/2.geojson", area)
    twin = Path(shutil.copytree(moved.parent, moved.parents[1] / "twin")) / moved.name
    assert glomseg("collect", moved, "run-2").code == 0
    result = glomseg("qupath", "run", "import_results", twin, "--arg", "run-2")
    assert result.code == 0, result.err
    assert "kidney_01.tif: " in result.out
    for key in keys:
        ours, theirs = standing(one_process, moved, key), standing(one_process, twin, key)
        assert marks(theirs.values()) == marks(ours.values())
        remembered = [read_memory(path.parent / "glomseg", key) for path in (moved, twin)]
        assert {item.metadata[FINGERPRINT] for item in remembered[0]} == {mark(item) for item in remembered[1]}
    (backup,) = [item for item in json.loads(glomseg("restore", twin, "1", "--json").out) if item["backup"] == "run-2"]
    data = [path.parent / "data/1/data.qpdata" for path in (moved, twin)]
    before = data[1].read_bytes()
    again = glomseg("qupath", "run", "import_results", twin)
    assert "0 added, 0 removed" in again.out
    assert data[1].read_bytes() == before
    assert backup["why"] == "before the run"


def test_what_stands_is_exported_and_measured(moved, qupath, glomseg, tmp_path):
    out = tmp_path / "out"
    assert glomseg("qupath", "run", "export_glomeruli", moved, "--arg", out).code == 0
    objects = read_geojson(out / "kidney_01.tif [1].geojson")
    assert len(objects) == 7
    rows = list(csv.DictReader((out / "kidney_01.tif [1].csv").open(encoding="utf-8")))
    assert [row["object_id"] for row in rows] == [
        item.object_id for item in sorted(objects, key=lambda item: item.geometry.centroid.y)
    ]
    area = {item.object_id: item.geometry.area * 0.25 for item in objects}
    assert all(float(row["area_um2"]) == pytest.approx(area[row["object_id"]], rel=1e-3) for row in rows)
    assert (out / "Ünï cöde #3.png [3].csv").is_file()
    for _ in range(2):  # a second time replaces the rows
        assert glomseg("qupath", "run", "measure_summary", moved, "--arg", tmp_path / "all.csv").code == 0
    first, second, third = csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8"))
    assert (first["glomeruli"], first["sclerotic"], first["percent_sclerotic"]) == ("7", "2", "28.57")
    assert float(first["mean_area_um2"]) == pytest.approx(sum(area.values()) / 7, rel=1e-3)
    assert (second["glomeruli"], third["image"], third["mean_area_um2"]) == ("1", "Ünï cöde #3.png", "")


def test_training_tiles_have_qupaths_own_layout(moved, qupath, glomseg, data, tmp_path):
    arguments = [f"--arg=folder={tmp_path}", "--arg=size=256", "--arg=overlap=32"]
    result = glomseg("qupath", "run", "export_training_tiles", moved, "--image", "kidney_01.tif", *arguments)
    assert result.code == 0, result.err
    published = data / "qupath/tiles/qupath_0_6_0_beside/kidney_01"
    labels = list((tmp_path / "kidney_01").glob("*-labelled.png"))
    assert labels
    for path in labels:
        assert path.with_name(path.name.replace("-labelled", "")).is_file()
        with Image.open(path) as ours, Image.open(published / path.name) as theirs:
            assert ours.mode == theirs.mode == "P"
            assert ours.tobytes() == theirs.tobytes()
