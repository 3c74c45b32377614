"""Scripts in QuPath that save: the state that they replace is kept, and nothing is saved over what cannot be read."""

import json

import pytest
from support.groovy import evaluate, import_run
from support.kill import using
from support.runs import FREE, discs, made_run, standing

from glomseg.errors import ProjectError, QuPathError
from glomseg.qupath.project import read_project
from glomseg.qupath.scripts import list_scripts
from glomseg.runs.collect import collect_run
from glomseg.runs.run_script import run_on_project

pytestmark = pytest.mark.qupath

DRAW = """
import qupath.lib.objects.PathObjects
import qupath.lib.roi.ROIs
addObject(PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 50, 50, null)))
"""

OTHER = """
import qupath.lib.projects.ProjectIO
import qupath.lib.images.servers.ImageServerMetadata
def entry = getProjectEntry()
entry.putMetadataValue("Mine", "1")
if (entry.getID() == "1") {
    def other = ProjectIO.loadProject(getProject().getPath().toFile(), java.awt.image.BufferedImage)
    def (first, second) = other.getImageList()
    first.setImageName("theirs.tif")
    first.putMetadataValue("Theirs", "1")
    def added = other.addDuplicate(second, false)
    added.setImageName("added.tif")
    def data = second.readImageData()
    def metadata = new ImageServerMetadata.Builder(data.getServerMetadata())
    data.updateServerMetadata(metadata.pixelSizeMicrons(0.25, 0.25).build())
    second.saveImageData(data)
    other.syncChanges()
}
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "draw.groovy"
    path.write_text(DRAW)
    return path


def damaged(study, how):
    """The first image's data, in a state in which QuPath reads nothing of it."""
    folder = read_project(study).images[0].data_folder
    data = folder / "data.qpdata"
    content = data.read_bytes()
    data.unlink()
    if how != "missing":
        data.write_bytes(content[: len(content) // 2] if how == "half" else b"")
    return {path: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_what_a_script_saves_over_is_a_backup(moved, one_process, glomseg, script):
    before = standing(one_process, moved)
    own = [moved, moved.parent / "data/1/data.qpdata"]
    for path in own:
        path.chmod(0o664)
    assert glomseg("qupath", "run", script, moved, "--image", "1", "--save").code == 0
    assert [oct(path.stat().st_mode & 0o777) for path in own] == ["0o664", "0o664"]  # a colleague may go on
    assert len(standing(one_process, moved)) == len(before) + 1
    assert "before a script" in glomseg("restore", moved, "1").out
    assert glomseg("restore", moved, "1", "last").code == 0
    assert standing(one_process, moved).keys() == before.keys()


@pytest.mark.slow
@pytest.mark.usefixtures("qupath")
def test_what_another_saves_into_the_project_while_a_script_runs_stays(moved, glomseg, script):
    script.write_text(OTHER)
    result = glomseg("qupath", "run", script, moved, "--save")
    assert result.code == 0, result.err
    assert "put back is what it changed in or added as added.tif, theirs.tif, kidney_02.tif" in result.err
    images = json.loads(moved.read_text("utf-8"))["images"]
    assert [item["imageName"] for item in images] == ["theirs.tif", "kidney_02.tif", "Ünï cöde #3.png", "added.tif"]
    assert [item["metadata"].get("Mine") for item in images] == ["1", "1", "1", None]
    assert images[0]["metadata"]["Theirs"] == "1"
    assert images[1]["serverBuilder"]["metadata"]["pixelCalibration"]["pixelWidth"]["value"] == 0.25


@pytest.mark.slow
def test_the_import_is_not_kept_out_by_the_command_that_runs_it(moved, one_process, glomseg):
    """That holds the folder of runs for what it saves; the import said to wait for it."""
    before = standing(one_process, moved)
    made_run(moved, "run-1", discs("run-1", FREE))
    brought = glomseg("qupath", "run", "import_results", moved, "--image", "1", "--save")
    assert brought.code == 0, brought.err
    assert len(standing(one_process, moved)) == len(before) + len(FREE)
    assert not (moved.parent / "glomseg/.lock.json").exists()
    assert glomseg("undo", moved).code == 0
    assert standing(one_process, moved).keys() == before.keys()


@pytest.mark.parametrize("how", ["missing", "half", "empty"])
def test_nothing_is_saved_over_data_that_cannot_be_read(moved, script, how):
    before = damaged(moved, how)
    with pytest.raises(ProjectError, match="QuPath would save it without objects, so nothing was run"):
        run_on_project(script, moved, save=True)
    folder = read_project(moved).images[0].data_folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("how", ["missing", "half", "empty"])
def test_no_import_takes_the_place_of_data_that_cannot_be_read(moved, one_process, how):
    made_run(moved, "run-1", discs("run-1", FREE))
    before = damaged(moved, how)
    with pytest.raises(QuPathError, match="so that QuPath shows nothing of what stood there; nothing is replaced"):
        one_process.call(import_run, moved, "1", "run-1")
    folder = read_project(moved).images[0].data_folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not (moved.parent / "glomseg/memory").exists()


def test_no_review_takes_the_place_of_data_that_a_run_wrote_before_the_image_was_renamed(moved, one_process):
    """Nothing but the run tells of them: their folder is empty, as where a share is away."""
    made_run(moved, "run-1", discs("run-1", FREE))
    with using(one_process):
        collect_run(moved)
    record, image = moved.parent / "glomseg/run-1/run.json", read_project(moved).images[0]
    content = json.loads(record.read_text("utf-8"))
    content["images"]["1"].update(
        name="as it was called", inputs={"file": image.path.name, "bytes": image.path.stat().st_size}
    )
    record.write_text(json.dumps(content), "utf-8")
    for name in ("data.qpdata", "summary.json"):
        (image.data_folder / name).unlink()
    with pytest.raises(QuPathError, match="nothing is replaced"):
        save_review(moved, one_process)
    assert not (image.data_folder / "data.qpdata").exists()


def test_no_review_is_saved_over_data_that_cannot_be_read(moved, one_process):
    before = damaged(moved, "missing")
    with pytest.raises(QuPathError, match="nothing is replaced"):
        save_review(moved, one_process)
    folder = read_project(moved).images[0].data_folder
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def save_review(moved, one_process):
    """Save the first image as the review does."""
    shared = list_scripts()["find_missed"].with_name("glomseg_shared.groovy")
    save = """
        def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
        def entry = project.getImageList().find { it.getID() == "1" }
        new GroovyShell(getClass().getClassLoader()).parse(new File(SHARED)).save(project, entry, entry.readImageData())
    """
    one_process.call(evaluate, save, {"PROJECT": str(moved), "SHARED": str(shared)})


def test_of_images_of_one_name_none_is_taken_by_chance(moved, script):
    content = json.loads(moved.read_text("utf-8"))
    content["images"][1]["imageName"] = content["images"][0]["imageName"]
    moved.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ProjectError, match="2 images go by that name"):
        run_on_project(script, moved, image="2")


def test_nothing_is_brought_into_or_saved_over_data_of_another_image(moved, one_process, glomseg, script):
    """As where folders of data were exchanged; saved, the outlines of one image were those of the other."""
    first, second = (moved.parent / "data" / key for key in "12")
    for one, other in ((first, moved.parent / "kept"), (second, first), (moved.parent / "kept", second)):
        one.rename(other)
    before = [(folder / "data.qpdata").read_bytes() for folder in (first, second)]
    made_run(moved, "run-1", discs("run-1", FREE[:3]))
    saved = glomseg("qupath", "run", script, moved, "--image", "1", "--save")
    assert saved.code == 1
    assert "kidney_01.tif: its data were saved of another image (kidney_02.tif, 2048 x 1024 px)" in saved.err
    with pytest.raises(QuPathError, match=r"saved of another image \(kidney_02.tif, 2048 x 1024 px\)"):
        one_process.call(import_run, moved, "1", "run-1")
    assert [(folder / "data.qpdata").read_bytes() for folder in (first, second)] == before
    assert not (moved.parent / "glomseg/run-1/changes").exists()


def test_annotate_in_the_menu_proposes_the_model_of_a_run_that_stands(moved, one_process, glomseg):
    """It proposed that of the newest, though it had been taken back."""
    for run, spots in (("run-1", FREE[:2]), ("run-2", FREE[2:4])):
        made_run(moved, run, discs(run, spots))
        assert glomseg("collect", moved, run).code == 0
    ask = """
        def folder = new File(SCRIPTS)
        def shared = new GroovyShell(getClass().getClassLoader()).parse(new File(folder, "glomseg_shared.groovy"))
        def asking = new File(folder, "annotate_current_image.groovy")
            .with { new GroovyShell(getClass().getClassLoader()).parse(it) }
        def image = Class.forName("java.awt.image.BufferedImage")
        def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), image)
        def models = ["run-1": [weights_sha256: "1"], "run-2": [weights_sha256: "2"]]
        return asking.usualChoice(shared.load("glomseg_results"), project, models).models*.key[0]
    """
    variables = {"PROJECT": str(moved), "SCRIPTS": str(list_scripts()["import_results"].parent)}
    assert one_process.call(evaluate, ask, variables) == "run-2"
    assert glomseg("undo", moved).code == 0
    assert one_process.call(evaluate, ask, variables) == "run-1"
