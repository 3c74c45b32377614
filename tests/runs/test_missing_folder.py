"""The data folder of an image that is gone, as on a share that has not brought it: no image that nobody ever saved."""

import json
import shutil

import pytest
from support.runs import FREE, discs, made_run

from glomseg.qupath.image_data import DATA
from glomseg.qupath.project import read_project
from glomseg.runs.restore import image_backups

pytestmark = pytest.mark.qupath


@pytest.fixture(params=["collect", "collect twice", "import in QuPath"])
def written(moved, one_process, glomseg, request):
    """A project with run-1 in images 1 and 2, and run-2 in image 2 alone."""
    made_run(moved, "run-1", discs("run-1", FREE), keys=("1", "2"))
    assert glomseg("collect", moved).code == 0
    made_run(moved, "run-2", discs("run-2", FREE, 4), keys=("2",))
    if request.param == "import in QuPath":
        image = ("--image", "kidney_02.tif")
        assert glomseg("qupath", "run", "import_results", moved, *image, "--arg=run-2").code == 0
    else:
        for _ in request.param.split():  # the second adds nothing, and says so in the run's record
            assert glomseg("collect", moved).code == 0
    return moved


def image_2(glomseg, study):
    return json.loads(glomseg("status", study, "--json").out)["images"][1]


@pytest.mark.parametrize("by_qupath", [False, True])
def test_nothing_is_put_in_its_place(written, glomseg, tmp_path, by_qupath):
    """Nor into one that an open QuPath made anew for a thumbnail."""
    folder = read_project(written).images[1].data_folder
    folder.rename(tmp_path / "away")
    if by_qupath:
        folder.mkdir()
        (folder / "thumbnail.jpg").write_bytes(b"")
    said = f"its data in {folder} are missing, though run run-2 wrote them"
    collected = glomseg("collect", written)
    assert (collected.code, (folder / DATA).exists()) == (1, False)
    assert said in collected.err
    assert said in glomseg("measure", written, "-o", tmp_path / "tables").err
    (tmp_path / "nothing.groovy").write_text("")
    assert said in glomseg("qupath", "run", tmp_path / "nothing.groovy", written, "--save").err
    status = image_2(glomseg, written)
    assert said in status["problem"]
    assert (status["annotations"], status["machine"]) == (None, None)
    assert not (folder / DATA).exists()
    if by_qupath:
        shutil.rmtree(folder)
    (tmp_path / "away").rename(folder)
    assert glomseg("collect", written).code == 0
    assert image_2(glomseg, written)["machine"] == len(FREE)


def test_a_backup_is_the_way_out(written, glomseg, tmp_path):
    folder = read_project(written).images[1].data_folder
    folder.rename(tmp_path / "away")
    assert glomseg("restore", written, "2", "last").code == 0
    assert glomseg("collect", written).code == 0
    assert image_2(glomseg, written)["machine"] == len(FREE)


@pytest.mark.usefixtures("qupath")
@pytest.mark.parametrize("by_qupath", [False, True])
def test_a_backup_of_an_image_that_was_never_saved_is_a_way_out(moved, glomseg, by_qupath):
    """It was refused ever after: the run's record said that it had written there."""
    image = read_project(moved).images[2]
    shutil.rmtree(image.data_folder)
    made_run(moved, "run-1", discs("run-1", FREE), keys=("3",))
    words = ("qupath", "run", "import_results", moved, "--image", "3") if by_qupath else ("collect", moved)
    assert glomseg(*words).code == 0
    shutil.rmtree(image.data_folder)
    assert f"its data in {image.data_folder} are missing" in glomseg("collect", moved).err
    _, backups = image_backups(moved, "3")
    assert glomseg("restore", moved, "3", backups[-1].name).code == 0
    assert not (image.data_folder / DATA).exists()
    status = json.loads(glomseg("status", moved, "--json").out)["images"][2]
    assert status["problem"] is None
    assert glomseg("collect", moved).code == 0
    assert json.loads(glomseg("status", moved, "--json").out)["images"][2]["machine"] == len(FREE)


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_undo_takes_no_older_run_for_the_last(written, glomseg, tmp_path, how):
    """Read as an image without a run, it made run-1 the last, which stands in the others."""
    folder = read_project(written).images[1].data_folder
    stood = (written.parent / "data/1" / DATA).read_bytes()
    if how == "missing":
        folder.rename(tmp_path / "away")
    else:
        (folder / DATA).write_bytes(b"")
    said = glomseg("undo", written)
    assert said.code == 1
    assert "run run-2 changed kidney_02.tif after the others, and " in said.err
    assert (written.parent / "data/1" / DATA).read_bytes() == stood
    assert "nothing to undo" not in glomseg("undo", written, "run-2").err
    assert glomseg("undo", written, "run-1").code == 1  # of the image that can be read
    assert (written.parent / "data/1" / DATA).read_bytes() != stood


def test_undo_says_what_is_missing_where_nothing_else_was_changed(written, glomseg, tmp_path):
    for run in ("run-2", "run-1"):
        assert glomseg("undo", written, run).code == 0
    made_run(written, "run-3", discs("run-3", FREE, 4), keys=("2",))
    assert glomseg("collect", written).code == 0
    read_project(written).images[1].data_folder.rename(tmp_path / "away")
    said = glomseg("undo", written)
    assert said.code == 1
    assert "run run-3 changed kidney_02.tif, and its data in " in said.err


def test_damaged_data_are_not_called_saved_over(written, glomseg):
    """`collect`, as was advised, brings nothing into them."""
    (read_project(written).images[1].data_folder / DATA).write_bytes(b"")
    said = glomseg("status", written)
    assert "is damaged; bring a backup back" in said.out.replace("\n", " ") + said.err
    assert "not in the data" not in said.out + said.err
    assert image_2(glomseg, written)["problem"].count("is damaged") == 1
