"""The Groovy scripts, run by a real QuPath: they compile, and do what their headers say.

A start of QuPath takes seconds, so that several scripts run in one: "name|argument|argument" is one of them.
"""

import csv
import json
import os
import re
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.another_process import EDIT, in_another_process
from support.oracle import save_oracle
from support.qupath_side import delete_predictions, draw
from support.runs import FREE, discs, made_run, standing
from support.slides import Disc, disc_slide

from glomseg.files import read_csv
from glomseg.qupath.objects import read_geojson, write_geojson
from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.backups import list_backups
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import FINGERPRINT, REJECTED, RUN, mark, owner
from glomseg.runs.run import instant

pytestmark = pytest.mark.qupath

COMPILE = """
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.customizers.ImportCustomizer
def imports = new ImportCustomizer()
qupath.lib.gui.scripting.QPEx.getCoreClasses().each { imports.addImports(it.getName()) }
def settings = new CompilerConfiguration()
settings.addCompilationCustomizers(imports)
def (libraries, files) = new File(FOLDER).listFiles().findAll { it.name.endsWith(".groovy") }
    .split { it.name.startsWith("glomseg_") }
files.each { new GroovyShell(getClass().getClassLoader(), new Binding(), settings).parse(it) }
def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(FOLDER, "glomseg_shared.groovy"))
libraries.each { shared.load(it.name - ".groovy") }
println "compiled " + files.size()
def windows = [
    (qupath.lib.gui.QuPathGUI): ["getAllViewers", "getViewer", "getToolManager", "getMenu", "getStage", "runScript"],
    (qupath.lib.gui.ToolManager): ["setSelectedTool"],
    (qupath.lib.gui.viewer.QuPathViewer): ["getView", "getImageData", "setDownsampleFactor", "setCenterPixelLocation"],
    (qupath.fx.dialogs.Dialogs): ["showChoiceDialog", "showConfirmDialog", "showErrorMessage", "showInfoNotification",
                                  "showPlainMessage", "showWarningNotification"],
    (qupath.fx.dialogs.FileChoosers): ["promptForFile"],
]
println "missing " + windows.collectMany { type, names -> names - (type.getMethods()*.name as Set) }
"""


@pytest.fixture
def study(study_0_6_0):
    return study_0_6_0


def test_a_review_in_qupath(moved, one_process, glomseg, drive):
    made_run(moved, "run-1", discs("run-1", FREE[:3]))
    assert glomseg("collect", moved).code == 0
    before = standing(one_process, moved)
    first, second, third = sorted(
        (item for item in before.values() if RUN in item.metadata), key=lambda item: item.geometry.centroid.x
    )
    drawn = next(item for item in before.values() if item.name == "manual 1")
    compiled, listed, reading, *told = drive(
        moved,
        "review_glomeruli|list",
        "review_glomeruli|list=reading",
        f"review_glomeruli|verdict=accept|object={first.object_id}|initials=AB",
        f"review_glomeruli|verdict=reject|object={second.object_id}|initials=AB",
        f"review_glomeruli|verdict=sclerotic|object={drawn.object_id}|initials=AB",
        f"review_glomeruli|verdict=edit|object={third.object_id}|initials=AB",
        f"review_glomeruli|verdict=none|object={third.object_id}|initials=AB",
        "review_glomeruli|colour=confidence",
        "review_glomeruli|reviewed=yes|initials=CD",
        "review_glomeruli|list",
        f"review_glomeruli|verdict=maybe|object={first.object_id}|initials=AB",
        f"review_glomeruli|verdict=accept|object={first.object_id}",
        "review_glomeruli",
        "install_menu",
        image="kidney_01.tif",
        before=COMPILE,
    )
    assert f"compiled {len(list_scripts())}" in compiled
    assert "missing []" in compiled  # what the windows call; they themselves need a display
    ids = [line.partition("\t")[0] for line in listed.splitlines()]
    assert set(ids[:3]) == {first.object_id, second.object_id, third.object_id}  # the others have no confidence
    assert ids[-1] == "10 to do"
    assert reading.splitlines()[0].partition("\t")[0] == first.object_id
    left = [line.partition("\t")[0] for line in told[7].splitlines()]
    assert left[-1] == "1 accept, 1 reject, 1 sclerotic, 7 to do"
    assert not {first.object_id, second.object_id, drawn.object_id} & set(left)
    assert ["REFUSED" in text for text in told[8:11]] == [True] * 3
    assert "initials" in told[9]
    assert "Review glomeruli" in told[11]
    after = standing(one_process, moved)
    accepted, rejected, sclerotic = (after[item.object_id] for item in (first, second, drawn))
    assert (accepted.class_name, accepted.is_locked) == ("Glomerulus", True)
    assert (rejected.class_name, rejected.is_locked) == ("Rejected", False)
    assert (sclerotic.class_name, sclerotic.is_locked) == ("Glomerulus: Sclerotic", True)
    assert accepted.metadata["glomseg.initials"] == "AB"
    assert [owner(item) for item in (accepted, rejected)] == ["person", "person"]
    assert owner(after[third.object_id]) == "machine"  # a verdict that was taken back leaves no trace
    assert all(after[key].geometry.equals(item.geometry) for key, item in before.items())
    image = json.loads(glomseg("status", moved, "--json").out)["images"][0]
    assert image["review"] == left[-1]
    assert image["reviewed"].startswith("CD ")
    made_run(moved, "run-2", discs("run-2", FREE[:3], shift=5))
    again = json.loads(glomseg("collect", moved, "run-2", "--json").out)["images"]["1"]["collected"]
    assert (again["added"], again["removed"], again["dropped_for_a_persons"]) == (1, 1, 2)


