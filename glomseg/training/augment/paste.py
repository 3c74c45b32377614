"""Paste a piece of tissue into a canvas: its shape and size, a gap around it, soft seams, a place, and cut glass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from glomseg.training.augment import stain
from glomseg.training.starter.aidpath import Mask, equivalent_diameter_px

Float = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(slots=True)
class Canvas:
    """An image in the making, as optical density, with its label and what to ignore."""

    density: Float
    label: Mask
    ignore: Mask


def shrink(rng: Rng, density: Float, mask: Mask, diameter_px: float, valid: Mask | None = None) -> Float:
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


def coarse(rng: Rng, density: Float, mask: Mask) -> tuple[Float, Mask]:
    """Cut a round piece out of a glomerulus: pasted at the same size, its cells look larger, as in a mouse."""
    side = density.shape[0]
    radius = rng.uniform(0.28, 0.42) * side
    cy, cx = np.array([side / 2, side / 2]) + rng.uniform(-0.06, 0.06, 2) * side
    y, x = np.mgrid[:side, :side]
    turn = rng.uniform(0, np.pi)
    u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    angle = np.arctan2(v, u)
    edge = radius * (1 + rng.uniform(0, 0.08) * np.sin(3 * angle + rng.uniform(0, 6)))
    part = (u / rng.uniform(0.9, 1.15)) ** 2 + v**2 < edge**2
    part &= mask
    if not part.any():
        return density, mask
    if rng.random() < 0.7:
        density = with_gap(rng, density, part)
    return density, part


def with_gap(rng: Rng, density: Float, shape: Mask) -> Float:
    """Lighten a crescent or ring inside the edge of `shape`, as Bowman's space does."""
    depth = ndimage.distance_transform_edt(shape)
    width = float(rng.uniform(0.015, 0.08)) * shape.shape[0]
    y, x = np.mgrid[: shape.shape[0], : shape.shape[1]]
    outward = np.arctan2(y - shape.shape[0] / 2, x - shape.shape[1] / 2)
    side = np.cos(outward - rng.uniform(0, 2 * np.pi)) * rng.uniform(0, 1.2) + 1.0
    gap = 1.0 / (1.0 + np.exp((depth - width * side) / (0.2 * width + 0.5))) * shape
    lightened: Float = (density * (1 - rng.uniform(0.5, 0.95) * gap[..., None])).astype(np.float32)
    return lightened


def blend(rng: Rng, canvas: Canvas, density: Float, mask: Mask, valid: Float, *, glomerulus: bool) -> None:
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


def cut_glass(rng: Rng, canvas: Canvas) -> None:
    """Cut the tissue off along a wavy line, or paint what lies off the slide white."""
    size = canvas.label.shape[0]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    turn = rng.uniform(0, 2 * np.pi)
    wave = rng.uniform(0, 12) * np.sin((x * np.sin(turn) + y * np.cos(turn)) / rng.uniform(8, 40))
    distance = (x - size / 2) * np.cos(turn) - (y - size / 2) * np.sin(turn) + wave - rng.uniform(0.1, 0.45) * size
    if rng.random() < 0.3:
        distance = (x if rng.random() < 0.5 else y) - rng.uniform(0.6, 0.95) * size
    keep = 1.0 / (1.0 + np.exp(np.clip(distance / rng.uniform(0.2, 1.5), -30, 30)))
    canvas.density *= keep[..., None].astype(np.float32)
    canvas.label &= keep > 0.5
    canvas.ignore &= keep > 0.5
