"""Adaptive average pooling in terms that ONNX can say for any size of picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BinnedMean(nn.Module):
    """The mean over a grid of bins, as `nn.AdaptiveAvgPool2d` has it: bin i of k covers floor(iL/k) to ceil((i+1)L/k).

    Written as two products with matrices made of the sizes, which an exporter need not know.
    """

    def __init__(self, bins: int) -> None:
        """Take the number of bins on each side."""
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, bins, bins)."""
        down, across = (self._weights(side, x) for side in (x.shape[2], x.shape[3]))
        return down @ x @ across.transpose(0, 1)

    def _weights(self, side: int, x: Tensor) -> Tensor:
        """Return what each of `side` places counts in each bin (bins, side)."""
        bins = torch.arange(self.bins, device=x.device)[:, None]
        place = torch.arange(side, device=x.device)[None]
        first = torch.div(bins * side, self.bins, rounding_mode="floor")
        last = torch.div((bins + 1) * side + self.bins - 1, self.bins, rounding_mode="floor")
        inside = ((place >= first) & (place < last)).to(x.dtype)
        return inside / inside.sum(dim=1, keepdim=True)


def with_binned_means(net: nn.Module) -> None:
    """Put `BinnedMean` in the place of each square adaptive average pooling; no weight changes its name."""
    for module in list(net.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size
                bins = size[0] if isinstance(size, tuple) else size
                if not isinstance(bins, int) or (isinstance(size, tuple) and size[1] != bins):
                    continue
                setattr(module, name, BinnedMean(bins))
                listed = getattr(module, "layers", None)
                if isinstance(listed, list):  # transformers runs its blocks from a plain list
                    module.layers = [module.get_submodule(name) if item is child else item for item in listed]  # type: ignore[assignment]