def marks(objects):
    return sorted((item.metadata.get(RUN, ""), mark(item), item.name or "", item.class_name or "") for item in objects)


def test_an_import_in_qupath_does_what_collect_does(moved, one_process, glomseg, drive):
    """After a person's edits of every kind, in the whole of image 1 and in a part of image 2."""
    keys = ("1", "2")
    made_run(moved, "run-1", discs("run-1", FREE), keys)
    assert glomseg("collect", moved).code == 0
    in_another_process(EDIT, moved, one_process)
    names = ["", "glomeruli", "Glomerlus", "", "Glomerulus"]
    kinds = [*["annotation"] * 3, *["detection"] * 2]
    drawn = [(x, 700, *what) for (x, _), *what in zip(FREE, names, kinds, strict=False)]
    drawn += [(FREE[5][0] + 45, 700, "Candidate: Glomerulus", "annotation")]  # overlaps, and does not coincide
    one_process.call(draw, moved, "1", read_project(moved).images[0].path, drawn)
    new = [(x, 700) for x, _ in FREE]
    run = made_run(moved, "run-2", discs("run-2", [*FREE[:5], *new]) + discs("run-2", FREE[5:], shift=7), keys)
    write_geojson(run.folder / "area/2.geojson", [discs("x", [spot])[0] for spot in ((200, 200), (1240, 300))])
    twin = Path(shutil.copytree(moved.parent, moved.parents[1] / "twin")) / moved.name
    assert glomseg("collect", moved, "run-2").code == 0
    printed = drive(twin, "import_results|run-2", "import_results", "import_results|run-9")
    assert "0 added, 0 removed" in printed[2]
    assert "REFUSED run-9" in printed[3]
    for key in keys:
        ours, theirs = standing(one_process, moved, key), standing(one_process, twin, key)
        assert len(ours) > 8
        assert marks(theirs.values()) == marks(ours.values())
        ours, theirs = (read_memory(path.parent / "glomseg", key, path.parent / "data" / key) for path in (moved, twin))
        assert ours.is_of_data
        assert theirs.is_of_data
        assert {item.metadata[FINGERPRINT] for item in ours.predictions} == {mark(item) for item in theirs.predictions}
        assert sorted(REJECTED in item.metadata for item in ours.predictions) == sorted(
            REJECTED in item.metadata for item in theirs.predictions
        )
    backups = json.loads(glomseg("restore", twin, "1", "--json").out)
    assert [item["backup"] for item in backups] == ["run-2", "run-1"]
    for path in (moved, twin):
        (write,) = (path.parent / "glomseg/run-2/changes/1").glob("*.json")
        assert instant(json.loads(write.read_text("utf-8"))["at"]) > instant(run.started)  # by which the last is known
        assert glomseg("undo", path, "run-2").code == 0
    for key in keys:
        assert marks(standing(one_process, twin, key).values()) == marks(standing(one_process, moved, key).values())


def test_an_import_in_qupath_leaves_the_classes_that_another_listed_since(moved, drive):
    file = moved.parent / "classifiers" / "classes.json"
    listed = {"pathClasses": [{"name": "Cortex", "color": -16744193}]}
    file.write_text(json.dumps(listed), "utf-8")
    made_run(moved, "run-1", discs("run-1", FREE))
    listed["pathClasses"].append({"name": "Theirs", "color": -16711936})
    drive(moved, "import_results", image="kidney_01.tif", before=f"new File('{file}').text = '{json.dumps(listed)}'\n")
    assert [item["name"] for item in json.loads(file.read_text("utf-8"))["pathClasses"]] == [
        *("Cortex", "Theirs", "Glomerulus")
    ]


