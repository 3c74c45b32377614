"""A project read as JSON: real ones of two QuPath versions, and what must be refused."""

import json
import os
import shutil
from pathlib import Path

import pytest
from support.project_copy import copy_project
from support.project_files import builder, calibration, only, touch, write

from glomseg.errors import ProjectError
from glomseg.qupath.class_list import ProjectClass
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.safe_write import _save_classes

VERSIONS = ["0_5_1", "0_6_0"]
UMLAUT = "Ünï cöde #3.png"


@pytest.fixture(params=VERSIONS)
def real(request, data, tmp_path):
    """A copy of a real project with its three images beside it, as they were when QuPath saved it."""
    copy_project(data / "qupath" / f"project_{request.param}", tmp_path / "study")
    for name in ("kidney_01.tif", "kidney_02.tif", UMLAUT):
        shutil.copy(data / "qupath" / name, tmp_path / name)
    return tmp_path / "study"


def test_a_real_project_is_read(real):
    project = read_project(real)
    first, second, third = project.images
    assert project.version in ("0.5.1", "0.6.0")
    assert project.folder == real
    assert (first.entry_id, first.name, first.width, first.height) == ("1", "kidney_01.tif", 2048, 2048)
    assert (first.mpp_x, first.mpp_y) == (0.5, 0.5)
    assert first.metadata == {"Animal": "mouse-07", "Group": "control"}
    assert (second.height, second.metadata["Group"]) == (1024, "5/6Nx")
    assert (third.name, third.mpp_x, third.mpp_y) == (UMLAUT, None, None)
    assert [image.problem for image in project.images] == [None] * 3
    assert {item.name: item.color for item in project.classes} == {
        "Glomerulus": (255, 0, 0),
        "Glomerulus: Sclerotic": (120, 0, 120),
        "Cortex": (0, 128, 255),
        "Ignore*": (180, 180, 180),
    }


def test_file_and_folder_name_the_same_project(real):
    assert read_project(real / "project.qpproj") == read_project(real)


def test_images_that_moved_with_their_project_are_found(real):
    places = [image.path for image in read_project(real).images]
    assert places == [real.parent / name for name in ("kidney_01.tif", "kidney_02.tif", UMLAUT)]


def test_what_stands_on_disk_is_told_without_a_jvm(real):
    first, second, _ = read_project(real).images
    state = image_state(first)
    assert state.object_count == 16
    assert state.annotation_counts["Glomerulus: Sclerotic"] == 2
    assert state.saved_ms is not None
    assert state.modified_ns is not None
    assert state == image_state(first)
    data = first.data_folder / "data.qpdata"
    shutil.copy2(second.data_folder / "data.qpdata", data)
    assert image_state(first) != state
    data.unlink()
    assert image_state(first).sha256 is None


def test_images_of_one_name_stay_apart(tmp_path):
    for folder in "xy":
        touch(tmp_path / folder / "a.tif")
    uris = [f"file:{tmp_path}/{folder}/a.tif" for folder in "xy"]
    one, two = read_project(write(tmp_path / "study", *map(builder, uris))).images
    assert (one.entry_id, two.entry_id) == ("1", "2")
    assert one.path != two.path
    assert one.data_folder != two.data_folder


def test_the_pixel_size_of_the_project_file_wins(real):
    path = real / "project.qpproj"
    content = json.loads(path.read_text("utf-8"))
    content["images"][0]["serverBuilder"]["metadata"]["pixelCalibration"] = calibration(0.23)
    path.write_text(json.dumps(content), "utf-8")
    assert read_project(real).images[0].mpp_x == 0.23  # server.json still says 0.5, and QuPath does not read it


def test_a_pixel_size_that_the_project_file_does_not_have_yet_counts_and_is_told(tmp_path):
    path = write(tmp_path, builder(touch(tmp_path / "a.tif").as_uri(), pixelCalibration=calibration(0.5)))
    server = touch(tmp_path / "data/1/server.json")  # Ctrl+S in QuPath writes this, and not the project's file
    written = path.stat().st_mtime_ns

    def saved(content, at=written + 1):
        server.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        os.utime(server, ns=(at, at))
        return only(path)

    image = saved(builder(pixelCalibration=calibration(0.25)))
    assert image.mpp == (0.25, 0.25)
    (said,) = image.remarks
    assert said.startswith(
        "QuPath saved it with 0.25 x 0.25 um per pixel, which counts, and the project's file still says"
    )
    for text in ("[]", "{", '{"metadata": 1}', builder(pixelCalibration=calibration(0.5)), builder()):
        assert (saved(text).mpp, saved(text).remarks) == ((0.5, 0.5), ())
    other = builder(pixelCalibration=calibration(0.25), width=401)  # a folder of another image
    assert (saved(other).mpp, saved(other).remarks) == ((0.5, 0.5), ())
    # QuPath wrote the project since, perhaps another that knew the former size
    image = saved(builder(pixelCalibration=calibration(0.25)), at=written)
    assert image.mpp == (0.5, 0.5)
    (said,) = image.remarks
    assert "the project's file, which was written since, says 0.5 x 0.5, which counts" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged"),
        ('{"version": "0.6.0", "images": [', "damaged"),
        ("\x00\x01", "damaged"),
        ("[]", "no QuPath project"),
        ("{}", "no QuPath project"),
        ('{"version": "0.6.0", "images": 3}', "no QuPath project"),
        ('{"version": "0.6.0", "images": [{"entryID": 1}, {"entryID": 1}]}', "two images"),
        ('{"version": "0.1.2", "images": []}', "0.1.2"),
        ('{"version": "v0.2.0-m2", "images": []}', "v0.2.0-m2"),
    ],
)
def test_what_is_no_project_gets_one_line(tmp_path, text, said):
    path = tmp_path / "project.qpproj"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ProjectError, match=said) as caught:
        read_project(path)
    assert "\n" not in str(caught.value)


