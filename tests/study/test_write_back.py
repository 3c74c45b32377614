"""`glomseg measure` on runs and on projects that real QuPath wrote."""

import csv
import errno
import json
import shutil
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from shapely.geometry import box
from support.qupath_side import twin
from support.slides import disc_slide

from glomseg import MeasureOptions, measure_project, write_measurements, write_tables
from glomseg.columns import measurements
from glomseg.errors import MeasureError, SampleSheetError
from glomseg.files import csv_text
from glomseg.labelled.match_samples import match_samples
from glomseg.labelled.sample_sheet import Sample, read_sample_sheet
from glomseg.qupath.amend import Amendment
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.qupath.project import image_state, read_project
from glomseg.runs.backups import list_backups
from glomseg.runs.ownership import owner, stamp
from glomseg.runs.reviewed import reviewed_objects
from glomseg.study import write_back
from glomseg.study.columns import TABLES
from glomseg.study.sources import read_sources
from glomseg.study.tables import placed_profiles, tables
from glomseg.study.write_back import Amended, amend_all


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def fake_run(project: Path, key: str = "1", shapes=((100, 100, 200, 200), (300, 100, 380, 180)), **record) -> Path:
    """Leave what a run leaves, without running a network."""
    folder = project / "glomseg" / "20260101-120000"
    objects = [PathObject(geometry=box(*shape), class_name="Glomerulus") for shape in shapes]
    write_geojson(folder / f"{key}.geojson", objects)
    images = {key: {"name": "kidney_01.tif", "state": "done", **record}}
    text = {"format_version": 1, "run_id": folder.name, "parameters": {}, "started": "2026", "images": images}
    (folder / "run.json").write_text(json.dumps(text))
    return folder


# --- plain slides


@pytest.fixture(scope="module")
def segmented(tmp_path_factory, oracle_folder: Path):
    """Two slides, segmented."""
    from glomseg.models.predict import load_model
    from glomseg.runs.listener import Listener
    from glomseg.runs.run import RunParameters
    from glomseg.runs.run_list import resume_or_start_in
    from glomseg.runs.segment_batch import Extras, Job, segment_one
    from glomseg.runs.table import write_table
    from glomseg.segment.pipeline import SegmentSettings

    folder = tmp_path_factory.mktemp("cohort")
    slides = [disc_slide(folder / f"{name}.tif", count=3 + seed, seed=seed) for seed, name in enumerate("ab")]
    run = resume_or_start_in(folder / "out", RunParameters(), restart=False)
    jobs = [Job(entry_id=slide.path.stem, name=slide.path.name, path=slide.path) for slide in slides]
    for job in jobs:
        segment_one(job, load_model(oracle_folder, "cpu"), run, SegmentSettings(), Extras(), Listener())
    write_table(run)
    return folder, slides


def test_tables_of_plain_slides(segmented, tmp_path: Path, glomseg) -> None:
    folder, slides = segmented
    sheet = tmp_path / "samples.csv"
    sheet.write_text("Image;Animal;Group\na.tif;m1;control\nb;m2;disease\nother.tif;m3;disease\n")
    result = glomseg("measure", folder / "out", "-o", tmp_path / "t", "--samples", sheet, "--pas")
    assert result.code == 0, result.err
    assert "other.tif" in result.err
    for name, columns in TABLES.items():
        header = (tmp_path / "t" / f"{name}.csv").read_text().splitlines()[0].split(",")
        assert header == [column.name for column in columns]
    found = rows(tmp_path / "t" / "glomeruli.csv")
    assert len(found) == sum(len(slide.discs) for slide in slides)
    total = sum(disc.area for slide in slides for disc in slide.discs) * 0.25
    assert sum(float(row["area_um2"]) for row in found) == pytest.approx(total, rel=0.02)
    assert {row["owner"] for row in found} == {"machine"}
    assert all(row["pas_fraction"] for row in found)
    assert [row["group"] for row in rows(tmp_path / "t" / "animals.csv")] == ["control", "disease"]
    compared = rows(tmp_path / "t" / "groups.csv")
    assert {row["reference_group"] for row in compared} == {"control"}
    assert all(row["difference_low"] == "" for row in compared)  # one animal a group has no interval
    described = {(row["table"], row["name"]): row for row in rows(tmp_path / "t" / "columns.csv")}
    assert described["glomeruli", "area_um2"]["unit"] == "um^2"
    assert all(row["description"] for row in described.values())


