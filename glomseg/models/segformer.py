"""SegFormer (Xie et al. 2021): the Mix Transformer out of transformers, and its decoder of 1x1 convolutions."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.models.borrowed import BorrowedArguments, BorrowedNetwork
from glomseg.models.card import Head
from glomseg.models.extras import library
from glomseg.models.network import HOVER_PLANES
from glomseg.settings import limited

LIBRARY = "transformers"
SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "b0": (32, (2, 2, 2, 2)),
    "b1": (64, (2, 2, 2, 2)),
    "b2": (64, (3, 4, 6, 3)),
    "b3": (64, (3, 4, 18, 3)),
    "b4": (64, (3, 8, 27, 3)),
    "b5": (64, (3, 6, 40, 3)),
}
"""Name -> width of the first stage, and blocks a stage."""
HEADS = (1, 2, 5, 8)
"""Attention heads of the stages, and how many times the first one's width each is."""


@dataclass(frozen=True, kw_only=True)
class SegformerArguments(BorrowedArguments):
    """The size by name; `width` and `depths` other than 0 and none make another.

    `decoder` is `linear` as published, or `conv` as mmsegmentation has it: with BatchNorm and ReLU on each stage.
    """

    size: Literal["b0", "b1", "b2", "b3", "b4", "b5"] = "b0"
    width: int = limited(0, low=0, high=256)
    depths: tuple[int, ...] = limited((), low=1, high=64)
    decoder: Literal["linear", "conv"] = "linear"
    decoder_width: int = limited(256, low=8, high=2048)
    drop_path: float = limited(0.1, low=0, high=0.9)

    def __post_init__(self) -> None:
        """Check what holds between arguments; raises ValueError."""
        if len(self.depths) not in (0, 4):
            raise ValueError(f"depths is {list(self.depths)}; give the blocks of each of the four stages, or none")

    @property
    def widths(self) -> list[int]:
        """Channels of the four stages."""
        first = self.width or SIZES[self.size][0]
        return [first * heads for heads in HEADS]


class PerPixelDecoder(nn.Module):
    """Four stages brought to one width and the size of the first, side by side, fused and classified pixel by pixel."""

    def __init__(self, widths: list[int], width: int, channels: int, *, normed: bool) -> None:
        """Take the channels of the stages, of the decoder and of the answer; `normed` is mmsegmentation's way."""
        super().__init__()
        self.projections = nn.ModuleList(
            _normed(size, width) if normed else nn.Conv2d(size, width, kernel_size=1) for size in widths
        )
        self.fuse = _normed(4 * width, width)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, channels, kernel_size=1)

    def forward(self, stages: list[Tensor]) -> Tensor:
        """Map stages (N, C, H, W) of falling size to (N, channels, H, W) at the size of the first."""
        size = stages[0].shape[-2:]
        parts = [
            F.interpolate(projection(stage), size=size, mode="bilinear", align_corners=False)
            for projection, stage in zip(self.projections, stages, strict=True)
        ]
        answer: Tensor = self.classifier(self.dropout(self.fuse(torch.cat(parts, dim=1))))
        return answer


def _normed(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()
    )


class Segformer(BorrowedNetwork):
    """SegFormer b0 to b5."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})
    needs = LIBRARY
    arguments = SegformerArguments
    backbone = "net.encoder"

    def built(self, name: str) -> nn.Module:
        """Build it with random weights."""
        transformers: Any = library(LIBRARY, name)
        given: SegformerArguments = self.given
        config = transformers.SegformerConfig(
            depths=list(given.depths or SIZES[given.size][1]),
            hidden_sizes=given.widths,
            num_attention_heads=list(HEADS),
            drop_path_rate=given.drop_path,
        )
        wanted = {"decoder": self.channels} | ({"places": HOVER_PLANES} if self.hover else {})
        decoders = {
            key: PerPixelDecoder(given.widths, given.decoder_width, channels, normed=given.decoder == "conv")
            for key, channels in wanted.items()
        }
        return nn.ModuleDict({"encoder": transformers.SegformerModel(config), **decoders})

    def values(self, x: Tensor) -> Tensor:
        """Run the network, and bring its answer, of a quarter of the size, to that of the picture."""
        net: Any = self.net
        stages = list(net["encoder"](x, output_hidden_states=True).hidden_states)
        answers = [net[key](stages) for key in ("decoder", "places") if key in net]
        return F.interpolate(torch.cat(answers, dim=1), size=x.shape[-2:], mode="bilinear", align_corners=False)
