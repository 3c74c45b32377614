"""A picture of every glomerulus, contact sheets to look them through, and a table to write judgements in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from glomseg.errors import GlomsegError
from glomseg.files import replacing, write_text
from glomseg.pictures.overlay import ColorBy, paint_crop
from glomseg.slides.slide import open_slide
from glomseg.study.records import MeasuredSlide, Study
from glomseg.study.summaries import Row
from glomseg.study.tables import csv_text, profile_row

LABELS = "labels.csv"
COLUMNS = (
    "crop", "image", "image_id", "object_id", "class", "new_class", "confidence", "area_um2", "reviewed", "cut_by",
)  # fmt: skip
CROP_PX = 240
SHEET_COLUMNS, SHEET_ROWS = 8, 6
_GAP, _CAPTION = 10, 18


def write_gallery(
    study: Study, folder: Path, *, color_by: ColorBy = "class", progress: Callable[[str], None] = lambda name: None
) -> tuple[int, list[str]]:
    """Write crops/<image id>-<number>.jpg, contact-<n>.jpg and labels.csv, whose column new_class waits for a person.

    Returns how many glomeruli there are, and what could not be read. Memory is that of one contact sheet. Raises
    RunError.
    """
    rows: list[Row] = []
    problems: list[str] = []
    sheet = _ContactSheets(folder)
    for slide in study.slides:
        progress(slide.image.name)
        try:
            for number, (profile_values, picture) in enumerate(_crops(slide, color_by), start=1):
                name = f"{slide.image.entry_id}-{number:04d}"
                _save(picture, folder / "crops" / f"{name}.jpg")
                sheet.add(picture, name)
                rows.append({**profile_values, "crop": f"crops/{name}.jpg"})
        except GlomsegError as error:
            problems.append(f"{slide.image.name}: {error}")
    sheet.finish()
    write_text(folder / LABELS, csv_text(COLUMNS, rows))
    return len(rows), problems


def _crops(slide: MeasuredSlide, color_by: ColorBy) -> Iterator[tuple[Row, Image.Image]]:
    """Yield the row and the picture of each profile of a slide whose image can be read."""
    if not slide.profiles or slide.image.path is None or slide.image.problem:
        return
    with open_slide(slide.image.path, mpp=slide.mpp) as opened:
        if slide.size != (opened.width, opened.height):
            return
        for profile in slide.profiles:
            yield profile_row(slide, profile), paint_crop(opened, profile.item, CROP_PX, color_by=color_by)


class _ContactSheets:
    """Puts crops side by side, a sheet at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._crops: list[tuple[Image.Image, str]] = []
        self._written = 0

    def add(self, picture: Image.Image, name: str) -> None:
        self._crops.append((picture.resize((CROP_PX // 2, CROP_PX // 2)), name))
        if len(self._crops) == SHEET_COLUMNS * SHEET_ROWS:
            self.finish()

    def finish(self) -> None:
        if not self._crops:
            return
        side, rows = CROP_PX // 2, -(-len(self._crops) // SHEET_COLUMNS)
        step_x, step_y = side + _GAP, side + _GAP + _CAPTION
        sheet = Image.new("RGB", (SHEET_COLUMNS * step_x + _GAP, rows * step_y + _GAP), "white")
        draw = ImageDraw.Draw(sheet)
        for index, (picture, name) in enumerate(self._crops):
            x, y = _GAP + index % SHEET_COLUMNS * step_x, _GAP + index // SHEET_COLUMNS * step_y
            sheet.paste(picture, (x, y))
            draw.text((x, y + side + 2), name[-20:], fill="black", font=ImageFont.load_default(11))
        self._written += 1
        _save(sheet, self._folder / f"contact-{self._written}.jpg")
        self._crops.clear()


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.convert("RGB").save(temporary, "JPEG", quality=88)
