"""One self-contained HTML file that says what was measured: `write_report`."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from glomseg import __version__
from glomseg.pictures.overlay import ColorBy
from glomseg.report.figures import choose_galleries, draw_charts, draw_effects, quantity_title
from glomseg.report.findings import warnings
from glomseg.report.methods import methods, references, used_runs
from glomseg.report.plates import paint_density_maps, paint_pictures
from glomseg.standing_files import refuse_other_file, write_kept
from glomseg.study.columns import ANIMALS, QUANTITIES, SLIDES
from glomseg.study.records import Study
from glomseg.study.summary import StudySummary, animals
from glomseg.study.tables import comparisons, tables

IN_GALLERY = 12

SLIDE_COLUMNS = (
    "image", "animal", "group", "counted", "in_means", "mean_area_um2", "mean_circularity", "density_per_mm2",
    "reference", "reference_area_mm2", "sclerotic_percent", "reviewed_percent", "mean_confidence", "mpp_x",
)  # fmt: skip
ANIMAL_COLUMNS = (
    "animal", "group", "slides", "counted", "in_means", "mean_area_um2", "sd_area_um2", "mean_equivalent_diameter_um",
    "mean_circularity", "density_per_mm2", "reference", "sclerotic_percent", "mean_volume_um3",
    "numerical_density_per_mm3", "mean_pas_fraction",
)  # fmt: skip


def write_report(
    study: Study,
    path: Path,
    *,
    color_by: ColorBy = "class",
    progress: Callable[[str], None] = lambda text: None,
    remark: Callable[[str], None] = lambda text: None,
) -> None:
    """Write the report of a study as one HTML file; slides whose image is missing have no pictures.

    A report that a person changed since it was written is kept beside the new one, and `remark` is told.
    Raises RunError where it cannot be written, or where something else than a report of ours stands there.
    """
    refuse_other_file(path, _is_report)
    galleries = choose_galleries(study, IN_GALLERY)
    thumbnails, crops = paint_pictures(
        study, (profile for profiles in galleries.values() for profile in profiles), color_by, progress
    )
    listed, text = warnings(study), methods(study)
    compared = comparisons(study)
    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    content = _template().render(
        study=study,
        version=__version__,
        made=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        runs=used_runs(study),
        warnings=listed,
        methods=text,
        references=references([text, *(remark.what for remark in listed)]),
        rows=tables(study),
        total=StudySummary.of(study.slides, study.settings),
        animals=len(animals(study)),
        measured=[slide.measured for slide in study.slides],
        slide_columns=[column for name in SLIDE_COLUMNS for column in SLIDES if column.name == name],
        animal_columns=[column for name in ANIMAL_COLUMNS for column in ANIMALS if column.name == name],
        comparisons=[(row, quantity_title(quantities[row.quantity], row.of)) for row in compared],
        primary=quantities[study.primary].title if study.primary else "",
        thumbnails=thumbnails,
        density=paint_density_maps(study),
        galleries=[
            (title, [crop for profile in profiles if (crop := crops.get(id(profile)))])
            for title, profiles in galleries.items()
        ],
        charts=[Markup(chart) for chart in draw_charts(study)],
        effects=Markup(draw_effects(study, compared)),
    )
    for kept in write_kept({path: content}):
        remark(kept)


def _is_report(content: bytes) -> bool:
    return content.lstrip().lower().startswith(b"<!doctype html>") and b'<p class="kicker">glomseg ' in content


def _template() -> jinja2.Template:
    """Load the template; style and script are put into it, so that the file needs nothing else."""
    folder = files("glomseg.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["number"] = number
    environment.filters["flags"] = flags
    environment.globals["style"] = Markup((folder / "report.css").read_text(encoding="utf-8"))
    environment.globals["script"] = Markup((folder / "report.js").read_text(encoding="utf-8"))
    return environment.from_string((folder / "report.html.j2").read_text(encoding="utf-8"))


def flags(text: str) -> str:
    """Write parameters in backticks as the command line calls them."""
    return re.sub(r"`([a-z_]+)`", lambda match: "--" + match[1].replace("_", "-"), text)


def number(value: object, digits: int = 3) -> str:
    """Write a number as a reader wants it: three digits that count, a dash for what is not known."""
    if value is None or value == "" or value != value:
        return "–"
    if not isinstance(value, float):
        return str(value)
    text = f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return text.replace("-", "−")
