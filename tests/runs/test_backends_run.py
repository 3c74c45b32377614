"""Runs whose network another library computes: recorded, resumed, shared out and refused as any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.batches import files_of, small_slides

import glomseg
from glomseg import Listener, SegmentOptions
from glomseg.models.machine import FastestWay, Way, remember
from glomseg.runs.run import load_run
from glomseg.runs.shard import parse_shard

pytest.importorskip("openvino", reason="openvino is not installed here")


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_slides(tmp_path_factory.mktemp("slides"), 4)


def run_over(slides: list[Path], folder: Path, oracle: Path, backend: str, **more: object) -> list[str]:
    """Segment slides into a folder and return what was said."""
    heard: list[str] = []
    options = SegmentOptions(model=oracle, device="cpu", backend=backend, **more)
    result = glomseg.segment_slides(slides, folder, options, listener=Listener(remark=heard.append))
    assert not result.failed
    return heard


@pytest.mark.slow
def test_another_backend_goes_on_with_a_run_and_says_so(slides, oracle_folder: Path, tmp_path: Path) -> None:
    """As another device does: what was done stays, the record of each image says what computed it."""
    texts = run_over(slides[:2], tmp_path, oracle_folder, "torch")
    assert not [text for text in texts if "computed" in text]
    before = files_of(tmp_path)
    texts = run_over(slides, tmp_path, oracle_folder, "openvino")
    assert [text for text in texts if ", computed by openvino float32" in text]
    (said,) = [text for text in texts if "not all computed alike" in text]
    assert "2 by openvino float32" in said
    run = load_run(tmp_path)
    assert run.computed_by == "openvino float32"
    by = [str(record.computed_by).split()[0] for record in run.images.values()]
    assert by == ["torch", "torch", "openvino", "openvino"]
    assert {name: text for name, text in files_of(tmp_path).items() if name in before and "geojson" in name} == {
        name: text for name, text in before.items() if "geojson" in name
    }
    assert "cpu, computed by openvino float32" in (tmp_path / "summary.md").read_text()
    counts = {record.glomeruli for record in run.images.values()}
    assert None not in counts


@pytest.mark.slow
def test_shards_may_compute_differently(slides, oracle_folder: Path, tmp_path: Path) -> None:
    run_over(slides, tmp_path, oracle_folder, "torch", shard=parse_shard("1/2"))
    texts = run_over(slides, tmp_path, oracle_folder, "openvino", shard=parse_shard("2/2"))
    assert [text for text in texts if "not all computed alike" in text]
    assert all(record.is_done for record in load_run(tmp_path).images.values())


@pytest.mark.slow
def test_workers_make_the_same_files(slides, oracle_folder: Path, tmp_path: Path) -> None:
    run_over(slides, tmp_path / "one", oracle_folder, "openvino")
    run_over(slides, tmp_path / "two", oracle_folder, "openvino", workers=2)
    one, two = (
        {path.name: json.loads(path.read_text()) for path in (tmp_path / name).glob("*.geojson")}
        for name in ("one", "two")
    )
    assert len(one) == 4
    for name, content in one.items():
        assert _shapes(content) == _shapes(two[name])
    assert {record.computed_by for record in load_run(tmp_path / "two").images.values()} == {"openvino float32"}


def _shapes(content: dict) -> list:
    return [feature["geometry"] for feature in content["features"]]


@pytest.mark.slow
def test_the_default_takes_what_was_measured(slides, oracle_folder: Path, tmp_path: Path, monkeypatch, glomseg) -> None:
    monkeypatch.setenv("GLOMSEG_STATE", str(tmp_path / "state"))
    remember("variable-unet", FastestWay(way=Way(backend="openvino")))
    command = ("segment", slides[0], "--model", oracle_folder, "--device", "cpu")
    assert glomseg(*command, "-o", tmp_path / "a").code == 0
    assert load_run(tmp_path / "a").computed_by == "openvino float32"
    assert glomseg(*command, "-o", tmp_path / "b", "--backend", "torch").code == 0
    assert str(load_run(tmp_path / "b").computed_by).startswith("torch")
    monkeypatch.setitem(sys.modules, "openvino", None)
    gone = glomseg(*command, "-o", tmp_path / "c", "--quiet")
    assert gone.code == 0
    assert "openvino was measured to be the fastest here and cannot be used, torch computes" in gone.err
    refused = glomseg(*command, "-o", tmp_path / "d", "--backend", "openvino")
    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "--backend openvino needs openvino" in refused.err
    assert not (tmp_path / "d").exists()


def test_a_gpu_is_not_asked_of_what_has_none(slides, oracle_folder: Path, tmp_path: Path, glomseg) -> None:
    command = ("segment", slides[0], "--model", oracle_folder, "-o", tmp_path / "out", "--backend", "openvino")
    refused = glomseg(*command, "--device", "mps")
    assert refused.code == 1
    assert "--device" in refused.err
    assert glomseg("segment", slides[0], "-o", tmp_path / "out", "--backend", "tflite").code == 2


@pytest.mark.slow
def test_doctor_measures_and_remembers(oracle_folder: Path, tmp_path: Path, monkeypatch, glomseg, no_qupath) -> None:
    from glomseg.models import fastest

    monkeypatch.setattr(fastest, "ROUNDS", (1, 1))
    monkeypatch.setenv("GLOMSEG_STATE", str(tmp_path))
    assert "looks for what is faster" in glomseg("doctor").out
    shown = glomseg("doctor", "--benchmark", "--model", oracle_folder)
    assert shown.code == 0, shown.err
    for words in ("torch float32", "openvino float32", "onnxruntime float32", "fastest", "remembered in"):
        assert words in shown.out
    assert (tmp_path / "machine.json").is_file()
    assert "computes variable-unet" in " ".join(glomseg("doctor").out.split())
    (tmp_path / "machine.json").write_text("{")
    assert "is damaged" in " ".join(glomseg("doctor").out.split())
    again = glomseg("doctor", "--benchmark", "--model", oracle_folder)
    assert again.code == 0
    assert "is damaged" in again.out
    assert "begun anew" in again.out
    assert glomseg("doctor", "--model", oracle_folder).code == 2