def test_paths_that_name_no_project(tmp_path):
    with pytest.raises(ProjectError, match="does not exist"):
        read_project(tmp_path / "gone" / "project.qpproj")
    with pytest.raises(ProjectError, match="holds 0"):
        read_project(tmp_path)
    with pytest.raises(ProjectError, match="no QuPath project"):
        read_project(touch(tmp_path / "slide.svs"))
    path = write(tmp_path / "study", builder())
    with pytest.raises(ProjectError, match="no folder"):
        read_project(path, slides=[Path("/nowhere")])
    shutil.copy(path, path.with_name("other.qpproj"))
    assert read_project(tmp_path / "study").path == path
    path.rename(path.with_name("third.qpproj"))
    with pytest.raises(ProjectError, match="holds 2"):
        read_project(tmp_path / "study")


def test_a_damaged_class_list_is_named(tmp_path):
    path = write(tmp_path / "study", builder())
    classes = tmp_path / "study" / "classifiers" / "classes.json"
    touch(classes)
    with pytest.raises(ProjectError, match=r"classes\.json"):
        read_project(path)


def test_a_project_without_images_is_one(tmp_path):
    assert read_project(write(tmp_path / "study")).images == ()


# --- one odd thing stops nothing else


@pytest.mark.parametrize(
    "entry",
    [
        3,
        None,
        {"entryID": "../../x"},
        {"entryID": None},
        {"imageName": "x"},
        {"entryID": 9, "serverBuilder": 5},
        {"entryID": 9, "serverBuilder": {"builderType": "uri", "uri": 7, "metadata": []}},
        {"entryID": 9, "serverBuilder": {"builderType": "pyramidize", "builder": []}},
        {"entryID": 9, "metadata": [], "imageName": {}},
    ],
)
def test_an_image_that_cannot_be_read_stops_no_other(tmp_path, entry):
    touch(tmp_path / "study" / "a.tif")
    path = write(tmp_path / "study", builder())
    content = json.loads(path.read_text("utf-8"))
    content["images"].insert(0, entry)
    path.write_text(json.dumps(content), "utf-8")
    odd, good = read_project(path).images
    assert odd.problem
    assert odd.data_folder.parent == path.parent / "data"
    assert (good.problem, good.name) == (None, "image 1")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"pathClasses": [{"name": "Tumor", "colorRGB": -3670016}]}, ["Tumor"]),
        ({"pathClasses": [None, {"name": "Tumor", "color": -3670016}]}, ["Tumor"]),
        ({"pathClasses": [{"color": -1}, {"name": "Tumor", "color": -3670016}]}, ["Tumor"]),
        ({"pathClasses": [{"name": None, "color": -1}, {"name": " "}, 3]}, []),
        ({"pathClasses": ["Tumor"]}, ["Tumor"]),
        ({"pathClasses": [{"name": "Tumor", "color": "red"}]}, ["Tumor"]),
        ({"pathClasses": {}}, []),
        ({"pathClasses": None}, []),
        ({}, []),
        ([], []),
    ],
)
def test_odd_classes_refuse_no_project(tmp_path, content, names):
    path = write(tmp_path / "study", builder())
    classes = tmp_path / "study" / "classifiers" / "classes.json"
    classes.parent.mkdir()
    classes.write_text(json.dumps(content))
    assert [item.name for item in read_project(path).classes] == names
    _save_classes(classes, [ProjectClass(name="Tumor", color=(1, 2, 3)), ProjectClass(name="New", color=None)])
    assert {item.name for item in read_project(path).classes} == {"Tumor", "New"}


@pytest.mark.parametrize(
    ("data_s", "is_of_it"),
    [
        (100.123, True),  # as QuPath leaves them
        (100.13, True),  # on a disk that keeps hundredths
        (99.0, True),  # out of an archive
        (300.5, False),  # put back, or a copy
        (40.123, False),  # older data, with their time
        (40.0, False),
    ],
)
def test_a_summary_counts_where_it_is_of_the_data_beside_it(real, data_s, is_of_it):
    folder = real / "data" / "1"
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "timestamp": 100_123}))
    os.utime(folder / "data.qpdata", ns=(round(data_s * 1e9), round(data_s * 1e9)))
    state = image_state(read_project(real).images[0])
    assert (state.object_count, sum(state.annotation_counts.values())) == ((16, 10) if is_of_it else (None, 0))


@pytest.mark.parametrize(
    "summary",
    [
        [],
        {"hierarchy": 5, "timestamp": "now"},
        {"hierarchy": {"annotationClassificationCounts": [1], "nObjects": "3"}, "timestamp": 1e300},
        {"hierarchy": {"annotationClassificationCounts": {"a": "x", "b": 2, "c": None}}, "timestamp": -5},
    ],
)
def test_an_odd_summary_is_none(real, summary, glomseg):
    (real / "data" / "1" / "summary.json").write_text(json.dumps(summary))
    state = image_state(read_project(real).images[0])
    assert (state.saved_ms, state.object_count) == (None, None)
    assert dict(state.annotation_counts) in ({}, {"b": 2})
    assert glomseg("status", real).code == 0
