"""How large nuclei look in pixels: the ruler that every piece of stained tissue carries.

Nuclei are blobs that absorb red light, in haematoxylin with PAS as with eosin. Blobs are maxima of differences of
Gaussians over place and scale (Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94); of a round blob of radius r the
answer is strongest at sigma = r / sqrt(2), whatever its contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

_FIRST_SIGMA = 0.9
_PER_OCTAVE = 4
_OCTAVES = 3
_FAINTEST = 0.05  # optical density
_STRONG = 0.7  # of the strong ones; fainter blobs are cytoplasm, debris and noise
_STRONG_PERCENTILE = 98
_MAX_BLOBS = 4000
_FEWEST_IN_QUARTER = 5


@dataclass(frozen=True)
class Nuclei:
    """How many strong blobs were seen, the logarithm of their mean sigma in pixels, and how the four quarters of the
    picture differ in it (standard deviation; 0 where fewer than three have nuclei)."""

    count: int
    log_sigma: float
    spread: float


def measure_nuclei(pixels: NDArray[np.uint8]) -> Nuclei | None:
    """Measure the nuclei in a picture (H, W, 3) that has about 1 um per pixel; None where there are none."""
    density = -np.log10((pixels[:, :, 0].astype(np.float32) + 1) / 256)
    blobs = _isolated(_blobs(density))
    if len(blobs) == 0:
        return None
    strong = blobs[blobs[:, 1] > _STRONG * np.percentile(blobs[:, 1], _STRONG_PERCENTILE)]
    middle = np.array(pixels.shape[:2]) / 2
    quarter = (strong[:, 2:] >= middle) @ (2, 1)
    parts = [_log_sigma(strong[quarter == at]) for at in range(4) if (quarter == at).sum() >= _FEWEST_IN_QUARTER]
    return Nuclei(len(strong), _log_sigma(strong), float(np.std(parts)) if len(parts) > 2 else 0.0)


def _log_sigma(blobs: NDArray[np.float64]) -> float:
    return float(np.average(np.log(blobs[:, 0]), weights=blobs[:, 1] ** 2))


def _blobs(density: NDArray[np.float32]) -> NDArray[np.float64]:
    """Find the maxima (n, 4): sigma in pixels, strength, y, x."""
    found: list[NDArray[np.float64]] = []
    ratio = 2 ** (1 / _PER_OCTAVE)
    image = ndimage.gaussian_filter(density, (_FIRST_SIGMA**2 - 0.5**2) ** 0.5, mode="nearest")
    step = 1
    for _ in range(_OCTAVES):
        if min(image.shape) < 8:
            break
        layers = [image]
        for index in range(1, _PER_OCTAVE + 3):
            low, high = _FIRST_SIGMA * ratio ** (index - 1), _FIRST_SIGMA * ratio**index
            layers.append(ndimage.gaussian_filter(layers[-1], (high**2 - low**2) ** 0.5, mode="nearest", truncate=3))
        answers = -np.diff(np.stack(layers), axis=0) / (ratio - 1)
        middle = answers[1:-1]
        highest = ndimage.maximum_filter(answers, size=3)[1:-1]
        places = np.argwhere((middle == highest) & (middle > _FAINTEST))
        if len(places):
            at, y, x = places.T
            value, below, above = middle[at, y, x], answers[at, y, x], answers[at + 2, y, x]
            shift = np.clip(0.5 * (below - above) / np.minimum(below - 2 * value + above, -1e-9), -0.5, 0.5)
            sigma = _FIRST_SIGMA * ratio ** (at + 1.5 + shift) * step
            found.append(np.stack([sigma, value, y * step, x * step], axis=1))
        image = layers[_PER_OCTAVE][::2, ::2]
        step *= 2
    return np.concatenate(found) if found else np.empty((0, 4))


def _isolated(blobs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Drop what lies within a stronger blob: chromatin within a nucleus, a nucleus within a crowd."""
    blobs = blobs[np.argsort(-blobs[:, 1], kind="stable")][:_MAX_BLOBS]
    if len(blobs) == 0:
        return blobs
    keep = np.ones(len(blobs), bool)
    near = cKDTree(blobs[:, 2:]).query_ball_point(blobs[:, 2:], blobs[:, 0] * 2**0.5)
    for index, others in enumerate(near):
        if keep[index]:
            keep[[other for other in others if other > index]] = False
    return blobs[keep]