def test_an_import_does_not_believe_that_a_whole_run_was_deleted(moved, one_process, glomseg, drive):
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    image = read_project(moved).images[0]
    one_process.call(delete_predictions, moved, "1", image.path, 0)
    printed = drive(moved, "import_results", image="kidney_01.tif")[1]
    assert "all 8 outlines of an earlier run are gone at once" in printed
    assert "8 added" in printed
    one_process.call(delete_predictions, moved, "1", image.path, 3)
    assert "0 added, 0 removed, 3 as before, 0 left to a person's, 5 rejected" in drive(moved, "import_results")[1]


def test_a_run_whose_outlines_are_all_a_persons_already_is_in_the_project(moved, glomseg, drive):
    def told():
        (image, *_) = json.loads(glomseg("status", moved, "--json").out)["images"]
        (slide, *_) = json.loads(glomseg("measure", moved, "-o", moved.parent / "tables", "--json").out)["slides"]
        return image["runs"][0]["state"], slide["measured"]

    made_run(moved, "run-1", discs("run-1", [(657, 1905)]))  # on one that was drawn by hand
    assert told() == ("done", False)
    assert "0 added, 0 removed, 0 as before, 1 left to a person's" in drive(moved, "import_results")[1]
    assert told() == ("collected", True)


def test_an_import_brings_in_the_run_of_the_newest_instant(moved, one_process, drive):
    """Two zones, a clock that was set back, a copy of a run's folder, and a name that sorts last."""
    times = {
        "b": "2026-03-01T10:00:00.000+01:00",
        "a": "2026-03-01T09:30:00.000+00:00",
        "z": "2025-03-01T10:00:00+00:00",
    }
    for name, started in times.items():
        run = made_run(moved, name, discs(name, FREE))
        run.started = started
        run.save()
    shutil.copytree(moved.parent / "glomseg/a", moved.parent / "glomseg/a copy")
    drive(moved, "import_results", image="kidney_01.tif")
    assert {item.metadata[RUN] for item in standing(one_process, moved).values() if RUN in item.metadata} == {"a"}
    assert [path.parent.name for path in (moved.parent / "glomseg").glob("*/changes")] == ["a"]


def test_an_import_leaves_the_backup_that_was_made_last(moved, drive):
    """Though the clock was set back since, and beside a record of another's that says nothing."""
    runs = moved.parent / "glomseg"
    os.utime(moved.parent / "data/1/data.qpdata", (3e9, 3e9))
    odd = runs / "backup/1/20260101-000000-000-undo/backup.json"
    odd.parent.mkdir(parents=True)
    odd.write_text("{}")
    for name, shift in (("a", 0), ("b", 8), ("c", -8)):
        made_run(moved, name, discs(name, FREE, shift))
        drive(moved, f"import_results|{name}", image="kidney_01.tif")
    assert [backup.name for backup in list_backups(runs, "1")] == ["c", "b", "a"]
    assert list_backups(runs, "1")[-1].made.timestamp() > 3e9
    copy_made = json.loads((runs / "c/backup/1/backup.json").read_text())["made"]
    assert datetime.fromisoformat(copy_made).tzinfo is not None


def test_an_import_lets_no_older_run_take_the_place_of_one_that_cannot_be_read(moved, one_process, glomseg, drive):
    for name in ("a", "b"):
        made_run(moved, name, discs(name, FREE))
    before = standing(one_process, moved)
    (moved.parent / "glomseg/b/run.json").write_text('{"run_id": "b", "sta')  # written last, as the newest is
    refused = glomseg("qupath", "run", list_scripts()["import_results"], moved, "--image", "kidney_01.tif")
    assert refused.code == 1
    assert "The record of run b cannot be read" in refused.err
    assert standing(one_process, moved) == before
    assert "8 added" in drive(moved, "import_results|a", image="kidney_01.tif")[1]  # an older one that is named


NEWEST = """
def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(FOLDER, "glomseg_shared.groovy"))
def home = getProject().getPath().resolveSibling("glomseg")
def results = new GroovyShell(getClass().getClassLoader(), new Binding([shared: shared]))
    .parse(new File(FOLDER, "glomseg_results.groovy"))
println "last at work " + results.standingRunsIn(home)[-1]
println "candidates of " + shared.load("glomseg_candidates").newestRun(getProject(), getProjectEntry())?.getFileName()
"""


