"""Of which image a data file was saved, and whether that is the image whose data it is."""

import json
import shutil
from dataclasses import replace

import pytest
from support.runs import discs, made_run

from glomseg.errors import ProjectError
from glomseg.qupath.image_of_data import image_of_data, refuse_other_image
from glomseg.qupath.project import read_project


def test_what_qupath_wrote_of_the_image_is_read(project):
    said = [image_of_data(image.data_folder / "data.qpdata") for image in read_project(project).images]
    assert [(one.path.name, one.size_px) for one in said] == [
        ("kidney_01.tif", (2048, 2048)),
        ("kidney_02.tif", (2048, 1024)),
        ("Ünï cöde #3.png", (1024, 1024)),
    ]
    assert image_of_data(None) is None


def test_data_that_say_nothing_are_believed(project):
    image = read_project(project).images[0]
    refuse_other_image(image)
    data = image.data_folder / "data.qpdata"
    data.write_bytes(data.read_bytes().replace(b'{"dataVersion"', b'{"dataversion"'))
    assert image_of_data(data) is None
    refuse_other_image(image)


@pytest.fixture
def renamed(study):
    """The first image, whose file is called so that its data name another; and a function that makes it."""
    image = read_project(study).images[0]

    def called(name):
        path = image.path.with_name(name)
        shutil.copy(image.path, path)
        return replace(image, path=path)

    return called


def test_a_file_that_was_renamed_copied_or_converted_is_the_same(renamed):
    """A copy has the same length; a converted file the same name but for its suffix."""
    refuse_other_image(renamed("S21-0815.tif"))
    converted = renamed("kidney_01.ome.tif")
    with converted.path.open("ab") as file:
        file.write(b"more")
    refuse_other_image(converted)
    gone = renamed("anonymous.tif")
    with gone.path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ProjectError, match=r"saved of another image \(kidney_01.tif, 2048 x 2048 px\)"):
        refuse_other_image(gone)
    gone.path.with_name("kidney_01.tif").unlink()
    refuse_other_image(gone)


@pytest.mark.qupath
@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_exports_in_qupath_replace_nothing_where_it_could_read_no_data(moved, one_process, glomseg, how):
    """QuPath shows such an image without objects: "0 glomeruli" took the place of what was exported before."""
    made_run(moved, "run-1", discs("run-1", [(300, 300)]), keys=("1",))
    assert glomseg("collect", moved).code == 0
    assert glomseg("collect", moved).code == 0  # which adds nothing, and says so in the run's record
    exports = ("export_glomeruli", "measure_summary", "export_training_tiles")
    image = ("--image", "kidney_01.tif")
    for script in exports:
        assert glomseg("qupath", "run", script, moved, *image).code == 0
    data = moved.parent / "data/1"
    made = [path for path in moved.parent.rglob("*") if path.is_file() and not path.is_relative_to(data)]
    before = {path: path.read_bytes() for path in made if path.parent.name != "home"}
    if how == "missing":
        shutil.rmtree(data)
    else:
        (data / "data.qpdata").write_bytes(b"")
    for script in exports:
        ran = glomseg("qupath", "run", script, moved, *image)
        assert f"The data of kidney_01.tif are {how}" in (ran.out + ran.err).replace("\n", " ")
    assert {path: path.read_bytes() for path in before} == before


@pytest.fixture
def called_alike(moved):
    """A project whose first two images are of one size and one name, in two folders, and their data exchanged."""
    content = json.loads(moved.read_text("utf-8"))
    first, second = content["images"][:2]
    files = [moved.parent / patient / "slide.tif" for patient in ("A", "B")]
    source = read_project(moved).images[0].path
    for entry, file in zip((first, second), files, strict=True):
        file.parent.mkdir()
        shutil.copy(source, file)
        entry["serverBuilder"] = json.loads(json.dumps(first["serverBuilder"]))
        entry["serverBuilder"]["uri"] = file.as_uri()
    with files[1].open("ab") as file:
        file.write(b"more")
    moved.write_text(json.dumps(content), "utf-8")
    return moved


