"""`glomseg measure`: tables of glomeruli, slides, animals and groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console
from .measuring import OF_PAS, measure_aloud, show_amended
from .measuring import measuring as measuring_options

if TYPE_CHECKING:
    from glomseg.columns import Row
    from glomseg.study.measure_project import MeasureOptions, StudyResult
    from glomseg.study.records import Study

COLUMNS = ("slide", "counted", "in means", "mean area µm²", "per mm²", "sclerotic %", "reviewed %")


@command(short_help="Measure the glomeruli: tables by glomerulus, slide, animal and group.", only_with={"pas": OF_PAS})
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the tables [glomseg/measurements].")
@measuring_options
@click.option("--parquet", is_flag=True, help="Write each table as Parquet too (needs pyarrow).")
@click.option("--write", is_flag=True, help="Put the values into QuPath's measurement lists.")
@options.output
def measure(
    project: Path,
    output: Path | None,
    measuring: MeasureOptions,
    parquet: bool,
    write: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Measure the glomeruli of PROJECT as they stand now, or of DIR, the output folder of `glomseg segment`.

    Writes glomeruli.csv, slides.csv, animals.csv and groups.csv, and columns.csv, which says what each column is.
    Without QuPath on this machine the outlines of the newest run that was not taken back are measured, and the tables
    say so. An image that no run has finished and nobody marked as reviewed is not measured: it is named, and counts for
    nothing.
    """
    from glomseg.listing import first_names
    from glomseg.study.tables import older_parquet, write_tables

    console = Console(quiet=quiet, as_json=as_json)
    result = measure_aloud(console, project, measuring)
    folder = output or result.folder
    files = write_tables(result.study, folder, parquet=parquet, remark=console.warn)
    if not parquet and (older := older_parquet(folder)):
        console.say(f"of a former measuring: {first_names(path.name for path in older)}; give `parquet` to renew them")
    failed = bool(result.problems)
    if write:
        failed |= _write_back(console, result)
    _show(console, result, folder, [path.name for path in files])
    return int(failed)


def _write_back(console: Console, result: StudyResult) -> bool:
    """Put the values into the project; tell whether an image failed."""
    from glomseg.study.write_back import write_measurements

    with console.spinner("QuPath is starting") as update:
        images = write_measurements(result, progress=update)
    show_amended(console, images.values())
    return any(image.problem for image in images.values())


def _show(console: Console, result: StudyResult, folder: Path, files: list[str]) -> None:
    from glomseg.study.tables import record, tables

    rows = tables(result.study)
    if console.as_json:
        content = {**record(result.study), "folder": str(folder), "files": files}
        console.json({**content, "slides": rows["slides"], "animals": rows["animals"]})
    elif not console.quiet:
        console.table(COLUMNS, [_cells(row) for row in rows["slides"]])
        if left_out := _not_in_means(result.study):
            console.say(f"counted, but not in means of size and form: {left_out}")
    console.say(f"tables: {folder}")


def _not_in_means(study: Study) -> str:
    """Say how many counted profiles do not enter means, by the reason."""
    from glomseg.study.summary import StudySummary

    summary = StudySummary.of(study.slides, study.settings)
    if summary is None:
        return ""
    cut = sum(not profile.whole for profile in summary.inside)
    reasons = {"cut by an edge": cut, "globally sclerotic": len(summary.inside) - cut - len(summary.in_means)}
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items() if count)


def _cells(row: Row) -> list[str]:
    """Show one slide: a density is named by what it refers to, what nobody assessed is no number."""
    if not row["measured"]:
        return [str(row["image"]), "not measured", *[""] * (len(COLUMNS) - 2)]
    density = _text(row["density_per_mm2"])
    sclerotic = _text(row["sclerotic_percent"])
    return [
        str(row["image"]),
        _text(row["counted"]),
        _text(row["in_means"]),
        _text(row["mean_area_um2"]),
        f"{density} of {row['reference']}" if density else "",
        "not assessed" if row["sclerotic"] is None and row["counted"] else sclerotic,
        _text(row["reviewed_percent"]),
    ]


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
