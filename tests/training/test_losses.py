"""The loss has the value of its formula."""

import numpy as np
import pytest
import torch

from glomseg.training.losses import BCEDiceLoss


def formula(logits, target, a, pos_weight, eps):
    p = 1 / (1 + np.exp(-logits))
    bce = -(pos_weight * target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    dice = (2 * (p * target).sum() + eps) / (p.sum() + target.sum() + eps)
    return a * bce + (1 - a) * (1 - dice)


@pytest.mark.parametrize(("a", "pos_weight", "eps"), [(0.8, 25, 1e-6), (0.5, 1, 1.0), (0, 3, 1e-6), (1, 3, 1e-6)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_value(a, pos_weight, eps, share):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (2, 1, 9, 7))
    target = (rng.random(logits.shape) < share).astype(float)
    loss = BCEDiceLoss(a=a, pos_weight=pos_weight, eps=eps)
    value = loss(torch.tensor(logits, dtype=torch.float32), torch.tensor(target, dtype=torch.float32))
    assert value.item() == pytest.approx(formula(logits, target, a, pos_weight, eps), abs=1e-6, rel=1e-6)


def test_defaults_are_the_reference():
    loss = BCEDiceLoss()
    assert (loss.a, loss.pos_weight.item(), loss.eps) == (0.8, 25.0, 1e-6)


def test_a_weight_of_one_changes_nothing_and_of_zero_hides():
    torch.manual_seed(0)
    loss = BCEDiceLoss(a=0.5, pos_weight=2)
    logits, target = torch.randn(1, 1, 8, 8), (torch.rand(1, 1, 8, 8) > 0.5).float()
    assert torch.allclose(loss(logits, target), loss(logits, target, torch.ones_like(target)))
    weight = torch.ones_like(target)
    weight[..., 4:] = 0
    other = target.clone()
    other[..., 4:] = 1 - other[..., 4:]
    assert torch.equal(loss(logits, target, weight), loss(logits, other, weight))
    assert torch.allclose(loss(logits, target, weight), loss(logits[..., :4], target[..., :4]), atol=1e-6)


def test_no_overflow_in_half_precision():
    value = BCEDiceLoss()(torch.full((1, 1, 64, 64), -80.0).bfloat16(), torch.zeros(1, 1, 64, 64))
    assert torch.isfinite(value)
