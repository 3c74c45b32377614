"""UPerNet (Xiao et al. 2018) on Swin or ConvNeXt, out of transformers."""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.models.backbones import BackboneArguments
from glomseg.models.borrowed import BorrowedNetwork
from glomseg.models.card import Head
from glomseg.models.extras import library
from glomseg.models.network import HOVER_PLANES
from glomseg.models.pooling import with_binned_means
from glomseg.settings import limited

LIBRARY = "transformers"


@dataclass(frozen=True, kw_only=True)
class UperNetArguments(BackboneArguments):
    """The backbone's, and `decoder_width`, the channels of the decoder."""

    decoder_width: int = limited(512, low=8, high=2048)


class UperNet(BorrowedNetwork):
    """UPerNet: pyramid pooling and a feature pyramid over four stages; its auxiliary head is left out."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})
    needs = LIBRARY
    arguments = UperNetArguments
    backbone = "net.backbone"

    def built(self, name: str) -> nn.Module:
        """Build it with random weights."""
        transformers: Any = library(LIBRARY, name)
        config = transformers.UperNetConfig(
            backbone_config=self.given.config(transformers),
            hidden_size=self.given.decoder_width,
            use_auxiliary_head=False,
            num_labels=self.channels,
        )
        net: Any = transformers.UperNetForSemanticSegmentation(config)
        with_binned_means(net)
        if self.hover:
            self.places = copy.deepcopy(net.decode_head)
            self.places.classifier = nn.Conv2d(self.given.decoder_width, HOVER_PLANES, kernel_size=1)
        made: nn.Module = net
        return made

    def values(self, x: Tensor) -> Tensor:
        """Run the network, and bring its answer, of a quarter of the size, to that of the picture."""
        net: Any = self.net
        stages = net.backbone(x).feature_maps
        answers = [head(stages) for head in ((net.decode_head, self.places) if self.hover else (net.decode_head,))]
        return F.interpolate(torch.cat(answers, dim=1), size=x.shape[-2:], mode="bilinear", align_corners=False)
