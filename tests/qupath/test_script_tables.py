"""What QuPath's scripts write into tables is what the commands say, and no work of a person's goes with it."""

import csv
import json
import os
import re
import shutil

import pytest
from PIL import Image
from support.runs import FREE, discs, made_run, standing

from glomseg.errors import LabelError
from glomseg.files import read_csv
from glomseg.labelled.tile_files import tile_mpp
from glomseg.qupath.objects import write_geojson
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.ownership import RUN

pytestmark = pytest.mark.qupath


def rows(table):
    return list(csv.DictReader(table.open(encoding="utf-8")))


def profiles(glomseg, project, folder):
    assert glomseg("measure", project, "-o", folder).code == 0
    return [slide["profiles"] for slide in read_csv(folder / "slides.csv")[1]]


def test_outlines_that_do_not_stand_in_an_image_are_no_zero(moved, glomseg, drive, tmp_path):
    """Those of a run that waits, and of one that was taken back; where a run found none, that is a zero."""
    table, tables = tmp_path / "all.csv", tmp_path / "tables"
    made_run(moved, "run-1", discs("run-1", FREE[:3]), ("3",))
    said = drive(moved, f"measure_summary|{table}")
    assert "what run run-1 found there (3) does not stand in it" in "".join(said)
    assert [row["glomeruli"] for row in rows(table)] == ["7", "1", ""] == profiles(glomseg, moved, tables)
    assert glomseg("collect", moved).code == 0
    assert glomseg("undo", moved).code == 0
    said = drive(moved, f"measure_summary|{table}")
    assert "no run that was not taken back has worked on it" in "".join(said)
    assert [row["glomeruli"] for row in rows(table)] == ["7", "1", ""] == profiles(glomseg, moved, tables)
    made_run(moved, "run-2", [], ("3",))
    drive(moved, f"measure_summary|{table}")
    assert [row["glomeruli"] for row in rows(table)] == ["7", "1", "0"]
    run = moved.parent / "glomseg/run-2/run.json"
    record = json.loads(run.read_text("utf-8"))
    record["images"]["3"].update(width=10, height=10)  # on another image, as where a project was made again
    run.write_text(json.dumps(record), "utf-8")
    assert "what run-2 found, on another image under the id 3" in "".join(drive(moved, f"measure_summary|{table}"))
    assert [row["glomeruli"] for row in rows(table)] == ["7", "1", ""] == profiles(glomseg, moved, tables)


def test_a_persons_outlines_beside_a_run_that_waits_may_not_be_all(moved, glomseg, drive, tmp_path):
    """They counted as all where a later run found again what an undo had taken back, with nothing to add."""
    table, tables = tmp_path / "all.csv", tmp_path / "tables"
    found = FREE[:3]
    made_run(moved, "run-1", discs("run-1", found))
    said = drive(moved, f"measure_summary|{table}", image="kidney_01.tif")
    assert "what run run-1 found there (3) does not stand in it" in "".join(said)
    counted = [rows(table)[0]["glomeruli"]]
    assert glomseg("collect", moved).code == 0
    made_run(moved, "run-2", discs("run-2", found))
    assert glomseg("collect", moved).code == 0  # all of it stands
    for words in ([], ["undo", moved, "run-1"]):
        assert not words or glomseg(*words).code == 0
        drive(moved, f"measure_summary|{table}", image="kidney_01.tif")
        counted.append(rows(table)[0]["glomeruli"])
        assert profiles(glomseg, moved, tables)[0] == counted[-1]
    assert counted == ["", "10", ""]


AS_BEFORE = """
getAnnotationObjects().findAll { it.getMetadata()["glomseg.verdict"] }
    .each { it.setPathClass(getPathClass("Glomerulus")) }"""


