"""The main job, on projects that real QuPath wrote."""

import json
import shutil
from pathlib import Path

import pytest
from shapely.geometry import Point, box
from support.oracle import save_oracle
from support.qupath_side import parse_geojson
from support.slides import Disc, disc_slide

from glomseg.errors import GeoJSONError, ProjectError
from glomseg.qupath import image_data
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.qupath.project import read_project
from glomseg.runs.memory import read_memory
from glomseg.runs.plan import choose_images, plan_project, read_areas

IMAGES = 3


def memory_of(project: Path, key: str):
    return read_memory(project / "glomseg", key, project / "data" / key).predictions


def only_run(project: Path) -> Path:
    (record,) = (project / "glomseg").glob("*/run.json")
    return record.parent


def test_without_qupath_the_results_wait(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    before = {path: path.read_bytes() for path in (project / "data").rglob("*") if path.is_file()}
    result = glomseg("annotate", project, "--slides", data / "qupath", "--mpp", "0.5", "--overlay")
    assert result.code == 0, result.err
    assert "glomseg collect" in result.err
    assert "Ignore*" in result.err
    run = only_run(project)
    assert sorted(path.name for path in run.glob("*.geojson")) == ["1.geojson", "2.geojson", "3.geojson"]
    assert len(list((run / "overlay").glob("*.png"))) == IMAGES
    assert len(read_geojson(run / "1.geojson")) >= 3
    assert {path: path.read_bytes() for path in before} == before
    collecting = glomseg("collect", project, "--slides", data / "qupath")
    assert collecting.code == 1
    assert "PAQUO_QUPATH_DIR" in collecting.err


def test_an_area_to_ignore_of_another_spelling_is_said_to_be_looked_into(project: Path, no_qupath: None) -> None:
    summary = project / "data/1/summary.json"
    summary.write_text(summary.read_text("utf-8").replace("Ignore*", "ignore *"), "utf-8")
    read = read_project(project)
    remarks = plan_project(read, read.images, region_class=None, mpp=None).remarks
    assert "areas of class 'ignore *' are looked into; name the class Ignore* to leave them out" in remarks


def test_images_that_moved_or_lack_a_pixel_size_are_named(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    lost = glomseg("annotate", project)
    assert lost.code == 1
    for image in read_project(project).images:
        assert f"glomseg: {image.name}: " in lost.err
    assert lost.err.count("--slides") == IMAGES
    found = glomseg("annotate", project, "--slides", data / "qupath")
    assert found.code == 1
    assert found.err.count("--mpp") == 1
    assert glomseg("annotate", project, "--slides", data / "qupath", "--mpp", "0.5").code == 0


def test_only_the_image_that_is_asked_for(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    result = glomseg("annotate", project, "--slides", data / "qupath", "--image", "kidney_02.tif", "--json")
    assert list(json.loads(result.out)["images"]) == ["2"]
    assert "kidney_99" in glomseg("annotate", project, "--image", "kidney_99").err


def test_a_region_needs_qupath(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    result = glomseg("annotate", project, "--slides", data / "qupath", "--region", "Cortex")
    assert result.code == 1
    assert "--region Cortex" in result.err


def test_only_inside_the_areas_of_a_file(project: Path, tmp_path: Path, no_qupath: None, glomseg) -> None:
    (tmp_path / "drawn").mkdir()
    discs = [Disc(300, 300, 60, 60), Disc(1100, 300, 60, 60)]
    disc_slide(tmp_path / "drawn/kidney_01.tif", size=(2048, 2048), discs=discs, tissue=(0, 0, 2048, 2048))
    area = tmp_path / "area.geojson"
    write_geojson(area, [PathObject(geometry=Point(1100, 300).buffer(200))])
    oracle = save_oracle(tmp_path / "oracle")
    arguments = ("annotate", project, "--slides", tmp_path / "drawn", "--image", "1", "--model", oracle, "--no-collect")
    result = glomseg(*arguments, "--within", area)
    assert result.code == 0, result.err
    assert "no QuPath" not in result.err
    (found,) = read_geojson(only_run(project) / "1.geojson")
    assert found.geometry.centroid.distance(Point(1100, 300)) < 5
    assert glomseg(*arguments, "--within", area, "--region", "Cortex").code == 2
    assert glomseg(*arguments).code == 0  # the whole image is another run
    assert len(list((project / "glomseg").glob("*/run.json"))) == 2


def test_areas_off_the_image_are_said_and_none_on_it_is_a_failure(
    project: Path, data: Path, tmp_path: Path, no_qupath: None, oracle_folder: Path, glomseg
) -> None:
    area, beyond = tmp_path / "area.geojson", PathObject(geometry=box(9000, 0, 9900, 900))
    arguments = ("annotate", project, "--slides", data / "qupath", "--model", oracle_folder, "--image", "1")
    write_geojson(area, [PathObject(geometry=box(100, 100, 500, 500)), beyond])
    partly = glomseg(*arguments, "--within", area)
    assert partly.code == 0, partly.err
    assert "kidney_01.tif: 1 of 2 areas to look inside lie off the image, which is 2048 x 2048 px" in partly.err
    write_geojson(area, [beyond])
    off = glomseg(*arguments, "--within", area, "--json")
    assert off.code == 1
    assert json.loads(off.out)["images"]["1"]["state"] == "failed"
    assert "no area of --region or --within lies on the image, which is 2048 x 2048 px" in off.err


def test_another_image_under_the_old_name_is_refused(
    project: Path, tmp_path: Path, no_qupath: None, oracle_folder: Path, glomseg
) -> None:
    (tmp_path / "elsewhere").mkdir()
    disc_slide(tmp_path / "elsewhere" / "kidney_01.tif", size=(1000, 900))
    result = glomseg("annotate", project, "--slides", tmp_path / "elsewhere", "--image", "1", "--model", oracle_folder)
    assert result.code == 1
    assert "1000 x 900" in result.err
    assert "1000 x 900 px and the project says" in glomseg("doctor", project, "--slides", tmp_path / "elsewhere").out
    assert not list(only_run(project).glob("*.geojson"))


def test_status_needs_nothing_but_the_files(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    glomseg("annotate", project, "--slides", data / "qupath", "--image", "2")
    status = json.loads(glomseg("status", project, "--json").out)
    first, second, _ = status["images"]
    assert first["annotations"]["Glomerulus"] == 5
    assert first["runs"] == []
    assert second["runs"][0]["state"] == "done"
    assert "kidney_02.tif" in glomseg("status", project).out


def test_an_image_that_was_renamed_goes_by_its_name_of_now(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    arguments = ("annotate", project, "--slides", data / "qupath", "--image", "2")
    assert "kidney_02.tif" in glomseg(*arguments).out
    (outlines,) = only_run(project).glob("*.geojson")
    made = outlines.stat().st_mtime_ns
    path = project / "project.qpproj"
    path.write_text(path.read_text("utf-8").replace('"imageName": "kidney_02.tif"', '"imageName": "renamed"'), "utf-8")
    again = glomseg(*arguments)
    assert "renamed" in again.out
    assert "kidney_02.tif" not in again.out
    assert outlines.stat().st_mtime_ns == made  # and is not segmented again for it


@pytest.mark.parametrize("text", ["", "{", "[]", '{"images": 3}'])
def test_a_broken_project_gets_one_line(tmp_path: Path, glomseg, text: str) -> None:
    (tmp_path / "project.qpproj").write_text(text)
    for command in ("annotate", "status", "collect"):
        result = glomseg(command, tmp_path / "project.qpproj")
        assert result.code == 1
        assert len(result.err.strip().splitlines()) == 1
        assert "project.qpproj" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["project.qpproj"]


def test_an_odd_entry_is_one_image_that_fails(tmp_path: Path, no_qupath: None, glomseg) -> None:
    content = {"version": "0.6.0", "images": [{"entryID": "../../x", "imageName": "a"}]}
    (tmp_path / "project.qpproj").write_text(json.dumps(content))
    result = glomseg("annotate", tmp_path)
    assert result.code == 1
    assert "a: its entry in project.qpproj cannot be read (entry id '../../x')" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["glomseg", "project.qpproj"]
    assert glomseg("status", tmp_path).code in (0, 1)


def test_areas_of_a_file_are_repaired_aloud(tmp_path: Path) -> None:
    bow_tie = [[1000, 100], [1300, 500], [1300, 100], [1000, 500], [1000, 100]]
    shapes = [{"type": "Polygon", "coordinates": [bow_tie]}, {"type": "Point", "coordinates": [1, 1]}, None]
    features = [{"type": "Feature", "geometry": shape, "properties": {}} for shape in shapes]
    (tmp_path / "area.geojson").write_text(json.dumps(features))
    areas = read_areas(tmp_path / "area.geojson")
    assert sum(item.geometry.area for item in areas.objects) == pytest.approx(60_000)
    assert [remark.partition(": ")[2] for remark in areas.remarks] == [
        "1 invalid outline repaired (object 1)",
        "left out object 3: it has no geometry",
        "left out: 1 point without a class",
    ]
    (tmp_path / "area.geojson").write_text(json.dumps(features[1:2]))
    with pytest.raises(GeoJSONError, match="holds no area"):
        read_areas(tmp_path / "area.geojson")


def test_an_http_image_is_refused_and_the_others_go_on(project: Path, data: Path, no_qupath: None, glomseg) -> None:
    path = project / "project.qpproj"
    content = json.loads(path.read_text())
    content["images"][0]["serverBuilder"]["uri"] = "https://example.org/slide.svs"
    path.write_text(json.dumps(content))
    result = glomseg("annotate", project, "--slides", data / "qupath", "--mpp", "0.5")
    assert result.code == 1
    assert "kidney_01.tif: " in result.err
    assert sorted(item.name for item in only_run(project).glob("*.geojson")) == ["2.geojson", "3.geojson"]


@pytest.mark.qupath
def test_polygons_are_in_the_project_and_stay_as_they_are(project: Path, data: Path, qupath, glomseg) -> None:
    arguments = ("annotate", project, "--slides", data / "qupath", "--mpp", "0.5")
    stood = {key: qupath.call(read_annotations, project / "project.qpproj", key) for key in "123"}
    result = glomseg(*arguments, "--json")
    assert result.code == 0, result.err
    records = json.loads(result.out)["images"]
    for key in "123":
        now = qupath.call(read_annotations, project / "project.qpproj", key)
        assert [item for item in now if item in stood[key]] == stood[key]
        added = [item for item in now if item not in stood[key]]
        assert len(added) == records[key]["collected"]["added"]
        for item in added:
            assert item.class_name == "Glomerulus"
            assert item.metadata["glomseg.model"] == "pas-starter"
            assert 0 < item.measurements["Confidence"] <= 1
    assert sum(record["collected"]["added"] for record in records.values()) > 0
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (project / "data").rglob("*.*")}
    for again in (arguments, (*arguments, "--restart"), ("collect", project, "--slides", data / "qupath")):
        assert glomseg(*again).code == 0
        assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == files


@pytest.mark.qupath
@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_a_region_is_obeyed_and_what_is_to_ignore_left_out(
    project: Path, data: Path, qupath, tmp_path, glomseg
) -> None:
    """Discs drawn over image 1: inside Cortex, in its hole, off it, and on the Ignore* box."""
    slides = tmp_path / "drawn"
    slides.mkdir()
    discs = [Disc(300, 300, 60, 60), Disc(1950, 300, 60, 60), Disc(40, 40, 35, 35), Disc(1600, 1600, 60, 60)]
    disc_slide(slides / "kidney_01.tif", size=(2048, 2048), discs=discs, tissue=(0, 0, 2048, 2048))
    oracle = save_oracle(tmp_path / "oracle")
    arguments = ("--slides", slides, "--image", "1", "--model", oracle)
    assert glomseg("annotate", project, *arguments).code == 0
    assert len(read_geojson(only_run(project) / "1.geojson")) == 3
    shutil.rmtree(project / "glomseg")
    again = (*arguments, "--forget-rejections")  # what was deleted is not known any more
    assert glomseg("annotate", project, *again, "--region", "Cortex").code == 0
    centres = {
        tuple(map(round, item.geometry.centroid.coords[0])) for item in read_geojson(only_run(project) / "1.geojson")
    }
    cortex = next(
        item for item in qupath.call(read_annotations, project / "project.qpproj", "1") if item.class_name == "Cortex"
    )
    assert centres == {(round(d.x), round(d.y)) for d in discs if cortex.geometry.contains(Point(d.x, d.y))}
    assert "Medulla" in glomseg("annotate", project, *arguments, "--region", "Medulla").err


@pytest.mark.qupath
def test_qupath_imports_what_a_run_wrote(tmp_path: Path, oracle_folder: Path, qupath, glomseg) -> None:
    """The route by drag and drop: discs, and a ring whose hole is large enough to stay."""
    discs = [Disc(400, 400, 90, 90), Disc(900, 600, 200, 180, 0.4), Disc(1300, 300, 60, 80)]
    truth = disc_slide(tmp_path / "slide.tif", discs=discs)
    assert glomseg("segment", truth.path, "-o", tmp_path / "out", "--model", oracle_folder).code == 0
    written = {item.object_id: item for item in read_geojson(tmp_path / "out" / "slide.geojson")}
    read = qupath.call(parse_geojson, tmp_path / "out" / "slide.geojson")
    assert {item["id"] for item in read} == set(written)
    assert sorted(item["area"] for item in read) == pytest.approx(sorted(disc.area for disc in discs), rel=0.02)
    for item in read:
        twin = written[item["id"]]
        assert (item["class"], item["name"]) == (twin.class_name, twin.name)
        assert item["measurements"] == pytest.approx(dict(twin.measurements))
        assert item["metadata"] == dict(twin.metadata)
        assert item["area"] == pytest.approx(twin.geometry.area)


@pytest.mark.qupath
@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_only_the_chosen_image_is_written_and_its_name_may_hold_anything(
    project: Path, data: Path, qupath, glomseg
) -> None:
    path = project / "project.qpproj"
    path.write_text(path.read_text().replace('"imageName": "kidney_02.tif"', '"imageName": "HE [/20x] [bold]"'))
    arguments = ("annotate", project, "--slides", data / "qupath", "--mpp", "0.5")
    assert glomseg(*arguments).code == 0
    assert glomseg(*arguments, "--threshold", "0.5").code == 0
    before = {key: (project / "data" / key / "data.qpdata").read_bytes() for key in "13"}
    assert glomseg(*arguments, "--image", "2").code == 0
    assert {key: (project / "data" / key / "data.qpdata").read_bytes() for key in "13"} == before


@pytest.mark.qupath
@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_rejections_outlive_a_stop_between_the_write_and_its_memory(project: Path, data: Path, qupath, glomseg) -> None:
    arguments = ("annotate", project, "--slides", data / "qupath", "--image", "2")
    added = json.loads(glomseg(*arguments, "--json").out)["images"]["2"]["collected"]["added"]
    assert added > 0
    remembered = memory_of(project, "2")
    (lost,) = (project / "glomseg/memory/2").iterdir()
    lost.unlink()  # the record of the write says as much
    again = memory_of(project, "2")
    assert {item.object_id for item in again} == {item.object_id for item in remembered}
    assert len(again) == added


@pytest.mark.qupath
@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_one_damaged_image_does_not_stop_the_project(project: Path, data: Path, qupath, glomseg) -> None:
    damaged = project / "data" / "1" / "data.qpdata"
    damaged.write_bytes(damaged.read_bytes()[:500])
    result = glomseg("annotate", project, "--slides", data / "qupath", "--mpp", "0.5", "--json")
    assert result.code == 1
    images = json.loads(result.out)["images"]
    assert images["1"]["state"] == "failed"
    assert "collected" in images["2"]


@pytest.mark.parametrize(("damage", "word"), [("cut short", "is damaged"), ("missing", "is missing, and summary.json")])
def test_status_says_that_data_cannot_be_believed(project: Path, no_qupath: None, glomseg, damage, word) -> None:
    """What the summary says of data that is damaged or gone is no more than what QuPath said once."""
    path = project / "data/1/data.qpdata"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[:3000])
    first, second, _ = json.loads(glomseg("status", project, "--json").out)["images"]
    assert word in first["problem"]
    assert "glomseg restore PROJECT 1" in first["problem"]
    assert (first["machine"], first["persons"], first["verdicts"]) == (None, None, None)
    assert (second["machine"], second["persons"]) == (0, 1)
    shown = glomseg("status", project)
    assert shown.code == 0
    assert word in shown.out
    assert glomseg("restore", project, "1").code == 0


def test_data_that_may_not_be_read_stops_no_other_image(
    project: Path, no_qupath: None, glomseg, monkeypatch, tmp_path: Path
) -> None:
    """Root may read everything, so that the system's refusal is played."""
    is_complete = image_data.is_complete

    def refused(path: Path) -> bool:
        if path.parent.name == "1":
            raise PermissionError(13, "Permission denied", str(path))
        return is_complete(path)

    monkeypatch.setattr(image_data, "is_complete", refused)
    first, second, _ = json.loads(glomseg("status", project, "--json").out)["images"]
    assert "cannot be read (Permission denied); check the folder's rights" in first["problem"]
    assert second["persons"] == 1
    assert "Permission denied; check the path" not in glomseg("measure", project, "-o", tmp_path / "out").err
    assert "nothing to undo" in glomseg("undo", project).err


@pytest.mark.parametrize("project", ["0_6_0"], indirect=True)
def test_the_name_of_one_image_that_is_the_id_of_another_is_refused(project: Path, glomseg) -> None:
    """Slides called by numbers: not both are meant, and a printed way leads to either."""
    content = json.loads((project / "project.qpproj").read_text("utf-8"))
    for entry, name in zip(content["images"], ("2", "1", "7"), strict=True):
        entry["imageName"] = name
    (project / "project.qpproj").write_text(json.dumps(content), "utf-8")
    read = read_project(project)

    def chosen(*names):
        return [image.entry_id for image in choose_images(read, names)]

    assert chosen("3") == chosen("7") == chosen("id=3") == chosen("name=7") == ["3"]
    with pytest.raises(ProjectError, match="'2' is the id of 1, and the name of the image of id 1; say which: id=2 or"):
        chosen("2")
    assert (chosen("id=2"), chosen("name=2"), chosen("name=2", "id=2")) == (["2"], ["1"], ["1", "2"])
    with pytest.raises(ProjectError, match="has no image 'id=9'"):
        chosen("id=9")
    assert "id=2 or name=2" in glomseg("restore", project, "2").err
    assert glomseg("restore", project, "id=2").code == 0
