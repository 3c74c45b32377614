"""Models: cards, digests, finding, importing and predicting."""

import hashlib
import json
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from glomseg.errors import DeviceError, ModelError
from glomseg.models.card import ModelCard, TrainingData
from glomseg.models.device import resolve_device
from glomseg.models.foreign import import_state_dict
from glomseg.models.network import Network
from glomseg.models.networks import NETWORKS
from glomseg.models.predict import Model, load_model
from glomseg.models.store import (
    find_model,
    list_models,
    read_card,
    save_model,
    shipped_folder,
    verify_model,
    write_card,
)
from glomseg.models.variable_unet import VariableUNet


def card(**changes):
    values = {
        "name": "tiny",
        "description": "for tests",
        "mpp": 3.0,
        "minimum_area_um2": 3000.0,
        "species": "human",
        "training_diameter_um": 200.0,
        "training_data": (TrainingData("a", "CC BY 4.0", "doi"),),
        "weights_sha256": "0" * 64,
    }
    return ModelCard(**(values | changes))


@pytest.fixture
def net():
    torch.manual_seed(1)
    network = VariableUNet(256)
    network(torch.rand(4, 3, 32, 32))
    return network.eval()


@pytest.fixture
def folder(tmp_path, net):
    save_model(tmp_path / "tiny", card(), net)
    return tmp_path / "tiny"


def images(n=2, height=48, width=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def test_card_round_trip():
    one = card(mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3), scores={"F1": 0.9}, minimum_solidity=0.8)
    assert ModelCard.from_json(one.to_json()) == one


def test_card_uses_wsinfer_names():
    data = json.loads(card().to_json())
    assert {"architecture", "num_classes", "patch_size_pixels", "spacing_um_px", "class_names"} <= set(data)


