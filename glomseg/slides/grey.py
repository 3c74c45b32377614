"""Colours as grey: numpy's mean over channels that lie side by side takes ten times as long."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def grey(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Average up to three channels of pixels (..., channels), and leave out what comes after them."""
    first, *others = (pixels[..., channel] for channel in range(min(3, pixels.shape[-1])))
    total = first.astype(np.float32)
    for channel in others:
        total += channel
    total /= 1 + len(others)
    return total