def test_the_run_that_stands_is_the_last_for_the_scripts_too(moved, one_process, glomseg, tmp_path):
    """What the same command let go on after a trial stands in the project: candidates and sureness were the trial's."""
    script = tmp_path / "newest.groovy"
    script.write_text(NEWEST.replace("FOLDER", json.dumps(str(list_scripts()["import_results"].parent))), "utf-8")
    for name, shift in (("usual", 0), ("trial", 8)):
        made_run(moved, name, discs(name, FREE, shift))
    for name in ("usual", "trial", "usual"):
        assert glomseg("collect", moved, name).code == 0
    assert {item.metadata[RUN] for item in standing(one_process, moved).values() if RUN in item.metadata} == {"usual"}
    said = glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif")
    assert "last at work usual" in said.out + said.err
    assert "candidates of usual" in said.out + said.err
    made_run(moved, "waits", discs("waits", FREE))
    said = glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif")
    assert "candidates of waits" in said.out + said.err


RECTANGLE = """
addObject(qupath.lib.objects.PathObjects.createAnnotationObject(
    qupath.lib.roi.ROIs.createRectangleROI({x}, 300, 60, 60, null),
    qupath.lib.objects.classes.PathClass.fromString("{name}")))"""
POINT = """
addObject(qupath.lib.objects.PathObjects.createAnnotationObject(
    qupath.lib.roi.ROIs.createPointsROI(50, 50, null), qupath.lib.objects.classes.PathClass.fromString("Glomerulus")))
getProjectEntry().putMetadataValue("glomseg.reviewed", "by AB")"""


def test_scripts_and_commands_take_the_same_for_a_glomerulus(moved, drive, glomseg, tmp_path):
    """Of the class and below, near spellings too, with an area: nothing else is counted, exported or taught."""
    classes = ("Glomerulus", "glomeruli", "Glomerulus: Sclerotic: Old", "Glomerulus: Artefact*", "Tubule")
    script, (table, out, tiles) = tmp_path / "draw.groovy", (tmp_path / name for name in ("all.csv", "out", "tiles"))
    drawn = "".join(RECTANGLE.format(x=60 + 80 * number, name=name) for number, name in enumerate(classes))
    script.write_text(f"clearAllObjects()\n{drawn}{POINT}", "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_02.tif", "--save").code == 0
    calls = (f"measure_summary|{table}", f"export_glomeruli|{out}", f"export_training_tiles|folder={tiles}|size=256")
    said = "".join(drive(moved, *calls, image="kidney_02.tif"))
    assert said.count("1 of class 'glomeruli' is read as Glomerulus") == len(calls)
    left_out = "1 point of class Glomerulus, 1 annotation of class Glomerulus: Artefact*, 1 annotation of class Tubule"
    assert said.count("left out: " + left_out) == len(calls)
    (row,) = csv.DictReader(table.open(encoding="utf-8"))
    assert (row["glomeruli"], row["sclerotic"]) == ("3", "1")
    assert len(read_geojson(out / "kidney_02.tif [2].geojson")) == 3
    assert glomseg("measure", moved, "-o", tmp_path / "tables").code == 0
    slides = {slide["image"]: slide for slide in read_csv(tmp_path / "tables/slides.csv")[1]}
    assert (slides["kidney_02.tif"]["profiles"], slides["kidney_02.tif"]["sclerotic"]) == ("3", "1")
    assert glomseg("export-tiles", moved, "-o", tmp_path / "ours", "--size", 256).code == 0
    labels = [folder / "kidney_02" for folder in (tiles, tmp_path / "ours")]
    theirs, ours = ({path.name: path for path in folder.glob("*-labelled.png")} for folder in labels)
    assert theirs.keys() == ours.keys()
    for name, path in theirs.items():
        one, other = (np.asarray(Image.open(label)) for label in (path, ours[name]))
        assert np.count_nonzero(one != other) <= 2 * 4 * 30  # half a pixel at the edges of rectangles
    found = np.concatenate([np.unique(np.asarray(Image.open(path))) for path in theirs.values()])
    assert set(found) == {0, 1, 2}


