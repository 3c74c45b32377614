"""Change the colours of a stained image: towards another slide's stain, and at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glomseg.training.starter.aidpath import Crop, Mask, Tile, UInt8

Float = NDArray[np.float32]

GLASS_OD = 0.12
"""A pixel of lower mean optical density is glass (natural logarithm; 0 is pure white)."""

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=np.float32)


def optical_density(image: UInt8) -> Float:
    """Return -ln(I / 255) for each channel, never infinite."""
    table: Float = (-np.log(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)
    density: Float = table[image]
    return density


def to_rgb(density: Float) -> Float:
    """Return 0..255 as float for an optical density."""
    return (255.0 * np.exp(-np.maximum(density, 0.0))).astype(np.float32)


def mean_density(density: Float, where: Mask) -> Float:
    """Return the mean optical density per channel of the tissue inside `where` (of everything if there is none)."""
    tissue = where & (density.mean(axis=-1) > GLASS_OD)
    mean: Float = density[tissue if tissue.any() else where].mean(axis=0)
    return mean


def slide_densities(crops: tuple[Crop, ...]) -> dict[str, Float]:
    """Return slide -> mean optical density of what lies around its glomeruli, from the rims of its crops."""
    rims: dict[str, list[Float]] = {}
    for crop in crops:
        rims.setdefault(crop.slide, []).append(mean_density(optical_density(crop.image), ~crop.mask))
    return {slide: np.median(np.stack(values), axis=0).astype(np.float32) for slide, values in rims.items()}


def tissue_density(tiles: tuple[Tile, ...]) -> Float:
    """Return the mean optical density of the tissue of `tiles` outside glomeruli."""
    means = [mean_density(optical_density(tile.image[::4, ::4]), ~tile.label[::4, ::4]) for tile in tiles]
    mean: Float = np.mean(means, axis=0, dtype=np.float32)
    return mean


def transfer(density: Float, source: Float, target: Float, power: float = 1.0) -> Float:
    """Move tissue of mean density `source` to `target`, channel by channel; white stays white (Beer-Lambert)."""
    moved: Float = target * np.power(np.maximum(density, 0.0) / source, power)
    return moved


def jitter_stain(rng: np.random.Generator, density: Float, strength: float = 1.0) -> Float:
    """Change amount and hue of the stains and the tint of the glass at random."""
    gain = np.exp(rng.normal(0, 0.28 * strength) + rng.normal(0, 0.14 * strength, 3))
    mix = np.eye(3) + rng.normal(0, 0.06 * strength, (3, 3))
    tint = (rng.uniform(0, 0.06) + rng.uniform(0, 0.03, 3)) * strength * (rng.random() < 0.5)
    jittered: Float = (density @ mix.astype(np.float32).T) * gain.astype(np.float32) + tint.astype(np.float32)
    return jittered


def jitter_light(rng: np.random.Generator, rgb: Float, strength: float = 1.0) -> Float:
    """Turn hue, change saturation, contrast and gamma at random; 0..255 in and out (not yet clipped)."""
    turn = np.deg2rad(rng.normal(0, 12 * strength))
    saturation = np.exp(rng.normal(0, 0.25 * strength))
    cos, sin = np.cos(turn) * saturation, np.sin(turn) * saturation
    chroma = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=np.float32)
    matrix = np.linalg.inv(_YIQ) @ chroma @ _YIQ
    turned = np.clip(rgb @ matrix.T.astype(np.float32), 0, 255)
    gamma = np.exp(rng.normal(0, 0.15 * strength))
    white = rng.uniform(225, 255) if rng.random() < 0.5 else 255.0
    lit: Float = (white * np.power(turned / 255.0, gamma)).astype(np.float32)
    return lit
