"""Networks of classes of their own as one network that knows all these classes, such as Li et al. 2021 for sclerosis.

Each sees every pixel by itself, in the colours that it learned. What its card's threshold is comes out as 0.5, so that
one threshold holds for all; where two networks meet, `segment.outlines` gives the pixel to the more probable class.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.models.card import FOREIGN_WEIGHTS, ModelCard
from glomseg.models.network import Network
from glomseg.settings import limited, read_record

NAME = "merged"


@dataclass(frozen=True, kw_only=True)
class MergedPart:
    """One of the networks: how it is built, how many classes it knows, which probability comes out as 0.5."""

    architecture: str
    arguments: Mapping[str, Any]
    classes: int = limited(low=1, high=64)
    threshold: float = limited(above=0, high=0.999)
    mean: tuple[float, ...] = limited((), low=0, high=1)
    std: tuple[float, ...] = limited((), low=1e-3, high=10)

    def __post_init__(self) -> None:
        """Check what holds between fields; raises ValueError."""
        if (len(self.mean), len(self.std)) not in ((0, 0), (3, 3)):
            raise ValueError(f"mean is {list(self.mean)} and std {list(self.std)}; give three each, or none")
        if self.architecture == NAME or self.architecture in FOREIGN_WEIGHTS:
            raise ValueError(f"architecture {self.architecture} is no part of a merged network; name one that learns")


@dataclass(frozen=True, kw_only=True)
class MergedArguments:
    """The `architecture_args` of such a card: the parts, in the order of their classes."""

    parts: tuple[MergedPart, ...]


class _Shifted(nn.Module):
    """A part that takes RGB in 0..1 and gives logits of which 0 is its threshold."""

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, part: MergedPart) -> None:
        super().__init__()
        self.net = net
        self.shift = math.log(part.threshold / (1 - part.threshold))
        self.register_buffer("mean", torch.tensor(part.mean or (0.0,) * 3)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(part.std or (1.0,) * 3)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net((x - self.mean) / self.std) - self.shift
        return logits


class MergedNetwork(Network):
    """Networks of classes of their own, side by side: made by `glomseg models merge`, not trained as one."""

    trainable = False
    comes = "made of trained ones by `glomseg models merge`"

    def __init__(self, parts: Sequence[tuple[Network, MergedPart]]) -> None:
        """Take the networks and what is to be known of each."""
        super().__init__()
        networks = [net for net, _ in parts]
        self.parts = nn.ModuleList(_Shifted(net, part) for net, part in parts)
        self.stride = math.lcm(*(net.stride for net in networks))
        self.single_precision = any(net.single_precision for net in networks)
        self.export_problem = next((net.export_problem for net in networks if net.export_problem), "")

    @classmethod
    def made(cls, card: ModelCard, build: Callable[[ModelCard], Network]) -> Self:
        """Build the parts that a card names, each by `build`; raises ModelError where its classes are not theirs."""
        origin = f"{card.name}: architecture_args"
        given = read_record(MergedArguments, card.architecture_args, origin=origin, error=ModelError)
        if card.activation != "sigmoid" or sum(part.classes for part in given.parts) != card.num_classes:
            raise ModelError(f"{origin}: the classes of the parts are not those of the card; merge the models again")
        return cls([(build(_card_of(card, part)), part) for part in given.parts])

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (N, 3, H, W) in 0..1 to logits (N, classes, H, W), those of each part after the other."""
        return torch.cat([part(x) for part in self.parts], dim=1)

    def folded(self) -> nn.Module:
        """Return a copy in evaluation mode of which each part is as fast as it gets."""
        return self._with(lambda net: net.folded())

    def for_export(self) -> nn.Module:
        """Return a copy of which each part is in terms that ONNX can say."""
        return self._with(lambda net: net.for_export())

    def _with(self, change: Callable[[Network], nn.Module]) -> nn.Module:
        changed = copy.deepcopy(self).eval()
        for part in changed.parts:
            assert isinstance(part, _Shifted)
            assert isinstance(part.net, Network)
            part.net = change(part.net)
        return changed


def _card_of(card: ModelCard, part: MergedPart) -> ModelCard:
    """Return the card of a part, as far as its network needs one."""
    return dataclasses.replace(
        card,
        architecture=part.architecture,
        architecture_args=part.arguments,
        num_classes=part.classes,
        class_names=tuple(f"class {index}" for index in range(part.classes)),
        class_colors=card.class_colors[:1] * part.classes,
    )
