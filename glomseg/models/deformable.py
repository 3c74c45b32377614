"""The pixel decoder of transformers' Mask2Former in terms that ONNX can say for any size of picture.

Transformers puts the sizes of the levels into tensors, which fixes them when a network is traced. Here they stay
numbers of the graph. The weights are the same modules, and so is what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = tuple[int, int]


class FreePixelDecoder(nn.Module):
    """A pixel decoder that a picture of any size goes through once it was exported."""

    def __init__(self, decoder: nn.Module) -> None:
        """Take transformers' own, in evaluation mode."""
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Sequence[Tensor], **_: Any) -> SimpleNamespace:
        """Map the four stages of a backbone to mask features and features at three scales, the coarsest first."""
        own: Any = self.decoder
        levels = list(features[::-1])[: own.num_feature_levels]
        embedded = [project(level) for project, level in zip(own.input_projections, levels, strict=True)]
        sizes = [(level.shape[2], level.shape[3]) for level in embedded]
        places = [
            sine_positions(own.position_embedding, level).flatten(2).transpose(1, 2) + own.level_embed[i]
            for i, level in enumerate(levels)
        ]
        x = torch.cat([level.flatten(2).transpose(1, 2) for level in embedded], dim=1)
        position, centres = torch.cat(places, dim=1), torch.cat([_centres(size, x) for size in sizes])
        for layer in own.encoder.layers:
            x = layer.self_attn_layer_norm(x + _attended(layer.self_attn, x, position, centres, sizes))
            x = layer.final_layer_norm(x + layer.fc2(layer.activation_fn(layer.fc1(x))))
        outputs = [part.transpose(1, 2).unflatten(2, size) for part, size in _parts(x, sizes)]
        coarse = tuple(outputs)
        for i, stage in enumerate(list(features[: own.num_fpn_levels])[::-1]):
            fine = own.lateral_convolutions[i](stage)
            above = F.interpolate(outputs[-1], size=fine.shape[-2:], mode="bilinear", align_corners=False)
            outputs.append(own.output_convolutions[i](fine + above))
        return SimpleNamespace(mask_features=own.mask_projection(outputs[-1]), multi_scale_features=coarse)


class FreePositions(nn.Module):
    """Transformers' sine positions, which have no weights, for levels of any size."""

    def __init__(self, embedding: nn.Module) -> None:
        """Take transformers' own."""
        super().__init__()
        self.embedding = embedding

    def forward(self, shape: Sequence[int], device: torch.device, dtype: torch.dtype, _: Tensor | None) -> Tensor:
        """Return positions (N, C, H, W) for a level of a shape (N, any, H, W)."""
        return sine_positions(self.embedding, torch.zeros((), device=device, dtype=dtype), shape)


def sine_positions(embedding: Any, like: Tensor, shape: Sequence[int] | None = None) -> Tensor:
    """Return sines and cosines of where a pixel lies (N, C, H, W), first down, then across (Carion et al. 2020)."""
    count, _, height, width = like.shape if shape is None else shape
    half = embedding.num_position_features
    index = torch.arange(half, device=like.device, dtype=torch.int64)
    period = (embedding.temperature ** (2 * torch.div(index, 2, rounding_mode="floor") / half)).to(like.dtype)
    waves = []
    for side in (height, width):
        at = torch.arange(1, side + 1, device=like.device, dtype=like.dtype)
        phase = (at / (side + 1e-6) * embedding.scale if embedding.normalize else at)[:, None] / period
        waves.append(torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], dim=2).flatten(1).T)
    down = waves[0][:, :, None].expand(half, height, width)
    across = waves[1][:, None, :].expand(half, height, width)
    return torch.cat([down, across])[None].expand(count, 2 * half, height, width)


def _centres(size: Size, like: Tensor) -> Tensor:
    """Return where the pixels of a level lie (H W, 2), x and y as shares of its sides."""
    height, width = size
    y = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
    x = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
    return torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)], dim=-1).flatten(0, 1)


def _parts(x: Tensor, sizes: Sequence[Size]) -> list[tuple[Tensor, Size]]:
    """Cut (N, sum of H W, ...) into its levels."""
    parts, start = [], 0
    for height, width in sizes:
        parts.append((x.narrow(1, start, height * width), (height, width)))
        start = start + height * width
    return parts


def _attended(attention: Any, x: Tensor, position: Tensor, centres: Tensor, sizes: Sequence[Size]) -> Tensor:
    """Let each place (N, L, C) look at some points of each level around itself (Zhu et al. 2021, equation 3)."""
    count, _, channels = x.shape
    heads, levels, points = attention.n_heads, attention.n_levels, attention.n_points
    values = attention.value_proj(x).unflatten(2, (heads, channels // heads))
    asking = x + position
    offsets = attention.sampling_offsets(asking).unflatten(2, (heads, levels, points, 2))
    shares = attention.attention_weights(asking).unflatten(2, (heads, levels * points)).softmax(dim=-1)
    shares = shares.unflatten(3, (levels, points))
    total = x.new_zeros(())
    for level, (part, (height, width)) in enumerate(_parts(values, sizes)):
        image = part.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, (height, width))  # (N heads, C / heads, H, W)
        across = centres[None, :, None, None, 0] + offsets[:, :, :, level, :, 0] / width
        down = centres[None, :, None, None, 1] + offsets[:, :, :, level, :, 1] / height
        where = (2 * torch.stack([across, down], dim=-1) - 1).transpose(1, 2).flatten(0, 1)  # (N heads, L, points, 2)
        seen = F.grid_sample(image, where, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = shares[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (N heads, 1, L, points)
        total = total + (seen * weight).sum(dim=-1)
    joined = total.unflatten(0, (count, heads)).flatten(1, 2).transpose(1, 2)
    answer: Tensor = attention.output_proj(joined)
    return answer
