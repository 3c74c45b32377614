"""Turn an optical density into what a laboratory, a scanner and an encoder may make of it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from scipy import ndimage

from glomseg.geometry import Bytes
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment import stain

_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=np.float32)


def degrade(rng: Random, density: Floats, colour: float = 1.0) -> Bytes:
    """Turn an optical density (H, W, 3) into what a scanner, a resampling and a JPEG encoder may leave of it."""
    density = jitter_stain(rng, density, colour)
    rgb = np.clip(jitter_light(rng, stain.to_rgb(density), colour), 0, 255)
    height, width = rgb.shape[:2]
    kind = rng.random()
    if kind < 0.35:
        sigma = float(rng.uniform(0.3, 1.8))
        rgb = ndimage.gaussian_filter(rgb, (sigma, sigma, 0))
    elif kind < 0.5:
        soft = ndimage.gaussian_filter(rgb, (1.0, 1.0, 0))
        rgb = rgb + rng.uniform(0.2, 1.2) * (rgb - soft)
    image = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        factor = rng.uniform(1.2, 3.0)
        how = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[int(rng.integers(3))]
        image = image.resize((round(width / factor), round(height / factor)), how)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(25, 95)))
        image = Image.open(buffer).convert("RGB")
    pixels = np.asarray(image)
    if rng.random() < 0.3:
        noisy = pixels + rng.normal(0, rng.uniform(1, 6), pixels.shape).astype(np.float32)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    return pixels


def jitter_stain(rng: np.random.Generator, density: Floats, strength: float = 1.0) -> Floats:
    """Change amount and hue of the stains and the tint of the glass at random."""
    gain = np.exp(rng.normal(0, 0.28 * strength) + rng.normal(0, 0.14 * strength, 3))
    mix = np.eye(3) + rng.normal(0, 0.06 * strength, (3, 3))
    tint = (rng.uniform(0, 0.06) + rng.uniform(0, 0.03, 3)) * strength * (rng.random() < 0.5)
    jittered: Floats = (density @ mix.astype(np.float32).T) * gain.astype(np.float32) + tint.astype(np.float32)
    return jittered


def jitter_light(rng: np.random.Generator, rgb: Floats, strength: float = 1.0) -> Floats:
    """Turn hue, change saturation, contrast and gamma at random; 0..255 in and out (not yet clipped)."""
    turn = np.deg2rad(rng.normal(0, 12 * strength))
    saturation = np.exp(rng.normal(0, 0.25 * strength))
    cos, sin = np.cos(turn) * saturation, np.sin(turn) * saturation
    chroma = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], dtype=np.float32)
    matrix = np.linalg.inv(_YIQ) @ chroma @ _YIQ
    turned = np.clip(rgb @ matrix.T.astype(np.float32), 0, 255)
    gamma = np.exp(rng.normal(0, 0.15 * strength))
    white = rng.uniform(225, 255) if rng.random() < 0.5 else 255.0
    lit: Floats = (white * np.power(turned / 255.0, gamma)).astype(np.float32)
    return lit
