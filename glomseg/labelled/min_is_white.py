"""TIFFs that say that their smallest value is white: writers disagree on whether background or objects are white."""

from __future__ import annotations

from typing import Any

import numpy as np

from glomseg.errors import LabelError
from glomseg.labelled.label_census import LabelCensus

MIN_IS_WHITE = "min-is-white, what fills the edge is background"
WAY_OUT = "with 0 for background and photometric interpretation BlackIsZero (tifffile: photometric='minisblack')"


def flipped_at(census: LabelCensus, dtype: np.dtype[Any], name: str) -> int | None:
    """Tell from which value a mask is to be subtracted, whose largest value is background; None where 0 is.

    The background fills most of the image and of its edge. The largest value is that of the type, or the one that is
    stored where there is one beside 0. Raises LabelError where neither value, or both, could be meant.
    """
    stored = max(census.pixels, default=0)
    if min(census.pixels, default=0) < 0:
        return None
    top = stored if census.pixels.keys() <= {0, stored} else _top(dtype)
    low, high = _fills(census, 0), _fills(census, stored)
    if stored != top:  # numbers: nobody says which of them all were subtracted from
        if high > low and high[1] >= low[1]:
            raise _ambiguous(name)
        return None
    if low[0] >= high[0] and low[1] >= high[1]:
        return None
    if low[0] <= high[0] and low[1] <= high[1]:
        return top
    raise _ambiguous(name)


def _top(dtype: np.dtype[Any]) -> int | None:
    """Give the largest value of a type of at most 16 bits."""
    return int(np.iinfo(dtype).max) if dtype.kind == "u" and dtype.itemsize <= 2 else None


def _fills(census: LabelCensus, value: int) -> tuple[float, float]:
    return census.share([value]), census.edge_share([value])


def _ambiguous(name: str) -> LabelError:
    return LabelError(
        f"{name} says that its smallest value is white, and which value is background cannot be told from it; write it "
        f"{WAY_OUT}"
    )
