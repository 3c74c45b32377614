"""Losses for one logit per pixel and class, each class counted alike; a weight of 0 leaves a pixel out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.errors import TrainingError

PosWeight = float | Sequence[float]
LossKind = Literal["bce-dice", "dice-focal"]


class BCEDiceLoss(nn.Module):
    """Binary cross entropy and soft Dice, weighed.

    a * BCEWithLogits(pos_weight) + (1 - a) * (1 - (2 * sum(p * t) + eps) / (sum(p) + sum(t) + eps)),
    the Dice term over the flattened batch, and the mean over classes where there are several. The defaults are those
    that the reference project found best.
    """

    def __init__(self, *, a: float = 0.8, pos_weight: PosWeight = 25.0, eps: float = 1e-6) -> None:
        """Take the share of the cross entropy, the weight of a positive pixel (of each class), Dice's smoothing."""
        super().__init__()
        self.a = a
        self.eps = eps
        self.pos_weight: Tensor
        self.register_buffer("pos_weight", _per_class(pos_weight))

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss of `logits` (N, K, H, W) against `target` (0..1, same shape), `weight` (N, 1 or K, H, W)."""
        logits = logits.float()
        pixels = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.pos_weight)
        dice = _dice(torch.sigmoid(logits), target, weight, self.eps)
        return (self.a * _mean(pixels, weight) + (1 - self.a) * (1 - dice)).mean()


class DiceFocalLoss(nn.Module):
    """Focal loss and soft Dice, weighed: a * focal + (1 - a) * (1 - Dice), Dice as in `BCEDiceLoss`.

    Focal loss is (1 - p_t)^gamma * BCE (Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 5), here the
    mean over pixels. Its alpha is `pos_weight` = alpha / (1 - alpha), the two being the same but for a factor.
    """

    def __init__(self, *, a: float = 0.5, pos_weight: PosWeight = 1.0, gamma: float = 2.0, eps: float = 1e-6) -> None:
        """Take what `BCEDiceLoss` takes, and how much less a pixel counts that is right already."""
        super().__init__()
        self.a = a
        self.gamma = gamma
        self.eps = eps
        self.pos_weight: Tensor
        self.register_buffer("pos_weight", _per_class(pos_weight))

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss; shapes as for `BCEDiceLoss`."""
        logits = logits.float()
        p = torch.sigmoid(logits)
        wrong = (p * (1 - target) + (1 - p) * target).clamp(min=1e-8)  # at 0 a root has no slope
        bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.pos_weight)
        dice = _dice(p, target, weight, self.eps)
        return (self.a * _mean(wrong**self.gamma * bce, weight) + (1 - self.a) * (1 - dice)).mean()


def loss_of(
    kind: LossKind,
    *,
    classes: int = 1,
    a: float = 0.8,
    pos_weight: PosWeight = 25.0,
    gamma: float = 2.0,
    eps: float = 1e-6,
) -> nn.Module:
    """Return a loss for `classes` logits a pixel; raises TrainingError for a setting that makes no sense."""
    weights = (pos_weight,) if isinstance(pos_weight, int | float) else tuple(pos_weight)
    if len(weights) not in (1, classes):
        raise TrainingError(f"pos_weight has {len(weights)} numbers for {classes} classes; give one, or one a class")
    if not all(math.isfinite(one) and one > 0 for one in weights):
        raise TrainingError(f"pos_weight is {pos_weight}; give positive numbers")
    if not 0 <= a <= 1:
        raise TrainingError(f"the loss's a is {a:g}; give a share from 0 (Dice alone) to 1 (no Dice)")
    if gamma < 0:
        raise TrainingError(f"the loss's gamma is {gamma:g}; give 0 or more")
    if kind == "bce-dice":
        return BCEDiceLoss(a=a, pos_weight=weights, eps=eps)
    if kind == "dice-focal":
        return DiceFocalLoss(a=a, pos_weight=weights, gamma=gamma, eps=eps)
    raise TrainingError(f"no loss is called {kind!r}; give bce-dice or dice-focal")


def _per_class(pos_weight: PosWeight) -> Tensor:
    """Return (K, 1, 1), or (1, 1, 1) for all classes."""
    return torch.tensor(pos_weight, dtype=torch.float32).reshape(-1, 1, 1)


def _mean(pixels: Tensor, weight: Tensor | None) -> Tensor:
    """Return the mean of each class (K,)."""
    if weight is None:
        return pixels.mean(dim=(0, 2, 3))
    return (pixels * weight).sum(dim=(0, 2, 3)) / weight.sum(dim=(0, 2, 3)).clamp(min=1.0)


def _dice(p: Tensor, target: Tensor, weight: Tensor | None, eps: float) -> Tensor:
    """Return the soft Dice of each class (K,)."""
    if weight is not None:
        p, target = p * weight, target * weight
    both, either = (p * target).sum(dim=(0, 2, 3)), p.sum(dim=(0, 2, 3)) + target.sum(dim=(0, 2, 3))
    return (2 * both + eps) / (either + eps)
