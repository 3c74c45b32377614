"""What networks there are, what each needs and costs: the list that `glomseg models architectures` prints."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from glomseg.models.card import FOREIGN_WEIGHTS, ModelCard
from glomseg.models.extras import EXTRAS, is_installed
from glomseg.models.networks import NETWORKS, build_network


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network with arguments, and what a pixel costs on a CPU, as a multiple of `variable-unet` of 512.

    The cost is measured by `benchmarks/architectures.py`, None where it was not.
    """

    architecture: str
    arguments: Mapping[str, Any]
    cost: float | None = None

    @property
    def told(self) -> str:
        """The arguments in words."""
        return ", ".join(f"{key} {value}" for key, value in self.arguments.items())


VARIANTS = (
    Variant(architecture="variable-unet", arguments={"patch_size": 512}, cost=1.0),
    Variant(architecture="variable-unet", arguments={"patch_size": 1024}, cost=2.8),
    Variant(architecture="smp-unet", arguments={"encoder": "efficientnet-b0"}, cost=1.8),
    Variant(architecture="smp-unet", arguments={"encoder": "resnet34"}, cost=2.6),
    Variant(architecture="smp-unet++", arguments={"encoder": "mobilenet_v2"}, cost=2.6),
    Variant(architecture="smp-deeplabv3+", arguments={"encoder": "resnet50"}, cost=3.4),
    Variant(architecture="smp-segformer", arguments={"encoder": "mit_b0"}, cost=2.0),
    Variant(architecture="smp-upernet", arguments={"encoder": "tu-convnext_base"}, cost=11.5),
    Variant(architecture="segformer", arguments={"size": "b0"}, cost=1.3),
    Variant(architecture="segformer", arguments={"size": "b5"}, cost=9.0),
    Variant(architecture="upernet", arguments={"backbone": "swin-tiny"}, cost=19.6),
    Variant(architecture="upernet", arguments={"backbone": "convnext-base"}, cost=20.6),
    Variant(architecture="mask2former", arguments={"backbone": "swin-tiny"}, cost=14.6),
    Variant(architecture="mask2former", arguments={"backbone": "swin-base", "window": 12}, cost=19.1),
)
"""Sizes of the networks that learn, from those that a CPU can afford to those that were published."""


@dataclass(frozen=True, kw_only=True)
class ArchitectureInfo:
    """A network of the registry: what it is, what it needs and costs with some arguments.

    `extra` names the extra of glomseg that it needs, and `installed` tells whether that is there. `parameters` is None
    where it is not, and of networks that are not trained; `comes` says how one comes here then. `export_problem` says
    why ONNX cannot hold it.
    """

    architecture: str
    arguments: Mapping[str, Any]
    what: str
    extra: str
    installed: bool
    trainable: bool
    comes: str
    exportable: bool
    export_problem: str
    hover: bool
    parameters: int | None
    cost: float | None


def list_architectures() -> list[ArchitectureInfo]:
    """Describe each network of the registry in each of its sizes that are listed; takes no memory for weights."""
    found = []
    for variant in VARIANTS:
        info = _info(variant)
        found.append(info)
    files = [name for name, kind in NETWORKS.items() if not kind.trainable]
    return [*found, *(_info(Variant(architecture=name, arguments={})) for name in files)]


def _info(variant: Variant) -> ArchitectureInfo:
    kind = NETWORKS[variant.architecture]
    needs = kind.needs or ("onnxruntime" if variant.architecture == "onnx" else "")
    installed = not needs or is_installed(needs)
    return ArchitectureInfo(
        architecture=variant.architecture,
        arguments=variant.arguments,
        what=(inspect.getdoc(kind) or "").partition("\n")[0],
        extra=EXTRAS.get(needs, "onnx" if needs else ""),
        installed=installed,
        trainable=kind.trainable,
        comes=kind.comes,
        exportable=variant.architecture not in FOREIGN_WEIGHTS and not kind.export_problem,
        export_problem=kind.export_problem,
        hover="hover" in kind.heads,
        parameters=count_parameters(variant) if installed and kind.trainable else None,
        cost=variant.cost,
    )


def count_parameters(variant: Variant) -> int:
    """Count the weights of a network of one class that is never filled; raises ModelError where it cannot be built."""
    with torch.device("meta"):
        net = build_network(untrained_card(variant))
    return sum(weight.numel() for weight in net.parameters())


def untrained_card(variant: Variant) -> ModelCard:
    """Return the card of a network of one class at 1 um per pixel that has learned nothing."""
    return ModelCard(
        name=variant.architecture,
        description="Has learned nothing.",
        architecture=variant.architecture,
        architecture_args=dict(variant.arguments),
        mpp=1.0,
        minimum_area_um2=0.0,
        species="human",
        training_diameter_um=200.0,
    )