def test_a_verdict_that_a_new_class_ended_is_in_no_table(moved, one_process, glomseg, drive, tmp_path):
    table, out, script = tmp_path / "all.csv", tmp_path / "out", tmp_path / "class.groovy"
    made_run(moved, "run-1", discs("run-1", FREE[:3]))
    assert glomseg("collect", moved).code == 0
    ours = [item for item in standing(one_process, moved).values() if RUN in item.metadata]
    verdicts = [
        f"review_glomeruli|verdict={said}|object={item.object_id}|initials=AB"
        for said, item in zip(("reject", "sclerotic"), ours, strict=False)
    ]
    calls = [f"measure_summary|{table}", f"export_glomeruli|{out}"]
    drive(moved, *verdicts, *calls, image="kidney_01.tif")
    assert (rows(table)[0]["glomeruli"], rows(table)[0]["with_verdict"]) == ("9", "1")
    assert [row["verdict"] for row in rows(out / "kidney_01.tif [1].csv") if row["verdict"]] == ["sclerotic"]
    script.write_text(AS_BEFORE, "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    drive(moved, *calls, image="kidney_01.tif")
    assert (rows(table)[0]["glomeruli"], rows(table)[0]["with_verdict"]) == ("10", "0")
    assert {(row["verdict"], row["initials"]) for row in rows(out / "kidney_01.tif [1].csv")} == {("", "")}


def test_a_verdict_holds_with_a_class_below_its_own(moved, one_process, glomseg, drive, tmp_path):
    """As the commands have it: the review in QuPath offered such a glomerulus again."""
    table, script = tmp_path / "all.csv", tmp_path / "class.groovy"
    drawn = next(item for item in standing(one_process, moved).values() if item.name == "manual 1")
    verdict = f"review_glomeruli|verdict=sclerotic|object={drawn.object_id}|initials=AB"
    drive(moved, verdict, image="kidney_01.tif")
    script.write_text(AS_BEFORE.replace('"Glomerulus"', '"Glomerulus: Sclerotic: Solid"'), "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    listed, _ = drive(moved, "review_glomeruli|list", f"measure_summary|{table}", image="kidney_01.tif")[1:]
    assert listed.splitlines()[-1] == "1 sclerotic, 6 to do"
    assert rows(table)[0]["with_verdict"] == "1"


def test_tables_of_a_persons_stay(moved, drive, tmp_path):
    """Columns that a person added, a table of theirs, one that a spreadsheet saved, and that of another project."""
    table, out = tmp_path / "all.csv", tmp_path / "out"
    calls = [f"measure_summary|{table}", f"export_glomeruli|{out}"]
    drive(moved, *calls)
    exported = out / "kidney_01.tif [1].csv"
    before = {path: path.read_text("utf-8") for path in (table, exported)}
    for path, text in before.items():
        path.write_text("".join(f"{line},blurred\n" for line in text.splitlines()), "utf-8")
    (out / "kidney_02.tif [2].csv").write_text("slide,remark\n2,look again\n", "utf-8")
    theirs = {path: path.read_text("utf-8") for path in (table, *out.glob("*.csv"))}
    said = drive(moved, *calls, image="kidney_01.tif")[1:] + drive(moved, *calls, image="kidney_02.tif")[1:]
    assert ["REFUSED" in text for text in said] == [True] * 4
    assert "columns that glomseg does not write (blurred)" in said[0]
    assert "no table of glomseg's" in said[3]
    assert {path: path.read_text("utf-8") for path in theirs} == theirs
    table.write_text(before[table].replace(",", ";"), "utf-8")
    assert "other marks than commas" in drive(moved, calls[0], image="kidney_01.tif")[1]
    quoted = before[table].replace("entry_id,image", '"entry_id","image"').replace('"kidney_01.tif"', "kidney_01.tif")
    table.write_text("\ufeff" + quoted, "utf-8")  # as a spreadsheet saves it
    drive(moved, calls[0], image="kidney_01.tif")
    assert sorted(rows(table), key=str) == sorted(csv.DictReader(before[table].splitlines()), key=str)
    other = shutil.copytree(moved.parent, tmp_path / "other") / moved.name
    other.write_text(other.read_text("utf-8").replace('"imageName": "kidney_01', '"imageName": "S21'), "utf-8")
    assert "a row of another image of id 1 (kidney_01.tif, study/" in drive(other, calls[0], image="S21.tif")[1]
    assert rows(table)[-1]["image"] == "kidney_01.tif"


def contents(*places):
    files = [path for place in places for path in (place.rglob("*") if place.is_dir() else [place])]
    return {path: path.read_bytes() for path in files if path.is_file()}


def test_what_a_person_corrected_or_another_project_wrote_stays(moved, drive, tmp_path):
    """Two readers' copies of a study, with the same ids and names; labels and outlines corrected after an export."""
    table, out, tiles = (tmp_path / name for name in ("all.csv", "out", "tiles"))
    exports = [f"export_glomeruli|{out}", f"export_training_tiles|folder={tiles}|size=256"]
    calls = [f"measure_summary|{table}", *exports]
    drive(moved, *calls, *calls, image="kidney_02.tif")
    table.write_text(table.read_text("utf-8") + "9,gone.tif,1,2.00,2.00,0,0.00,0\n", "utf-8")  # as older ones are
    before = contents(table, out, tiles)
    other = shutil.copytree(moved.parent, tmp_path / "other") / moved.name
    said = drive(other, *calls, image="kidney_02.tif")[1:]
    assert ["REFUSED" in text and "another" in text for text in said] == [True] * 3
    assert contents(table, out, tiles) == before
    drive(moved, calls[0], image="kidney_02.tif")
    assert [(row["entry_id"], row["project"]) for row in rows(table)] == [("9", ""), ("2", "study/project.qpproj")]
    next(tiles.rglob("*-labelled.png")).write_bytes(b"corrected")
    outlines = out / "kidney_02.tif [2].geojson"
    os.utime(outlines, (outlines.stat().st_mtime + 60,) * 2)
    before = contents(out, tiles)
    said = drive(moved, *exports, image="kidney_02.tif")[1:]
    assert ["REFUSED" in text for text in said] == [True] * 2
    assert "somebody saved or removed one since" in said[0]
    assert "corrected or made some, an export was stopped there" in said[1]
    assert contents(out, tiles) == before


def tiles(folder):
    return sorted(path.name for path in folder.rglob("*.png"))


def test_an_image_that_is_left_out_keeps_no_tiles_of_an_earlier_export(moved, glomseg, drive, tmp_path):
    """They taught what a person has deleted since; so do those under another name, from before it had a namesake."""
    folder, script = tmp_path / "tiles", tmp_path / "clear.groovy"
    call = f"export_training_tiles|folder={folder}|size=256"
    drive(moved, call)
    (folder / "kidney_01/mine.png").write_bytes(b"")
    of_others = [name for name in tiles(folder) if not name.startswith("kidney_01 [")]
    assert len(of_others) < len(tiles(folder))
    script.write_text("clearAllObjects()", "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    assert "files of its tiles of an earlier export are removed" in drive(moved, call, image="kidney_01.tif")[1]
    assert tiles(folder) == of_others
    assert not (folder / "kidney_01/kidney_01-tiles.json").exists()
    assert list(json.loads((folder / "export.json").read_text("utf-8"))["images"]) == ["kidney_02"]
    assert "removed" not in drive(moved, call, image="kidney_01.tif")[1]
    moved.write_text(
        moved.read_text("utf-8").replace('"imageName": "kidney_01.tif', '"imageName": "kidney_02.png'), "utf-8"
    )
    assert "which would count twice" in drive(moved, call, image="kidney_02.tif")[1]
    assert tiles(folder) == of_others
    (folder / "kidney_02").rename(tmp_path / "before")
    drive(moved, call, image="kidney_02.tif")
    assert [path.name for path in folder.iterdir() if path.name.startswith("kidney_02")] == ["kidney_02 [2]"]


ANOTHER_PLANE = """
addObject(PathObjects.createAnnotationObject(
    ROIs.createEllipseROI(40, 40, 80, 80, ImagePlane.getPlane(1, 0)), getPathClass("Glomerulus")))"""


def test_outlines_on_other_planes_are_said(moved, glomseg, drive, tmp_path):
    """As `measure` says it, which counts them too."""
    script = tmp_path / "plane.groovy"
    script.write_text(ANOTHER_PLANE, "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    said = drive(
        moved, f"measure_summary|{tmp_path / 'all.csv'}", f"export_glomeruli|{tmp_path}", image="kidney_01.tif"
    )
    assert "".join(said).count("1 on other planes than the first, counted as if there") == 2
    assert [row["glomeruli"] for row in rows(tmp_path / "all.csv")] == ["8"]


ELSEWHERE = """
def put = { x, side, name -> addObject(PathObjects.createAnnotationObject(
    ROIs.createRectangleROI(x, 1500, side, side, ImagePlane.getDefaultPlane()), getPathClass(name))) }
put(1000, 200, "Ignore*")
put(1050, 60, "Glomerulus")
put(-100, 60, "Glomerulus")"""


ACCEPT = """
def item = PathIO.readObjects(new File("{}"))[0]
item.getMetadata().putAll(["glomseg.verdict": "accept", "glomseg.initials": "AB"])
item.setLocked(true)
addObject(item)"""


def test_a_candidate_that_a_person_accepted_is_not_all_that_a_run_found_which_waits(moved, glomseg, drive, tmp_path):
    """The review offers candidates of a run that is not in the project: one of them counted as its only glomerulus."""
    table, counted = tmp_path / "all.csv", []
    run = made_run(moved, "run-1", discs("run-1", FREE[:3]), ("1",))
    write_geojson(run.candidates_path("1"), discs("run-1", FREE[3:4]))
    script = tmp_path / "accept.groovy"
    script.write_text(ACCEPT.format(run.candidates_path("1").as_posix()), "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    for words in ([], ["collect", moved]):
        assert not words or glomseg(*words).code == 0
        drive(moved, f"measure_summary|{table}", image="kidney_01.tif")
        counted.append(rows(table)[0]["glomeruli"])
        assert profiles(glomseg, moved, tmp_path / "tables")[0] == counted[-1]
    assert counted == ["", "11"]


def test_glomeruli_that_measure_leaves_out_are_said(moved, glomseg, drive, tmp_path):
    """Both tables have all profiles; how many of them do not count is as `measure` has it."""
    script, left_out = tmp_path / "elsewhere.groovy", []
    script.write_text(ELSEWHERE, "utf-8")
    for _ in range(2):
        said = "".join(drive(moved, f"measure_summary|{tmp_path / 'all.csv'}", image="kidney_01.tif"))
        left_out.append(int(re.search(r"(\d+) off the image, outside of the cortex or in areas", said)[1]))
        assert glomseg("measure", moved, "-o", tmp_path / "tables").code == 0
        slide = read_csv(tmp_path / "tables" / "slides.csv")[1][0]
        assert rows(tmp_path / "all.csv")[0]["glomeruli"] == slide["profiles"]
        assert left_out[-1] == int(slide["profiles"]) - int(slide["counted"])
        assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    assert left_out[1] == left_out[0] + 2


HALF = """
qupath.lib.io.PathIO.metaClass.static.exportObjectsAsGeoJSON = { java.nio.file.Path file, Collection items,
        qupath.lib.io.PathIO.GeoJsonExportOptions[] how ->
    java.nio.file.Files.writeString(file, "{")
    throw new IllegalArgumentException("No space left on device")
}
"""


def test_half_an_export_is_no_whole_one(moved, glomseg, drive, tmp_path):
    """On a full disk the last outlines stay, and `glomseg train` takes no tiles of an image that lacks some."""
    out, folder, table = tmp_path / "out", tmp_path / "tiles", tmp_path / "all.csv"
    calls = [f"export_glomeruli|{out}", f"measure_summary|{table}"]
    drive(moved, *calls, f"export_training_tiles|folder={folder}|size=256", image="kidney_02.tif")
    before = contents(out, table)
    assert "No space left" in "".join(drive(moved, *calls, image="kidney_02.tif", before=HALF))
    assert contents(out, table) == before
    tile = next(path for path in (folder / "kidney_02").glob("*.png") if "-labelled" not in path.name)
    shutil.copytree(folder, tmp_path / "before")
    for path in (folder / "kidney_02").iterdir():
        path.unlink()
    (tile / "in the way").mkdir(parents=True)  # QuPath cannot write it, and only logs that
    script = list_scripts()["export_training_tiles"]
    given = [part for said in (f"folder={folder}", "size=256") for part in ("--arg", said)]
    said = glomseg("qupath", "run", script, moved, "--image", "kidney_02.tif", *given)
    assert said.code == 1
    assert "tiles and labels could not be written" in said.err
    label = next((folder / "kidney_02").glob("*-labelled.png"))
    with pytest.raises(LabelError, match="cut short, so that tiles are missing; export them again"):
        tile_mpp(label)
    assert tile_mpp(folder / "kidney_01" / label.name) == tile_mpp(next((tmp_path / "before").rglob("*.png")))
    shutil.rmtree(folder / "kidney_02")
    drive(moved, f"export_training_tiles|folder={folder}|size=256", image="kidney_02.tif")
    assert contents(folder).keys() == {
        folder / path.relative_to(tmp_path / "before") for path in contents(tmp_path / "before")
    }
    assert (folder / "export.json").read_text("utf-8") == (tmp_path / "before/export.json").read_text("utf-8")


ODD = """
def plane = ImagePlane.getDefaultPlane(), name = getPathClass("Glomerulus")
def circle = { x, y -> ROIs.createEllipseROI(x, y, 60, 60, plane) }
addObjects([
    PathObjects.createDetectionObject(circle(40, 1500), name),
    PathObjects.createAnnotationObject(ROIs.createLineROI(40, 1700, 90, 1800, plane), name),
    PathObjects.createAnnotationObject(circle(240, 1500), name),
    PathObjects.createAnnotationObject(circle(250, 1500), name),
    PathObjects.createAnnotationObject(RoiTools.union([circle(400, 1500), circle(500, 1500)]), name)])"""


def test_what_counts_twice_or_not_at_all_is_said(moved, glomseg, drive, tmp_path):
    """As `measure` says it: detections of the class, what lies on another, and several in one."""
    script = tmp_path / "odd.groovy"
    script.write_text(ODD, "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif", "--save").code == 0
    calls = [f"measure_summary|{tmp_path / 'all.csv'}", f"export_glomeruli|{tmp_path}", "export_training_tiles"]
    said = drive(moved, *calls, image="kidney_01.tif")[1:]
    measured = glomseg("measure", moved, "-o", tmp_path / "tables").err
    for text in (measured, *said):
        assert "1 detection of class Glomerulus" in text
        assert "1 line of class Glomerulus" in text
    for text in (measured, *said[:2]):
        assert "1 outline lies on another, and each counts" in text
        assert "1 outline has several parts and counts once" in text


GREY = """
def server = qupath.lib.images.servers.ImageServers.buildServer(new File("{file}").toURI())
def entry = getProject().addImage(server.getBuilder()), data = new qupath.lib.images.ImageData(server)
entry.setImageName("grey.png")
data.getHierarchy().addObject(PathObjects.createAnnotationObject(
    ROIs.createEllipseROI(60, 60, 80, 80, ImagePlane.getDefaultPlane()), getPathClass("Glomerulus")))
entry.saveImageData(data)
getProject().syncChanges()"""


def test_tiles_are_cut_from_rgb_alone(moved, glomseg, drive, tmp_path):
    """As `glomseg export-tiles` has it; of many another picture QuPath wrote labels alone, and they were counted."""
    script = tmp_path / "grey.groovy"
    Image.new("L", (512, 512), 200).save(tmp_path / "grey.png")
    script.write_text(GREY.format(file=(tmp_path / "grey.png").as_posix()), "utf-8")
    assert glomseg("qupath", "run", script, moved, "--image", "kidney_01.tif").code == 0
    said = drive(moved, f"export_training_tiles|folder={tmp_path / 'tiles'}|size=256", image="grey.png")[1]
    assert "not an RGB brightfield image; glomseg works on RGB slides alone; left out" in said
    assert not list((tmp_path / "tiles").rglob("*.png"))
