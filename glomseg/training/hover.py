"""The objects in which the head `hover` learns places (`glomseg.models.places`).

Places are told of objects as they lie in the changed image, after flips, turns and bends, so that they turn with it;
and of whole objects, where the map of objects shows more of them than the image does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glomseg.geometry import Bytes


def numbered(label: Bytes) -> NDArray[np.int32]:
    """Number the objects of a label (H, W): the connected parts of each class."""
    objects = np.zeros(label.shape, np.int32)
    for kind in np.unique(label[label > 0]):
        parts, _ = ndimage.label(label == kind)
        objects = np.where(parts > 0, parts + objects.max(), objects)
    return objects.astype(np.int32)
