"""The parts of a training: engine, network, loss, learning rate, and the watch over the loss."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from glomseg.errors import ModelError, TrainingError
from glomseg.models.card import ModelCard
from glomseg.models.device import has_fast_bf16
from glomseg.models.network import Network
from glomseg.models.store import find_model, load_network, read_card, verify_model
from glomseg.models.variable_unet import VariableUNet, base_width
from glomseg.training.config import TrainConfig
from glomseg.training.losses import loss_of
from glomseg.training.validate import Verdict

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we say ourselves what is to be said


def fabric_for(config: TrainConfig, device: torch.device) -> Fabric:
    """Return the engine: one device, or under torchrun as many as it started processes."""
    precision = config.precision
    if precision == "auto":
        precision = "bf16-mixed" if has_fast_bf16(device) else "32-true"
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    devices: Any = [device.index] if device.index is not None and processes == 1 else processes
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // processes
    return Fabric(
        accelerator=device.type,
        devices=devices,
        num_nodes=max(1, nodes),
        precision=precision,  # type: ignore[arg-type]
    )


def learning_rate_at(share: float, config: TrainConfig) -> float:
    """Return the learning rate at `share` (0..1) of the training: a linear warm-up, then half a cosine or none."""
    if share < config.warm_up:
        return config.learning_rate * (0.02 + 0.98 * share / config.warm_up)
    if config.schedule == "constant":
        return config.learning_rate
    x = (share - config.warm_up) / (1 - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(x, 1.0))))


def criterion_of(config: TrainConfig) -> nn.Module:
    """Return the loss."""
    return loss_of(
        config.loss,  # type: ignore[arg-type]
        a=config.loss_a,
        pos_weight=config.loss_pos_weight,
        gamma=config.loss_gamma,
    )


def network_of(config: TrainConfig, start: str | Path | None) -> tuple[Network, ModelCard | None]:
    """Return a new network, or that of a model with its card; raises TrainingError where it is of another width."""
    if start is None:
        return VariableUNet(config.patch_size), None
    folder = find_model(start)
    card = read_card(folder)
    if card.mean is not None:
        raise TrainingError(
            f"{start} takes colours normalised by the mean and std of its card, which no training here does; "
            "name another model, or leave --start out"
        )
    net = load_network(folder, card)
    theirs, ours = (base_width(size) for size in (card.architecture_args["patch_size"], config.patch_size))
    if theirs != ours:
        raise TrainingError(
            f"{start} is a network of base width {theirs}, but patch_size {config.patch_size} makes one of {ours}; "
            f"set patch_size={card.architecture_args['patch_size']}, or leave --start out"
        )
    return net, card


@contextmanager
def memory_for(batch_size: int, device: torch.device) -> Iterator[None]:
    """Raise TrainingError where the device runs out of memory inside."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"{device} has no memory left for batches of {batch_size}; lower it with "
            f"--set batch_size={max(2, batch_size // 2)}, and --resume if an epoch is done"
        ) from error


def check_finite(net: nn.Module, output: Path) -> None:
    """Raise TrainingError where a weight is not finite, before that state replaces a good one."""
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise TrainingError(f"the weights are no longer finite; lower learning_rate; the epochs before are in {output}")


def is_whole(folder: Path) -> bool:
    """Tell whether a folder holds a model whose weights are those of its card."""
    try:
        verify_model(folder)
    except ModelError:
        return False
    return True


def seed_of(*numbers: int) -> int:
    """Mix numbers to a seed of 32 bits."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def spread(count: int, limit: int) -> list[int]:
    """Choose `limit` of `count` numbers, evenly spread; all where the limit is 0."""
    if not limit or limit >= count:
        return list(range(count))
    return [round((i + 0.5) * count / limit - 0.5) for i in range(limit)]


class Watch:
    """Watches the loss, one step behind, so that a device need not wait for us."""

    def __init__(self, output: Path) -> None:
        """Take the folder where the last good state lies."""
        self._output = output
        self._waiting: tuple[Tensor, list[str]] | None = None
        self._losses: list[float] = []

    def saw(self, loss: Tensor, names: list[str]) -> float | None:
        """Remember a step's loss and return the one before; raises TrainingError where that is not finite."""
        self._check()
        self._waiting = loss, names
        return self._losses[-1] if self._losses else None

    def mean(self) -> float:
        """Return the mean loss of all steps."""
        self._check()
        self._waiting = None
        return math.fsum(self._losses) / len(self._losses)

    def _check(self) -> None:
        if self._waiting is None:
            return
        loss, names = float(self._waiting[0]), self._waiting[1]
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss} in the batch of {', '.join(names)}; look at these, or lower learning_rate; "
                f"the epochs before are in {self._output}"
            )
        self._losses.append(loss)


def measured(verdict: Verdict | None) -> dict[str, float]:
    """Name what was measured on the validation images, as the columns of the history."""
    if verdict is None:
        return {}
    best = verdict.best
    return {
        "val_loss": verdict.loss,
        "val_object_f1": best.objects.f1,
        "val_dice": best.pixels.dice,
        "val_precision": best.objects.precision,
        "val_recall": best.objects.recall,
    }
