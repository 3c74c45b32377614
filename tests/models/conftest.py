"""A small network with weights of its own, and the folder of it."""

import pytest
import torch
from support.small_models import card

from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet


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
