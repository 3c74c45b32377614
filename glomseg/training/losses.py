"""Losses for one logit per pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BCEDiceLoss(nn.Module):
    """Binary cross entropy and soft Dice, weighed.

    a * BCEWithLogits(pos_weight) + (1 - a) * (1 - (2 * sum(p * t) + eps) / (sum(p) + sum(t) + eps)),
    the Dice term over the flattened batch. The defaults are those that the reference project found best.
    """

    def __init__(self, *, a: float = 0.8, pos_weight: float = 25.0, eps: float = 1e-6) -> None:
        """Take the share of the cross entropy, the weight of a positive pixel, and the smoothing of Dice."""
        super().__init__()
        self.a = a
        self.eps = eps
        self.pos_weight: Tensor
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)))

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss of `logits` against `target` (0..1, same shape); `weight` 0 leaves a pixel out."""
        logits = logits.float()
        bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=self.pos_weight)
        p = torch.sigmoid(logits)
        if weight is None:
            bce_mean = bce.mean()
        else:
            bce_mean = (bce * weight).sum() / weight.sum().clamp(min=1.0)
            p, target = p * weight, target * weight
        dice = (2 * (p * target).sum() + self.eps) / (p.sum() + target.sum() + self.eps)
        return self.a * bce_mean + (1 - self.a) * (1 - dice)
