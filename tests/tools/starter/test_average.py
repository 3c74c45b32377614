"""The mean of weights: of each tensor, and only of networks that are alike."""

import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from glomseg.errors import ModelError
from tools.starter.average import averaged, main


def test_the_mean_of_two(tmp_path, monkeypatch):
    one, two, mean = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "mean"))
    save_file({"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)}, one)
    save_file({"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(9)}, two)
    monkeypatch.setattr(sys, "argv", ["average", str(one), str(two), "-o", str(mean)])
    main()
    state = load_file(mean)
    assert state["w"].tolist() == [2.0, 4.0]
    assert state["n"] == 3


def test_other_networks_and_other_files(tmp_path):
    one, two, text = tmp_path / "one.safetensors", tmp_path / "two.safetensors", tmp_path / "text.safetensors"
    save_file({"w": torch.zeros(2)}, one)
    save_file({"w": torch.zeros(3)}, two)
    text.write_text("no weights")
    with pytest.raises(ModelError, match="not the network"):
        averaged([one, two])
    with pytest.raises(ModelError, match="cannot be read"):
        averaged([one, text])
