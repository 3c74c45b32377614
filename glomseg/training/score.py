"""Say how good a probability map is: objects matched one to one at IoU 0.5, and Dice.

For choosing a threshold on label arrays in memory while training, with areas to ignore. Scores to publish come from
`glomseg.evaluation`, which stands above this package.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import regionprops

from glomseg.training.aidpath import Mask, UInt8

Labels = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Score:
    """Counts that can be added up over images: objects matched, made up and missed, and the areas of Dice in px."""

    matched: int = 0
    false: int = 0
    missed: int = 0
    overlap_px: int = 0
    predicted_px: int = 0
    true_px: int = 0

    def __add__(self, other: Score) -> Score:
        """Add the counts of two images."""
        return Score(
            self.matched + other.matched,
            self.false + other.false,
            self.missed + other.missed,
            self.overlap_px + other.overlap_px,
            self.predicted_px + other.predicted_px,
            self.true_px + other.true_px,
        )

    @property
    def f1(self) -> float:
        """Return the object F1; 1 where there is nothing to find and nothing was found."""
        total = 2 * self.matched + self.false + self.missed
        return 2 * self.matched / total if total else 1.0

    @property
    def dice(self) -> float:
        """Return Dice over all pixels added up."""
        total = self.predicted_px + self.true_px
        return 2 * self.overlap_px / total if total else 1.0


def objects_of(
    probability: UInt8, *, threshold: float, minimum_area_px: float, minimum_solidity: float = 0.0
) -> Labels:
    """Label the objects of a probability map (H, W) of 0..255: holes filled, small and ragged ones dropped."""
    mask = ndimage.binary_fill_holes(probability >= threshold * 255)
    labels = np.asarray(ndimage.label(mask)[0], dtype=np.int32)
    for region in regionprops(labels):
        if region.area < minimum_area_px or region.solidity < minimum_solidity:
            labels[labels == region.label] = 0
    return labels


def score(predicted: Labels, true: Labels, ignore: Mask | None = None, *, minimum_true_px: int = 0) -> Score:
    """Match objects one to one at IoU > 0.5 (which can only match once).

    Predictions that lie mostly in `ignore`, or mostly on true objects smaller than `minimum_true_px` (slivers at a
    border), count neither way; nor do those slivers.
    """
    ignore = np.zeros(true.shape, np.bool_) if ignore is None else ignore.copy()
    sizes = np.bincount(true.ravel())
    slivers = [i for i in range(1, sizes.size) if 0 < sizes[i] < minimum_true_px]
    ignore |= np.isin(true, slivers)
    wanted = [i for i in range(1, sizes.size) if sizes[i] > 0 and i not in slivers]
    predicted_sizes = np.bincount(predicted.ravel())
    matched = false = 0
    for index in np.unique(predicted[predicted > 0]):
        inside = predicted == index
        meets = np.bincount(true[inside], minlength=sizes.size)
        best = max(wanted, key=lambda i: meets[i], default=0)
        union = predicted_sizes[index] + sizes[best] - meets[best] if best else 1
        if best and meets[best] / union > 0.5:
            matched += 1
        elif ignore[inside].mean() < 0.5:
            false += 1
    seen = ~ignore
    return Score(
        matched,
        false,
        len(wanted) - matched,
        int(((predicted > 0) & (true > 0) & seen).sum()),
        int(((predicted > 0) & seen).sum()),
        int(((true > 0) & seen).sum()),
    )
