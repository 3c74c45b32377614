"""VariableUNet: a U-Net whose width follows the patch size, with three parallel dilated convolutions at its bottom.

The names of the submodules are those of the reference project, so that its state dicts load strictly.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from glomseg.errors import ModelError
from glomseg.models.card import Head, ModelCard
from glomseg.models.network import HOVER_PLANES, Network

STRIDE = 16
"""Four poolings: the network works on sizes that are multiples of this; `forward` pads and crops."""
MAX_PATCH_SIZE = 8192
"""The widest network that is built, 256 channels at the first level: 0.7 GB of weights. A card may not ask for more."""
MAX_TILE_BYTES = 16e9
"""What one tile may take: at the widest place about four maps of the first level's width, in float32."""


def base_width(patch_size: int) -> int:
    """Return the width of the first level for `patch_size`; raise ModelError for one that is not allowed."""
    if not 256 <= patch_size <= MAX_PATCH_SIZE or patch_size % STRIDE:
        raise ModelError(
            f"patch size {patch_size} is not possible: give a multiple of {STRIDE} from 256 to {MAX_PATCH_SIZE}"
        )
    return max(16, int(64 * patch_size / 2048))


class DoubleConv(nn.Module):
    """Twice a 3x3 convolution with bias, BatchNorm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Take the widths before and after."""
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels_in, H, W) to (N, channels_out, H, W)."""
        y: Tensor = self.double_conv(x)
        return y


class DilatedBottleneck(nn.Module):
    """Three parallel 3x3 convolutions of dilation 1, 2 and 4, side by side in the output."""

    def __init__(self, channels: int) -> None:
        """Split `channels` into c // 3, c // 3 and the rest."""
        super().__init__()
        third = channels // 3
        rest = channels - 2 * third
        self.dilated1 = nn.Conv2d(channels, third, 3, padding=1, dilation=1)
        self.dilated2 = nn.Conv2d(channels, third, 3, padding=2, dilation=2)
        self.dilated4 = nn.Conv2d(channels, rest, 3, padding=4, dilation=4)
        self.bn1 = nn.BatchNorm2d(third)
        self.bn2 = nn.BatchNorm2d(third)
        self.bn4 = nn.BatchNorm2d(rest)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (N, channels, H, W)."""
        return torch.cat(
            [
                F.relu(self.bn1(self.dilated1(x))),
                F.relu(self.bn2(self.dilated2(x))),
                F.relu(self.bn4(self.dilated4(x))),
            ],
            dim=1,
        )


class HoverDecoder(nn.Module):
    """A second way up, of the same widths: from what the encoder saw to places in objects (N, 2, H, W)."""

    def __init__(self, b: int) -> None:
        """Take the width of the first level."""
        super().__init__()
        self.up4 = nn.ConvTranspose2d(8 * b, 4 * b, 2, stride=2)
        self.dec4 = DoubleConv(4 * b + 8 * b, 4 * b)
        self.up3 = nn.ConvTranspose2d(4 * b, 2 * b, 2, stride=2)
        self.dec3 = DoubleConv(2 * b + 4 * b, 2 * b)
        self.up2 = nn.ConvTranspose2d(2 * b, b, 2, stride=2)
        self.dec2 = DoubleConv(b + 2 * b, b)
        self.up1 = nn.ConvTranspose2d(b, b // 2, 2, stride=2)
        self.dec1 = DoubleConv(b // 2 + b, b // 2)
        self.final = nn.Conv2d(b // 2, HOVER_PLANES, 1)

    def forward(self, y: Tensor, e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor) -> Tensor:
        """Map the bottleneck and the four levels to (N, 2, H, W)."""
        y = self.dec4(torch.cat([self.up4(y), e4], dim=1))
        y = self.dec3(torch.cat([self.up3(y), e3], dim=1))
        y = self.dec2(torch.cat([self.up2(y), e2], dim=1))
        y = self.dec1(torch.cat([self.up1(y), e1], dim=1))
        places: Tensor = self.final(y)
        return places


class VariableUNet(Network):
    """The network: RGB scaled to 0..1 in, one logit per class and pixel out, at the size of the input."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})

    def __init__(self, patch_size: int = 512, num_classes: int = 1, *, hover: bool = False) -> None:
        """Build for `patch_size`, which decides the width and nothing else: any input size is taken."""
        super().__init__()
        self.stride = STRIDE  # TorchScript knows no globals
        b = base_width(patch_size)
        self.enc1 = DoubleConv(3, b)
        self.enc2 = DoubleConv(b, 2 * b)
        self.enc3 = DoubleConv(2 * b, 4 * b)
        self.enc4 = DoubleConv(4 * b, 8 * b)
        self.pool = nn.MaxPool2d(2)
        self.bottleneck = DilatedBottleneck(8 * b)
        self.up4 = nn.ConvTranspose2d(8 * b, 4 * b, 2, stride=2)
        self.dec4 = DoubleConv(4 * b + 8 * b, 4 * b)
        self.up3 = nn.ConvTranspose2d(4 * b, 2 * b, 2, stride=2)
        self.dec3 = DoubleConv(2 * b + 4 * b, 2 * b)
        self.up2 = nn.ConvTranspose2d(2 * b, b, 2, stride=2)
        self.dec2 = DoubleConv(b + 2 * b, b)
        self.up1 = nn.ConvTranspose2d(b, b // 2, 2, stride=2)
        self.dec1 = DoubleConv(b // 2 + b, b // 2)
        self.final = nn.Conv2d(b // 2, num_classes, 1)
        self.hover = HoverDecoder(b) if hover else None

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Build the network of a card, whose arguments are the `patch_size` alone."""
        arguments = card.architecture_args
        patch_size = arguments.get("patch_size")
        if set(arguments) != {"patch_size"} or not isinstance(patch_size, int) or isinstance(patch_size, bool):
            raise ModelError(
                f'{card.name}: architecture_args is {arguments!r}, not an object like {{"patch_size": 512}}'
            )
        side = card.patch_size_pixels + 2 * card.halo_pixels
        needed = 4 * 4 * base_width(patch_size) * side**2
        if needed > MAX_TILE_BYTES:
            raise ModelError(
                f"{card.name}: a tile of {side} px would take about {needed / 1e9:.0f} GB in a network for patches of "
                f"{patch_size} px; lower patch_size_pixels in its card"
            )
        return cls(patch_size, card.num_classes, hover=card.hover)

    def folded(self) -> nn.Module:
        """Return a copy with its BatchNorms folded."""
        return fold_batch_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to logits (N, num_classes, H, W); a size off the stride is padded by its edge pixels.

        The two planes of the head `hover` follow where the network has it.
        """
        height, width = x.shape[-2:]
        pad_y, pad_x = -height % self.stride, -width % self.stride
        if pad_y or pad_x:
            x = F.pad(x, (0, pad_x, 0, pad_y), mode="replicate")
        e1 = self.enc1(x)
        e2 = self.enc2(self.pool(e1))
        e3 = self.enc3(self.pool(e2))
        e4 = self.enc4(self.pool(e3))
        bottom = self.bottleneck(self.pool(e4))
        y = self.dec4(torch.cat([self.up4(bottom), e4], dim=1))
        y = self.dec3(torch.cat([self.up3(y), e3], dim=1))
        y = self.dec2(torch.cat([self.up2(y), e2], dim=1))
        y = self.dec1(torch.cat([self.up1(y), e1], dim=1))
        logits: Tensor = self.final(y)
        if self.hover is not None:
            logits = torch.cat([logits, self.hover(bottom, e1, e2, e3, e4)], dim=1)
        return logits[..., :height, :width]


def patch_size_of(state: Mapping[str, Tensor]) -> int:
    """Deduce the smallest patch size whose network has the shapes of `state`; raise ModelError where none has."""
    first = state.get("enc1.double_conv.0.weight")
    if first is None or first.ndim != 4:
        raise ModelError("not a VariableUNet: the state dict has no 'enc1.double_conv.0.weight'; check the file")
    width = int(first.shape[0])
    patch_size = 256 if width == 16 else 32 * width  # 256 and 512 have one network
    if width < 16 or patch_size % STRIDE or base_width(patch_size) != width:
        raise ModelError(f"not a VariableUNet: its first level is {width} channels wide, which no patch size gives")
    return patch_size


def fold_batch_norm(net: VariableUNet) -> VariableUNet:
    """Return a copy in evaluation mode whose BatchNorms are folded into the convolutions before them: equal, faster."""
    folded = copy.deepcopy(net).eval()
    for module in folded.modules():
        if isinstance(module, DoubleConv):
            layers = module.double_conv
            for i in (0, 3):
                layers[i] = _fused(layers[i], layers[i + 1])
                layers[i + 1] = nn.Identity()
        elif isinstance(module, DilatedBottleneck):
            for dilation in (1, 2, 4):
                conv, norm = getattr(module, f"dilated{dilation}"), getattr(module, f"bn{dilation}")
                setattr(module, f"dilated{dilation}", _fused(conv, norm))
                setattr(module, f"bn{dilation}", nn.Identity())
    return folded


def _fused(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)
