"""Pictures of what went wrong: the worst misses and false positives, with both sides' outlines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import shapely
from PIL import Image

from glomseg.errors import SlideError
from glomseg.evaluation.score import ImageScore, ObjectRow
from glomseg.geometry import Box, Geometries
from glomseg.pictures.contact_sheet import CELL_PX, PREDICTED_COLOR, TRUE_COLOR, draw_contact_sheet
from glomseg.pictures.overlay import draw_outline
from glomseg.qupath.objects import Color
from glomseg.slides.slide import open_slide

WORST = 12
GALLERIES = ("misses", "false_positives")
_SMOOTH = 2

Found = tuple[ImageScore, ObjectRow]


def draw_galleries(images: Sequence[ImageScore], folder: Path, *, icc: bool = False) -> list[Path]:
    """Draw `misses.png` (the largest first) and `false_positives.png` (the most confident, then the largest, first).

    Without the image at hand the outlines stand on white; with `icc` its colours are as its ICC profile says. Nothing
    is drawn where there is nothing to show; raises RunError.
    """
    rows = [(image, row) for image in images for row in image.objects]
    missed = sorted((one for one in rows if one[1].status == "missed"), key=lambda one: -one[1].area_px)
    false = sorted(
        (one for one in rows if one[1].status == "false"),
        key=lambda one: (-one[1].confidence if math.isfinite(one[1].confidence) else 0.0, -one[1].area_px),
    )
    drawn = []
    titles = (("missed", missed), ("false positives", false))
    for name, (title, mistakes) in zip(GALLERIES, titles, strict=True):
        if mistakes:
            said = f"{min(WORST, len(mistakes))} of {len(mistakes)} {title}"
            _sheet(mistakes[:WORST], said, folder / f"{name}.png", icc)
            drawn.append(folder / f"{name}.png")
    return drawn


def _sheet(mistakes: Sequence[Found], title: str, path: Path, icc: bool) -> None:
    legend = (("predicted", PREDICTED_COLOR), ("true", TRUE_COLOR))
    draw_contact_sheet(
        [_crop(*one, icc) for one in mistakes], [_caption(*one) for one in mistakes], path, title=title, legend=legend
    )


def _caption(image: ImageScore, row: ObjectRow) -> tuple[str, str, str]:
    size = f"{row.area_um2:,.0f} um2" if math.isfinite(row.area_um2) else f"{row.area_px:,.0f} px"
    confidence = f", confidence {row.confidence:.2f}" if math.isfinite(row.confidence) else ""
    edge = ", at the edge" if row.touches_edge else ""
    return image.info.key, f"{size}{edge}", f"best IoU {row.iou:.2f}{confidence}"


def _crop(image: ImageScore, row: ObjectRow, icc: bool) -> Image.Image:
    """Cut out an object with as much around it, and draw all outlines there."""
    side = (image.predicted if row.side == "predicted" else image.true).geometries
    left, top, right, bottom = side[row.number].bounds
    length = 1.8 * max(right - left, bottom - top)
    box = Box((left + right - length) / 2, (top + bottom - length) / 2, length, length)
    picture = _pixels(image.info.image, box, icc).resize((CELL_PX * _SMOOTH,) * 2, Image.Resampling.BILINEAR)
    for items, color in ((image.true.geometries, TRUE_COLOR), (image.predicted.geometries, PREDICTED_COLOR)):
        _draw(picture, items, box, color)
    return picture.resize((CELL_PX, CELL_PX), Image.Resampling.BOX)


def _pixels(path: Path | None, box: Box, icc: bool) -> Image.Image:
    if path is not None:
        try:
            with open_slide(path, icc=icc) as slide:
                return Image.fromarray(slide.read_downsampled(box, box.width / CELL_PX, box.height / CELL_PX))
        except SlideError:
            pass  # the scores stand without the picture
    return Image.new("RGB", (CELL_PX, CELL_PX), "white")


def _draw(picture: Image.Image, items: Geometries, box: Box, color: Color) -> None:
    near = shapely.STRtree(items).query(shapely.box(box.x, box.y, box.x + box.width, box.y + box.height))
    scale = CELL_PX * _SMOOTH / box.width
    for item in items[near]:
        draw_outline(picture, item, (box.x, box.y), (scale, scale), color, 3 * _SMOOTH)
