"""Where in its object each pixel lies: how far right, and how far down (Graham et al. 2019, HoVer-Net)."""

from __future__ import annotations

import torch
from torch import Tensor


def places_in(objects: Tensor, largest: int | None = None) -> Tensor:
    """Return places (N, 2, H, W), float32, in numbered objects (N, H, W), 0 where there is none.

    An object's centre of mass is at 0, its leftmost and topmost pixels are at -1, its rightmost and lowest at 1. No
    number is above `largest`, which is looked up where nobody knows one.
    """
    count, height, width = objects.shape
    objects = objects.long()
    most = (int(objects.max()) if largest is None else largest) + 1
    number = (objects + most * torch.arange(count, device=objects.device)[:, None, None]).flatten()
    size = torch.zeros(count * most, device=objects.device).index_add_(0, number, torch.ones_like(number).float())
    places = []
    for axis in (2, 1):
        ruler = torch.arange(objects.shape[axis], device=objects.device, dtype=torch.float32)
        along = (ruler[None, None, :] if axis == 2 else ruler[None, :, None]).expand(count, height, width).flatten()
        centre = torch.zeros_like(size).index_add_(0, number, along) / size.clamp(min=1)
        offset = along - centre[number]
        first, last = (
            torch.zeros_like(size).scatter_reduce(0, number, offset, how).abs().clamp(min=0.5)
            for how in ("amin", "amax")
        )
        places.append(torch.where(offset < 0, offset / first[number], offset / last[number]).reshape(objects.shape))
    return torch.stack(places, dim=1) * (objects > 0)[:, None]
