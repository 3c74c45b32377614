"""Objects that touch, told apart by where their mask is narrow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from glomseg.geometry import Bools

_AROUND = np.ones((3, 3))
_FEW_PEAKS = 8


def split_by_waist(mask: Bools, depth_px: float, border: Bools | None = None) -> NDArray[np.int32]:
    """Label the lobes of one object, where the waist between two is `depth_px` narrower than they are.

    A `border` counts as outside for that; its pixels go to the lobe that they are nearest to.
    """
    inside = mask if border is None else mask & ~border
    distance = np.where(inside, smooth_depth(inside), -depth_px - 1)
    if border is None and _has_one_summit(distance, depth_px) and ndimage.label(mask)[1] == 1:
        return mask.astype(np.int32)
    # The summits of the distance after cutting `depth_px` off: a ridge between two peaks joins them, a waist does not.
    summits = local_maxima(reconstruction(distance - depth_px, distance))
    peaks, _ = ndimage.label(summits & inside, np.ones((3, 3)))
    if not peaks.any():
        return mask.astype(np.int32)
    return np.asarray(watershed(-distance, peaks, mask=mask), np.int32)


def smooth_depth(mask: Bools) -> NDArray[np.float64]:
    """Return how far the pixels of a mask lie from its edge, in px, without the smallest unevenness."""
    return np.asarray(ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0))


def _has_one_summit(distance: NDArray[np.float64], depth_px: float) -> bool:
    """Say whether ridges join all peaks to the highest, not `depth_px` below the lower of two; False where unsure.

    A few labels of a small picture, where the reconstruction sorts all its pixels twice.
    """
    peaks, count = ndimage.label(local_maxima(distance), _AROUND)
    if not 1 <= count <= _FEW_PEAKS:
        return False
    top, highest = float(distance.max()), int(distance.argmax())
    for number in range(1, count + 1):
        place = int((peaks == number).argmax())
        height = float(distance.flat[place])
        joined, _ = ndimage.label(distance >= height - depth_px, _AROUND)
        mine = joined == joined.flat[place]
        if not (mine.flat[highest] or (height < top and bool((distance[mine] > height).any()))):
            return False
    return True
