"""`glomseg export-tiles`: training tiles from a project's annotations, or from a slide and its GeoJSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .commands import command
from .console import Console

if TYPE_CHECKING:
    from glomseg.training.tiles.export import Export
    from glomseg.training.tiles.plan import ExportSettings

COLUMNS = ("image", "annotated", "background", "folder")


@command(
    "export-tiles",
    short_help="Training tiles and labels from annotations, as QuPath exports them.",
    renamed={"--mpp": "--tile-mpp"},
    only_with={"negatives": ("seed",)},
    never_with={"geojson": ("slides", "believe_deletions"), "tile_mpp": ("downsample",)},
)
@click.argument("source", type=click.Path(path_type=Path), metavar="PROJECT|SLIDE")
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Folder for the tiles, empty.")
@click.option("--geojson", type=click.Path(path_type=Path), help="Annotations of SLIDE; no project, no QuPath.")
@click.option(
    "--tile-mpp", type=click.FloatRange(0, 10, min_open=True), metavar="UM", help="Um per pixel of the tiles."
)
@click.option(
    "--downsample",
    type=click.FloatRange(1),
    default=2.0,
    show_default=True,
    help="Without --tile-mpp: pixels of the slide for one of a tile.",
)
@click.option(
    "--size", "size_px", type=click.IntRange(16, 8192), default=512, show_default=True, help="Side of a tile in pixels."
)
@click.option(
    "--overlap", "overlap_px", type=click.IntRange(0), default=32, show_default=True, help="Overlap of tiles in pixels."
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    default=("Glomerulus", "Glomerulus: Sclerotic"),
    show_default=True,
    metavar="CLASS",
    help="Class with the next label, 1, 2 and so on, with those derived from it. May be repeated.",
)
@click.option("--region", metavar="CLASS", help="Only tiles that lie inside annotations of this class.")
@click.option(
    "--negatives",
    type=click.FloatRange(0),
    metavar="RATIO",
    help="Tissue without a glomerulus, in tiles for one annotated tile [all empty tiles of a reviewed image].",
)
@click.option("--reviewed-only", is_flag=True, help="Leave out images that are not marked as fully reviewed.")
@click.option(
    "--beside/--subdir",
    default=True,
    show_default=True,
    help="Labels beside the images, or in folders images/ and labels/.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="With --negatives: chooses other tiles.")
@options.slides_option
@options.believe_deletions_option
@options.output
def export_tiles(
    source: Path,
    output: Path,
    geojson: Path | None,
    tile_mpp: float | None,
    downsample: float,
    size_px: int,
    overlap_px: int,
    classes: tuple[str, ...],
    region: str | None,
    negatives: float | None,
    reviewed_only: bool,
    beside: bool,
    seed: int,
    slides: tuple[Path, ...],
    believe_deletions: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Cut the annotated parts of PROJECT, or of SLIDE with --geojson, into tiles to train on.

    Writes what QuPath's TileExporter writes: DIR/image/image [d=2,x=0,y=0,w=1024,h=1024].png, the same name with
    -labelled.png (a palette PNG, 0 is background), image-tiles.json, and export.json with the scale of all tiles.
    Rejected annotations are left out. A project is read through QuPath.
    """  # fmt: skip
    from glomseg.training.tiles.plan import ExportSettings

    console = Console(quiet=quiet, as_json=as_json)
    settings = ExportSettings(
        classes=classes,
        tile_mpp=tile_mpp,
        downsample=downsample,
        size_px=size_px,
        overlap_px=overlap_px,
        region=region,
        negatives=negatives,
        reviewed_only=reviewed_only,
        layout="beside" if beside else "subdir",
        seed=seed,
    )
    export = _export(console, source, geojson, slides, output, settings, believe_deletions)
    for problem in export.problems:
        console.warn(problem)
    for remark in export.remarks:
        console.say(remark)
    _show(console, export, output)
    return int(bool(export.problems))


def _export(
    console: Console,
    source: Path,
    geojson: Path | None,
    slides: tuple[Path, ...],
    output: Path,
    settings: ExportSettings,
    believe_deletions: bool,
) -> Export:
    from glomseg.training.tiles.annotations import export_project, export_slide

    with console.spinner("reading the annotations") as update:
        if geojson is not None:
            return export_slide(source, geojson, output, settings, progress=update)
        return export_project(
            source, output, settings, slides=slides, believe_deletions=believe_deletions, progress=update
        )


def _show(console: Console, export: Export, output: Path) -> None:
    from dataclasses import asdict

    from glomseg.files import json_text

    if console.as_json:
        content = {
            "folder": str(output),
            "images": [asdict(image) for image in export.images],
            "problems": list(export.problems),
            "remarks": list(export.remarks),
            "left_out": export.left_out.rows(),
        }
        click.echo(json_text(content))
    elif not console.quiet:
        rows = [(item.name, str(item.annotated), str(item.background), item.folder) for item in export.images]
        console.table(COLUMNS, rows)
    count = sum(item.annotated + item.background for item in export.images)
    console.say(f"{count} tiles: {output}")
    if export.left_out:
        console.say(str(export.left_out))
