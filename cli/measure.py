"""`glomseg measure`: tables of glomeruli, slides, animals and groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.study.records import Study
    from glomseg.study.sources import Sources

COLUMNS = ("slide", "glomeruli", "whole", "mean area µm²", "per mm²", "sclerotic %", "reviewed %")


@command(short_help="Measure the glomeruli: tables by glomerulus, slide, animal and group.")
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT|DIR")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the tables [glomseg/measurements].")
@options.measuring
@click.option("--parquet", is_flag=True, help="Write each table as Parquet too (needs pyarrow).")
@click.option("--write", is_flag=True, help="Put the values into QuPath's measurement lists.")
@options.output
def measure(project: Path, output: Path | None, parquet: bool, write: bool, **how: Any) -> int:
    """Measure the glomeruli of PROJECT as they stand now, or of DIR, the output folder of `glomseg segment`.

    Writes glomeruli.csv, slides.csv, animals.csv and groups.csv, and columns.csv, which says what each column is.
    Without QuPath on this machine the outlines of the newest run are measured, and the tables say so.
    """
    from glomseg.study.tables import write_tables

    console = Console(quiet=how.pop("quiet"), as_json=how.pop("as_json"))
    sources, study = measured(console, project, **how)
    folder = output or sources.folder
    files = write_tables(study, folder, parquet=parquet)
    failed = bool(sources.problems)
    if write:
        failed |= _write_back(console, study, sources)
    _show(console, study, folder, [path.name for path in files])
    return int(failed)


def measured(
    console: Console,
    project: Path,
    *,
    slides: tuple[Path, ...],
    samples: Path | None,
    class_name: str,
    sclerotic: tuple[str, ...],
    cortex: str,
    mpp: tuple[float, float] | None,
    beta: float,
    k: float,
    reference: str | None,
    pas: bool,
    pas_threshold: float,
    stain_vectors: str,
) -> tuple[Sources, Study]:
    """Read and measure a project or a run folder, and make the remarks that are due."""
    from glomseg.study.pas import PasSettings, parse_stains
    from glomseg.study.records import MeasureSettings
    from glomseg.study.sources import read_sources
    from glomseg.study.write_back import measure_study

    stain = PasSettings(threshold=pas_threshold, stains=parse_stains(stain_vectors)) if pas else None
    settings = MeasureSettings(
        class_name=class_name, sclerotic=sclerotic, cortex=cortex, beta=beta, k=k, mpp=mpp, pas=stain
    )
    with console.spinner("reading the annotations") as update:
        sources = read_sources(
            project, slides=slides, samples=samples, progress=lambda name: update(f"reading the annotations: {name}")
        )
        study = measure_study(
            sources, settings, reference_group=reference, progress=lambda name: update(f"measuring: {name}")
        )
    for remark in study.remarks:
        console.warn(remark)
    for slide in study.slides:
        for remark in slide.remarks:
            console.warn(f"{slide.image.name}: {remark}")
    return sources, study


def _write_back(console: Console, study: Study, sources: Sources) -> bool:
    """Put the values into the project; tell whether an image failed."""
    from glomseg.runs.image_record import Outcome
    from glomseg.study.write_back import write_measurements

    with console.spinner("QuPath is starting") as update:
        outcomes = write_measurements(study, sources, lambda name: update(f"into the project: {name}"))
    for name, outcome in outcomes.items():
        (console.warn if outcome.startswith(Outcome.NOT_COLLECTED) else console.say)(f"{name}: {outcome}")
    return any(outcome.startswith(Outcome.NOT_COLLECTED) for outcome in outcomes.values())


def _show(console: Console, study: Study, folder: Path, files: list[str]) -> None:
    import json

    from glomseg.study.tables import record, tables

    rows = tables(study)
    if console.as_json:
        content = {**record(study), "folder": str(folder), "files": files, "slides": rows["slides"]}
        click.echo(json.dumps({**content, "animals": rows["animals"]}, indent=2, ensure_ascii=False))
    elif not console.quiet:
        names = ("image", "counted", "whole", "mean_area_um2", "density_per_mm2", "sclerotic_percent")
        console.table(
            COLUMNS, [[_text(row.get(name)) for name in (*names, "reviewed_percent")] for row in rows["slides"]]
        )
    console.say(f"tables: {folder}")


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if isinstance(value, float) else str(value)