def test_what_stands_is_exported_measured_and_cut_into_tiles(moved, drive, data, tmp_path):
    out, table = tmp_path / "out", tmp_path / "all.csv"
    drive(
        moved,
        f"export_glomeruli|{out}",
        f"measure_summary|{table}",
        f"measure_summary|{table}",  # a second time replaces the row
        f"export_training_tiles|folder={tmp_path / 'tiles'}|size=256",
        f"export_training_tiles|folder={tmp_path / 'none'}|reviewed-only",
    )
    objects = read_geojson(out / "kidney_01.tif [1].geojson")
    assert len(objects) == 7
    rows = list(csv.DictReader((out / "kidney_01.tif [1].csv").open(encoding="utf-8")))
    assert [row["object_id"] for row in rows] == [
        item.object_id for item in sorted(objects, key=lambda item: item.geometry.centroid.y)
    ]
    area = {item.object_id: item.geometry.area * 0.25 for item in objects}
    assert all(float(row["area_um2"]) == pytest.approx(area[row["object_id"]], rel=1e-3) for row in rows)
    assert (out / "Ünï cöde #3.png [3].csv").is_file()
    first, second, third = csv.DictReader(table.open(encoding="utf-8"))
    assert (first["glomeruli"], first["sclerotic"], first["percent_sclerotic"]) == ("7", "2", "28.57")
    assert float(first["mean_area_um2"]) == pytest.approx(sum(area.values()) / 7, rel=1e-3)
    assert (second["glomeruli"], third["image"], third["mean_area_um2"]) == ("1", "Ünï cöde #3.png", "")
    assert [third[name] for name in ("glomeruli", "total_area_um2", "sclerotic")] == ["", "", ""]  # nobody looked at it
    made_run(moved, "run-1", [], keys=("3",))
    drive(moved, f"measure_summary|{table}")
    assert [row["glomeruli"] for row in csv.DictReader(table.open(encoding="utf-8"))] == ["7", "1", "0"]
    shutil.rmtree(moved.parent / "glomseg")
    named = moved.read_text("utf-8")
    moved.write_text(named.replace('"imageName": "kidney_02', f'"imageName": "{"ü" * 300}'), "utf-8")
    drive(moved, f"export_glomeruli|{tmp_path / 'long'}")
    assert sorted(path.suffix for path in (tmp_path / "long").glob("ü*")) == [".csv", ".geojson"]
    moved.write_text(named.replace('"imageName": "kidney_0', '"imageName": "=kidney_0'), "utf-8")
    drive(moved, f"export_glomeruli|{tmp_path / 'formulas'}", f"measure_summary|{tmp_path / 'formulas.csv'}")
    assert [row["image"] for row in read_csv(tmp_path / "formulas.csv")[1]][:2] == ["=kidney_01.tif", "=kidney_02.tif"]
    for path in (tmp_path / "formulas.csv", *(tmp_path / "formulas").glob("*kidney*.csv")):
        assert "'=kidney" in path.read_text("utf-8")
        assert not re.search('(^|[,"])=', path.read_text("utf-8"))
    published = data / "qupath/tiles/qupath_0_6_0_beside/kidney_01"
    labels = list((tmp_path / "tiles/kidney_01").glob("*-labelled.png"))
    assert labels
    marked = False
    for path in labels:
        assert path.with_name(path.name.replace("-labelled", "")).is_file()
        with Image.open(path) as ours, Image.open(published / path.name) as theirs:
            assert ours.mode == theirs.mode == "P"
            mine, qupaths = np.asarray(ours), np.asarray(theirs)
        ignored = mine == 3  # the area of class Ignore*, which QuPath's exporter knows nothing of
        assert np.array_equal(mine[~ignored], qupaths[~ignored])
        marked |= bool(ignored.any())
    assert marked
    assert not (tmp_path / "none").exists()


def test_the_open_image_is_annotated_inside_an_area(moved, one_process, drive, tmp_path):
    spots = [Disc(300, 300, 60, 60), Disc(700, 300, 60, 60), Disc(1240, 300, 60, 60)]
    disc_slide(moved.parents[1] / "kidney_02.tif", size=(2048, 1024), discs=spots, tissue=(0, 0, 2048, 1024))
    moved.write_text(moved.read_text("utf-8"), "utf-8")
    before = standing(one_process, moved, "2")
    write_geojson(tmp_path / "area.geojson", discs("x", [(300, 300), (1240, 300)]))
    model = save_oracle(tmp_path / "oracle")
    arguments = f"python={sys.executable}|model={model}|within={tmp_path / 'area.geojson'}|device=cpu"
    refused, done = drive(
        moved,
        "annotate_current_image|python=/nonexistent/python",
        f"annotate_current_image|{arguments}",
        image="kidney_02.tif",
    )[1:]
    assert "REFUSED" in refused
    assert "pip install glomseg" in refused
    assert "2 added" in done
    added = [item for key, item in standing(one_process, moved, "2").items() if key not in before]
    assert {round(item.geometry.centroid.x, -1) for item in added} == {300, 1240}
    assert all(owner(item) == "machine" for item in added)
