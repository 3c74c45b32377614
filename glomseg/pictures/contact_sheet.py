"""Many small pictures on one sheet, each with its caption, under a title and a legend of colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from glomseg.pictures.marked import write_marked
from glomseg.qupath.objects import Color

TRUE_COLOR, PREDICTED_COLOR = (0, 158, 115), (213, 94, 0)
CELL_PX, GAP_PX, COLUMNS = 260, 12, 4
_LINE_PX, _HEAD_PX = 15, 30

Caption = Sequence[str]


def draw_contact_sheet(
    cells: Sequence[Image.Image],
    captions: Sequence[Caption],
    path: Path,
    *,
    title: str = "",
    legend: Sequence[tuple[str, Color]] = (),
    columns: int = COLUMNS,
    cell_px: int = CELL_PX,
) -> None:
    """Write pictures of `cell_px` square, each with the lines of its caption below, as PNG or JPEG by the name's end.

    Raises RunError.
    """
    lines = max((len(caption) for caption in captions), default=0)
    rows = math.ceil(len(cells) / columns)
    wide = max(min(columns, len(cells)), 2 if legend else 1)  # room for the legend
    head = _HEAD_PX if title or legend else 0
    width, height = cell_px + GAP_PX, cell_px + GAP_PX + (5 + _LINE_PX * lines if lines else 0)
    sheet = Image.new("RGB", (wide * width + GAP_PX, rows * height + GAP_PX + head), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    _draw_head(draw, title, legend, sheet.width)
    for index, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        left, top = GAP_PX + index % columns * width, head + GAP_PX + index // columns * height
        sheet.paste(cell, (left, top))
        draw.rectangle((left, top, left + cell_px - 1, top + cell_px - 1), outline="#bbbbbb")
        for line, text in enumerate(caption):
            fitting = _fitting(draw, text, font, cell_px)
            draw.text((left, top + cell_px + 2 + _LINE_PX * line), fitting, fill="black", font=font)
    write_marked(sheet, path)


def _fitting(
    draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int
) -> str:
    """Cut a text's beginning off until it is no wider than a picture."""
    while draw.textlength(text, font) > width_px:
        text = f"…{text[2:]}"
    return text


def _draw_head(draw: ImageDraw.ImageDraw, title: str, legend: Sequence[tuple[str, Color]], width: int) -> None:
    font = ImageFont.load_default(15)
    draw.text((GAP_PX, 12), title, fill="black", font=font)
    right = width - GAP_PX
    for text, color in legend:
        right -= int(draw.textlength(text, font))
        draw.text((right, 12), text, fill=color, font=font)
        right -= 14
