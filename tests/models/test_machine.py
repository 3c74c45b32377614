"""What is remembered of a machine: the fastest way on its processor, and what is said where that is of no use."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import torch

from glomseg.errors import ModelError, RunError
from glomseg.models import device, fastest, machine
from glomseg.models.fastest import MeasuredWay, choose_way, measure_machine
from glomseg.models.machine import FastestWay, Way, fastest_way, processor_name, remember
from glomseg.models.predict import load_model
from glomseg.models.store import shipped_folder

SHIPPED = shipped_folder() / "pas-starter"
OPENVINO = Way(backend="openvino")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what is remembered, with the exports of all tests."""
    exports = Path(os.environ["GLOMSEG_STATE"]) / "engines"
    exports.mkdir(exist_ok=True)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/engines").symlink_to(exports)
    monkeypatch.setenv("GLOMSEG_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def said_by_auto() -> tuple[str, list[str]]:
    """Load the shipped model as by default; return what computes it and what was said."""
    heard: list[str] = []
    return load_model(SHIPPED, "cpu", "auto", heard.append).computed_by, heard


TORCH = f"torch {str(device.dtype_for(torch.device('cpu'))).removeprefix('torch.')}"


def test_nothing_is_remembered_and_nothing_said() -> None:
    assert fastest_way("variable-unet") == (None, "")
    assert said_by_auto() == (TORCH, [])


@pytest.mark.slow
def test_what_is_remembered_is_taken_for_this_architecture_alone(state: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed here")
    path, lost = remember("variable-unet", FastestWay(way=OPENVINO, times_faster=1.7, model="pas-starter", threads=2))
    assert (path, lost) == (state / "machine.json", "")
    remember("segformer", FastestWay(way=Way()))
    assert fastest_way("variable-unet") == (OPENVINO, "")
    assert fastest_way("segformer") == (Way(), "")
    assert fastest_way("upernet") == (None, "")
    assert said_by_auto() == ("openvino float32", [])
    remember("variable-unet", FastestWay(way=Way()))
    assert said_by_auto() == ("torch float32", [])
    assert load_model(SHIPPED, "cpu", "torch").computed_by == TORCH


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"processors": 3}', '{"processors": {"x": {"y": {"way": {"backend": "tensorrt"}}}}}', "\ud800"],
)
def test_a_damaged_file_is_named_and_written_anew(state: Path, text: str) -> None:
    (state / "machine.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    computed_by, (said,) = said_by_auto()
    assert computed_by == TORCH
    assert str(state / "machine.json") in said
    assert "glomseg doctor --benchmark" in said
    assert "\n" not in said
    _, lost = remember("variable-unet", FastestWay(way=Way()))
    assert str(state / "machine.json") in lost
    assert fastest_way("variable-unet") == (Way(), "")


def test_a_file_of_a_later_format_is_not_guessed_at(state: Path) -> None:
    (state / "machine.json").write_text('{"format_version": 2, "processors": {}}')
    assert "format 2, and this glomseg reads 1" in fastest_way("variable-unet")[1]


def test_processors_are_kept_apart(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(machine, "_model_name", lambda: "Another CPU")
        remember("variable-unet", FastestWay(way=OPENVINO))
    computed_by, (said,) = said_by_auto()
    assert computed_by == TORCH
    assert f"{processor_name()}, was not measured, but on Another CPU; torch computes" in said
    remember("variable-unet", FastestWay(way=Way()))
    assert set(json.loads((state / "machine.json").read_text())["processors"]) == {"Another CPU", processor_name()}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx2")
    assert processor_name().endswith(", limited to AVX2")
    assert fastest_way("variable-unet")[0] is None


def test_a_library_that_has_gone_is_said_and_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    remember("variable-unet", FastestWay(way=OPENVINO))
    monkeypatch.setitem(sys.modules, "openvino", None)
    computed_by, (said,) = said_by_auto()
    assert computed_by == TORCH
    assert "openvino was measured to be the fastest here and cannot be used, torch computes: " in said


def test_a_place_where_nothing_can_be_kept(unwritable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOMSEG_STATE", str(unwritable))
    with pytest.raises(RunError, match=r"machine\.json"):
        remember("variable-unet", FastestWay(way=Way()))
    monkeypatch.delenv("GLOMSEG_STATE")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert fastest_way("variable-unet") == (None, "")
    with pytest.raises(ModelError, match="set GLOMSEG_STATE"):
        remember("variable-unet", FastestWay(way=Way()))


@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_a_cpu_that_may_not_use_bfloat16_has_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("AVX2", "avx512_core", "AVX512_CORE_VNNI"):
        monkeypatch.setenv(name, limit)
        assert device.dtype_for(torch.device("cpu")) is torch.float32
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    for limit in ("ALL", "", "AVX512_CORE_BF16"):
        monkeypatch.setenv(name, limit)
        assert device.dtype_for(torch.device("cpu")) is torch.bfloat16


def test_the_usual_way_stays_where_another_gains_little() -> None:
    def ways(**ratios: float) -> tuple[MeasuredWay, ...]:
        return tuple(MeasuredWay(way=Way(backend=name), ratio=ratio) for name, ratio in ratios.items())  # type: ignore[arg-type]

    assert choose_way(ways(torch=1.0, openvino=0.97), Way()) == Way()
    assert choose_way(ways(torch=1.0, openvino=0.7, onnxruntime=0.8), Way()) == OPENVINO
    wrong = MeasuredWay(way=OPENVINO, ratio=0.1, problem="its values lie apart")
    assert choose_way((*ways(torch=1.0, onnxruntime=0.8), wrong), Way()) == Way(backend="onnxruntime")


@pytest.mark.slow
def test_a_machine_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastest, "ROUNDS", (1, 1))
    heard: list[str] = []
    measured = measure_machine("pas-starter", progress=heard.append)
    assert measured.rounds == 1
    assert heard[-1] == "round 1 of 1"
    told = {one.way: one for one in measured.ways}
    assert told[Way()].ratio == 1
    assert told[Way()].difference == 0
    for name in ("openvino", "onnxruntime"):
        one = told[Way(backend=name)]  # type: ignore[arg-type]
        assert one.problem.startswith(f"{name} needs") or (one.difference or 0) < 1e-3
    assert told[measured.fastest].ratio is not None
    assert measured.times_faster >= 1
