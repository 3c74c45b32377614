"""Which glomeruli do not count for where they lie: off the image, outside the cortex, or in what is to be ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from glomseg.segment.region import IGNORED, Region


def why_outside(
    outline: BaseGeometry, size: tuple[int, int] | None, region: Region, class_of_region: str
) -> str | None:
    """Say where an outline lies whose centre is not in `region` or off an image of `size` px; None where it counts."""
    centre = outline.centroid
    if size is not None and not box(0, 0, *size).intersects(centre):
        return f"off the image, which is {size[0]} x {size[1]} px"
    if region.holds(outline):
        return None
    return f"in areas of class {IGNORED}" if region.ignored.intersects(centre) else f"outside of {class_of_region}"


def describe_outside(places: Sequence[str | None]) -> list[str]:
    """Say how many glomeruli do not count, by where they lie (None for those that do)."""
    return [
        f"{count} of {len(places)} glomeruli {'lies' if count == 1 else 'lie'} {place}, and "
        f"{'is' if count == 1 else 'are'} not counted"
        for place, count in Counter(filter(None, places)).items()
    ]
