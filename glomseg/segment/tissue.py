"""Where on a slide there is tissue, seen from afar; too much rather than too little, for a missed glomerulus is worse.

Tissue is what absorbs more light than the glass, in any colour. Nothing is assumed about how much tissue there is:
a threshold that splits a histogram in two (Otsu) finds tissue on an empty slide and glass in a slide full of tissue.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.geometry import Box, small_parts
from glomseg.segment.tiles import BLOCK, ReadingFrame
from glomseg.slides.grey import grey
from glomseg.slides.slide import Slide

MASK_MPP = 16.0  # um per mask pixel, where the slide is not so large that this is more than MASK_PX
MASK_PX = 4_000_000
WHITE = 245.0  # the glass where none is seen
TISSUE_DENSITY = 0.05  # 11 % of the light, in the colour that is absorbed most
BLACK = 16  # no tissue is as dark: what a scanner left out, or ink
BAND_ROWS = 64
MARGIN_UM = 40.0  # added around tissue, so that a glomerulus at its border is seen whole


@dataclass(frozen=True)
class TissueMask:
    """Tissue on a coarse grid: `mask` (H, W), each pixel `downsample_x` x `downsample_y` level-0 pixels."""

    mask: NDArray[np.bool_]
    downsample_x: float
    downsample_y: float

    def blocks(self, frame: ReadingFrame) -> NDArray[np.bool_]:
        """Mark the blocks of a reading frame (rows, columns) that touch tissue."""
        sums = np.pad(np.cumsum(np.cumsum(self.mask, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
        rows, columns = frame.blocks
        top, bottom = _edges(rows, BLOCK * frame.downsample_y / self.downsample_y, self.mask.shape[0])
        left, right = _edges(columns, BLOCK * frame.downsample_x / self.downsample_x, self.mask.shape[1])
        inside = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left]
        return np.asarray(inside > 0)


def find_tissue(slide: Slide, *, margin_um: float = MARGIN_UM) -> TissueMask:
    """Find the tissue of a slide and `margin_um` around it.

    Memory is bounded whatever the slide's size, and whatever levels it has. Raises MissingMppError, and SlideError
    where the file is damaged.
    """
    mpp_x, mpp_y = slide.pixel_size
    mpp = max(MASK_MPP, (slide.width * mpp_x * slide.height * mpp_y / MASK_PX) ** 0.5)
    mpp = min(mpp, max(2.0, max(slide.width * mpp_x, slide.height * mpp_y) / 64))
    downsample_x = min(max(1.0, mpp / mpp_x), slide.width)
    downsample_y = min(max(1.0, mpp / mpp_y), slide.height)
    mask = tissue_of(_read(slide, downsample_x, downsample_y), mpp, margin_um=margin_um)
    return TissueMask(mask, downsample_x, downsample_y)


def tissue_of(image: NDArray[np.uint8], mpp: float, *, margin_um: float = MARGIN_UM) -> NDArray[np.bool_]:
    """Find the tissue on a small picture (H, W, 3) of `mpp` um per pixel: (H, W).

    Holes up to 0.5 mm^2 (vessels, torn tubules) belong to it, specks below 2,000 um^2 (1 % of a small picture) do not,
    and `margin_um` is added around it.
    """
    glass = _glass(image)
    image = ndimage.median_filter(image, size=(3, 3, 1))
    mask = (_absorbed(image, glass) > TISSUE_DENSITY) & (image.max(axis=2) > BLACK)
    mask &= ~small_parts(mask, min(2_000 / mpp**2, 0.01 * mask.size), diagonal=True)
    mask |= small_parts(ndimage.binary_fill_holes(mask) & ~mask, 500_000 / mpp**2, diagonal=True)
    if margin_um <= 0:
        return np.asarray(mask)
    reach = max(1, round(margin_um / mpp))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(ndimage.binary_dilation(mask, y**2 + x**2 <= reach**2))


def _read(slide: Slide, downsample_x: float, downsample_y: float) -> NDArray[np.uint8]:
    """Read the whole slide, in bands side by side: without low levels this is the whole of level 0."""
    height = max(1, int(np.ceil(slide.height / downsample_y - 1e-6)))
    width = max(1, int(np.ceil(slide.width / downsample_x - 1e-6)))

    def band(top: int) -> NDArray[np.uint8]:
        rows = min(BAND_ROWS, height - top)
        box = Box(0, top * downsample_y, width * downsample_x, rows * downsample_y)
        return slide.read_downsampled(box, downsample_x, downsample_y)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return np.concatenate(list(pool.map(band, range(0, height, BAND_ROWS))))


def _absorbed(image: NDArray[np.uint8], glass: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Give optical density above the nearest glass in the most absorbing channel: (H, W)."""
    density = -np.log10(np.maximum(image, 1).astype(np.float32))
    return np.asarray(np.min([(density + np.log10(colour)).max(axis=2) for colour in glass], axis=0))


def _glass(image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Find the colours of empty glass: even, bright, grey or cream. More than one where a scanner filled gaps.

    Pale tissue can be as even and as bright, but its stains (haematoxylin, eosin, PAS) take green away first.
    """
    bright = grey(image)
    mean = ndimage.uniform_filter(bright, 3)
    even = ndimage.uniform_filter(bright**2, 3) - mean**2 < 3.0**2
    red, green, blue = np.moveaxis(image.astype(np.int16), 2, 0)
    stained = np.minimum(red, blue) - green > 7
    tint = image.max(axis=2).astype(np.int16) - image.min(axis=2)
    is_candidate = even & ~stained & (((bright > 160) & (tint < 14)) | ((bright > 210) & (tint < 36)))
    candidates, greys = image[is_candidate], bright[is_candidate]
    colours: list[NDArray[np.float32]] = []
    while len(candidates) > max(4, 0.01 * bright.size) and len(colours) < 3:
        bins = np.bincount((greys // 4).astype(np.int64))
        level = 4.0 * int(bins.argmax()) + 2
        near = np.abs(greys - level) <= 8
        colours.append(np.median(candidates[near], axis=0).astype(np.float32))
        candidates, greys = candidates[~near], greys[~near]
    return colours or [np.full(3, WHITE, np.float32)]


def _edges(count: int, step: float, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give first and last-but-one mask pixel of `count` intervals of `step` mask pixels, within `size`."""
    at = np.arange(count + 1) * step
    low = np.floor(at[:-1] + 1e-6).astype(np.int64)
    high = np.ceil(at[1:] - 1e-6).astype(np.int64)
    return np.minimum(low, size), np.minimum(high, size)
