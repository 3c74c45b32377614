"""Discs painted in the colours of tissue."""

import numpy as np

PINK, PURPLE, WHITE = (225, 170, 205), (120, 60, 140), (245, 245, 245)


def disc(size, cx, cy, radius):
    y, x = np.mgrid[:size, :size] + 0.5
    return (x - cx) ** 2 + (y - cy) ** 2 < radius**2


def painted(rng, mask, glass=None):
    image = np.empty((*mask.shape, 3))
    image[:] = PINK
    image[mask] = PURPLE
    if glass is not None:
        image[glass] = WHITE
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
