"""What learns: the network on its devices, its average, the loss and its watch, the optimiser and its rate."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from glomseg.errors import ModelError, TrainingError
from glomseg.models.card import ModelCard
from glomseg.models.device import has_fast_bf16, resolve_device
from glomseg.models.network import Network
from glomseg.models.networks import build_network
from glomseg.models.store import find_model, load_network, read_card
from glomseg.training.batching import largest_batch
from glomseg.training.config import TrainConfig
from glomseg.training.losses import HoverLoss, loss_of
from glomseg.training.pace import parameter_groups
from glomseg.unexpected import is_out_of_memory

_T = TypeVar("_T")
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # we say ourselves what is to be said


@dataclass(frozen=True, slots=True)
class Normalise:
    """What brings colours to the mean and std of a card, if it has them."""

    mean: Tensor | None = None
    std: Tensor | None = None

    @classmethod
    def of(cls, card: ModelCard, device: torch.device) -> Normalise:
        """Take those of a card."""
        if card.mean is None or card.std is None:
            return cls()
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (card.mean, card.std))
        return cls(mean, std)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return pixels (N, 3, H, W) of 0..1 as the network takes them."""
        return pixels if self.mean is None or self.std is None else (pixels - self.mean) / self.std


@dataclass(slots=True)
class Learner:
    """What learns, on one device or several: the network, its moving average, the loss and the optimiser.

    `net` is wrapped by Fabric, its own network is `net.module`; `average` is what is judged, kept and shipped. `begun`
    says what weights it began with, where that is worth saying.
    """

    fabric: Fabric
    net: Any
    average: AveragedModel
    criterion: nn.Module
    optimizer: Any
    normalise: Normalise
    begun: str = ""

    @classmethod
    def of(
        cls,
        config: TrainConfig,
        card: ModelCard,
        device: str,
        start: Network | None = None,
        *,
        resume: bool = False,
    ) -> Learner:
        """Make the network of the card, with the weights of `start` where it is given, and what moves it.

        A training that is to `resume` gets its weights later. Raises TrainingError where `start` is another network,
        ModelError, DeviceError.
        """
        fabric = fabric_for(config, resolve_device(device))
        fabric.launch()
        torch.manual_seed(config.seed)
        network = build_network(card)
        begun = "" if resume else _begin(network, config, start, card)
        made: Network = network.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        settings = config.optimiser
        average = averaged(made, settings.ema_decay, goes_on=start is not None)
        kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
        optimizer = kind(
            parameter_groups(made, settings), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        net, optimizer = fabric.setup(made, optimizer)
        if made.owns_loss:
            net.mark_forward_method("own_loss")
        criterion = criterion_of(config).to(fabric.device)
        return cls(fabric, net, average, criterion, optimizer, Normalise.of(card, fabric.device), begun)

    @property
    def averaged_net(self) -> Network:
        """The averaged network."""
        net = self.average.module
        assert isinstance(net, Network)
        return net

    def share(self, items: list[_T]) -> list[_T]:
        """Return what of some items is this device's."""
        return items[self.fabric.global_rank :: self.fabric.world_size]

    def gathered(self, item: _T) -> list[_T]:
        """Return the items of all devices, in their order."""
        if self.fabric.world_size == 1:
            return [item]
        items: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(items, item)
        return items

    def agree(self) -> None:
        """Give all devices one average: each saw other batches, and so other statistics."""
        if self.fabric.world_size > 1:
            for value in self.average.module.state_dict().values():
                torch.distributed.broadcast(value, 0)

    def find_batch_size(self, config: TrainConfig, card: ModelCard) -> int:
        """Return the largest batch that every device has memory for; raises TrainingError where two are too many."""
        trial = build_network(card).to(self.fabric.device).train()

        def step(images: Tensor) -> Tensor:
            with self.fabric.autocast():
                if trial.owns_loss:
                    marks = torch.ones(len(images), card.num_classes, *images.shape[2:], device=images.device)
                    return trial.own_loss(images, marks, marks).float()
                logits: Tensor = trial(images)
            return logits.float()

        limit, side = config.optimiser.batch_limit, config.data.crop_px
        return min(self.gathered(largest_batch(step, side, self.fabric.device, limit=limit)))

    def learn(self, pixels: Tensor, targets: Tensor, weights: Tensor, *, rate: float, clip_norm: float) -> Tensor:
        """Take one step at a learning rate; return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        pixels = self.normalise(pixels)
        if self.net.module.owns_loss:
            loss: Tensor = self.net.own_loss(pixels, targets, weights)
        else:
            loss = self.criterion(self.net(pixels), targets, weights)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if clip_norm:
            self.fabric.clip_gradients(self.net, self.optimizer, max_norm=clip_norm, error_if_nonfinite=False)
        self.optimizer.step()
        self.average.update_parameters(self.net.module)
        return loss.detach()


def fabric_for(config: TrainConfig, device: torch.device) -> Fabric:
    """Return the engine: one device, or under torchrun as many as it started processes."""
    precision: Any = config.optimiser.precision
    if precision == "auto":
        precision = "bf16-mixed" if has_fast_bf16(device) else "32-true"
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    devices: Any = [device.index] if device.index is not None and processes == 1 else processes
    nodes = int(os.environ.get("WORLD_SIZE", "1")) // processes
    return Fabric(accelerator=device.type, devices=devices, num_nodes=max(1, nodes), precision=precision)


def check_network(config: TrainConfig) -> None:
    """Raise TrainingError where the settings make no network that can be trained; takes no memory."""
    model = config.model
    card = ModelCard(
        name="settings",
        description="The network that the settings describe.",
        architecture=model.architecture,
        architecture_args=dict(model.arguments),
        heads=model.heads,
        num_classes=len(model.classes),
        class_names=model.classes,
        class_colors=((0, 0, 0),) * len(model.classes),
        mpp=1.0,
        minimum_area_um2=0.0,
        species=model.species,
        training_diameter_um=config.diameter_um,
    )
    try:
        with torch.device("meta"):
            net = build_network(card)
    except ModelError as error:
        raise TrainingError(f"model: {str(error).removeprefix('settings: ')}") from error
    if not net.trainable:
        raise TrainingError(f"model.architecture is {model.architecture!r}, which cannot be trained; name another")
    criterion_of(config)


def read_start(name: str | Path) -> tuple[Network, ModelCard]:
    """Read network and card of a model to begin with; raises TrainingError where no training can, ModelError."""
    folder = find_model(name)
    card = read_card(folder)
    net = load_network(folder, card)
    if not net.trainable:
        raise TrainingError(f"{name} is a {card.architecture}, which cannot be trained; name another model for `start`")
    return net, card


def _begin(net: Network, config: TrainConfig, start: Network | None, card: ModelCard) -> str:
    """Give a network the weights to begin with; say which, where others have better ones than random."""
    if start is not None:
        _begin_with(net, start, card)
    if config.model.pretrained and start is None:
        return net.begin_with(Path(config.model.pretrained))
    if net.backbone and start is None:
        return (
            f"{config.model.architecture} begins with random weights, from which it learns slowly; nothing is "
            "downloaded: name a folder of weights of its encoder with the setting model.pretrained"
        )
    return ""


def _begin_with(net: nn.Module, start: Network, card: ModelCard) -> None:
    """Take the weights of another network; raises TrainingError where it has others."""
    weights, ours = start.state_dict(), net.state_dict()
    unlike = [key for key in {**weights, **ours} if key not in weights or key not in ours]
    unlike += [key for key in weights if key in ours and weights[key].shape != ours[key].shape]
    if unlike:
        theirs, there = (tuple(state[unlike[0]].shape) if unlike[0] in state else "none" for state in (weights, ours))
        arguments = ", ".join(f"{key} {value}" for key, value in card.architecture_args.items())
        raise TrainingError(
            f"the model to start from is another network than the settings make ({card.architecture}, {arguments}, "
            f"{card.num_classes} classes): {unlike[0]} is {theirs} there and {there} here; correct the settings under "
            "model, or leave `start` out"
        )
    net.load_state_dict(weights)


_LONG = 1_000_000
"""Steps that weights count as which a training goes on from: in the state, so that it can go on once more."""


def averaged(net: nn.Module, decay: float, *, goes_on: bool = False) -> AveragedModel:
    """Return a moving average of `net`, BatchNorm's statistics included, that forgets its beginning quickly.

    Where a training `goes_on` from weights that know something, they are forgotten no faster than `decay` says. With a
    decay of 0 it is a copy of `net`.
    """

    @torch.no_grad()
    def mean(old: Any, new: Any, count: Tensor | int) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        if old[0].is_floating_point():
            torch._foreach_lerp_(old, new, 1 - keep)
        else:
            for kept, value in zip(old, new, strict=True):
                kept.copy_(value)

    average = AveragedModel(net, multi_avg_fn=mean, use_buffers=True)
    if goes_on:
        average.n_averaged.fill_(_LONG)
    return average


def criterion_of(config: TrainConfig) -> nn.Module:
    """Return the loss."""
    loss = config.loss
    mask = loss_of(
        loss.kind,
        classes=len(config.model.classes),
        a=loss.a,
        pos_weight=loss.pos_weight,
        gamma=loss.gamma,
        eps=loss.eps,
    )
    if not config.model.hover:
        return mask
    return HoverLoss(mask, classes=len(config.model.classes), mse=loss.hover_mse, slope=loss.hover_slope)


@contextmanager
def memory_for(batch_size: int, device: torch.device) -> Iterator[None]:
    """Raise TrainingError where the device runs out of memory inside."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"{device} has no memory left for batches of {batch_size}; lower it with "
            f"`settings` optimiser.batch_size={max(2, batch_size // 2)}; the same command goes on"
        ) from error


def check_finite(net: nn.Module, output: Path) -> None:
    """Raise TrainingError where a weight is not finite, before that state replaces a good one."""
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise TrainingError(
            f"the weights are no longer finite; lower optimiser.learning_rate; the epochs before are in {output}"
        )


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
                f"the loss is {loss} in the batch of {', '.join(names)}; look at these, or lower "
                f"optimiser.learning_rate; the epochs before are in {self._output}"
            )
        self._losses.append(loss)
