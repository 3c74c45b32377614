"""A model in memory: pixels to probabilities."""

import warnings

import numpy as np
import pytest
import torch
from support.small_models import card, images

from glomseg.errors import ModelError
from glomseg.models.predict import Model, load_model


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


def test_another_error_of_torch_stays_what_it_is(net, monkeypatch):
    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", lambda *_: torch.zeros(2) + torch.zeros(3))
    with pytest.raises(RuntimeError, match="size of tensor"):
        model.predict(images())


def test_values_that_are_not_finite_are_never_taken_for_no_glomerulus(net, monkeypatch):
    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", lambda x: torch.full_like(x[:, :1], float("nan")))
    with pytest.raises(ModelError, match="not finite; train or fetch the model again"):
        model.predict(images())


def test_what_float16_cannot_hold_is_computed_with_a_wider_type(net, monkeypatch):
    """As on a GPU, where float16 is the first choice."""
    monkeypatch.setattr("glomseg.models.predict.dtype_for", lambda device: torch.float16)
    with torch.no_grad():
        net.enc1.double_conv[1].weight.mul_(1e5)
        net.enc1.double_conv[4].weight.mul_(1e-5)
    model = Model(card(), net, torch.device("cpu"))
    assert model.dtype is torch.float16
    result = model.predict(images())
    assert model.dtype is not torch.float16
    exact = Model(card(), net, torch.device("cpu"), torch.float32).predict(images())
    assert np.abs(result.astype(int) - exact).max() <= 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_predicts_what_a_cpu_predicts(folder):
    one, other = load_model(folder, "cpu").predict(images()), load_model(folder, "cuda").predict(images())
    assert np.abs(one.astype(int) - other).max() <= 4
