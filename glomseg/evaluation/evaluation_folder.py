"""The folder of an evaluation: scores as tables, plots and galleries."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from glomseg import __version__
from glomseg.errors import RunError
from glomseg.evaluation.evaluate import Evaluation
from glomseg.evaluation.mistakes import GALLERIES, draw_galleries
from glomseg.evaluation.plots import PLOTS, SUFFIXES, draw_plots
from glomseg.evaluation.score import ImageScore, ObjectRow, score_image
from glomseg.evaluation.summary import clean
from glomseg.evaluation.sweep_run import COLUMNS, TABLE, sweep_pictures
from glomseg.files import csv_text, json_text
from glomseg.labelled.image_info import ImageInfo
from glomseg.labelled.label_files import empty_outlines
from glomseg.listing import first_names
from glomseg.pictures.marked import is_as_written
from glomseg.standing_files import refuse_other_file, refuse_other_table, refuse_own_columns, write_kept

METRICS = "metrics.json"
PER_SLIDE = "per_slide.csv"
PER_OBJECT = "per_object.csv"
_OF_IMAGE = ("image", "group", "unit")


def refuse_to_replace(folder: Path) -> None:
    """Raise RunError where a file of the name of one of ours, or a column in it, is a person's.

    Plots and galleries are ours where the tables lie beside them that they are of, but for a gallery into which
    somebody drew.
    """
    refuse_other_file(folder / METRICS, lambda content: b'"glomseg_version"' in content)
    refuse_other_table(folder / TABLE, COLUMNS)
    pictures = [] if (folder / METRICS).exists() else _pictures(folder)
    pictures += [] if (folder / TABLE).exists() else sweep_pictures(folder)
    pictures += [path for path in _galleries(folder) if path not in pictures and not is_as_written(path)]
    if theirs := [path for path in pictures if path.exists()]:
        raise RunError(
            f"{folder} holds {len(theirs)} files that would be replaced and are not as an evaluation "
            f"left them ({first_names(str(path.relative_to(folder)) for path in theirs)}); choose another `output`, or "
            "move them away"
        )
    nothing = score_image(ImageInfo(key=""), empty_outlines(), empty_outlines(), kpis=True)
    for name, columns in ((PER_OBJECT, _object_columns()), (PER_SLIDE, list(_image_row(nothing)))):
        refuse_other_table(folder / name, columns)
        refuse_own_columns(folder / name, columns)


def write_evaluation(
    folder: Path,
    evaluation: Evaluation,
    *,
    details: dict[str, Any] | None = None,
    pictures: bool = True,
    icc: bool = False,
) -> tuple[str, ...]:
    """Write metrics.json, per_slide.csv, per_object.csv, and with `pictures` the plots and galleries.

    Returns what of the tables there a person had changed, and is kept, in words. Raises RunError where nothing can be
    written, or as `refuse_to_replace`.
    Plots and galleries of a former evaluation go as soon as the tables are there, which are of other scores.
    `details` (the command, the model, the files) stand at the top of metrics.json. With `icc` pictures have the colours
    that ICC profiles say.
    """
    content = {"glomseg_version": __version__, **clean(details or {}), **evaluation.summary.to_table()}
    content["remarks"] = list(evaluation.remarks)
    rows = [_image_row(image) for image in evaluation.images]
    objects = [_object_row(image, row) for image in evaluation.images for row in image.objects]
    refuse_to_replace(folder)
    kept = write_kept(
        {
            folder / PER_OBJECT: csv_text(_object_columns(), objects),
            folder / PER_SLIDE: csv_text(list(rows[0]), rows),
            folder / METRICS: json_text(content) + "\n",
        }
    )
    _remove_pictures(folder)
    if pictures:
        draw_plots(evaluation.images, folder / "plots")
        draw_galleries(evaluation.images, folder / "gallery", icc=icc)
    return kept


def _remove_pictures(folder: Path) -> None:
    """Remove the plots and galleries of a former evaluation."""
    for path in _pictures(folder):
        with suppress(OSError):
            path.unlink()


def _pictures(folder: Path) -> list[Path]:
    plots = [folder / "plots" / f"{name}{suffix}" for name in PLOTS for suffix in SUFFIXES]
    return [*plots, *_galleries(folder)]


def _galleries(folder: Path) -> list[Path]:
    return [folder / "gallery" / f"{name}.png" for name in GALLERIES]


def _image_row(image: ImageScore) -> dict[str, object]:
    info = image.info
    return {"image": info.key, "group": info.group, "unit": info.unit, "split": info.split, **image.values()}


def _object_row(image: ImageScore, row: ObjectRow) -> dict[str, object]:
    return {"image": image.info.key, "group": image.info.group, "unit": image.info.unit, **asdict(row)}


def _object_columns() -> list[str]:
    return [*_OF_IMAGE, *(item.name for item in fields(ObjectRow))]