SAVE = "def entry = getProjectEntry(); entry.saveImageData(getCurrentImageData())"


@pytest.mark.qupath
@pytest.mark.usefixtures("qupath")
def test_files_that_are_called_the_same_are_told_apart_by_their_folders(called_alike, glomseg, tmp_path):
    """A folder for each patient, with a slide of one name and size in each."""
    (tmp_path / "save.groovy").write_text(SAVE)
    shutil.rmtree(called_alike.parent / "data")
    for image in read_project(called_alike).images[:2]:
        assert glomseg("qupath", "run", tmp_path / "save.groovy", called_alike, "--image", image.entry_id).code == 0
    exchange(called_alike.parent)
    images = json.loads(glomseg("status", called_alike, "--json").out)["images"]
    for image, patient in zip(images, "BA", strict=False):
        assert f"saved of another image ({called_alike.parent / patient / 'slide.tif'}, " in image["problem"]
    ran = glomseg("qupath", "run", "measure_summary", called_alike)
    assert ran.code == 1
    assert "data were saved of another image" in ran.err


def exchange(folder):
    first, second, kept = folder / "data/1", folder / "data/2", folder / "kept"
    for one, other in ((first, kept), (second, first), (kept, second)):
        shutil.move(one, other)


@pytest.mark.qupath
def test_folders_of_data_that_were_exchanged_are_refused_and_named(study, one_process, glomseg, tmp_path):
    """As where two people's copies of a project, who added the slides in another order, were put together."""
    first, second = (study.parent / "data" / key for key in "12")
    for one, other in ((first, study.parent / "kept"), (second, first), (study.parent / "kept", second)):
        shutil.move(one, other)
    before = [(folder / "data.qpdata").read_bytes() for folder in (first, second)]
    measured = glomseg("measure", study, "-o", tmp_path / "tables")
    assert measured.code == 1
    assert "kidney_01.tif: its data were saved of another image (kidney_02.tif, 2048 x 1024 px)" in measured.err
    images = json.loads(glomseg("status", study, "--json").out)["images"]
    assert ["saved of another image" in (image["problem"] or "") for image in images] == [True, True, False]
    assert glomseg("train", "--from-project", study, "-o", tmp_path / "model").code != 0
    assert [(folder / "data.qpdata").read_bytes() for folder in (first, second)] == before


@pytest.mark.qupath
@pytest.mark.usefixtures("qupath")
def test_scripts_in_qupath_refuse_them_too(moved, glomseg):
    """They counted, exported and taught what people had drawn on another slide."""
    first, second = (moved.parent / "data" / key for key in "12")
    kept = moved.parent / "kept"
    drawn = ("kidney_01.tif", "saved of another image (kidney_02.tif, 2048 x 1024 px)")
    made_run(moved, "run-1", discs("run-1", [(300, 300)]), keys=("1", "2", "3"))
    asked = {"measure_summary": [], "export_glomeruli": [], "import_results": ["run-1"], "export_training_tiles": []}
    for one, other in ((first, kept), (second, first), (kept, second)):
        shutil.move(one, other)
    for script, arguments in asked.items():
        ran = glomseg("qupath", "run", script, moved, *(f"--arg={text}" for text in arguments))
        said = ran.out + ran.err
        assert all(text in said for text in drawn), (script, said)
    assert not list(moved.parent.glob("tiles/*/kidney_01*"))
    assert "kidney_01" not in (moved.parent / "glomeruli_summary.csv").read_text("utf-8")
    assert not list((moved.parent / "export").glob("kidney_01*"))
    for one, other in ((first, kept), (second, first), (kept, second)):
        shutil.move(one, other)
    assert glomseg("qupath", "run", "measure_summary", moved).code == 0
    assert "kidney_01" in (moved.parent / "glomeruli_summary.csv").read_text("utf-8")
