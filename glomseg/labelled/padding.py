"""Border tiles of the KPIs data are filled up with white, in the image and in the mask: that is no glomerulus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from glomseg.geometry import Box, geometries
from glomseg.labelled.label_files import Outlines
from glomseg.slides.slide import open_slide

MAX_PX = 20_000_000
"""Larger images are slides, and no tiles that somebody filled up."""
WHITE = 250  # JPEG does not keep 255 exactly
_FULL = 0.99


def without_padding(true: Outlines, image: Path) -> Outlines:
    """Cut off the rows and columns at the edges that are white in the image and full in the mask, and say so."""
    if true.size is None or not len(true.geometries) or true.size[0] * true.size[1] > MAX_PX:
        return true
    width, height = true.size
    edge = shapely.union_all([item for item in true.geometries if _spans(item.bounds, width, height)])
    if edge.is_empty:
        return true
    with open_slide(image) as slide:
        if (slide.width, slide.height) != true.size:
            return true
        white = slide.read_downsampled(Box(0, 0, width, height), 1, 1).min(axis=2) >= WHITE
    left, right = blank_lines(white.all(axis=0))
    top, bottom = blank_lines(white.all(axis=1))
    kept = shapely.box(left, top, width - right, height - bottom)
    frame = shapely.box(0, 0, width, height).difference(kept)
    if frame.is_empty or edge.intersection(frame).area < _FULL * frame.area:
        return true
    cut = shapely.intersection(true.geometries, kept)
    keep = shapely.area(cut) > 0
    return replace(
        true,
        geometries=geometries(list(cut[keep])),
        confidences=true.confidences[keep],
        remarks=(*true.remarks, f"{image.name}: white padding left out of the truth"),
    )


def _spans(bounds: tuple[float, ...], width: int, height: int) -> bool:
    """Tell whether an object reaches along a whole side, as padding does."""
    left, top, right, bottom = bounds
    return (left <= 0 and right >= width) or (top <= 0 and bottom >= height)


def blank_lines(lines: NDArray[np.bool_]) -> tuple[int, int]:
    """Count the lines at the beginning and at the end that are all white."""
    ink = np.flatnonzero(~lines)
    return (int(ink[0]), int(len(lines) - 1 - ink[-1])) if len(ink) else (0, 0)
