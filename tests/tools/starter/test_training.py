"""A training on composed images, from the command line of tools/starter."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glomseg.errors import TrainingError
from glomseg.models.store import find_model, verify_model
from glomseg.training.config_file import read_config
from tools.starter.composed import data_of
from tools.starter.organs import read_organs
from tools.starter.train import SETTINGS, main

ROOT = Path(__file__).parents[3]
SMALL = (
    "epochs=1",
    "data.samples_per_epoch=4",
    "optimiser.batch_size=2",
    "data.workers=0",
    "data.crop_px=64",
    "data.test_share=0",
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_a_training_of_composed_images(made_up, tmp_path, monkeypatch, capsys):
    words = [item for word in SMALL for item in ("--set", word)]
    monkeypatch.setattr(sys, "argv", ["train", str(made_up), "-o", str(tmp_path / "out"), "--device", "cpu", *words])
    main()
    assert "epoch 1" in capsys.readouterr().out
    card = verify_model(tmp_path / "out")
    assert card.training_data[0].licence == "CC BY 4.0"
    assert (card.mpp, card.minimum_area_um2) == (3.0, 6000)
    assert "test" not in card.scores
    assert card.scores["validation"]["true_objects"] > 10


@pytest.mark.slow
def test_another_folder(tmp_path):
    with pytest.raises(TrainingError, match="folder of the AIDPATH data"):
        data_of(tmp_path, read_config(file=SETTINGS))


@pytest.mark.slow
def test_parts_that_are_held_out(made_up):
    every, held = (
        data_of(made_up, read_config(file=SETTINGS, words=[word])) for word in ("data.test_share=0", "seed=0")
    )
    assert every.test is None
    assert held.test is not None
    assert len(held.validation) == len(every.validation)


@pytest.mark.slow
def test_help_from_a_checkout():
    for command in ("train", "publish"):
        result = subprocess.run(
            [sys.executable, "-m", f"tools.starter.{command}", "--help"], cwd=ROOT, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_going_on_for_all_stains(made_up, organs, tmp_path, monkeypatch):
    words = [item for word in SMALL for item in ("--set", word)]
    command = ["train", str(made_up), "-o", str(tmp_path / "out"), "--device", "cpu", "--organs", str(organs)]
    monkeypatch.setattr(sys, "argv", [*command, "--start", "pas-starter", *words])
    main()
    card = verify_model(tmp_path / "out")
    assert [data.licence for data in card.training_data][-1] == "Apache-2.0"
    before, after = (
        load_file(folder / "weights.safetensors")["enc1.double_conv.0.weight"]
        for folder in (find_model("pas-starter"), tmp_path / "out")
    )
    assert 0 < (before - after).abs().max() < 1e-4, "the average forgets what it began with"


@pytest.mark.slow
def test_a_folder_without_other_organs(tmp_path):
    with pytest.raises(TrainingError, match="histolab"):
        read_organs(tmp_path)
