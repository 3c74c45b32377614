"""Models on disk: digests, names, weights that fit."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from support.small_models import card, images

from glomseg.errors import ModelError
from glomseg.models.pack import unpack_models
from glomseg.models.predict import load_model
from glomseg.models.store import find_model, list_models, read_card, save_model, shipped_folder, verify_model
from glomseg.models.variable_unet import VariableUNet


def test_save_and_load(folder, net):
    model = load_model(folder)
    assert model.card == read_card(folder) == verify_model(folder)
    assert model.card.weights_sha256 != "0" * 64
    with torch.inference_mode():
        x = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
        expected = (torch.sigmoid(net(x)) * 255).numpy()
    assert np.abs(model.predict(images()).astype(float) - expected).max() <= (1 if model.dtype == torch.float32 else 4)


def test_a_folder_holds_two_files(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["card.json", "weights.safetensors"]


def test_damaged_weights(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"sha256.*fetch it again"):
        load_model(folder)


def test_weights_that_are_not_there(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_what_has_no_end_is_not_waited_for(folder, tmp_path):
    """As a folder of somebody else's may have it: a link to a device, a pipe."""
    (folder / "weights.safetensors").unlink()
    for make in (lambda path: path.symlink_to("/dev/zero"), os.mkfifo):
        make(folder / "weights.safetensors")
        with pytest.raises(ModelError, match="no file; fetch"):
            verify_model(folder)
        (folder / "weights.safetensors").unlink()
    os.mkfifo(tmp_path / "a.glomseg")
    with pytest.raises(ModelError, match="no file; check"):
        unpack_models(tmp_path / "a.glomseg", tmp_path / "out")


def test_weights_of_another_width(folder, tmp_path):
    save_model(tmp_path / "wide", card(architecture_args={"patch_size": 1024}), VariableUNet(512))
    with pytest.raises(ModelError, match="not those of this architecture"):
        load_model(tmp_path / "wide")


def test_weights_that_are_no_safetensors(folder):
    (folder / "weights.safetensors").write_bytes(b"nonsense")
    data = json.loads((folder / "card.json").read_text())
    data["weights_sha256"] = hashlib.sha256(b"nonsense").hexdigest()
    (folder / "card.json").write_text(json.dumps(data))
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(folder)


def test_weights_that_are_not_finite(tmp_path, net):
    net.final.bias.data.fill_(float("nan"))
    save_model(tmp_path / "nan", card(), net)
    with pytest.raises(ModelError, match=r"final\.bias"):
        verify_model(tmp_path / "nan")


def test_names(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("GLOMSEG_MODELS", str(tmp_path))
    assert list_models()["tiny"] == folder
    assert find_model("tiny") == folder
    with pytest.raises(ModelError, match=r"nothing.*tiny"):
        find_model("nothing")
    monkeypatch.delenv("GLOMSEG_MODELS")
    assert "tiny" not in list_models()


def test_a_folder_without_a_card(tmp_path):
    with pytest.raises(ModelError, match="no model"):
        load_model(tmp_path)


def test_cards_need_no_torch():
    code = "import sys, glomseg, glomseg.models.store as c; c.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_shipped_model_is_whole():
    names = [p.name for p in shipped_folder().iterdir() if (p / "card.json").is_file()]
    assert "pas-starter" in names
    for name in names:
        made = verify_model(shipped_folder() / name)
        assert made.name == name
        assert made.training_data, "a shipped model names its data"
        assert (shipped_folder() / name / "README.md").is_file()
