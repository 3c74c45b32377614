"""How sharp a slide is at its glomeruli."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Box
from glomseg.slides.grey import grey
from glomseg.slides.slide import Slide

LOOKED_AT = 8
MPP = 0.5
WIDEST_UM = 400.0  # an outline may be huge by mistake


def measure_sharpness(slide: Slide, outlines: Sequence[BaseGeometry]) -> float | None:
    """Return the median, over some glomeruli, of how much of the contrast lies in detail of about 1 um; None without.

    The standard deviation of what a Gaussian of 1 um takes away, divided by that of what it leaves. A slide out of
    focus has a value far below that of its neighbours; the number says nothing by itself.
    """
    values = []
    mpp = max(MPP, *slide.pixel_size)
    for outline in outlines[:: max(1, len(outlines) // LOOKED_AT)][:LOOKED_AT]:
        left, top, right, bottom = outline.bounds
        wide, high = (
            min(size, WIDEST_UM / side)
            for size, side in zip((right - left, bottom - top), slide.pixel_size, strict=True)
        )
        box = Box((left + right - wide) / 2, (top + bottom - high) / 2, wide, high)
        picture = grey(slide.read(box, mpp))
        smooth = ndimage.gaussian_filter(picture, 1.0 / mpp)
        values.append(float((picture - smooth).std() / max(1.0, smooth.std())))
    return float(np.median(values)) if values else None
