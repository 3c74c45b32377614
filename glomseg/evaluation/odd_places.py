"""Outlines that cannot be of their image, or not in its pixels: coordinates in another unit, or of another picture."""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from glomseg.evaluation.score import ImageScore
from glomseg.labelled.label_files import Outlines

_SMALLEST_PX = 2.0
_ENOUGH = 3  # objects on both sides, of which some would touch by chance


def odd_places(images: Sequence[ImageScore]) -> list[str]:
    """Say where outlines are smaller than pixels, and where none of one side touches one of the other."""
    remarks = []
    for which in ("predictions", "truth"):
        sides = [(image.info.key, image.predicted if which == "predictions" else image.true) for image in images]
        if tiny := [key for key, side in sides if _is_tiny(side)]:
            remarks.append(
                f"{which}: most outlines are smaller than {_SMALLEST_PX:g} pixels in {len(tiny)} of {len(images)} "
                f"images ({tiny[0]}): are their coordinates in pixels of the image?"
            )
    apart = [image.info.key for image in images if _is_apart(image)]
    if apart:
        remarks.append(
            f"no predicted outline touches a true one in {len(apart)} of {len(images)} images ({apart[0]}): are both "
            "of that image, and in its pixels?"
        )
    return remarks


def _is_tiny(side: Outlines) -> bool:
    """Tell whether most outlines that were drawn, not painted, are of no size."""
    if side.reading is not None or not len(side.geometries):
        return False
    left, top, right, bottom = shapely.bounds(side.geometries).T
    tiny = (right - left < _SMALLEST_PX) & (bottom - top < _SMALLEST_PX)
    return bool(2 * tiny.sum() > len(tiny))


def _is_apart(image: ImageScore) -> bool:
    enough = min(len(image.predicted.geometries), len(image.true.geometries)) >= _ENOUGH
    return enough and all(row.iou == 0 for row in image.objects)
