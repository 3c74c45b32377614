"""The tables of a study, as rows and as files: CSV, Parquet on request, and the data dictionary beside them."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from glomseg import __version__
from glomseg.columns import Column, Row, dictionary, names, row
from glomseg.errors import MeasureError, RunError
from glomseg.files import (
    csv_text,
    from_json,
    json_text,
    read_csv,
    replacing,
)
from glomseg.runs.run import RECORD as RUN
from glomseg.standing_files import refuse_other_file, refuse_other_table, refuse_own_columns, write_kept
from glomseg.study.columns import ANIMALS, GLOMERULI, GROUPS, QUANTITIES, SLIDES, TABLES, Quantity, SlideEntry
from glomseg.study.groups import Comparison
from glomseg.study.records import MeasuredSlide, PlacedProfile, Study
from glomseg.study.summary import Animal, StudySummary, animals

DICTIONARY = "columns.csv"
DESCRIBED = ("table", "name", "unit", "title", "description")
RECORD = "measure.json"
MEASURED = "measured"
"""What the record calls that of which the tables are, as seen from their folder."""


def tables(study: Study) -> dict[str, list[Row]]:
    """Return the rows of all tables; None stands for an empty cell."""
    return {
        "glomeruli": [row(GLOMERULI, placed) for slide in study.slides for placed in placed_profiles(study, slide)],
        "slides": [slide_row(study, slide) for slide in study.slides],
        "animals": [row(ANIMALS, animal) for animal in animals(study)],
        "groups": [row(GROUPS, comparison) for comparison in comparisons(study)],
    }


def placed_profiles(study: Study, slide: MeasuredSlide) -> list[PlacedProfile]:
    """List the profiles of a slide as the rows of a table speak of them."""
    return [PlacedProfile(slide, profile, study.settings) for profile in slide.profiles]


def slide_row(study: Study, slide: MeasuredSlide) -> Row:
    """Return one row of the slides' table."""
    return row(SLIDES, SlideEntry(slide, StudySummary.of([slide], study.settings)))


def comparisons(study: Study) -> list[Comparison]:
    """Compare groups of animals, one row a quantity and group, the primary outcome first."""
    named = [animal for animal in animals(study) if animal.group]
    ordered = sorted(QUANTITIES, key=lambda quantity: quantity.name != study.primary)
    return [comparison for quantity in ordered for comparison in _compare(quantity, named, study)]


def _compare(quantity: Quantity, named: Sequence[Animal], study: Study) -> list[Comparison]:
    """Compare one quantity between groups; densities per cortex and per tissue are never mixed."""
    entries = [(animal, value) for animal in named if (value := _number(quantity, animal)) is not None]
    per = {str(animal.summary.reference) for animal, _ in entries if animal.summary} if quantity.per_area else set()
    if len(per) > 1:
        return []
    values: dict[str, tuple[float, ...]] = {}
    for animal, value in entries:
        values[animal.group] = (*values.get(animal.group, ()), value)
    return [
        Comparison(
            quantity=quantity.name,
            unit=quantity.unit,
            title=quantity.title,
            group=group,
            values=values[group],
            of="".join(per),
            primary=quantity.name == study.primary,
            reference_group=study.reference_group,
            reference_values=values.get(study.reference_group or "", ()),
            limits=quantity.limits,
        )
        for group in sorted(values, key=lambda group: (group != study.reference_group, group))
    ]


def _number(quantity: Quantity, animal: Animal) -> float | None:
    value = quantity.value(animal.summary) if animal.summary else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def write_tables(
    study: Study, folder: Path, *, parquet: bool = False, remark: Callable[[str], None] = lambda text: None
) -> list[Path]:
    """Write all tables, the dictionary of their columns, and how they were made; returns the files.

    What a person changed in one since it was written is kept beside it, and `remark` is told.

    Raises RunError where nothing can be written, where a table of that name is not ours, such as a sample sheet, or
    has columns of a person's, or where the tables of another project stand; MeasureError for Parquet without pyarrow.
    """
    _refuse_tables_of_another(study, folder)
    _refuse_to_replace(folder, parquet=parquet)
    of_study = tables(study)
    texts = {folder / f"{name}.csv": csv_text(names(TABLES[name]), rows) for name, rows in of_study.items()}
    described = dictionary(TABLES)
    texts[folder / DICTIONARY] = csv_text(DESCRIBED, described)
    texts[folder / RECORD] = json_text({**record(study), MEASURED: _from(folder, study.path)}) + "\n"
    columnar = of_study if parquet else {}
    written = [_write_parquet(folder / f"{name}.parquet", TABLES[name], rows) for name, rows in columnar.items()]
    for kept in write_kept(texts):
        remark(kept)
    return [*texts, *written]


