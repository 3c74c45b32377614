"""Move the colours of a stained image towards another slide's stain, in optical density."""

from __future__ import annotations

import numpy as np

from glomseg.geometry import Bools, Bytes
from glomseg.training.arrays import Floats

GLASS_OD = 0.12
"""A pixel of lower mean optical density is glass (natural logarithm; 0 is pure white)."""


def optical_density(image: Bytes) -> Floats:
    """Return -ln(I / 255) for each channel, never infinite."""
    table: Floats = (-np.log(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)
    density: Floats = table[image]
    return density


def to_rgb(density: Floats) -> Floats:
    """Return 0..255 as float for an optical density."""
    return (255.0 * np.exp(-np.maximum(density, 0.0))).astype(np.float32)


def mean_density(density: Floats, where: Bools) -> Floats:
    """Return the mean optical density per channel of the tissue inside `where` (of everything if there is none)."""
    tissue = where & (density.mean(axis=-1) > GLASS_OD)
    mean: Floats = density[tissue if tissue.any() else where].mean(axis=0)
    return mean


def transfer(density: Floats, source: Floats, target: Floats, power: float = 1.0) -> Floats:
    """Move tissue of mean density `source` to `target`, channel by channel; white stays white (Beer-Lambert)."""
    moved: Floats = target * np.power(np.maximum(density, 0.0) / source, power)
    return moved
