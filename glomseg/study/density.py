"""Where on a slide glomeruli lie densely: profiles per mm^2, smoothed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.segment.tissue import TissueMask

SMOOTHING_UM = 250.0
KEPT_PX = 240


def density_map(
    tissue: TissueMask, centres_px: Sequence[tuple[float, float]], pixel_size: tuple[float, float]
) -> NDArray[np.float32]:
    """Return profiles per mm^2 of tissue over the whole slide (H, W), KEPT_PX at most, NaN off the tissue.

    Counts and tissue are smoothed alike with a Gaussian of SMOOTHING_UM, so that the edge of the section does not look
    empty, and the mean over the tissue is near the slide's density. `pixel_size` is um per level-0 pixel in x and y.
    """
    step_x, step_y = tissue.downsample_x * pixel_size[0], tissue.downsample_y * pixel_size[1]
    rows, columns = tissue.mask.shape
    counts = np.zeros((rows, columns), np.float32)
    for x, y in centres_px:
        row = min(rows - 1, max(0, int(y / tissue.downsample_y)))
        column = min(columns - 1, max(0, int(x / tissue.downsample_x)))
        counts[row, column] += 1
    width = (SMOOTHING_UM / step_y, SMOOTHING_UM / step_x)
    smooth_counts = ndimage.gaussian_filter(counts, width, mode="constant")
    smooth_tissue = ndimage.gaussian_filter(tissue.mask.astype(np.float32), width, mode="constant")
    with np.errstate(divide="ignore", invalid="ignore"):
        per_mm2 = smooth_counts / (smooth_tissue * step_x * step_y / 1e6)
    density = np.where(tissue.mask, per_mm2, np.float32(np.nan)).astype(np.float32)
    every = -(-max(rows, columns) // KEPT_PX)
    return np.asarray(density[every // 2 :: every, every // 2 :: every])