def test_a_damaged_result_stops_no_other(segmented, tmp_path: Path, glomseg) -> None:
    folder = Path(shutil.copytree(segmented[0] / "out", tmp_path / "out"))
    (folder / "a.geojson").write_text("{")
    result = glomseg("measure", folder, "-o", tmp_path / "t")
    assert result.code == 1
    assert "not measured: a.tif" in result.err
    assert [row["image"] for row in rows(tmp_path / "t" / "slides.csv")] == ["b.tif"]


def test_a_study_in_one_call_from_python(segmented, tmp_path: Path) -> None:
    """The same tables as the command writes; a sheet whose names begin a formula fits them again."""
    folder, slides = segmented
    copy = Path(shutil.copytree(folder / "out", tmp_path / "out"))
    record = json.loads((copy / "run.json").read_text())
    record["images"]["a"]["name"] = "=1+1.tif"
    (copy / "run.json").write_text(json.dumps(record))
    heard: list[str] = []
    result = measure_project(copy, MeasureOptions(primary="density_per_mm2"), progress=heard.append)
    files = write_tables(result.study, tmp_path / "t")
    assert {path.name for path in files} >= {"glomeruli.csv", "columns.csv", "measure.json"}
    assert any("measuring: b.tif" in text for text in heard)
    assert len(rows(tmp_path / "t" / "glomeruli.csv")) == sum(len(slide.discs) for slide in slides)
    assert "\n'=1+1.tif,a," in (tmp_path / "t" / "slides.csv").read_text()
    sheet = tmp_path / "samples.csv"
    sheet.write_text("image,animal\n'=1+1.tif,m1\nb.tif,m2\n")
    again = measure_project(copy, MeasureOptions(samples=sheet))
    assert [slide.slide.sample.animal for slide in again.study.slides] == ["m1", "m2"]
    with pytest.raises(MeasureError, match="`primary` 'area' is no quantity"):
        measure_project(copy, MeasureOptions(primary="area"))
    with pytest.raises(MeasureError, match="only a QuPath project"):
        write_measurements(again)


def test_every_table_has_a_column_for_every_value(segmented) -> None:
    """One dictionary: names are unique, each is explained, and QuPath's measurement list takes numbers alone."""
    study = measure_project(segmented[0] / "out").study
    for name, table in tables(study).items():
        columns = TABLES[name]
        assert len({column.name for column in columns}) == len(columns)
        assert all(column.title and column.text for column in columns)
        assert all(list(row) == [column.name for column in columns] for row in table)
    placed = placed_profiles(study, study.slides[0])[0]
    listed = measurements(TABLES["glomeruli"], placed)
    assert {"Area µm^2", "Circularity", "Counted", "Whole profile", "Nearest neighbour µm"} <= listed.keys()
    with pytest.raises(ValueError, match="no column for weight"):
        csv_text([column.name for column in TABLES["slides"]], [{"weight": 1.0}])


def test_json_and_a_wrong_reference(segmented, tmp_path: Path, glomseg) -> None:
    folder, _ = segmented
    result = glomseg("measure", folder / "out", "-o", tmp_path / "t", "--json", "--quiet")
    assert [row["image"] for row in json.loads(result.out)["slides"]] == ["a.tif", "b.tif"]
    assert "no animal" in result.err
    wrong = glomseg("measure", folder / "out", "--reference", "sham")
    assert wrong.code == 1
    assert "'sham'" in wrong.err
    assert glomseg("measure", folder / "out", "-o", tmp_path / "t", "--write").code == 1