BAD = {
    "format_version": [2, "1", None, True],
    "name": ["", 3],
    "description": [None],
    "architecture": ["", 5],
    "architecture_args": [[], "512", None],
    "activation": ["relu", 1, None, "none"],
    "num_classes": [0, 2, 1.0, 10**9],
    "class_names": [[], ["a", "b"], "Glomerulus", [1], ["a" * 101], [""]],
    "class_colors": [[[0, 0]], [[0, 0, 256]], [[0, 0, 0.5]], []],
    "patch_size_pixels": [0, 512.0, "512", 100_000],
    "halo_pixels": [-1, None, 10**6],
    "spacing_um_px": [0, -1, "3", None, True, 1e-9, 352.8, float("inf"), float("nan"), 10**400],
    "mean": [[0.5, 0.5], 0.5, [2, 0, 0], [0.5, 0.5, 0.5]],
    "std": [[0, 1, 1], [0.5, 0.5, 0.5], [1, 1, 1e-30]],
    "threshold": [1.1, -0.1, "0.5", 0, 1],
    "minimum_area_um2": [-1, None, 1e12],
    "minimum_solidity": [2],
    "species": ["", None],
    "training_diameter_um": [0, "200", 1e9],
    "training_data": [[{"name": "a"}], {}, ["a"], [{"name": "a", "licence": "", "source": "b"}]],
    "scores": [[], None],
    "weights_sha256": ["", "0" * 63, "Z" * 64, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_card_field(name, value):
    data = json.loads(card().to_json()) | {name: value}
    with pytest.raises(ModelError) as error:
        ModelCard.from_json(json.dumps(data), "here/card.json")
    message = str(error.value)
    assert message.startswith("here/card.json: ")
    assert "\n" not in message


@pytest.mark.parametrize("name", sorted(BAD.keys() - {"activation"}))
def test_missing_card_field(name):
    data = json.loads(card().to_json())
    del data[name]
    with pytest.raises(ModelError, match=name):
        ModelCard.from_json(json.dumps(data))


def test_a_card_of_before_says_nothing_of_its_activation():
    data = json.loads(card().to_json())
    del data["activation"]
    assert ModelCard.from_json(json.dumps(data)).activation == "sigmoid"


def test_a_class_that_is_there_twice():
    data = json.loads(card().to_json()) | {
        "num_classes": 2,
        "class_names": ["a", "a"],
        "class_colors": [[0, 0, 0], [1, 1, 1]],
    }
    with pytest.raises(ModelError, match="a name twice"):
        ModelCard.from_json(json.dumps(data))


def test_a_card_longer_than_any_card(folder):
    with (folder / "card.json").open("a") as file:
        file.write(" " * (1 << 20))
    with pytest.raises(ModelError, match="longer than"):
        read_card(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", "[" * 100_000, '{"format_version": ' + "1" * 10_000 + "}"]
)
def test_card_that_is_no_object(text):
    with pytest.raises(ModelError, match="JSON"):
        ModelCard.from_json(text)


def test_number_that_json_should_not_hold():
    text = card().to_json().replace('"threshold": 0.5', '"threshold": NaN')
    with pytest.raises(ModelError, match="threshold"):
        ModelCard.from_json(text)


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


def test_weights_of_another_width(folder, tmp_path):
    save_model(tmp_path / "wide", card(architecture_args={"patch_size": 1024}), VariableUNet(512))
    with pytest.raises(ModelError, match="not those of this architecture"):
        load_model(tmp_path / "wide")


@pytest.mark.parametrize("arguments", [{}, {"patch_size": "512"}, {"patch_size": 512, "x": 1}, {"patch_size": 1e9}])
def test_arguments_that_no_network_takes(folder, arguments):
    write_card(folder, replace(read_card(folder), architecture_args=arguments))
    with pytest.raises(ModelError, match="patch_size"):
        load_model(folder)


@pytest.mark.parametrize("patch_size", [0, 100, 300, 10**9])
def test_a_card_never_asks_for_more_memory_than_there_is(folder, patch_size):
    write_card(folder, replace(read_card(folder), architecture_args={"patch_size": patch_size}))
    with pytest.raises(ModelError, match="256 to 8192"):
        load_model(folder)


def test_a_tile_that_no_machine_holds(folder):
    wide = replace(read_card(folder), architecture_args={"patch_size": 4096}, patch_size_pixels=4096)
    write_card(folder, wide)
    with pytest.raises(ModelError, match="would take about 36 GB"):
        load_model(folder)


def test_weights_larger_than_the_network(folder):
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(100_000_000)  # sparse
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_card(folder, replace(read_card(folder), weights_sha256=digest))
    with pytest.raises(ModelError, match="100,000,000 bytes are not the weights"):
        load_model(folder)


def test_an_architecture_that_is_not_known(folder):
    write_card(folder, replace(read_card(folder), architecture="unet++"))
    with pytest.raises(ModelError, match=r"'unet\+\+' is unknown; this glomseg knows variable-unet"):
        load_model(folder)


class Tiny(Network):
    """One 3x3 convolution."""

    stride = 1

    def __init__(self, classes):
        super().__init__()
        self.only = nn.Conv2d(3, classes, 3, padding=1)

    @classmethod
    def of(cls, card):
        return cls(card.num_classes)

    def forward(self, x):
        return self.only(x)


def test_a_network_of_ones_own(tmp_path, monkeypatch):
    """A line in the registry is all that saving, loading and predicting need."""
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    net = Tiny(1)
    save_model(tmp_path / "tiny", card(architecture="tiny", architecture_args={}), net)
    model = load_model(tmp_path / "tiny")
    with torch.inference_mode():
        x = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 255
        expected = (torch.sigmoid(net(x)) * 255).numpy()
    assert np.abs(model.predict(images()).astype(float) - expected).max() <= (1 if model.dtype == torch.float32 else 4)


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


@pytest.mark.parametrize("size", [(1, 1), (31, 50), (64, 64)])
def test_predict_shape(net, size):
    model = Model(card(), net, torch.device("cpu"))
    result = model.predict(images(3, *size))
    assert result.shape == (3, 1, *size)
    assert result.dtype == np.uint8


def test_predict_nothing_and_nonsense(net):
    model = Model(card(), net, torch.device("cpu"))
    assert model.predict(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 1, 8, 8)
    with pytest.raises(ValueError, match="uint8"):
        model.predict(np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match="3"):
        model.predict(np.zeros((8, 8, 3), np.uint8))


def test_predict_takes_views_and_leaves_them(net):
    model = Model(card(), net, torch.device("cpu"))
    big = images(2, 64, 64)
    before = big.copy()
    assert np.array_equal(model.predict(big[:, ::2, ::2]), model.predict(before[:, ::2, ::2].copy()))
    assert np.array_equal(big, before)
    big.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(big)


def test_a_batch_is_its_images(net):
    model = Model(card(), net, torch.device("cpu"))
    batch = images(4, 32, 48)
    alone = np.concatenate([model.predict(image[None]) for image in batch])
    assert np.abs(model.predict(batch).astype(int) - alone).max() <= 1


def test_tta_is_symmetric(net):
    model = Model(card(), net, torch.device("cpu"))
    batch = images(1, 32, 48)
    plain = model.predict(batch, tta=True).astype(int)
    for axis in (1, 2):
        turned = np.flip(model.predict(np.ascontiguousarray(np.flip(batch, axis)), tta=True), axis + 1)
        assert np.abs(turned - plain).max() <= 1
    assert np.abs(np.flip(model.predict(np.flip(batch, 1)), 2).astype(int) - model.predict(batch)).max() > 1


def test_mean_and_std_are_applied(net):
    shifted = Model(card(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)), net, torch.device("cpu"))
    x = (torch.from_numpy(images()).permute(0, 3, 1, 2) / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / 0.2
    with torch.inference_mode():
        expected = (torch.sigmoid(net(x)) * 255).numpy()
    assert np.abs(shifted.predict(images()) - expected).mean() < 3


@pytest.mark.parametrize("wrap", [None, "model_state_dict", "state_dict", "model", "module."])
def test_import(tmp_path, net, wrap):
    state = net.state_dict()
    if wrap == "module.":
        state = {f"module.{key}": value for key, value in state.items()}
    elif wrap:
        state = {wrap: state, "epoch": 20}
    torch.save(state, tmp_path / "best.pth")
    made = import_state_dict(
        tmp_path / "best.pth", tmp_path / "mine", mpp=1.9, training_diameter_um=75, species="mouse"
    )
    assert made.name == "mine"
    assert made.mpp == 1.9
    assert np.array_equal(
        load_model(tmp_path / "mine").predict(images()), Model(made, net, torch.device("cpu")).predict(images())
    )


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from the file was run')",))


def refused(path, tmp_path, match):
    with pytest.raises(ModelError, match=match) as error:
        import_state_dict(path, tmp_path / "out", mpp=1.9, training_diameter_um=75, species="mouse")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_import_refuses_code(tmp_path, net):
    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    refused(tmp_path / "evil.pth", tmp_path, "refused")
    torch.save(net, tmp_path / "whole.pth")
    refused(tmp_path / "whole.pth", tmp_path, "refused")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Evil()))
    refused(tmp_path / "plain.pkl", tmp_path, "refused|not a PyTorch file")


