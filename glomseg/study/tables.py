"""The tables of a study, as rows and as files: CSV, Parquet on request, and the data dictionary beside them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from glomseg import __version__
from glomseg.errors import MeasureError
from glomseg.files import replacing, write_text
from glomseg.study.columns import TABLES, Column
from glomseg.study.records import MeasuredSlide, Profile, Study
from glomseg.study.summaries import Row, animal_rows, group_rows, summarise

DICTIONARY = "columns.csv"
RECORD = "measure.json"


def tables(study: Study) -> dict[str, list[Row]]:
    """Return the rows of all tables; None stands for an empty cell."""
    animals = animal_rows(study)
    return {
        "glomeruli": [profile_row(slide, profile) for slide in study.slides for profile in slide.profiles],
        "slides": [slide_row(study, slide) for slide in study.slides],
        "animals": animals,
        "groups": group_rows(animals, study.reference_group),
    }


def profile_row(slide: MeasuredSlide, profile: Profile) -> Row:
    """Return one row of the glomeruli's table."""
    item, pixels, shape = profile.item, profile.shape_px, profile.shape
    centre = item.geometry.centroid
    form = shape or pixels
    row: Row = {
        **_where(slide),
        "object_id": item.object_id,
        "name": item.name,
        "class": item.class_name,
        "owner": "person" if profile.by_person else "machine",
        "reviewed": profile.reviewed,
        "sclerotic": profile.sclerotic,
        "counted": profile.inside,
        "cut_by": " ".join(profile.cut_by),
        "whole": profile.whole,
        "confidence": profile.confidence,
        "x_px": centre.x,
        "y_px": centre.y,
        "area_px2": pixels.area_um2,
        "perimeter_px": pixels.perimeter_um,
        "circularity": form.circularity,
        "solidity": form.solidity,
        "eccentricity": form.eccentricity,
        "nearest_neighbour_um": profile.nearest_um,
        "section_edge_um": profile.edge_um,
        "pas_fraction": profile.pas_fraction,
    }
    if shape is not None and slide.mpp is not None:
        names = ("area_um2", "perimeter_um", "equivalent_diameter_um", "max_feret_um", "min_feret_um")
        row |= {"x_um": centre.x * slide.mpp[0], "y_um": centre.y * slide.mpp[1]}
        row |= {name: getattr(shape, name) for name in names}
    return row


def slide_row(study: Study, slide: MeasuredSlide) -> Row:
    """Return one row of the slides' table."""
    return {
        **_where(slide),
        "mpp_x": slide.mpp[0] if slide.mpp else None,
        "mpp_y": slide.mpp[1] if slide.mpp else None,
        "tissue_area_mm2": None if slide.tissue_area_um2 is None else slide.tissue_area_um2 / 1e6,
        **summarise([slide], study.settings),
        "sharpness": slide.sharpness,
        "stain_vectors": stain_text(slide),
        "remarks": "; ".join(slide.remarks),
    }


def measurements(profile: Profile) -> dict[str, float]:
    """Name the values of a profile as they stand in QuPath's measurement list; what is not known is left out."""
    values = {
        **(profile.shape.measurements() if profile.shape else {}),
        "Nearest neighbour µm": profile.nearest_um,
        "Distance to section edge µm": profile.edge_um,
        "PAS-positive fraction": profile.pas_fraction,
        "Counted": float(profile.inside),
        "Whole profile": float(profile.whole),
    }
    return {name: float(value) for name, value in values.items() if value is not None}


def write_tables(study: Study, folder: Path, *, parquet: bool = False) -> list[Path]:
    """Write all tables, the dictionary of their columns, and how they were made; returns the files.

    Raises RunError where nothing can be written, MeasureError for Parquet without pyarrow.
    """
    written = []
    for name, rows in tables(study).items():
        columns = [column.name for column in TABLES[name]]
        path = folder / f"{name}.csv"
        write_text(path, csv_text(columns, rows))
        written.append(path)
        if parquet:
            written.append(_write_parquet(folder / f"{name}.parquet", TABLES[name], rows))
    described = [{"table": table, **vars(column)} for table, columns in TABLES.items() for column in columns]
    write_text(folder / DICTIONARY, csv_text(["table", "name", "unit", "description"], described))
    write_text(folder / RECORD, json.dumps(record(study), indent=2, ensure_ascii=False) + "\n")
    return [*written, folder / DICTIONARY, folder / RECORD]


def record(study: Study) -> dict[str, object]:
    """Describe how the tables were made."""
    settings = study.settings
    pas = settings.pas
    return {
        "glomseg_version": __version__,
        "study": study.name,
        "class": settings.class_name,
        "sclerotic": list(settings.sclerotic),
        "cortex": settings.cortex,
        "beta": settings.beta,
        "k": settings.k,
        "pas_threshold_od": pas.threshold if pas else None,
        "pas_mpp": pas.mpp if pas else None,
        "reference_group": study.reference_group,
        "remarks": [*study.remarks, *(f"{s.image.name}: {text}" for s in study.slides for text in s.remarks)],
    }


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as CSV; 1 and 0 for yes and no, an empty cell for what is not known."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def stain_text(slide: MeasuredSlide) -> str:
    """Write down the stain vectors of a slide and where they come from."""
    if slide.stains is None:
        return ""
    h, p = (",".join(f"{x:.3f}" for x in vector) for vector in (slide.stains.haematoxylin, slide.stains.pas))
    return f"{h}; {p} ({slide.stains.origin})"


def _where(slide: MeasuredSlide) -> Row:
    return {
        "image": slide.image.name,
        "image_id": slide.image.entry_id,
        **vars(slide.slide.sample),
        "source": slide.slide.source,
    }


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return int(value)
    return format(value, ".8g") if isinstance(value, float) else value


def _write_parquet(path: Path, columns: Sequence[Column], rows: Sequence[Row]) -> Path:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MeasureError("--parquet needs pyarrow, which is not installed; pip install 'glomseg[parquet]'") from None
    table = pyarrow.table({column.name: [_plain(row.get(column.name)) for row in rows] for column in columns})
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)
    return path


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
