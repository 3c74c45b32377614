"""Pictures of what went wrong: the worst misses and false positives, with both sides' outlines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont

from glomseg.errors import SlideError
from glomseg.evaluation.metrics import Geometries
from glomseg.evaluation.score import ImageScore, ObjectRow
from glomseg.files import replacing
from glomseg.slide import open_slide
from glomseg.tiles import Box

TRUE_COLOR, PREDICTED_COLOR = (0, 158, 115), (213, 94, 0)
CELL_PX, GAP_PX, COLUMNS, WORST = 260, 12, 4, 12
_CAPTION_PX, _HEAD_PX = 50, 30
_SMOOTH = 2

Found = tuple[ImageScore, ObjectRow]


def draw_galleries(images: Sequence[ImageScore], folder: Path) -> list[Path]:
    """Draw `misses.png` (the largest first) and `false_positives.png` (the most confident, then the largest, first).

    Without the image at hand the outlines stand on white. Nothing is drawn where there is nothing to show; raises
    RunError.
    """
    rows = [(image, row) for image in images for row in image.objects]
    missed = sorted((one for one in rows if one[1].status == "missed"), key=lambda one: -one[1].area_px)
    false = sorted(
        (one for one in rows if one[1].status == "false"),
        key=lambda one: (-one[1].confidence if math.isfinite(one[1].confidence) else 0.0, -one[1].area_px),
    )
    drawn = []
    for name, title, found in (("misses", "missed", missed), ("false_positives", "false positives", false)):
        if found:
            _sheet(found[:WORST], f"{min(WORST, len(found))} of {len(found)} {title}", folder / f"{name}.png")
            drawn.append(folder / f"{name}.png")
        else:
            (folder / f"{name}.png").unlink(missing_ok=True)  # of an earlier evaluation
    return drawn


def _sheet(found: Sequence[Found], title: str, path: Path) -> None:
    columns, rows = min(COLUMNS, len(found)), math.ceil(len(found) / COLUMNS)
    columns = max(columns, 2)  # room for the legend
    width, height = CELL_PX + GAP_PX, CELL_PX + _CAPTION_PX + GAP_PX
    sheet = Image.new("RGB", (columns * width + GAP_PX, rows * height + GAP_PX + _HEAD_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    _legend(draw, title, sheet.width)
    for index, one in enumerate(found):
        left, top = GAP_PX + index % COLUMNS * width, _HEAD_PX + GAP_PX + index // COLUMNS * height
        sheet.paste(_crop(*one), (left, top))
        for line, text in enumerate(_caption(*one)):
            while draw.textlength(text, font) > CELL_PX:
                text = f"…{text[2:]}"
            draw.text((left, top + CELL_PX + 2 + 15 * line), text, fill="black", font=font)
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG", optimize=True)


def _legend(draw: ImageDraw.ImageDraw, title: str, width: int) -> None:
    font = ImageFont.load_default(15)
    draw.text((GAP_PX, 12), title, fill="black", font=font)
    right = width - GAP_PX
    for text, color in (("predicted", PREDICTED_COLOR), ("true", TRUE_COLOR)):
        right -= int(draw.textlength(text, font))
        draw.text((right, 12), text, fill=color, font=font)
        right -= 14


def _caption(image: ImageScore, row: ObjectRow) -> tuple[str, str, str]:
    size = f"{row.area_um2:,.0f} um2" if math.isfinite(row.area_um2) else f"{row.area_px:,.0f} px"
    confidence = f", confidence {row.confidence:.2f}" if math.isfinite(row.confidence) else ""
    edge = ", at the edge" if row.touches_edge else ""
    return image.info.key, f"{size}{edge}", f"best IoU {row.iou:.2f}{confidence}"


def _crop(image: ImageScore, row: ObjectRow) -> Image.Image:
    """Cut out an object with as much around it, and draw all outlines there."""
    side = (image.predicted if row.side == "predicted" else image.true).geometries
    left, top, right, bottom = side[row.number].bounds
    length = 1.8 * max(right - left, bottom - top)
    box = Box((left + right - length) / 2, (top + bottom - length) / 2, length, length)
    picture = _pixels(image.info.image, box).resize((CELL_PX * _SMOOTH,) * 2, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    for items, color in ((image.true.geometries, TRUE_COLOR), (image.predicted.geometries, PREDICTED_COLOR)):
        _draw(draw, items, box, color)
    picture = picture.resize((CELL_PX, CELL_PX), Image.Resampling.BOX)
    ImageDraw.Draw(picture).rectangle((0, 0, CELL_PX - 1, CELL_PX - 1), outline="#bbbbbb")
    return picture


def _pixels(path: Path | None, box: Box) -> Image.Image:
    if path is not None:
        try:
            with open_slide(path) as slide:
                return Image.fromarray(slide.read_downsampled(box, box.width / CELL_PX, box.height / CELL_PX))
        except SlideError:
            pass  # the scores stand without the picture
    return Image.new("RGB", (CELL_PX, CELL_PX), "white")


def _draw(draw: ImageDraw.ImageDraw, items: Geometries, box: Box, color: tuple[int, int, int]) -> None:
    near = shapely.STRtree(items).query(shapely.box(box.x, box.y, box.x + box.width, box.y + box.height))
    scale = CELL_PX * _SMOOTH / box.width
    for item in items[near]:
        for ring in shapely.get_rings(shapely.get_parts(item)):
            points = (np.asarray(ring.coords)[:, :2] - (box.x, box.y)) * scale
            draw.line([tuple(point) for point in points], fill=color, width=3 * _SMOOTH, joint="curve")
