"""A picture of every glomerulus, contact sheets to look them through, and a table to write judgements in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from glomseg.columns import Column, Row, names, row
from glomseg.errors import GlomsegError, MeasureError, RunError, SlideError
from glomseg.files import csv_text, read_csv
from glomseg.listing import first_names
from glomseg.pictures.contact_sheet import draw_contact_sheet
from glomseg.pictures.marked import is_as_written, write_marked
from glomseg.pictures.overlay import ColorBy, paint_crop
from glomseg.report.judgements import read_labels
from glomseg.slides.slide import open_slide
from glomseg.standing_files import free_name, remove_kept, write_kept
from glomseg.study.columns import GLOMERULI
from glomseg.study.records import MeasuredSlide, PlacedProfile, Study
from glomseg.study.tables import placed_profiles

LABELS = "labels.csv"
CROP_PX = 240
SHEET_COLUMNS, SHEET_ROWS = 8, 6
_SHEET = re.compile(r"contact-\d+\.jpg")
_SHOWN = (
    "image", "entry_id", "animal", "group", "object_id", "class", "confidence", "area_um2", "reviewed", "cut_by",
    "suggested_sclerotic",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GalleryResult:
    """How many glomeruli have a picture in `folder`, what could not be read, and what else to know."""

    folder: Path
    glomeruli: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Crop:
    """A glomerulus and the name of its picture."""

    name: str
    placed: PlacedProfile

    @property
    def caption(self) -> tuple[str, ...]:
        """What stands below it on a contact sheet: its name, and what a classifier takes it for."""
        return (self.name, "sclerotic?") if self.placed.profile.suggested_sclerotic else (self.name,)


COLUMNS: tuple[Column[_Crop], ...] = (
    Column("crop", "", "Picture", "The picture of the glomerulus", lambda crop: f"crops/{crop.name}.jpg"),
    *(column.of(lambda crop: crop.placed) for column in GLOMERULI if column.name in _SHOWN),
    Column("new_class", "", "New class", "Waits for a class that a person writes here", lambda crop: ""),
)


def write_gallery(
    study: Study, folder: Path, *, color_by: ColorBy = "class", progress: Callable[[str], None] = lambda text: None
) -> GalleryResult:
    """Write crops/<entry id>-<number>.jpg, contact-<n>.jpg and labels.csv, whose column new_class waits for a person.

    What a person wrote into the table of a former gallery is kept beside the new one, and said; its pictures go. Its
    table goes first: stopped half-way, its rows would name pictures of other glomeruli. Memory is that of one contact
    sheet.
    Raises RunError, also where a picture of one of these names is a person's.
    """
    before = _Before.of(folder)
    before.refuse_to_replace(study)
    remarks = _remove_table(folder / LABELS, study)
    rows: list[Row] = []
    problems: list[str] = []
    sheets = _ContactSheets(folder)
    try:
        for slide in study.slides:
            progress(f"painting: {slide.image.name}")
            try:
                for crop, picture in _crops(study, slide, color_by):
                    write_marked(picture, folder / "crops" / f"{crop.name}.jpg")
                    sheets.add(picture, crop.caption)
                    rows.append(row(COLUMNS, crop))
            except RunError:  # there is no room for more
                raise
            except GlomsegError as error:
                problems.append(f"{slide.image.name}: {error}")
        sheets.finish()
        before.remove_all_but({*sheets.written, *(f"{item['crop']}" for item in rows)})
        write_kept({folder / LABELS: csv_text(names(COLUMNS), rows)})
    except RunError as error:
        raise RunError("; ".join((str(error), *remarks))) from error
    return GalleryResult(folder=folder, glomeruli=len(rows), problems=tuple(problems), remarks=remarks)


@dataclass(frozen=True)
class _Before:
    """The pictures of a former gallery in a folder, by their place there.

    What else lies there is a person's, and so is one of ours into which somebody drew.
    """

    folder: Path
    ours: frozenset[str]

    @classmethod
    def of(cls, folder: Path) -> _Before:
        """Know them by their mark."""
        sheets = [path for path in folder.glob("contact-*.jpg") if _SHEET.fullmatch(path.name)]
        ours = [path for path in (*sheets, *folder.glob("crops/*.jpg")) if is_as_written(path)]
        return cls(folder, frozenset(path.relative_to(folder).as_posix() for path in ours))

    def refuse_to_replace(self, study: Study) -> None:
        """Raise RunError where a picture of this study would take the place of a person's."""
        counts = {slide.image.entry_id: len(slide.profiles) for slide in study.slides}
        crops = [f"crops/{_crop_name(key, number)}.jpg" for key, count in counts.items() for number in range(count)]
        sheets = [_sheet_name(number) for number in range(math.ceil(len(crops) / (SHEET_COLUMNS * SHEET_ROWS)))]
        theirs = [name for name in (*sheets, *crops) if name not in self.ours and (self.folder / name).exists()]
        if theirs:
            raise RunError(
                f"{self.folder} holds {len(theirs)} pictures that would be replaced and are not as a gallery "
                f"left them ({first_names(theirs)}), so nothing was written; choose another `output`, or move them away"
            )

    def remove_all_but(self, kept: Collection[str]) -> None:
        """Remove pictures that the gallery of now has not: their names would be taken for those of its rows."""
        for name in self.ours.difference(kept):
            (self.folder / name).unlink(missing_ok=True)


