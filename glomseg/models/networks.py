"""The registry of networks. A new one is a file with a `Network` and a line here."""

from __future__ import annotations

from typing import Self

from glomseg.errors import ModelError
from glomseg.models.card import ModelCard
from glomseg.models.foreign_network import OnnxNetwork, TorchScriptNetwork
from glomseg.models.mask2former import Mask2Former
from glomseg.models.merged import NAME as MERGED
from glomseg.models.merged import MergedNetwork
from glomseg.models.network import Network
from glomseg.models.segformer import Segformer
from glomseg.models.smp import SmpDeepLab, SmpSegformer, SmpUnet, SmpUnetPlusPlus, SmpUperNet
from glomseg.models.upernet import UperNet
from glomseg.models.variable_unet import VariableUNet


class Merged(MergedNetwork):
    """Networks of classes of their own, side by side: made of models, not trained as one."""

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Build the parts that a card names, out of this registry."""
        return cls.made(card, build_network)


NETWORKS: dict[str, type[Network]] = {
    "variable-unet": VariableUNet,
    "smp-unet": SmpUnet,
    "smp-unet++": SmpUnetPlusPlus,
    "smp-deeplabv3+": SmpDeepLab,
    "smp-segformer": SmpSegformer,
    "smp-upernet": SmpUperNet,
    "segformer": Segformer,
    "upernet": UperNet,
    "mask2former": Mask2Former,
    MERGED: Merged,
    "torchscript": TorchScriptNetwork,
    "onnx": OnnxNetwork,
}
"""The `architecture` of a card -> its network."""


def build_network(card: ModelCard) -> Network:
    """Return a new network as a card describes it; raise ModelError for an architecture that is not known."""
    if card.architecture not in NETWORKS:
        names = ", ".join(NETWORKS)
        raise ModelError(
            f"{card.name}: architecture {card.architecture!r} is unknown; this glomseg knows {names} "
            "(`glomseg models architectures`)"
        )
    kind = NETWORKS[card.architecture]
    if missing := [head for head in card.heads if head not in kind.heads]:
        able = ", ".join(name for name, other in NETWORKS.items() if set(missing) <= other.heads)
        raise ModelError(f"{card.name}: {card.architecture} has no head {', '.join(missing)}; take one of {able}")
    return kind.of(card)
