"""What the head `hover` learns: how far right, and how far down in its object a pixel lies (Graham et al. 2019).

Places are told of objects as they lie in the changed image, after flips, turns and bends, so that they turn with it;
and of whole objects, where the map of objects shows more of them than the image does.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from glomseg.geometry import Bytes


def hover_targets(objects: Tensor) -> Tensor:
    """Return places (N, 2, H, W), float32, in numbered objects (N, H, W), 0 where there is none.

    An object's centre of mass is at 0, its leftmost and topmost pixels are at -1, its rightmost and lowest at 1.
    """
    count, height, width = objects.shape
    objects = objects.long()
    most = int(objects.max()) + 1
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


def numbered(label: Bytes) -> NDArray[np.int32]:
    """Number the objects of a label (H, W): the connected parts of each class."""
    objects = np.zeros(label.shape, np.int32)
    for kind in np.unique(label[label > 0]):
        parts, _ = ndimage.label(label == kind)
        objects = np.where(parts > 0, parts + objects.max(), objects)
    return objects.astype(np.int32)
