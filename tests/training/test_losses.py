"""Losses have the value of their formulas, class by class, and masked pixels do not matter."""

import numpy as np
import pytest
import torch

from glomseg.errors import TrainingError
from glomseg.training.losses import BCEDiceLoss, DiceFocalLoss, loss_of


def dice_of(p, target, eps):
    return (2 * (p * target).sum() + eps) / (p.sum() + target.sum() + eps)


def formula(logits, target, a, pos_weight, eps, gamma=0.0):
    """kidney.md's; the focal one by Lin's (1 - p_t)^gamma, pixel by pixel."""
    p = 1 / (1 + np.exp(-logits))
    positive, negative = (1 - p) ** gamma * np.log(p), p**gamma * np.log(1 - p)
    pixels = -(pos_weight * target * positive + (1 - target) * negative).mean()
    return a * pixels + (1 - a) * (1 - dice_of(p, target, eps))


def made_up(classes=1, share=0.1, shape=(9, 7)):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (2, classes, *shape))
    return logits, (rng.random(logits.shape) < share).astype(float)


def value(loss, *arrays):
    return loss(*(torch.tensor(array, dtype=torch.float32) for array in arrays)).item()


@pytest.mark.parametrize(("a", "pos_weight", "eps"), [(0.8, 25, 1e-6), (0.5, 1, 1.0), (0, 3, 1e-6), (1, 3, 1e-6)])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_value(a, pos_weight, eps, share):
    logits, target = made_up(share=share)
    wanted = formula(logits, target, a, pos_weight, eps)
    assert value(BCEDiceLoss(a=a, pos_weight=pos_weight, eps=eps), logits, target) == pytest.approx(
        wanted, abs=1e-6, rel=1e-6
    )


@pytest.mark.parametrize("gamma", [0.5, 2.0, 3.0])
@pytest.mark.parametrize("pos_weight", [1.0, 1 / 3, 9.0])
def test_focal_value(gamma, pos_weight):
    logits, target = made_up()
    wanted = formula(logits, target, 0.7, pos_weight, 1e-6, gamma)
    loss = DiceFocalLoss(a=0.7, pos_weight=pos_weight, gamma=gamma)
    assert value(loss, logits, target) == pytest.approx(wanted, abs=1e-6, rel=1e-6)


def test_focal_without_focus_is_bce():
    logits, target = made_up()
    assert value(DiceFocalLoss(a=0.8, pos_weight=25.0, gamma=0.0), logits, target) == pytest.approx(
        value(BCEDiceLoss(), logits, target), rel=1e-6
    )


def test_defaults_are_the_reference():
    loss = BCEDiceLoss()
    assert (loss.a, loss.pos_weight.item(), loss.eps) == (0.8, 25.0, 1e-6)


@pytest.mark.parametrize("kind", ["bce-dice", "dice-focal"])
def test_several_classes_are_the_mean_of_each_alone(kind):
    logits, target = made_up(classes=3)
    weights = (2.0, 5.0, 11.0)
    alone = [
        value(loss_of(kind, a=0.6, pos_weight=weight), logits[:, k : k + 1], target[:, k : k + 1])
        for k, weight in enumerate(weights)
    ]
    together = value(loss_of(kind, classes=3, a=0.6, pos_weight=weights), logits, target)
    assert together == pytest.approx(np.mean(alone), rel=1e-6)
    assert value(loss_of(kind, classes=3, a=0.6, pos_weight=2.0), logits, target) != pytest.approx(together, rel=1e-3)


@pytest.mark.parametrize("kind", ["bce-dice", "dice-focal"])
@pytest.mark.parametrize("classes", [1, 2])
def test_a_weight_of_one_changes_nothing_and_of_zero_hides(kind, classes):
    loss = loss_of(kind, classes=classes, a=0.5, pos_weight=2.0)
    logits, target = (torch.tensor(array, dtype=torch.float32) for array in made_up(classes, 0.5, (8, 8)))
    weight = torch.ones(2, 1, 8, 8)
    assert torch.allclose(loss(logits, target), loss(logits, target, weight))
    weight[..., 4:] = 0
    other, wild = target.clone(), logits.clone()
    other[..., 4:] = 1 - other[..., 4:]
    wild[..., 4:] = 60
    assert torch.equal(loss(logits, target, weight), loss(wild, other, weight))
    assert torch.allclose(loss(logits, target, weight), loss(logits[..., :4], target[..., :4]), atol=1e-6)
    logits.requires_grad_(True)
    loss(logits, target, weight).backward()
    assert not logits.grad[..., 4:].any()
    assert logits.grad[..., :4].all()


@pytest.mark.parametrize("kind", ["bce-dice", "dice-focal"])
def test_nothing_to_learn_from_is_no_loss(kind):
    logits = torch.randn(1, 1, 8, 8, requires_grad=True)
    loss = loss_of(kind)(logits, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", [BCEDiceLoss(), DiceFocalLoss(), DiceFocalLoss(gamma=0.5)])
@pytest.mark.parametrize("far", [-120.0, 120.0])
def test_no_overflow_in_half_precision(loss, far):
    logits = torch.full((1, 1, 64, 64), far).bfloat16().requires_grad_(True)
    loss = loss(logits, torch.zeros(1, 1, 64, 64))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"kind": "dice"}, "bce-dice or dice-focal"), ({"pos_weight": (1.0, 2.0)}, "2 numbers for 3 classes"),
     ({"pos_weight": 0.0}, "positive"), ({"a": 1.2}, "0 .* to 1"), ({"gamma": -1.0}, "0 or more")],
)  # fmt: skip
def test_senseless_settings(wrong, message):
    with pytest.raises(TrainingError, match=message):
        loss_of(**{"kind": "dice-focal", "classes": 3} | wrong)
