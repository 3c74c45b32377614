"""Other libraries compute what torch computes, to within 1e-3 of float32, on real weights and real tissue."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from support.oracle import CLASSES, oracle_net, save_oracle
from support.small_models import card

import glomseg.models.engine as engines
from glomseg.errors import DeviceError, ModelError
from glomseg.models.device import device_with
from glomseg.models.engine import TOLERANCE, open_engine
from glomseg.models.ensemble import load_models
from glomseg.models.exporting import export_model
from glomseg.models.machine import Backend
from glomseg.models.predict import Model, load_model
from glomseg.models.store import load_network, read_card, save_model, shipped_folder
from glomseg.models.variable_unet import VariableUNet

SHIPPED = shipped_folder() / "pas-starter"
SAMPLE = Path(__file__).parents[2] / "glomseg/sample/kidney_biopsy.tif"
CPU = torch.device("cpu")
SIZES = ((1, 240, 320), (3, 171, 93), (2, 33, 200), (5, 16, 17), (1, 1, 1))


@pytest.fixture(scope="module", params=("openvino", "onnxruntime"))
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each library that is installed here."""
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed here") and request.param


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Real kidney at about 3 um/px, from which `parts` cuts."""
    return np.ascontiguousarray(tifffile.imread(SAMPLE, key=1)[::2, ::2])


def parts(tissue: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    return np.stack([np.roll(tissue, -150 - 40 * i, axis=0)[:height, 250 : 250 + width] for i in range(count)])


def plain(folder: Path) -> Model:
    """Load a model that torch computes in float32, whatever this CPU is fastest with."""
    model_card = read_card(folder)
    return Model(model_card, load_network(folder, model_card), CPU, torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_the_shipped_model_gives_what_torch_gives(backend: Backend, tissue: np.ndarray, size) -> None:
    model, torchs = load_model(SHIPPED, "cpu", backend), plain(SHIPPED)
    assert (model.backend, model.computed_by) == (backend, f"{backend} float32")
    pixels = parts(tissue, *size)
    mine, theirs = model.unrounded(pixels), torchs.unrounded(pixels)
    assert mine.shape == (size[0], 1, *size[1:])
    assert np.abs(mine - theirs).max() < TOLERANCE
    assert np.abs(model.predict(pixels).astype(int) - torchs.predict(pixels)).max() <= 1
    alone = np.concatenate([model.unrounded(one[None]) for one in pixels])
    assert np.abs(mine - alone).max() < 1e-5  # whatever else is in the batch
    if size == SIZES[0]:
        assert theirs.max() > 0.9  # equal answers mean something
        assert theirs.min() < 0.1


@pytest.mark.slow
def test_flips_and_enlargements(backend: Backend, tissue: np.ndarray) -> None:
    pixels = parts(tissue, 1, 101, 87)
    mine = load_model(SHIPPED, "cpu", backend).predict(pixels, tta=True, scales=(1.25,))
    assert np.abs(mine.astype(int) - plain(SHIPPED).predict(pixels, tta=True, scales=(1.25,))).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_classes_and_the_head_hover(backend: Backend, tmp_path: Path, tissue: np.ndarray, activation: str) -> None:
    torch.manual_seed(2)
    made = card(heads=("mask", "hover"), activation=activation, mean=(0.5, 0.4, 0.6), std=(0.2, 0.3, 0.2), **CLASSES)
    net = VariableUNet(512, 3, hover=True)
    net(torch.rand(4, 3, 32, 32))
    save_model(tmp_path / "hover", made, net.eval())
    pixels = parts(tissue, 2, 77, 45)
    model, torchs = load_model(tmp_path / "hover", "cpu", backend), plain(tmp_path / "hover")
    assert model.unrounded(pixels).shape == (2, 5, 77, 45)
    assert np.abs(model.predict_planes(pixels).astype(int) - torchs.predict_planes(pixels)).max() <= 1
    assert (
        np.abs(model.predict_planes(pixels, tta=True).astype(int) - torchs.predict_planes(pixels, tta=True)).max() <= 1
    )


@pytest.mark.slow
def test_several_models_are_all_computed_so(backend: Backend, tmp_path: Path) -> None:
    strict = oracle_net()
    with torch.no_grad():
        strict.final.bias[0] -= 4
    save_oracle(tmp_path / "a")
    save_model(tmp_path / "b", read_card(tmp_path / "a"), strict)
    both, torchs = (load_models((tmp_path / "a", tmp_path / "b"), "cpu", name) for name in (backend, "torch"))
    assert both.computed_by == f"{backend} float32"
    pixels = np.random.default_rng(0).integers(60, 200, (2, 40, 56, 3), dtype=np.uint8)
    bound = 1 if torchs.dtype is torch.float32 else 12  # steep logits: bfloat16 shows
    assert np.abs(both.predict_planes(pixels).astype(int) - torchs.predict_planes(pixels)).max() <= bound


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(backend: Backend, tissue: np.ndarray) -> None:
    pixels, before, given = parts(tissue, 1, 171, 93), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            given.append(load_model(SHIPPED, "cpu", backend).predict(pixels))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*given)


@pytest.mark.slow
def test_an_export_is_kept_and_made_anew_where_it_is_damaged(backend: Backend, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GLOMSEG_STATE", str(tmp_path))
    made: list[bytes] = []
    export = engines.logits_as_onnx
    monkeypatch.setattr(engines, "logits_as_onnx", lambda *given: made.append(export(*given)) or made[-1])
    load_model(SHIPPED, "cpu", backend)
    (kept,) = (tmp_path / "engines").iterdir()
    assert kept.read_bytes() == made[0]
    load_model(SHIPPED, "cpu", backend)
    assert len(made) == 1
    kept.write_bytes(made[0][: len(made[0]) // 2])
    load_model(SHIPPED, "cpu", backend)
    assert len(made) == 2
    assert kept.read_bytes() == made[1]


@pytest.mark.slow
def test_an_engine_that_gives_something_else_is_refused(backend: Backend, monkeypatch, tmp_path: Path) -> None:
    """Here an export of other weights under the name of these, as a library would give that computes wrongly."""
    monkeypatch.setenv("GLOMSEG_STATE", str(tmp_path))
    made, net = read_card(SHIPPED), load_network(SHIPPED, read_card(SHIPPED))
    other = VariableUNet.of(made).eval()
    export = engines.logits_as_onnx
    monkeypatch.setattr(engines, "logits_as_onnx", lambda model_card, _: export(model_card, other))
    with pytest.raises(
        ModelError, match=f"`backend` {backend} gives pas-starter values that lie .* from those of torch"
    ):
        open_engine(made, net, backend)
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_library_that_is_missing(name: Backend, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        ModelError, match=rf"`backend` {name} needs {name}.*pip install 'glomseg\[\w+,export\]'"
    ) as error:
        load_model(SHIPPED, "cpu", name)
    assert "\n" not in str(error.value)


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="`backend` is 'tensorrt'; give auto, torch, openvino, onnxruntime"):
        load_model(SHIPPED, "cpu", "tensorrt")  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match="`backend` openvino computes on the CPU, and `device` is cuda"):
        load_model(SHIPPED, torch.device("cuda"), "openvino")
    for name in ("cuda:0", "mps"):
        with pytest.raises(DeviceError, match="`device`"):
            load_model(SHIPPED, name, "onnxruntime")
    assert device_with("onnxruntime", "auto") == CPU


def test_a_network_that_cannot_be_exported(backend: Backend) -> None:
    class Fixed(VariableUNet):
        export_problem = "it knows one size"

    with pytest.raises(ModelError, match=f"`backend` {backend} cannot compute tiny, .*: it knows one size; give torch"):
        open_engine(card(), Fixed(256).eval(), backend)


@pytest.mark.slow
def test_a_model_that_is_onnx_already(tmp_path: Path, tissue: np.ndarray) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed here")
    export_model(SHIPPED, tmp_path / "out")
    pixels = parts(tissue, 1, 90, 80)
    for name in ("auto", "onnxruntime"):
        model = load_model(tmp_path / "out", "cpu", name)
        assert model.computed_by == "onnxruntime float32"
        assert np.abs(model.unrounded(pixels) - plain(SHIPPED).unrounded(pixels)).max() < TOLERANCE
    for name in ("torch", "openvino"):
        with pytest.raises(ModelError, match="a network as onnx, which onnxruntime computes; leave `backend` out"):
            load_model(tmp_path / "out", "cpu", name)
