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


class HoverLoss(nn.Module):
    """The loss of the mask, and of places in objects: mask + mse * MSE + slope * MSE of the slopes inside objects.

    Places are 0 outside objects, where the first error counts too and that of the slopes does not. Slopes are by a
    Sobel filter of 5 px that gives 1 for what rises by 1 a pixel; after GLOMNET (Moreau et al. 2024), whose loss is
    0.8 CE + 0.2 Dice + 2 MSE + 1 MSE of slopes.
    """

    def __init__(self, mask: nn.Module, *, classes: int, mse: float = 2.0, slope: float = 1.0) -> None:
        """Take the loss of the mask, how many planes are of it, and what the others count."""
        super().__init__()
        self.mask = mask
        self.classes, self.mse, self.slope = classes, mse, slope
        rise = torch.tensor([-1.0, -2.0, 0.0, 2.0, 1.0]) / 8
        smooth = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
        across = smooth[:, None] * rise[None, :]
        self.filters: Tensor
        self.register_buffer("filters", torch.stack([across, across.T])[:, None], persistent=False)

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss; shapes as for `BCEDiceLoss`, with the two planes of places after the classes.

        Without these planes in `target` the loss is that of the mask alone.
        """
        k = self.classes
        loss: Tensor = self.mask(logits[:, :k], target[:, :k], weight)
        if target.shape[1] == k:
            return loss
        places, true, inside = logits[:, k:].float(), target[:, k:], target[:, :k].amax(dim=1, keepdim=True)
        counted = torch.ones_like(inside) if weight is None else weight.amax(dim=1, keepdim=True)
        error = _share(((places - true) ** 2) * counted, counted)
        slopes = _share((self._slopes(places) - self._slopes(true)) ** 2 * counted * inside, counted * inside)
        return loss + self.mse * error + self.slope * slopes

    def _slopes(self, places: Tensor) -> Tensor:
        return F.conv2d(F.pad(places, (2, 2, 2, 2), mode="replicate"), self.filters, groups=2)


def _share(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of two planes of values over what is counted."""
    return values.sum() / (2 * counted.sum()).clamp(min=1.0)


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
