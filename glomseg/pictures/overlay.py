"""Pictures of a slide with its outlines, and of one glomerulus with its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import Box, polygons
from glomseg.pictures.marked import write_marked
from glomseg.qupath.objects import DEFAULT_COLOR, Color, PathObject
from glomseg.slides.slide import Slide

WIDTH_PX = 1600
ColorBy = Literal["class", "confidence"]
_SMOOTH = 2
_BAR_STEPS_UM = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_CONFIDENCE = ((240, 150, 0), (0, 140, 90), (0, 70, 200))  # at 0.5, 0.75 and 1: told apart on pink tissue


@dataclass(frozen=True, kw_only=True)
class OverlayStyle:
    """How to draw a slide: the longer side in pixels, and what colours an outline."""

    width_px: int = WIDTH_PX
    color_by: ColorBy = "class"


def draw_overlay(slide: Slide, objects: Iterable[PathObject], path: Path, style: OverlayStyle | None = None) -> None:
    """Write a PNG: the slide, the outlines (level-0 pixels), a scale bar; raises SlideError, RunError."""
    style = style or OverlayStyle()
    picture = paint_overlay(slide, objects, width_px=style.width_px, color_by=style.color_by)
    write_marked(picture, path)


def paint_overlay(
    slide: Slide,
    objects: Iterable[PathObject],
    *,
    width_px: int = WIDTH_PX,
    color_by: ColorBy = "class",
    boldness: float = 1.0,
) -> Image.Image:
    """Paint the slide, its longer side at most `width_px`: outlines, and a scale bar where the pixel size is known.

    `boldness` makes lines and letters larger, for a picture that is shown small.
    """
    picture = Image.fromarray(slide.overview(width_px))
    picture = picture.resize((picture.width * _SMOOTH, picture.height * _SMOOTH), Image.Resampling.BILINEAR)
    scale = (picture.width / slide.width, picture.height / slide.height)
    line = max(2, round(boldness * picture.width / 400))
    color_of = outline_color(color_by)
    for item in objects:
        draw_outline(picture, item.geometry, (0, 0), scale, color_of(item), line)
    picture = picture.resize((picture.width // _SMOOTH, picture.height // _SMOOTH), Image.Resampling.BOX)
    if slide.mpp_x is not None:
        _draw_scale_bar(picture, slide.width * slide.mpp_x / picture.width, boldness)
    return picture


def paint_crop(slide: Slide, item: PathObject, size_px: int, *, color_by: ColorBy = "class") -> Image.Image:
    """Paint one glomerulus and a third of its size around it, `size_px` square, without distortion."""
    mpp_x, mpp_y = slide.known_mpp or (1.0, 1.0)
    left, top, right, bottom = item.geometry.bounds
    side = 1.35 * max((right - left) * mpp_x, (bottom - top) * mpp_y)
    wide, high = side / mpp_x, side / mpp_y
    corner = ((left + right - wide) / 2, (top + bottom - high) / 2)
    pixels = size_px * _SMOOTH
    image = slide.read_downsampled(Box(*corner, wide, high), wide / pixels, high / pixels)
    picture = Image.fromarray(image).resize((pixels, pixels))
    draw_outline(picture, item.geometry, corner, (pixels / wide, pixels / high), outline_color(color_by)(item), 4)
    return picture.resize((size_px, size_px), Image.Resampling.BOX)


def outline_color(color_by: ColorBy) -> Callable[[PathObject], Color]:
    """Return what colours an outline: its class, or its confidence: orange (0.5) over green to blue (1)."""

    def by_confidence(item: PathObject) -> Color:
        confidence = item.measurements.get("Confidence")
        if confidence is None:
            return item.color or DEFAULT_COLOR
        red, green, blue = (
            round(float(np.interp(confidence, (0.5, 0.75, 1.0), channel))) for channel in zip(*_CONFIDENCE, strict=True)
        )
        return red, green, blue

    return by_confidence if color_by == "confidence" else lambda item: item.color or DEFAULT_COLOR


def draw_outline(
    picture: Image.Image,
    outline: BaseGeometry,
    corner: tuple[float, float],
    scale: tuple[float, float],
    color: Color,
    line: int,
) -> None:
    """Draw the rings of an outline, `line` pixels wide; `scale` turns its units, from `corner`, into pixels."""
    draw = ImageDraw.Draw(picture)
    for part in polygons(outline):
        for ring in (part.exterior, *part.interiors):
            points = (np.asarray(ring.coords)[:, :2] - corner) * scale
            draw.line([tuple(point) for point in points], fill=color, width=line, joint="curve")


def _draw_scale_bar(picture: Image.Image, mpp: float, boldness: float) -> None:
    """Draw the longest round length that fits into a quarter of the picture, bottom left."""
    length_um = max((step for step in _BAR_STEPS_UM if step / mpp <= picture.width / 4), default=_BAR_STEPS_UM[0])
    label = f"{length_um / 1000:g} mm"
    draw, length = ImageDraw.Draw(picture), length_um / mpp
    size = max(10, round(boldness * picture.width / 70))
    left, bottom = size, picture.height - size
    box = (left - size / 2, bottom - 2.2 * size, left + length + size / 2, bottom + size / 2)
    draw.rectangle(box, fill="white")
    draw.rectangle((left, bottom - size / 4, left + length, bottom), fill="black")
    draw.text((left, bottom - size / 2), label, fill="black", font=ImageFont.load_default(size), anchor="ls")
