"""Encoder-decoders of segmentation-models-pytorch, each with any of its encoders: the extra `smp`."""

import difflib
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.models.borrowed import BorrowedArguments, BorrowedNetwork, built_anywhere
from glomseg.models.card import Head
from glomseg.models.extras import library
from glomseg.models.network import HOVER_PLANES
from glomseg.models.pooling import with_binned_means
from glomseg.settings import limited

LIBRARY = "segmentation_models_pytorch"


@dataclass(frozen=True, kw_only=True)
class SmpArguments(BorrowedArguments):
    """The `encoder` by its name there, or by `tu-` and its name in timm; it must take pictures of any size."""

    encoder: str = limited("resnet34", pattern=r"[\w.+-]{1,100}", what="the name of an encoder")


class SmpNetwork(BorrowedNetwork):
    """What holds for all of them; `model` is the name of the class there."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})
    needs = LIBRARY
    arguments = SmpArguments
    backbone = "net.encoder"
    model = ""

    def built(self, name: str) -> nn.Module:
        """Build it with random weights; raises ModelError for an encoder that is not known, or does not fit."""
        smp: Any = library(LIBRARY, name)
        encoder = self.given.encoder
        if not encoder.startswith("tu-") and encoder not in (known := smp.encoders.get_encoder_names()):
            near = difflib.get_close_matches(encoder, known, 3, 0.5) or known[:5]
            raise ModelError(
                f"{name}: no encoder {encoder!r}; there are {', '.join(near)}, more, and tu-NAME of timm's"
            )
        make = getattr(smp, self.model)

        def build(channels: int) -> nn.Module:
            net: nn.Module = built_anywhere(lambda: make(encoder, encoder_weights=None, classes=channels))
            with_binned_means(net.get_submodule("decoder"))
            return net

        try:
            net = build(self.channels)
            if self.hover:
                second: Any = build(HOVER_PLANES)
                self.places = nn.ModuleList([second.decoder, second.segmentation_head])
        except (RuntimeError, ValueError, TypeError, KeyError, AssertionError) as error:
            reason = " ".join(str(error).split())[:150]
            raise ModelError(
                f"{name}: {self.model} cannot have encoder {encoder!r} ({reason}); name another"
            ) from error
        inner = getattr(net.get_submodule("encoder"), "model", None)
        if (getattr(inner, "default_cfg", None) or {}).get("fixed_input_size"):
            raise ModelError(
                f"{name}: encoder {encoder!r} takes pictures of one size alone; name another, such as a CNN"
            )
        return net

    def values(self, x: Tensor) -> Tensor:
        """Run the network, and its second decoder on the same features."""
        net: Any = self.net
        features = net.encoder(x)
        y: Tensor = net.segmentation_head(net.decoder(features))
        if self.hover:
            decoder, head = self.places
            y = torch.cat([y, head(decoder(features))], dim=1)
        return y


class SmpUnet(SmpNetwork):
    """U-Net (Ronneberger et al. 2015)."""

    model = "Unet"


class SmpUnetPlusPlus(SmpNetwork):
    """U-Net++ (Zhou et al. 2018): nested skips."""

    model = "UnetPlusPlus"


class SmpDeepLab(SmpNetwork):
    """DeepLabV3+ (Chen et al. 2018): dilated pyramid pooling."""

    model = "DeepLabV3Plus"


class SmpSegformer(SmpNetwork):
    """SegFormer's decoder (Xie et al. 2021) on any encoder."""

    model = "Segformer"


class SmpUperNet(SmpNetwork):
    """UPerNet's decoder (Xiao et al. 2018) on any encoder."""

    model = "UPerNet"
