"""A project read as JSON: real ones of two QuPath versions, moved images, and what must be refused."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from glomseg.errors import ProjectError
from glomseg.qupath.class_list import ProjectClass
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.safe_write import _save_classes

VERSIONS = ["0_5_1", "0_6_0"]
UMLAUT = "Ünï cöde #3.png"


@pytest.fixture(params=VERSIONS)
def real(request, data, tmp_path):
    """A copy of a real project with its three images beside it, as they were when QuPath saved it."""
    shutil.copytree(data / "qupath" / f"project_{request.param}", tmp_path / "study")
    for name in ("kidney_01.tif", "kidney_02.tif", UMLAUT):
        shutil.copy(data / "qupath" / name, tmp_path / name)
    return tmp_path / "study"


def builder(uri="file:/slides/a.tif", args=(), kind="uri", **metadata):
    return {
        "builderType": kind,
        "providerClassName": "qupath.lib.images.servers.openslide.OpenslideServerBuilder",
        "uri": uri,
        "args": list(args),
        "metadata": {"width": 400, "height": 300, "sizeZ": 1, "sizeT": 1, "isRGB": True} | metadata,
    }


def calibration(x, y=None, unit="µm", unit_y=None):
    sides = {"pixelWidth": (x, unit), "pixelHeight": (x if y is None else y, unit_y or unit)}
    return {side: {"value": value, "unit": name} for side, (value, name) in sides.items()}


def write(folder, *builders, uri="file:/old/study/project.qpproj", **changes):
    folder.mkdir(parents=True, exist_ok=True)
    images = [
        {"serverBuilder": item, "entryID": number, "imageName": f"image {number}", "metadata": {}}
        for number, item in enumerate(builders, 1)
    ]
    content = {"version": "0.6.0", "uri": uri, "lastID": len(images), "images": images} | changes
    path = folder / "project.qpproj"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"pixels")
    return path


def only(path, **options):
    (image,) = read_project(path, **options).images
    return image


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


@pytest.mark.parametrize(
    "uri",
    [
        "file:{p}/my slides/a%23b é.tif",
        "file:{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file://{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file://localhost{p}/my%20slides/a%23b%20%C3%A9.tif",
        "FILE:{p}/my%20slides/a%23b%20%C3%A9.tif",
        "file:{p}/my%20slides/a%23b%20e%CC%81.tif",  # as a Mac writes it
    ],
)
def test_every_spelling_of_a_file_uri(tmp_path, uri):
    slide = touch(tmp_path / "my slides" / "a#b é.tif")
    image = only(write(tmp_path / "study", builder(uri.format(p=tmp_path))))
    assert image.problem is None
    assert image.path == slide


@pytest.mark.parametrize(
    "uri",
    [
        "file:/C:/Slides/kidney%201.svs",
        "file:///c:/Slides/kidney%201.svs",
        "file://server/share/kidney%201.svs",
        "file:////server/share/kidney%201.svs",
        "file:/Volumes/old%20disk/kidney%201.svs",
    ],
)
def test_images_of_another_machine_are_found_by_name(tmp_path, uri):
    path = write(tmp_path / "study", builder(uri), uri="file:/D:/study/project.qpproj")
    image = only(path)
    assert image.path is None
    assert "`slides`" in image.problem
    assert "kidney 1.svs" in image.problem
    slide = touch(tmp_path / "archive" / "2024" / "kidney 1.svs")
    assert only(path, slides=[tmp_path / "archive"]).path == slide


@pytest.mark.parametrize(
    ("project_uri", "uri"),
    [
        ("file:/D:/lab/study/project.qpproj", "file:/D:/lab/slides/a.tif"),
        ("file:/d:/lab/study/project.qpproj", "file:/D:/lab/slides/a.tif"),
        ("file:/lab/study/project.qpproj", "file:///lab/slides/a.tif"),
        ("file://nas/lab/study/project.qpproj", "file://nas/lab/slides/a.tif"),
    ],
)
def test_an_image_is_found_where_it_lay_beside_its_project(tmp_path, project_uri, uri):
    slide = touch(tmp_path / "new" / "slides" / "a.tif")
    touch(tmp_path / "new" / "a.tif")
    assert only(write(tmp_path / "new" / "study", builder(uri), uri=project_uri)).path == slide


@pytest.mark.parametrize("place", ["study/a.tif", "a.tif", "study/images/deeper/a.tif"])
def test_an_image_is_found_in_or_beside_the_project(tmp_path, place):
    slide = touch(tmp_path / place)
    assert only(write(tmp_path / "study", builder("file:/gone/a.tif"))).path == slide


def test_results_of_earlier_runs_are_not_taken_for_slides(tmp_path):
    touch(tmp_path / "study" / "glomseg" / "run" / "a.tif")
    touch(tmp_path / "study" / "data" / "1" / "a.tif")
    image = only(write(tmp_path / "study", builder("file:/gone/a.tif")))
    assert image.path is None
    assert "/gone/a.tif" in image.tried


def test_two_files_of_one_name_are_not_guessed(tmp_path):
    first = touch(tmp_path / "slides" / "x" / "a.tif")
    second = touch(tmp_path / "slides" / "y" / "a.tif")
    image = only(write(tmp_path / "study", builder("file:/gone/a.tif")), slides=[tmp_path / "slides"])
    assert image.path is None
    assert str(first) in image.problem
    assert str(second) in image.problem
    first.unlink()
    first.symlink_to(second)  # the same file twice is no question
    assert only(tmp_path / "study", slides=[tmp_path / "slides"]).path is not None


def test_the_folder_above_decides_between_files_of_one_name(tmp_path):
    for animal in ("m1", "m2"):
        touch(tmp_path / "slides" / animal / "scan.svs")
    path = write(tmp_path / "study", builder("file:/D:/old/m1/scan.svs"), builder("file:/D:/old/m2/scan.svs"))
    images = read_project(path, slides=[tmp_path / "slides"]).images
    assert [image.path.parent.name for image in images] == ["m1", "m2"]


def test_names_are_compared_as_people_read_them(tmp_path):
    slide = touch(tmp_path / "slides" / unicodedata.normalize("NFD", "schön.svs"))
    path = write(tmp_path / "study", builder("file:/gone/sch%C3%B6n.svs"))
    assert only(path, slides=[tmp_path / "slides"]).path.samefile(slide)


def test_images_of_one_name_stay_apart(tmp_path):
    for folder in "xy":
        touch(tmp_path / folder / "a.tif")
    uris = [f"file:{tmp_path}/{folder}/a.tif" for folder in "xy"]
    one, two = read_project(write(tmp_path / "study", *map(builder, uris))).images
    assert (one.entry_id, two.entry_id) == ("1", "2")
    assert one.path != two.path
    assert one.data_folder != two.data_folder


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (calibration(0.25), (0.25, 0.25)),
        (calibration(0.25, 0.5), (0.25, 0.5)),
        (calibration(250, unit="nm"), (0.25, 0.25)),
        (calibration(0.00025, unit="mm"), (0.25, 0.25)),
        (calibration(0.25, unit="\u03bcm"), (0.25, 0.25)),
        (calibration(1, unit="px"), (None, None)),
        (calibration(0.25, unit_y="px"), (None, None)),
        (calibration(float("nan")), (None, None)),
        (calibration(0), (None, None)),
        (calibration(-1), (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
    ],
)
def test_pixel_size(tmp_path, found, expected):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration=found)))
    assert (image.mpp_x, image.mpp_y) == pytest.approx(expected)
    assert image.problem is None


def test_a_pixel_size_in_a_foreign_unit_is_refused(tmp_path):
    touch(tmp_path / "study" / "a.tif")
    found = calibration(1, unit="furlong")
    assert "furlong" in only(write(tmp_path / "study", builder(pixelCalibration=found))).problem


def test_the_pixel_size_of_the_project_file_wins(real):
    path = real / "project.qpproj"
    content = json.loads(path.read_text("utf-8"))
    content["images"][0]["serverBuilder"]["metadata"]["pixelCalibration"] = calibration(0.23)
    path.write_text(json.dumps(content), "utf-8")
    assert read_project(real).images[0].mpp_x == 0.23  # server.json still says 0.5, and QuPath does not read it


def test_a_generated_pyramid_is_the_file_below_it(tmp_path):
    slide = touch(tmp_path / "study" / "a.tif")
    pyramid = {
        "builderType": "pyramidize",
        "builder": builder(),
        "metadata": builder(pixelCalibration=calibration(0.5))["metadata"],
    }
    image = only(write(tmp_path / "study", pyramid))
    assert (image.problem, image.path, image.mpp_x, image.width) == (None, slide, 0.5, 400)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("rotated", "rotated"),
        ("cropped", "cropped"),
        ("affine", "transformed"),
        ("sparse", "regions"),
        ("channels", "channels"),
        ("color_deconvolved", "deconvolved"),
        ("swapRedBlue", "swapped"),
        ("normalized", "normalised"),
        ("flipped", "flipped"),
        ("z_projected", "projection"),
        ("something new", "something new"),
    ],
)
def test_a_wrapped_image_is_refused_by_name(tmp_path, kind, said):
    touch(tmp_path / "study" / "a.tif")
    plain = builder()
    wrapped = {"builderType": kind, "builder": plain, "metadata": plain["metadata"]}
    pyramid = {"builderType": "pyramidize", "builder": wrapped, "metadata": plain["metadata"]}
    images = read_project(write(tmp_path / "study", wrapped, pyramid, plain)).images
    assert all(said in image.problem for image in images[:2])
    assert images[2].problem is None


@pytest.mark.parametrize(
    "args", [[], ["--series", "0"], ["--series=0"], ["--classname", "x.y.BioFormatsServerBuilder", "-s", "0"]]
)
def test_arguments_that_change_nothing_pass(tmp_path, args):
    touch(tmp_path / "study" / "a.tif")
    assert only(write(tmp_path / "study", builder(args=args))).problem is None


def test_a_profile_that_qupath_applies_leaves_places_alone_and_is_said(tmp_path):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(args=["--icc-profile"])))
    assert image.problem is None
    assert "`glomseg annotate --icc`" in image.remarks[0]


@pytest.mark.parametrize(
    "args",
    [
        ["--series", "2"],
        ["--series=2"],
        ["--name", "macro"],
        ["--dims", "XYZCT"],
        ["--bfOptions", "zeissczi.autostitch=false"],
        ["--no-crop"],
        ["--rotate", "ROTATE_90"],
        ["--order", "BGR"],
        ["--brand-new"],
        ["--classname", "x.y.Z", "--series", "1"],
    ],
)
def test_arguments_that_may_change_the_picture_are_refused(tmp_path, args):
    touch(tmp_path / "study" / "a.tif")
    problem = only(write(tmp_path / "study", builder(args=args))).problem
    assert any(argument.partition("=")[0] in problem for argument in args)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (builder(sizeZ=5), "5 focus planes"),
        (builder(sizeT=3), "3 time points"),
        (builder(isRGB=False), "RGB"),
        (builder("https://omero.lab/webclient/?show=image-3"), "omero.lab"),
        (builder("http://x/a.tif"), "http://x/a.tif"),
        (builder("file:/slides/a.tif#3"), "'3'"),
        (builder("file:/slides/a.tif?series=3"), "series=3"),
        (builder(""), "without URI"),
        (builder("file:relative/a.tif"), "relative/a.tif"),
        ({}, "unknown kind"),
        (None, "unknown kind"),
    ],
)
def test_an_image_that_cannot_be_annotated_says_why_in_one_line(tmp_path, item, said):
    touch(tmp_path / "study" / "a.tif")
    bad, good = read_project(write(tmp_path / "study", item, builder())).images
    assert said in bad.problem
    assert "\n" not in bad.problem
    assert good.problem is None


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
    ("found", "said"), [(calibration(352.778), "352.8 um per pixel"), (calibration(0.25, 0.001), "implausible")]
)
def test_a_print_resolution_is_no_pixel_size(tmp_path, found, said):
    """72 dpi are 352.8 um per pixel, which no microscope has: the file's own is, and that is said."""
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration=found)))
    assert image.mpp is None
    assert image.problem is None
    assert said in image.remarks[0]
    assert "what the file itself says is used" in image.remarks[0]


@pytest.mark.parametrize("odd", [{"value": "0,25", "unit": "µm"}, {"value": 0.25, "unit": "micrometre"}])
def test_numbers_and_units_are_read_as_everywhere(tmp_path, odd):
    touch(tmp_path / "study" / "a.tif")
    assert only(write(tmp_path / "study", builder(pixelCalibration={"pixelWidth": odd, "pixelHeight": odd}))).mpp == (
        0.25,
        0.25,
    )


@pytest.mark.parametrize("odd", [7, "x", [], {"value": [], "unit": "µm"}, {"value": None, "unit": 5}])
def test_an_odd_pixel_size_is_none(tmp_path, odd):
    touch(tmp_path / "study" / "a.tif")
    image = only(write(tmp_path / "study", builder(pixelCalibration={"pixelWidth": odd, "pixelHeight": odd})))
    assert image.mpp is None


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
