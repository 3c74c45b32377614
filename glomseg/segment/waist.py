"""Objects that touch, told apart by where their mask is narrow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from glomseg.geometry import Bools


def split_by_waist(mask: Bools, depth_px: float, border: Bools | None = None) -> NDArray[np.int32]:
    """Label the lobes of one object, where the waist between two is `depth_px` narrower than they are.

    A `border` counts as outside for that; its pixels go to the lobe that they are nearest to.
    """
    inside = mask if border is None else mask & ~border
    distance = np.where(inside, ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0), -depth_px - 1)
    # The summits of the distance after cutting `depth_px` off: a ridge between two peaks joins them, a waist does not.
    summits = local_maxima(reconstruction(distance - depth_px, distance))
    peaks, _ = ndimage.label(summits & inside, np.ones((3, 3)))
    if not peaks.any():
        return mask.astype(np.int32)
    return np.asarray(watershed(-distance, peaks, mask=mask), np.int32)
