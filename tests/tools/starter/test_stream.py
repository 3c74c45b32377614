"""Several networks from one stream of composed images, and what they refuse."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tools.starter import stream
from tools.starter.train import GO_ON


def _settings(folder: Path, name: str, **changed: str) -> Path:
    text = GO_ON.read_text(encoding="utf-8")
    for old, new in {"crop_px = 256": "crop_px = 64", "batch_size = 4": "batch_size = 2", **changed}.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _run(monkeypatch: pytest.MonkeyPatch, data: Path, output: Path, *words: object) -> None:
    given = [str(data), "--organs", str(data), "-o", str(output), "--seconds", "4", "--fillers", "1", "--pool", "40"]
    more = ["--memory", str(output.parent), "--device", "cpu", *map(str, words)]
    monkeypatch.setattr(sys, "argv", ["stream", *given, *more])
    stream.main()


def test_what_one_stream_cannot_serve_is_refused(tmp_path, monkeypatch):
    one = _settings(tmp_path, "one")
    for words, why in (
        ((one, _settings(tmp_path / "b", "one")), "two of the settings files have one name"),
        ((one, _settings(tmp_path, "two", **{"crop_px = 64": "crop_px = 96"})), "two differs from one"),
        ((_settings(tmp_path, "margin", **{"margin_px = 0": "margin_px = 16"}),), "margin_px must be 0"),
        ((one, "--start", "on=pas-starter"), "--start on: give NAME=MODEL, NAME being one of one"),
    ):
        with pytest.raises(SystemExit) as ended:
            _run(monkeypatch, tmp_path, tmp_path / "out", *words)
        assert why in str(ended.value)


@pytest.mark.slow
def test_networks_learn_side_by_side_and_one_that_fails_is_named(made_up, organs, tmp_path, monkeypatch, capfd):
    went_on = _settings(tmp_path, "on")
    mad = _settings(tmp_path, "mad")
    with pytest.raises(SystemExit, match="not trained to the end: mad"):
        _run(
            monkeypatch, made_up, tmp_path / "out", went_on, mad, "--organs", organs, "--start", "on=pas-starter",
            "--start", "mad=no-such-model",
        )  # fmt: skip
    told = capfd.readouterr()
    assert "mad: " in told.err
    assert "Traceback" not in told.err
    assert "steps of 2 in 4 s" in told.out
    weights = load_file(tmp_path / "out/on.safetensors")
    assert all(bool(torch.isfinite(value).all()) for value in weights.values())
    with (tmp_path / "out/on.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert all(0 < float(row["loss"]) < 5 for row in rows)
    assert not (tmp_path / "out/mad.safetensors").exists()


def test_a_loss_that_is_no_number_ends_the_training():
    with pytest.raises(stream.TrainingError, match="lower optimiser"):
        stream.checked(torch.tensor(float("nan")), 7)