def test_import_refuses_nonsense(tmp_path, net):
    refused(tmp_path / "missing.pth", tmp_path, "no such file")
    (tmp_path / "text.pth").write_text("hello")
    refused(tmp_path / "text.pth", tmp_path, r"refused|not a PyTorch file")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", tmp_path, "no state dict")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    refused(tmp_path / "other.pth", tmp_path, "not a VariableUNet")
    state = net.state_dict()
    del state["final.bias"]
    torch.save(state, tmp_path / "short.pth")
    refused(tmp_path / "short.pth", tmp_path, r"final\.bias")


FULL = (
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1 GB, max allowed: 9.07 GB).",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 1 GB",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 34359738368 bytes.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "std::bad_alloc",
)


@pytest.mark.parametrize("text", FULL)
def test_memory_is_full_on_whatever_device(net, monkeypatch, text):
    def forward(*_):
        raise RuntimeError(text)

    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", forward)
    with pytest.raises(DeviceError, match="cpu has no memory left for 2 x 48 x 32 px; give `batch` as 1") as error:
        model.predict(images())
    assert "\n" not in str(error.value)


def test_another_error_of_torch_stays_what_it_is(net, monkeypatch):
    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="size of tensor"):
        model.predict(images())


def test_values_that_are_not_finite_are_never_taken_for_no_glomerulus(net, monkeypatch):
    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", lambda x: torch.full_like(x[:, :1], float("nan")))
    with pytest.raises(ModelError, match="not finite"):
        model.predict(images())


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"):
        with pytest.raises(DeviceError, match="use auto, cpu, cuda"):
            resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_no_quiet_fall_back(name, folder):
    with pytest.raises(DeviceError, match="give `device` as auto or cpu"):
        load_model(folder, name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_predicts_what_a_cpu_predicts(folder):
    one, other = load_model(folder, "cpu").predict(images()), load_model(folder, "cuda").predict(images())
    assert np.abs(one.astype(int) - other).max() <= 4


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
