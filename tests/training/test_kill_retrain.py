"""A retraining that ends at any operation on files goes on or says how, and never misreads what was corrected."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from support.kill import Killed, killed_at
from support.qupath_side import delete_at
from support.runs import FREE, discs, made_run

from glomseg.errors import GlomsegError
from glomseg.models.card import ModelCard
from glomseg.models.store import save_model, verify_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.qupath.project import read_project
from glomseg.training.train_model import TrainOptions, retrain_from_project

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

KILLS = 9
TINY = (
    "data.crop_px=64",
    "data.margin_px=0",
    "data.samples_per_epoch=4",
    "data.mining_every=0",
    "data.workers=0",
    "data.validation_share=0",
    "data.test_share=0",
    "optimiser.precision=32-true",
    "optimiser.batch_size=2",
    "validation.patience=0",
)


@pytest.fixture
def reviewed(moved, one_process, glomseg):
    """A project of which an image was reviewed: outlines of a run stand there, and one was deleted."""
    made_run(moved, "run-1", discs("run-1", FREE))
    assert glomseg("collect", moved).code == 0
    image = read_project(moved).images[0]
    one_process.call(delete_at, moved, "1", image.path, FREE[3:4])
    content = json.loads(moved.read_text("utf-8"))
    content["images"][0].setdefault("metadata", {})["glomseg.reviewed"] = "AB 2026-11-25"
    moved.write_text(json.dumps(content), "utf-8")
    return moved


def sums(folder):
    """The content of every file below a folder, but for records, which hold times."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (path.suffix != ".json" or path.name == "summary.json")
    }


def said_by(work):
    """What keeps a work from being done; "" where it is."""
    try:
        work()
    except GlomsegError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kills", [KILLS, pytest.param(None, marks=pytest.mark.long)])
def test_a_kill_at_many_operations(reviewed, tmp_path, kills):
    """At some operations or, where there is time, at every one."""
    card = ModelCard(
        name="start", description="Nothing.", architecture_args={"patch_size": 256}, mpp=4.0,
        minimum_area_um2=1.0, species="human", training_diameter_um=200.0,
    )  # fmt: skip
    save_model(tmp_path / "start", card, VariableUNet(256))
    options = TrainOptions(start=tmp_path / "start", settings=TINY, epochs=2)

    def train(output, **more):
        return retrain_from_project(reviewed, output, replace(options, **more))

    project = sums(reviewed.parent)
    with killed_at(10**9) as count:
        train(tmp_path / "whole")
    corrections = sums(tmp_path / "whole/corrections")
    assert any("hard_negatives" in name for name in corrections)
    assert count() > KILLS
    went_on = 0
    kills = kills or count()
    for number in sorted({round(at * (count() - 1) / (kills - 1)) for at in range(kills)}):
        output = tmp_path / f"killed-{number}"
        with pytest.raises(Killed), killed_at(number):
            train(output)
        problem = said_by(lambda output=output: train(output))
        went_on += not problem
        if "remove it" in problem:
            shutil.rmtree(output / "corrections")
            train(output)
        elif problem:
            assert "restart" in problem, (number, problem)
            train(output, restart=True)
        verify_model(output)
        assert sums(output / "corrections") == corrections, number
        assert sums(reviewed.parent) == project, number
    assert went_on >= kills * (KILLS - 2) / KILLS
