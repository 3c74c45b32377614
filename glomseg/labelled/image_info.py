"""What a sample sheet or the challenge's folders say of an image: its group, its animal, its part of the data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import SampleSheetError
from glomseg.labelled.kpis import KpisPlace, kpis_place
from glomseg.labelled.pairs import Pair
from glomseg.labelled.sample_sheet import SampleSheet

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
    names = (pair.image.name if pair.image else pair.true.path.name, pair.true.stem, Path(pair.key).name)
    sample = sheet.find(*names)
    if sample is None:
        raise SampleSheetError(f"{sheet.path} has no row for {pair.true.stem!r}; add it, or leave `samples` out")
    group = sample.column(group_by) if group_by else sample.group
    return ImageInfo(
        key=pair.key,
        group=group or ALL,
        unit=(sample.column(unit) if unit else sample.animal) or pair.key,
        split=sample.split,
        image=pair.image,
        kpis=place,
    )
