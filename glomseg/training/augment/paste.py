"""Paste a piece of tissue into a canvas: its size and turn, soft seams, and a place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from glomseg.geometry import Bools
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment import stain


@dataclass(slots=True)
class Canvas:
    """An image in the making, as optical density, with its label and what to ignore."""

    density: Floats
    label: Bools
    ignore: Bools


def equivalent_diameter_px(mask: Bools) -> float:
    """Return the diameter in px of the disc that has the area of `mask`."""
    return float(2 * np.sqrt(mask.sum() / np.pi))


def shrink(rng: Random, density: Floats, mask: Bools, diameter_px: float, valid: Bools | None = None) -> Floats:
    """Turn a crop by any angle and bring its mask to `diameter_px`: (P, P, 5) of density, mask and validity.

    Without `valid` the whole crop is.
    """
    side = density.shape[0]
    factor = diameter_px / equivalent_diameter_px(mask)
    stretch = float(np.exp(rng.normal(0, 0.08)))
    width, height = max(8, round(side * factor * stretch)), max(8, round(side * factor / stretch))
    valid = np.ones_like(mask) if valid is None else valid
    channels = np.concatenate([density, mask[..., None], valid[..., None]], axis=-1)
    angle = float(rng.uniform(0, 360))
    turned = []
    for i in range(5):
        image = Image.fromarray(np.ascontiguousarray(channels[..., i], dtype=np.float32), mode="F")
        small = image.resize((width, height), Image.Resampling.BILINEAR)
        turned.append(np.asarray(small.rotate(angle, Image.Resampling.BICUBIC, expand=True), dtype=np.float32))
    patch = np.stack(turned, axis=-1)
    return patch[:, ::-1] if rng.random() < 0.5 else patch


def blend(rng: Random, canvas: Canvas, density: Floats, mask: Bools, valid: Floats, *, glomerulus: bool) -> None:
    """Blend a patch into the canvas at a random place that holds no other glomerulus and little glass."""
    high, wide = canvas.label.shape
    feather = float(rng.uniform(0.6, 3.0))
    reach = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 8)))
    inside = ndimage.binary_erosion(valid > 0.99, iterations=2)
    alpha = ndimage.gaussian_filter((reach & (inside | mask)).astype(np.float32), feather)
    alpha = alpha * np.clip(valid, 0, 1)
    height, width = mask.shape
    may_float = rng.random() < 0.1
    for _ in range(8):
        cy, cx = rng.integers((int(0.05 * high), int(0.05 * wide)), (int(0.95 * high), int(0.95 * wide)))
        top, left = cy - height // 2, cx - width // 2
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + height, high), min(left + width, wide)
        part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        view = np.s_[y0:y1, x0:x1]
        m, a = mask[part], alpha[part]
        if not m.any() or (canvas.label[view] & (a > 0.05)).any():
            continue
        under = canvas.density[view].mean(axis=-1)[m]
        if not may_float and float((under < stain.GLASS_OD).mean()) > 0.5:
            continue
        canvas.density[view] += a[..., None] * (density[part] - canvas.density[view])
        canvas.ignore[view] &= ~(a > 0.5)
        if glomerulus:
            canvas.label[view] |= m
            canvas.ignore[view] &= ~m
        return
