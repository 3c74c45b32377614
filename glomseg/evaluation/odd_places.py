"""Outlines that cannot be: of another picture, in another unit than pixels, or on both sides the very same."""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from glomseg.evaluation.score import ImageScore
from glomseg.labelled.label_files import Outlines

_SMALLEST_PX = 2.0
_ENOUGH = 3  # objects on both sides, of which some would touch by chance


def odd_places(images: Sequence[ImageScore]) -> list[str]:
    """Say where outlines are smaller than pixels, where none of both sides touch, and that both sides are one."""
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
    if sum(len(image.true.geometries) for image in images) >= _ENOUGH and all(map(_is_one, images)):
        remarks.append(
            "the predictions are the truth, corner by corner, in every image: is one a copy of the other, or the "
            "truth what a model found and nobody corrected? The scores say nothing of a model"
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


def _is_one(image: ImageScore) -> bool:
    ours, theirs = image.predicted.geometries, image.true.geometries
    return len(ours) == len(theirs) and sorted(shapely.to_wkb(ours)) == sorted(shapely.to_wkb(theirs))
