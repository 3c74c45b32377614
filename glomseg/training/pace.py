"""How fast weights move: which of them how much, and how that falls over a training."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from glomseg.models.network import Network
from glomseg.training.config import OptimiserConfig, TrainConfig


def parameter_groups(net: Network, settings: OptimiserConfig) -> list[dict[str, Any]]:
    """Sort the weights by how they move: `share` of the rate, with or without decay; one group where all are alike."""
    if settings.backbone_rate == 1 and settings.decay_norms:
        return [{"params": list(net.parameters())}]
    embedded = {id(module.weight) for module in net.modules() if isinstance(module, nn.Embedding)}
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, weight in net.named_parameters():
        inner = bool(net.backbone) and name.startswith(f"{net.backbone}.")
        decays = settings.decay_norms or (weight.ndim > 1 and id(weight) not in embedded)
        share = settings.backbone_rate if inner else 1.0
        new = {"params": [], "share": share, "weight_decay": settings.weight_decay if decays else 0.0}
        groups.setdefault((share, decays), new)["params"].append(weight)
    return list(groups.values())


def learning_rate_at(share: float, config: TrainConfig) -> float:
    """Return the learning rate at `share` (0..1) of the training: a linear warm-up, then as the schedule says."""
    settings = config.optimiser
    if share < settings.warm_up:
        return settings.learning_rate * (0.02 + 0.98 * share / settings.warm_up)
    if settings.schedule == "constant":
        return settings.learning_rate
    x = (share - settings.warm_up) / (1 - settings.warm_up)
    if settings.schedule in ("linear", "poly"):
        power = 0.9 if settings.schedule == "poly" else 1.0
        return settings.learning_rate * float(max(0.0, 1 - x) ** power)
    return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(x, 1.0))))
