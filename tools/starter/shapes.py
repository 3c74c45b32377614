"""Change a canvas as tissue changes: a coarse piece of a glomerulus, Bowman's space, and where the tissue ends."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from glomseg.geometry import Bools
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment.paste import Canvas


def coarse(rng: Random, density: Floats, mask: Bools) -> tuple[Floats, Bools]:
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


def with_gap(rng: Random, density: Floats, shape: Bools) -> Floats:
    """Lighten a crescent or ring inside the edge of `shape`, as Bowman's space does."""
    depth = ndimage.distance_transform_edt(shape)
    width = float(rng.uniform(0.015, 0.08)) * shape.shape[0]
    y, x = np.mgrid[: shape.shape[0], : shape.shape[1]]
    outward = np.arctan2(y - shape.shape[0] / 2, x - shape.shape[1] / 2)
    side = np.cos(outward - rng.uniform(0, 2 * np.pi)) * rng.uniform(0, 1.2) + 1.0
    gap = 1.0 / (1.0 + np.exp((depth - width * side) / (0.2 * width + 0.5))) * shape
    lightened: Floats = (density * (1 - rng.uniform(0.5, 0.95) * gap[..., None])).astype(np.float32)
    return lightened


def cut_glass(rng: Random, canvas: Canvas) -> None:
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