def test_parquet_holds_what_the_csv_holds(segmented, tmp_path: Path, glomseg) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    glomseg("measure", segmented[0] / "out", "-o", tmp_path / "t", "--parquet")
    again = glomseg("measure", segmented[0] / "out", "-o", tmp_path / "t", "--parquet")
    assert again.code == 0, again.err
    theirs = tmp_path / "theirs/slides.parquet"
    theirs.parent.mkdir()
    theirs.write_bytes(b"mine")
    refused = glomseg("measure", segmented[0] / "out", "-o", theirs.parent, "--parquet")
    assert (refused.code, "slides.parquet is there and not of glomseg" in refused.err) == (1, True)
    assert list(theirs.parent.iterdir()) == [theirs]
    assert theirs.read_bytes() == b"mine"
    table = parquet.read_table(tmp_path / "t" / "glomeruli.parquet").to_pylist()
    for row, other in zip(table, rows(tmp_path / "t" / "glomeruli.csv"), strict=True):
        assert row["area_um2"] == pytest.approx(float(other["area_um2"]), rel=1e-6)


def test_a_runs_own_tables_are_not_replaced(segmented, glomseg) -> None:
    run = segmented[0] / "out"
    before = (run / "glomeruli.csv").read_bytes()
    refused = glomseg("measure", run, "-o", run)
    assert (refused.code, "is the folder of a run" in refused.err) == (1, True)
    assert (run / "glomeruli.csv").read_bytes() == before


# --- projects without QuPath


