"""What a sample sheet or the challenge's folders say of an image: its group, its animal, its part of the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import SampleSheetError
from glomseg.labelled.kpis import KpisPlace, kpis_place
from glomseg.labelled.pairs import Pair
from glomseg.labelled.sample_sheet import Sample, SampleSheet
from glomseg.listing import first_names

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class ImageInfo:
    """What is known of an image beside its outlines: its group, the unit (animal, case) it counts for, its part."""

    key: str
    group: str = ALL
    unit: str = ""
    split: str = ""
    image: Path | None = None
    kpis: KpisPlace | None = None


def info_of(
    pair: Pair, sheet: SampleSheet | None, *, group_by: str | None = None, unit: str | None = None
) -> ImageInfo:
    """Tell what is known of an image, from the sheet, else from the challenge's folders.

    `group_by` and `unit` name columns of the sheet other than `group` and `animal`. Raises SampleSheetError.
    """
    place = kpis_place(pair.true.path) if pair.true.annotated is None else None
    if sheet is None:
        if place is None:
            return ImageInfo(key=pair.key, unit=pair.key, image=pair.image)
        return ImageInfo(
            key=pair.key, group=place.group, unit=place.animal, split=place.part, image=pair.image, kpis=place
        )
    sample = _sample(pair, sheet)
    group = sample.column(group_by) if group_by else sample.group
    return ImageInfo(
        key=pair.key,
        group=group or ALL,
        unit=(sample.column(unit) if unit else sample.animal) or pair.key,
        split=sample.split,
        image=pair.image,
        kpis=place,
    )


def refuse_shared_rows(pairs: Iterable[Pair], sheet: SampleSheet) -> None:
    """Raise SampleSheetError where a row fits several images, as `s.png` does A/s.png and B/s.png, of two animals."""
    taken: dict[int, list[Pair]] = {}
    for pair in pairs:
        taken.setdefault(id(_sample(pair, sheet)), []).append(pair)
    for alike in taken.values():
        if len(alike) > 1:
            raise shared_row(sheet, [_with_folder(pair) for pair in alike])


def _with_folder(pair: Pair) -> str:
    path = pair.image
    return pair.key if path is None or "/" in pair.key else f"{path.parent.name}/{path.name}"


def shared_row(sheet: SampleSheet, images: Sequence[str]) -> SampleSheetError:
    """Say that a row fits several images, which are named with their folders, and the way out."""
    return SampleSheetError(
        f"a row of the sample sheet {sheet.path} fits {len(images)} images ({first_names(images)}); give each a row "
        f"that names its folder as well, such as {images[0]}"
    )


def _sample(pair: Pair, sheet: SampleSheet) -> Sample:
    path, stem, shown = pair.image or pair.true.path, pair.true.stem, pair.true.annotated
    names: tuple[str, ...] = (path.name, stem, Path(pair.key).name)
    if shown is not None:  # a project's name for it goes first: its file may be named as another image is there
        names = (shown.name, *names[1:], path.name)
    sample = sheet.find(*names, path=path)
    if sample is None:
        raise SampleSheetError(f"{sheet.path} has no row for {pair.true.stem!r}; add it, or leave `samples` out")
    return sample
