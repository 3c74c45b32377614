"""Which sample each image of a project or a run is of: by a sample sheet, and by the images' metadata in QuPath."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath

from glomseg.labelled.names import stem_of
from glomseg.labelled.sample_sheet import FIELDS, Sample, SampleSheet, names_folder, odd_columns
from glomseg.listing import first_names


def match_samples(
    sheet: SampleSheet | None,
    images: Iterable[tuple[str, str, Sample]],
    paths: Mapping[str, PurePath | None] | None = None,
) -> tuple[dict[str, Sample], list[str]]:
    """Give each image, (entry id, name, sample in QuPath), its sample; the sheet names it by name, stem or entry id.

    Where images have one name, a row may name the folder as well, by the `paths` of their files by entry id, and is of
    no other image of that name then; where no image lies in a folder that a row names, as after a move, names count.
    A row whose name an image has is that image's, and of none that has the same number as its entry id; nor is one from
    which a spreadsheet took the zeros: a row 7 where an image is 007.svs is that of no other image.
    A cell that the sheet leaves empty keeps what QuPath says. Returns samples by entry id, and remarks on rows and
    images without a partner, or with several, and on what QuPath says otherwise. Raises SampleSheetError.
    """
    matched: dict[str, Sample] = {}
    missing, pairs = list[str](), list[tuple[str, Sample, Sample]]()
    images = list(images)
    by_name = {} if sheet is None else _by_name(sheet, images, paths or {})
    named, used = {id(row) for row in by_name.values()}, dict[int, list[str]]()
    numbers = {entry_id: stem.lstrip("0") for entry_id, name, _ in images if (stem := stem_of(Path(name))).isdecimal()}
    for entry_id, name, own in images:
        row = by_name.get(entry_id)
        if row is None and sheet is not None:
            other = sheet.samples.get(entry_id)
            means_names = numbers.get(entry_id) != entry_id and (entry_id in numbers or entry_id in numbers.values())
            row = None if means_names or id(other) in named else other
        if row is None:
            missing.append(name)
            matched[entry_id] = own
            continue
        used.setdefault(id(row), []).append(entry_id)
        pairs.append((name, row, own))
        merged = {key: getattr(row, key) or getattr(own, key) for key in (*FIELDS, "split")}
        matched[entry_id] = Sample(**merged, others=row.others)
    if sheet is None:
        return matched, []
    remarks = [*sheet.remarks, *odd_columns(sheet.columns, sheet.path)]
    if unknown := sorted(name for name, row in sheet.samples.items() if id(row) not in used):
        remarks.append(f"the sample sheet names images that are not here: {', '.join(unknown)}")
    remarks += [
        f"the row {name} of the sample sheet is taken for {len(ids)} images (ids {', '.join(ids)}): "
        "where they are of different animals, give each a row by its id, or with its folder, in place of it"
        for name, row in sorted(sheet.samples.items())
        if len(ids := used.get(id(row), [])) > 1
    ]
    if taken := _numbers_taken_for_names(sheet, images, by_name):
        remarks.append(
            f"rows of the sample sheet that are numbers are taken for images' names, and not for the ids of others: "
            f"{first_names(taken)}; where ids are meant, write the whole file names"
        )
    if missing:
        remarks.append(f"not in the sample sheet: {', '.join(missing)}")
    return matched, [*remarks, *_say_qupath(sheet, pairs)]


def _by_name(
    sheet: SampleSheet, images: Sequence[tuple[str, str, Sample]], paths: Mapping[str, PurePath | None]
) -> dict[str, Sample | None]:
    shared = {entry_id: sheet.shared_folders(name, paths.get(entry_id)) for entry_id, name, _ in images}
    most: dict[str, int] = {}
    for counts in shared.values():
        for written, count in counts.items():
            most[written] = max(count, most.get(written, 0))
    others = {
        key: [
            row
            for row, count in counts.items()
            if count < most[row] or (not most[row] and names_folder(row) and any(most[named] for named in counts))
        ]
        for key, counts in shared.items()
    }
    return {key: sheet.find(name, path=paths.get(key), without=others[key]) for key, name, _ in images}


def _numbers_taken_for_names(
    sheet: SampleSheet, images: Sequence[tuple[str, str, Sample]], by_name: Mapping[str, Sample | None]
) -> list[str]:
    """List the rows that are an image's by the number in its name, and have the entry id of another image."""
    ids = {entry_id for entry_id, _, _ in images}
    rows = {id(row): written for written, row in sheet.samples.items() if written in ids}
    return [
        f"{rows[id(row)]} is that of {name}"
        for entry_id, name, _ in images
        if (row := by_name.get(entry_id)) is not None and rows.get(id(row), entry_id) != entry_id
    ]


def _say_qupath(sheet: SampleSheet, pairs: Sequence[tuple[str, Sample, Sample]]) -> list[str]:
    """Say which cells a sheet leaves empty that QuPath fills, and where QuPath says otherwise than the sheet."""
    filled, others = list[str](), list[str]()
    for name, row, own in pairs:
        for column in FIELDS:
            written, in_qupath = getattr(row, column), getattr(own, column)
            if in_qupath and not written and sheet.has(column):
                filled.append(f"{column} {in_qupath} of {name}")
            elif in_qupath and written and in_qupath != written:
                others.append(f"{column} {in_qupath} of {name}, and not {written}")
    said = []
    if filled:
        said.append(
            f"left empty in the sample sheet, and taken from the images' metadata in QuPath: {first_names(filled)}"
        )
    if others:
        said.append(
            "the images' metadata in QuPath say otherwise than the sample sheet, which counts: "
            f"{first_names(others, between='; ')}"
        )
    return said
