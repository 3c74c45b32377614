"""The registry: a network from its card, and nothing of any size."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.small_models import card, images
from torch import nn

from glomseg.errors import ModelError
from glomseg.models.network import Network
from glomseg.models.networks import NETWORKS
from glomseg.models.predict import load_model
from glomseg.models.store import read_card, save_model, write_card


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
