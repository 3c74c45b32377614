"""TorchScript and ONNX with a card: taken without code of ours, and refused by name where they are not as it says."""

import builtins
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support.oracle import oracle_card
from torch import nn

from glomseg.errors import ModelError
from glomseg.models.predict import load_model
from glomseg.models.store import save_model, verify_model, write_card
from glomseg.models.variable_unet import VariableUNet

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Darkness(nn.Module):
    """As many channels as asked for, each how dark a pixel is, and `more` added."""

    def __init__(self, channels: int = 1, more: float = 0.0) -> None:
        super().__init__()
        self.channels = channels
        self.more = nn.Parameter(torch.tensor(float(more)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (1 - x.mean(dim=1, keepdim=True)).expand(-1, self.channels, -1, -1) + self.more


def save(folder: Path, net: nn.Module, **card: object) -> Path:
    folder.mkdir(exist_ok=True)
    made = oracle_card(**{"architecture": "torchscript", "architecture_args": {"probabilities": True}, **card})
    torch.jit.script(net).save(folder / made.weights_name)
    digest = hashlib.sha256((folder / made.weights_name).read_bytes()).hexdigest()
    write_card(folder, dataclasses.replace(made, weights_sha256=digest))
    return folder


def images(*size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(2, 64, 64), (1, 50, 31), (3, 1, 1)])
def test_its_own_probabilities_are_taken_as_they_are(tmp_path: Path, size: tuple[int, ...]) -> None:
    model = load_model(save(tmp_path / "dark", Darkness()))
    pixels = images(*size)
    expected = 255 - pixels.astype(float).mean(axis=3)
    assert np.abs(model.predict(pixels)[:, 0] - expected).max() <= 1
    assert verify_model(tmp_path / "dark").architecture == "torchscript"


@pytest.mark.parametrize(
    ("net", "card", "message"),
    [
        (Darkness(2), {}, r"gives \(1, 2, 64, 64\) and not \(1, 1, 64, 64\)"),
        (Darkness(1), {"architecture_args": {"background": True}}, r"and not \(1, 2, 64, 64\)"),
        (Darkness(1, more=4), {}, "not in 0..1"),
        (Darkness(1, more=float("nan")), {}, "more holds values that are not finite"),
        (Darkness(1), {"architecture_args": {"stride": 0}}, "stride"),
        (Darkness(1), {"architecture_args": {"stride": 10**9}}, "stride"),
        (Darkness(1), {"architecture_args": {"code": "x"}}, "code"),
        (nn.AvgPool2d(2), {}, r"gives \(1, 3, 32, 32\)"),
        (nn.Conv2d(4, 1, 1), {}, "fails on a picture"),
    ],
)
def test_what_is_not_as_the_card_says(tmp_path: Path, net: nn.Module, card: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message) as error:
        load_model(save(tmp_path / "odd", net, **card))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("architecture", ["torchscript", "onnx"])
def test_a_file_of_another_sha256_is_never_opened(
    tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("opened"))
    made = oracle_card(architecture=architecture, architecture_args={}, weights_sha256="0" * 64)
    (tmp_path / made.weights_name).write_bytes(b"anything")
    write_card(tmp_path, made)
    with pytest.raises(ModelError, match="sha256"):
        load_model(tmp_path)


@pytest.mark.parametrize("architecture", ["torchscript", "onnx"])
def test_a_file_that_is_none(tmp_path: Path, architecture: str) -> None:
    digest = hashlib.sha256(b"anything").hexdigest()
    made = oracle_card(architecture=architecture, architecture_args={}, weights_sha256=digest)
    (tmp_path / made.weights_name).write_bytes(b"anything")
    write_card(tmp_path, made)
    with pytest.raises(ModelError, match=r"not an? (TorchScript|ONNX) file") as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"anything").hexdigest()
    made = oracle_card(architecture="onnx", architecture_args={}, weights_sha256=digest)
    (tmp_path / made.weights_name).write_bytes(b"anything")
    write_card(tmp_path, made)
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "onnxruntime":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install 'glomseg\[onnx\]'"):
        load_model(tmp_path)


@pytest.mark.parametrize("shape", [["n", 3, 512, 512], ["n", 1, "h", "w"], ["n", 3, "h"]])
def test_onnx_of_one_size_or_of_other_channels(tmp_path: Path, shape: list[object]) -> None:
    import onnx
    from onnx import TensorProto, helper

    given, taken = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [given], [taken])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    digest = hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    write_card(tmp_path, oracle_card(architecture="onnx", architecture_args={}, weights_sha256=digest))
    with pytest.raises(ModelError, match="export it with these sizes free"):
        load_model(tmp_path)


def test_no_network_of_ours_is_saved_as_a_foreign_one(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="copy its folder"):
        save_model(tmp_path / "out", oracle_card(architecture="torchscript"), VariableUNet(256))
    assert not (tmp_path / "out").exists()