def _crop_name(entry_id: str, index: int) -> str:
    return f"{entry_id}-{index + 1:04d}"


def _sheet_name(index: int) -> str:
    return f"contact-{index + 1}.jpg"


def _remove_table(path: Path, study: Study) -> tuple[str, ...]:
    """Remove the table of a former gallery; keep it, and say where, if a person wrote something into it."""
    if not path.is_file():
        return ()
    items = [profile.item for slide in study.slides for profile in slide.profiles]
    classes = {item.object_id: item.class_name for item in items}
    waiting, own, is_read = True, list[str](), True
    try:
        waiting = any(classes.get(label.object_id) != label.new_class for label in read_labels(path))
        ours = {*names(COLUMNS), "image_id"}  # as the entry id was called before
        own = [name for name in read_csv(path)[0] if name and name.strip().lower() not in ours]
    except (MeasureError, OSError):
        is_read = False  # whatever it is, a person made it
    kept = free_name(path)
    try:
        if not waiting and not own:
            return remove_kept(path)
        path.rename(kept)
    except OSError as error:
        holds = "holds what a person wrote, and cannot be kept" if waiting or own else "cannot be replaced"
        raise RunError(f"{path} {holds} ({error.strerror}); choose another `output`") from error
    if not is_read:
        return (f"{path.name} held what cannot be read as classes that wait; it is {kept} now",)
    if not waiting:
        return (f"{path.name} held columns that glomseg does not write ({', '.join(own[:3])}); it is {kept} now",)
    return (f"{path.name} held classes that wait to be set; it is {kept} now, for: glomseg gallery PROJECT --apply",)


def _crops(study: Study, slide: MeasuredSlide, color_by: ColorBy) -> Iterator[tuple[_Crop, Image.Image]]:
    """Yield each profile of a slide and its picture; raises GlomsegError where the image cannot be read."""
    if not slide.profiles:
        return
    with open_slide(slide.image.readable_path, mpp=slide.mpp, icc=slide.slide.icc) as opened:
        if slide.size != (opened.width, opened.height):
            raise SlideError(f"{slide.image.path} has another size; another image of that name?")
        for index, placed in enumerate(placed_profiles(study, slide)):
            crop = _Crop(_crop_name(slide.image.entry_id, index), placed)
            yield crop, paint_crop(opened, placed.profile.item, CROP_PX, color_by=color_by)


class _ContactSheets:
    """Puts crops side by side, a sheet at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._crops: list[tuple[Image.Image, tuple[str, ...]]] = []
        self.written: list[str] = []

    def add(self, picture: Image.Image, caption: tuple[str, ...]) -> None:
        self._crops.append((picture.resize((CROP_PX // 2, CROP_PX // 2)), caption))
        if len(self._crops) == SHEET_COLUMNS * SHEET_ROWS:
            self.finish()

    def finish(self) -> None:
        if not self._crops:
            return
        self.written.append(_sheet_name(len(self.written)))
        draw_contact_sheet(
            [picture for picture, _ in self._crops],
            [caption for _, caption in self._crops],
            self._folder / self.written[-1],
            columns=SHEET_COLUMNS,
            cell_px=CROP_PX // 2,
        )
        self._crops.clear()