def _refuse_to_replace(folder: Path, *, parquet: bool) -> None:
    """Raise RunError where a file of a name of ours is a run's or a person's, or has columns of a person's."""
    if (folder / RUN).is_file():
        raise RunError(
            f"{folder} is the folder of a run, whose own tables have the names of these, so nothing was written; "
            "choose another `output`"
        )
    refuse_other_table(folder / DICTIONARY, DESCRIBED)
    refuse_other_file(folder / RECORD, lambda content: b'"glomseg_version"' in content)
    before: set[str] = set()
    with suppress(OSError, ValueError, csv.Error):  # what another version wrote, as it says itself
        before = {line.get("name", "") for line in read_csv(folder / DICTIONARY)[1]}
    for name, columns in TABLES.items():
        refuse_other_table(folder / f"{name}.csv", names(columns))
        refuse_own_columns(folder / f"{name}.csv", before.union(names(columns)))
    for path in older_parquet(folder) if parquet else []:
        if not before.union(names(TABLES[path.stem])).issuperset(_columns_of_parquet(path)):
            raise RunError(
                f"{path} is there and not of glomseg, or has columns of a person's, so nothing was written; choose "
                "another `output`"
            )


def _columns_of_parquet(path: Path) -> set[str]:
    """Return the columns of a table as Parquet; of a file that is none, a column that no table has."""
    with suppress(ImportError):  # which the writing says
        import pyarrow.parquet

        try:
            return set(pyarrow.parquet.read_schema(path).names)
        except (OSError, ValueError):  # pyarrow's own errors are of these
            return {""}
    return set()


def _refuse_tables_of_another(study: Study, folder: Path) -> None:
    """Raise RunError where the tables in a folder are of another project that is still there: they are all it has."""
    try:
        measured = from_json((folder / RECORD).read_bytes())[MEASURED]
        other = (folder / measured).resolve()
        if study.path is None or not other.exists() or other == study.path.resolve():
            return
    except (OSError, ValueError, TypeError, LookupError):
        return  # no tables, or older ones that do not say of what they are
    raise RunError(f"{folder} holds the tables of {other}, so nothing was written; choose another `output`")


def _from(folder: Path, path: Path | None) -> str | None:
    """Say where a path is from a folder, so that both can be moved or copied together."""
    if path is None:
        return None
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive of Windows
        return path.resolve().as_posix()


def older_parquet(folder: Path) -> list[Path]:
    """List the tables as Parquet that a former measuring left in a folder, which one without Parquet leaves there."""
    return [path for name in TABLES if (path := folder / f"{name}.parquet").is_file()]


def record(study: Study) -> dict[str, object]:
    """Describe how the tables were made."""
    settings = study.settings
    pas = settings.pas
    names = Counter(slide.image.name for slide in study.slides)
    called = {
        slide.image.entry_id: slide.image.name
        + (f" (id {slide.image.entry_id})" if names[slide.image.name] > 1 else "")
        for slide in study.slides
    }
    return {
        "glomseg_version": __version__,
        "study": study.name,
        "class": settings.class_name,
        "sclerotic": list(settings.sclerotic),
        "sclerotic_in_means": settings.sclerotic_in_means,
        "cortex": settings.cortex,
        "beta": settings.beta,
        "k": settings.k,
        "pas_threshold_od": pas.threshold if pas else None,
        "pas_mpp": pas.mpp if pas else None,
        "pas_stain_vectors": pas.stains.describe() if pas and pas.stains else None,
        "reference_group": study.reference_group,
        "primary": study.primary,
        "not_measured": {called[s.image.entry_id]: s.not_measured for s in study.slides if not s.measured},
        "remarks": [*study.remarks, *(f"{s.image.name}: {text}" for s in study.slides for text in s.remarks)],
    }


def _write_parquet(path: Path, columns: Sequence[Column[Any]], rows: Sequence[Row]) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MeasureError("`parquet` needs pyarrow, which is not installed; pip install 'glomseg[parquet]'") from None
    table = pyarrow.table({column.name: [_plain(values[column.name]) for values in rows] for column in columns})
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return path


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
