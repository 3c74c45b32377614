"""A few steps of training on made-up tissue: it learns, and the seed decides the result."""

import itertools

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from glomseg.errors import TrainingError
from glomseg.training.train import TrainConfig, learning_rate_at, read_data, train
from glomseg.unet import VariableUNet

TINY = TrainConfig(
    steps=12, batch_size=2, workers=0, learning_rate=5e-3, evaluate_every=6, validation_images=2, image_px=64
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two threads wait for each other
    yield
    torch.set_num_threads(threads)


def run(made_up, output, config, **more):
    parts = read_data(made_up)
    told = []
    net = train(parts.train, parts.validation, output, config, callback=told.append, **more)
    return net, told


def test_it_learns_and_the_seed_decides(made_up, tmp_path):
    one, told = run(made_up, tmp_path / "one", TINY)
    two, again = run(made_up, tmp_path / "two", TINY)
    losses = [p.loss for p in told]
    assert np.mean(losses[-4:]) < 0.85 * np.mean(losses[:2])
    assert losses == [p.loss for p in again]
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key
    assert [p.step for p in told if p.score] == [6, 12]
    last = load_file(tmp_path / "one/last.safetensors")
    assert all(torch.equal(last[key], value) for key, value in one.state_dict().items())
    VariableUNet(512).load_state_dict(load_file(tmp_path / "one/best.safetensors"))


def test_a_loss_that_is_not_finite_stops(made_up, tmp_path):
    state = VariableUNet(512).state_dict()
    state["final.bias"] = torch.tensor([float("nan")])
    with pytest.raises(TrainingError, match="step 1"):
        run(made_up, tmp_path, TINY, start=state)


def test_learning_rate():
    config = TrainConfig(learning_rate=1.0, warm_up=0.1)
    rates = [learning_rate_at(share, config) for share in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) == 10
    assert rates[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
