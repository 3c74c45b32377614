"""A pixel size that a person saved in QuPath with an image, while the project's file still says the former one."""

import csv
import json

import pytest
from support.groovy import evaluate, import_run
from support.kill import using
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.project import read_project
from glomseg.runs.collect import collect_run

pytestmark = pytest.mark.qupath

SET = """
    def project = qupath.lib.projects.ProjectIO.loadProject(new File(PROJECT), java.awt.image.BufferedImage)
    def entry = project.getImageList().find { it.getID() == "1" }, data = entry.readImageData()
    def metadata = new qupath.lib.images.servers.ImageServerMetadata.Builder(data.getServerMetadata())
    data.updateServerMetadata(metadata.pixelSizeMicrons(0.25, 0.25).magnification(40).build())
    entry.saveImageData(data)
"""

SAY = """
def own = getCurrentServer().getMetadata()
def file = new File(args[0])
file.text = own.getPixelWidthMicrons()
"""


@pytest.fixture(params=["the former size", "nothing"])
def saved(request, moved, one_process):
    """The project after Ctrl+S in QuPath, whose file says that of the first image, which may be just imported."""
    if request.param == "nothing":
        content = json.loads(moved.read_text("utf-8"))
        del content["images"][0]["serverBuilder"]["metadata"]
        moved.write_text(json.dumps(content), "utf-8")
    before = moved.read_bytes()
    one_process.call(evaluate, SET, {"PROJECT": str(moved)})
    assert moved.read_bytes() == before
    return moved


def in_data(study):
    data = (read_project(study).images[0].data_folder / "data.qpdata").read_bytes()
    start = data.index(b'{"dataVersion"')
    content, _ = json.JSONDecoder().raw_decode(data[start:].decode("utf-8", "replace"))
    metadata = content["server"]["metadata"]
    return metadata["pixelCalibration"]["pixelWidth"]["value"], metadata["magnification"]


def test_no_command_writes_the_former_one_over_it(saved, one_process):
    assert in_data(saved) == (0.25, 40)
    made_run(saved, "run-1", discs("run-1", FREE))
    with using(one_process):
        collect_run(saved)
    assert len(standing(one_process, saved)) > len(FREE)
    assert in_data(saved) == (0.25, 40)


def test_nor_does_the_import_in_qupath(saved, one_process):
    made_run(saved, "run-1", discs("run-1", FREE))
    assert one_process.call(import_run, saved, "1", "run-1")["added"] == len(FREE)
    assert in_data(saved) == (0.25, 40)


@pytest.mark.slow
def test_all_go_by_it(saved, glomseg, tmp_path, request):
    is_silent = request.node.callspec.params["saved"] == "nothing"
    made_run(saved, "run-1", discs("run-1", FREE))
    disc = discs("run-1", FREE)[0].geometry.area * 0.25**2
    assert glomseg("collect", saved).code == 0
    script, said = tmp_path / "say.groovy", tmp_path / "said"
    script.write_text(SAY)

    def area():
        result = glomseg("measure", saved, "-o", tmp_path / "tables")
        assert result.code == 0, result.err
        told = "QuPath saved it with 0.25 x 0.25 um per pixel, which counts" in result.err
        assert told != (is_silent or said.exists())
        with (tmp_path / "tables/glomeruli.csv").open(encoding="utf-8-sig") as file:
            rows = [row for row in csv.DictReader(file) if row["image"] == "kidney_01.tif"]
        return [float(row["area_um2"]) for row in rows]

    assert sum(um2 == pytest.approx(disc, rel=1e-3) for um2 in area()) == len(FREE)
    ran = glomseg("qupath", "run", script, saved, "--image", "1", "--save", "--arg", said)
    assert ran.code == 0, ran.err
    assert "kidney_01.tif" in ran.err
    assert "it has them now" in ran.err
    assert said.read_text() == "0.25"
    assert in_data(saved) == (0.25, 40)
    assert sum(um2 == pytest.approx(disc, rel=1e-3) for um2 in area()) == len(FREE)