def test_without_qupath_the_newest_run_is_measured(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    fake_run(project, mpp=[0.5, 0.5])
    result = glomseg("measure", project, "--slides", data / "qupath")
    assert result.code == 0, result.err
    assert "without QuPath" in result.err
    found = rows(project / "glomseg" / "measurements" / "glomeruli.csv")
    assert [row["area_um2"] for row in found] == ["2500", "1600"]
    assert {row["source"] for row in found} == {"run 20260101-120000"}
    assert {(row["animal"], row["group"]) for row in found} == {("mouse-07", "control")}
    slides = rows(project / "glomseg" / "measurements" / "slides.csv")
    assert [(row["measured"], row["counted"]) for row in slides] == [("1", "2"), ("0", ""), ("0", "")]
    assert "not measured: kidney_02.tif, Ünï cöde #3.png: no run has finished it" in result.err
    assert glomseg("status", project).code == 0  # the folder of tables is no run


def test_without_qupath_a_run_that_was_taken_back_is_not_measured(project: Path, no_qupath: None, glomseg) -> None:
    """What it replaced stands in the project again; the outlines of the later one were measured, without a word."""
    later = fake_run(
        project, shapes=((100, 100, 150, 150),), mpp=[0.5, 0.5], undone={"at": "2027-01-02T10:00:00+00:00"}
    )
    later = later.rename(later.with_name("20270101-120000"))
    record = json.loads((later / "run.json").read_text()) | {"run_id": later.name, "started": "2027"}
    (later / "run.json").write_text(json.dumps(record))
    fake_run(project, mpp=[0.5, 0.5])
    assert glomseg("measure", project).code == 0
    found = rows(project / "glomseg" / "measurements" / "glomeruli.csv")
    assert [row["area_um2"] for row in found] == ["2500", "1600"]
    assert {row["source"] for row in found} == {"run 20260101-120000"}


def test_a_run_that_cannot_be_read_is_said(project: Path, no_qupath: None, glomseg) -> None:
    """Its outlines are no zero, and an older run's do not take their place, with exit code 0 as they did."""
    damaged = project / "glomseg" / "20270101-120000"
    fake_run(project, mpp=[0.5, 0.5])
    damaged.mkdir()
    (damaged / "run.json").write_text('{"format_version": 1, "run_id')
    write_geojson(damaged / "1.geojson", [])
    result = glomseg("measure", project)
    assert result.code == 0, result.err
    assert "20270101-120000/run.json is damaged" in result.err
    assert "its outlines of kidney_01.tif are not measured" in result.err
    assert "not measured: kidney_01.tif: what run 20270101-120000 found on it is not known" in result.err
    assert {row["measured"] for row in rows(project / "glomseg/measurements/slides.csv")} == {"0"}
    aside = damaged.rename(project / "aside")  # the way out that is said
    assert glomseg("measure", project).code == 0
    assert [row["measured"] for row in rows(project / "glomseg/measurements/slides.csv")] == ["1", "0", "0"]
    aside.rename(damaged)
    (project / "glomseg" / "20260101-120000" / "run.json").write_text("[]")
    result = glomseg("measure", project)
    assert "20260101-120000" in result.err
    assert {row["measured"] for row in rows(project / "glomseg/measurements/slides.csv")} == {"0"}


def test_no_pixel_size_gives_pixels_and_empty_um(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    fake_run(project, key="3")
    result = glomseg("measure", project, "--slides", data / "qupath", "--pas")
    assert result.code == 0
    (row,) = [row for row in rows(project / "glomseg/measurements/glomeruli.csv") if row["area_px2"] == "10000"]
    assert row["perimeter_px"] == "400"
    units = {column.name: column.unit for column in TABLES["glomeruli"]}
    assert {row[name] for name, unit in units.items() if unit.startswith("um")} == {""}
    assert "--mpp" in result.err


def test_nothing_annotated_and_images_missing(project: Path, no_qupath: None, glomseg) -> None:
    result = glomseg("measure", project)
    assert result.code == 0
    assert "glomseg annotate" in result.err
    assert rows(project / "glomseg/measurements/glomeruli.csv") == []


def test_marked_as_reviewed() -> None:
    """A mark on the image counts for all of it, one on a region for what has its centre there."""
    region = PathObject(geometry=box(0, 0, 100, 100), metadata={"glomseg.reviewed": "AB 2026"})
    inside, outside = (PathObject(geometry=box(x, 50, x + 40, 90), class_name="Glomerulus") for x in (50, 90))

    def reviewed(*objects: PathObject, **metadata: str) -> frozenset[int]:
        return reviewed_objects(AnnotatedImage(entry_id="1", name="a", objects=objects, metadata=metadata))

    assert reviewed(region, inside, outside) == {0, 1}
    assert reviewed(inside, outside, **{"glomseg.reviewed": "AB 2026"}) == {0, 1}
    assert reviewed(inside, outside) == frozenset()


def test_a_mark_in_the_project_hides_nothing_of_what_a_run_found(project: Path, no_qupath: None, glomseg) -> None:
    """Without QuPath the run's own outlines are measured, of which nobody said anything; what it doubted is said."""
    folder = fake_run(project, mpp=[0.5, 0.5], doubts=["looks like no slide that the model knows"])
    path = folder / "1.geojson"
    write_geojson(path, [stamp(item, run="r", model="m") for item in read_geojson(path)])
    content = json.loads((project / "project.qpproj").read_text())
    content["images"][0]["metadata"]["glomseg.reviewed"] = "AB 2026-11-23"
    (project / "project.qpproj").write_text(json.dumps(content))
    result = glomseg("measure", project)
    assert result.code == 0
    assert "kidney_01.tif looks like no slide that the model knows" in result.err
    assert {row["reviewed"] for row in rows(project / "glomseg/measurements/glomeruli.csv")} == {"0"}
    assert rows(project / "glomseg/measurements/slides.csv")[0]["reviewed_percent"] == "0"


# --- sample sheets


def test_sample_sheets(tmp_path: Path) -> None:
    sheet = tmp_path / "s.csv"
    sheet.write_bytes("\ufeffIMAGE\tAnimal\tStain\na b.tif\tm1\tPAS\n\t\t\n".encode())
    assert read_sample_sheet(sheet).samples == {"a b.tif": Sample(animal="m1", stain="PAS")}
    own = Sample(animal="old", group="control")
    found, remarks = match_samples(read_sample_sheet(sheet), [("1", "a b.tif", own), ("2", "c.tif", own)])
    assert found == {"1": Sample(animal="m1", group="control", stain="PAS"), "2": own}
    assert remarks[0] == "not in the sample sheet: c.tif"
    assert "animal old of a b.tif, and not m1" in remarks[1]
    for text in ("", "animal,group\n1,2\n", "image,animal\na,1\na,2\n"):
        sheet.write_text(text)
        with pytest.raises(SampleSheetError, match="sample sheet"):
            read_sample_sheet(sheet)
    with pytest.raises(SampleSheetError, match="does not exist"):
        read_sample_sheet(tmp_path / "no.csv")
    sheet.write_bytes(b"image,animal\n\xff\xfe,1\n")
    with pytest.raises(SampleSheetError, match="UTF-8"):
        read_sample_sheet(sheet)


# --- a real QuPath


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_5_1"], indirect=True)
def test_values_in_qupath_equal_those_in_the_csv(qupath, study: Path, tmp_path: Path, glomseg) -> None:
    before = {item.object_id: item for item in qupath.call(read_annotations, study, "1")}
    result = glomseg("measure", study, "--write", "--pas", "-o", tmp_path / "t")
    assert result.code == 0, result.err
    after = {item.object_id: item for item in qupath.call(read_annotations, study, "1")}
    assert after.keys() == before.keys()
    names = {
        "area_um2": "Area µm^2",
        "max_feret_um": "Max Feret µm",
        "min_feret_um": "Min Feret µm",
        "circularity": "Circularity",
        "pas_fraction": "PAS-positive fraction",
        "nearest_neighbour_um": "Nearest neighbour µm",
        "section_edge_um": "Distance to section edge µm",
        "whole": "Whole profile",
    }
    found = [row for row in rows(tmp_path / "t" / "glomeruli.csv") if row["entry_id"] == "1"]
    assert len(found) == 7
    for row in found:
        values = after[row["object_id"]].measurements
        for column, name in names.items():
            assert row[column] == "" or values[name] == pytest.approx(float(row[column]), rel=1e-6), column
    for key, item in before.items():
        assert after[key].geometry.equals(item.geometry)
        changed = vars_without_measurements(after[key]), vars_without_measurements(item)
        assert changed[0] == changed[1]
    (backup,) = list_backups(study.parent / "glomseg", "1")
    assert (backup.why, (backup.folder / "data.qpdata").is_file()) == ("before measurements or classes", True)
    state = image_state(read_project(study).images[0])
    assert glomseg("measure", study, "--write", "--pas", "-o", tmp_path / "t").code == 0
    assert image_state(read_project(study).images[0]) == state  # nothing new, nothing written


def vars_without_measurements(item: PathObject) -> tuple[object, ...]:
    return item.class_name, item.color, item.name, item.is_locked, dict(item.metadata)


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_measuring_leaves_the_machines_its_own_and_classes_are_a_persons(
    qupath, study: Path, tmp_path: Path, glomseg, oracle_folder: Path
) -> None:
    run = fake_run(study.parent, key="2", mpp=[0.5, 0.5])
    stamped = [stamp(replace(item, name=None), run=run.name, model="m") for item in read_geojson(run / "2.geojson")]
    write_geojson(run / "2.geojson", stamped)
    assert glomseg("collect", study).code == 0
    assert glomseg("measure", study, "--write", "-o", tmp_path / "t").code == 0
    objects = [item for item in qupath.call(read_annotations, study, "2") if "glomseg.run" in item.metadata]
    assert {owner(item) for item in objects} == {"machine"}
    assert all("Max Feret µm" in item.measurements for item in objects)
    sources = read_sources(study)
    label = Amendment(object_id=objects[0].object_id, class_name="Glomerulus: Sclerotic", color=(1, 2, 3))
    assert amend_all(sources, {"2": [label]}) == {"2": Amended("kidney_02.tif", changed=1)}
    after = {item.object_id: item for item in qupath.call(read_annotations, study, "2")}
    assert after[objects[0].object_id].class_name == "Glomerulus: Sclerotic"
    assert owner(after[objects[0].object_id]) == "person"
    assert owner(after[objects[1].object_id]) == "machine"
    stale = amend_all(sources, {"2": [Amendment(object_id=objects[1].object_id, class_name="Glomerulus: Sclerotic")]})
    assert "saved by somebody else" in stale["2"].problem


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_a_measurement_of_before_goes_where_it_holds_no_more(qupath, study: Path, tmp_path: Path, glomseg) -> None:
    """The distance to a neighbour that is gone stood in QuPath for good."""

    def distances() -> dict[str | None, float | None]:
        items = qupath.call(read_annotations, study, "1")
        return {item.object_id: item.measurements.get("Nearest neighbour µm") for item in items}

    assert glomseg("measure", study, "--write", "-o", tmp_path / "t").code == 0
    before = distances()
    left, *others = [key for key, value in before.items() if value is not None]
    assert others
    labels = [Amendment(object_id=str(key), class_name="Tubule") for key in others]
    amend_all(read_sources(study), {"1": labels})
    assert distances() == before
    assert glomseg("measure", study, "--write", "-o", tmp_path / "t").code == 0
    assert distances() == {**before, left: None}
    state = image_state(read_project(study).images[0])
    assert glomseg("measure", study, "--write", "-o", tmp_path / "t").code == 0
    assert image_state(read_project(study).images[0]) == state


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_what_is_not_in_the_project_is_not_measured(qupath, study: Path, tmp_path: Path, glomseg) -> None:
    """One outline of a person, two of a run: counted when they stand there, never left away without a word."""

    def measured() -> tuple[str, str, str]:
        result = glomseg("measure", study, "-o", tmp_path / "t")
        assert result.code == 0, result.err
        (row,) = [row for row in rows(tmp_path / "t" / "slides.csv") if row["entry_id"] == "2"]
        return row["measured"], row["counted"], row["remarks"]

    assert measured()[:2] == ("1", "1")
    assert "taken for all there are" in measured()[2]
    run = fake_run(study.parent, key="2", mpp=[0.5, 0.5])
    stamped = [stamp(item, run=run.name, model="m") for item in read_geojson(run / "2.geojson")]
    write_geojson(run / "2.geojson", stamped)
    before = measured()
    assert before[:2] == ("0", "")
    assert "glomseg collect" in before[2]
    yesterday = Path(shutil.copytree(study.parent / "data" / "2", tmp_path / "yesterday"))
    assert glomseg("collect", study).code == 0
    assert measured() == ("1", "3", "")
    shutil.copytree(yesterday, study.parent / "data" / "2", dirs_exist_ok=True)  # the run's record says: collected
    assert measured() == before
    assert glomseg("collect", study).code == 0
    assert measured()[:2] == ("1", "3")
    assert glomseg("undo", study).code == 0
    assert measured()[:2] == ("1", "1")


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_an_id_that_two_objects_have_is_left_alone_and_said(qupath, study: Path, glomseg, tmp_path: Path) -> None:
    run = fake_run(study.parent, key="2", mpp=[0.5, 0.5])
    stamped = [stamp(replace(item, name=None), run=run.name, model="m") for item in read_geojson(run / "2.geojson")]
    write_geojson(run / "2.geojson", stamped)
    assert glomseg("collect", study).code == 0
    image = read_project(study).images[1]
    assert qupath.call(twin, study, "2", image.path) == 1
    before = qupath.call(read_annotations, study, "2")
    (double,) = [key for key, count in Counter(item.object_id for item in before).items() if count > 1]
    single = next(item.object_id for item in before if item.object_id != double and item.class_name == "Glomerulus")
    labels = [Amendment(object_id=key, class_name="Glomerulus: Sclerotic") for key in (double, single)]
    amended = amend_all(read_sources(study), {"2": labels})["2"]
    assert amended.changed == 1
    assert "1 objects left alone, as others have their id" in str(amended)
    after = qupath.call(read_annotations, study, "2")
    assert [item.class_name for item in after if item.object_id == double] == ["Glomerulus"] * 2
    assert glomseg("measure", study, "--write", "-o", tmp_path / "t").code == 1


@pytest.mark.qupath
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_what_nobody_thought_of_stops_one_image_alone(qupath, study: Path, monkeypatch) -> None:
    """A full temporary folder is said with the way out, and the other image is written."""
    sources = read_sources(study)
    ids = {slide.image.entry_id: slide.image.objects[0].object_id for slide in sources.slides if slide.image.objects}
    assert len(ids) == 2
    label = {key: [Amendment(object_id=value, measurements={"mine": 1.0})] for key, value in ids.items()}
    failing, other = ids

    class Full:
        """QuPath's process, in whose temporary folder there is no room for one image."""

        def call(self, function, project_path, entry_id, *args, **kwargs):
            if entry_id == failing:
                raise OSError(errno.ENOSPC, "No space left on device", "data.qpdata", None, "/tmp/x/data.qpdata")
            return qupath.call(function, project_path, entry_id, *args, **kwargs)

    monkeypatch.setattr(write_back, "qupath_process", lambda: nullcontext(Full()))
    amended = amend_all(sources, label)
    assert amended[other].changed == 1
    way_out = "free space, or set TMPDIR to a folder on another disk"
    assert amended[failing].problem == f"cannot write /tmp/x/data.qpdata: No space left on device; {way_out}"
