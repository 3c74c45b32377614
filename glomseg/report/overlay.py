"""A picture of a slide with its outlines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry import Polygon

from glomseg.files import replacing
from glomseg.geojson import DEFAULT_COLOR, PathObject
from glomseg.slide import Slide

WIDTH_PX = 1600
_SMOOTH = 2
_BAR_STEPS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def draw_overlay(slide: Slide, objects: Iterable[PathObject], path: Path, *, width_px: int = WIDTH_PX) -> None:
    """Write a PNG at most `width_px` wide: the slide, the outlines (level-0 pixels) in their class colour, a scale bar.

    Raises SlideError, RunError.
    """
    picture = Image.fromarray(slide.overview(width_px))
    picture = picture.resize((picture.width * _SMOOTH, picture.height * _SMOOTH), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    scale = np.array([picture.width / slide.width, picture.height / slide.height])
    line = max(2, round(picture.width / 400))
    for item in objects:
        for part in shapely.get_parts(item.geometry):
            if isinstance(part, Polygon):
                for ring in (part.exterior, *part.interiors):
                    points = [tuple(point) for point in np.asarray(ring.coords) * scale]
                    draw.line(points, fill=item.color or DEFAULT_COLOR, width=line, joint="curve")
    picture = picture.resize((picture.width // _SMOOTH, picture.height // _SMOOTH), Image.Resampling.BOX)
    _draw_scale_bar(picture, slide.width * slide.pixel_size[0] / picture.width)
    with replacing(path) as temporary:
        picture.save(temporary, "PNG", optimize=True)


def _draw_scale_bar(picture: Image.Image, mpp: float) -> None:
    """Draw the longest round length that fits into a quarter of the picture, bottom left."""
    length_um = max((step for step in _BAR_STEPS_UM if step / mpp <= picture.width / 4), default=_BAR_STEPS_UM[0])
    label = f"{length_um / 1000:g} mm"
    draw, length = ImageDraw.Draw(picture), length_um / mpp
    size = max(10, picture.width // 70)
    left, bottom = size, picture.height - size
    box = (left - size / 2, bottom - 2.2 * size, left + length + size / 2, bottom + size / 2)
    draw.rectangle(box, fill="white")
    draw.rectangle((left, bottom - size / 4, left + length, bottom), fill="black")
    draw.text((left, bottom - size / 2), label, fill="black", font=ImageFont.load_default(size), anchor="ls")
