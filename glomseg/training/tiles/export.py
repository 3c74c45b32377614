"""Training tiles from slides and their annotations: the files that QuPath's TileExporter writes, without QuPath.

`export_training_tiles.groovy` writes the same files from inside QuPath. Labels are the same pixel for pixel. Images
are, where the slide has a level of the tiles' scale; else ours are area means, and QuPath's interpolate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError, TrainingError
from glomseg.files import replacing, write_text
from glomseg.geometry import Box
from glomseg.qupath.objects import DEFAULT_COLOR, Color
from glomseg.segment.region import IGNORED
from glomseg.training.tiles.choice import (
    stem_of,
    tile_name,
)
from glomseg.training.tiles.drawing import LabelDrawer
from glomseg.training.tiles.plan import ExportSettings, Job, TileSource, choose_tiles, counts, open_source, read_tile

RECORD = "export.json"
BACKGROUND = "*Background*"
SCALES_ALIKE = 0.01
IGNORED_COLOR = (180, 180, 180)


@dataclass(frozen=True, kw_only=True)
class ImageTiles:
    """What was written of one image; `folder` is below the export's, `mpp` that of the tiles."""

    name: str
    folder: str
    annotated: int
    background: int
    downsample: float
    mpp: float | None
    reviewed: bool


@dataclass(frozen=True, kw_only=True)
class Export:
    """What came of an export; `problems` are images that could not be read, with the reason."""

    images: tuple[ImageTiles, ...]
    problems: tuple[str, ...] = ()


def export_tiles(
    sources: Sequence[TileSource],
    folder: Path,
    settings: ExportSettings,
    *,
    project: str = "",
    version: str | None = None,
    colors: Mapping[str, Color] | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Export:
    """Write the tiles of all images, and `export.json`, into an empty folder.

    `project` and `version` (of QuPath) are written down; `colors` are those of the palette. An image that cannot be
    read is among the problems and the others go on. Raises TrainingError where there is nothing to export, where the
    tiles would not have one scale, or where the folder is not empty, and RunError where it cannot be written.
    """
    _check_folder(folder)
    sources = [source for source in sources if source.reviewed or not settings.reviewed_only]
    _check_classes(sources, settings)
    jobs, problems = [], []
    for source in sources:
        progress(source.name)
        try:
            with open_source(source) as slide:
                jobs.append(choose_tiles(slide, source, settings))
        except GlomsegError as error:
            problems.append(f"{source.name}: {error}")
    jobs = [job for job in jobs if job.boxes]
    _check_jobs(jobs, problems, settings)
    palette = _palette(sources, settings, colors or {})
    for job in jobs:
        progress(job.source.name)
        _write(job, folder, settings, palette, version)
    images = tuple(_result(job) for job in jobs)
    _write_record(folder, images, settings, project)
    return Export(images=images, problems=tuple(problems))


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; name a folder for the tiles")
    if folder.is_dir() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is not empty; choose another folder, or delete it, so that no old tile stays")


def _check_classes(sources: Sequence[TileSource], settings: ExportSettings) -> None:
    """Raise TrainingError where no image has any of the classes, or the region."""
    if not sources:
        why = (
            "marked as reviewed; review one in QuPath or leave --reviewed-only out"
            if settings.reviewed_only
            else "here"
        )
        raise TrainingError(f"no image is {why}")
    there = {item.class_name for source in sources for item in source.objects if counts(item) and item.class_name}
    told = ", ".join(sorted(map(str, there))) or "no annotation with a class"
    if not there & set(settings.classes) and not any(source.reviewed for source in sources):
        raise TrainingError(f"no annotation is of class {' or '.join(settings.classes)} (there: {told}); use --class")
    if settings.region is not None and settings.region not in there:
        raise TrainingError(f"no annotation is of class {settings.region} (there: {told}); draw one or change --region")


def _check_jobs(jobs: Sequence[Job], problems: Sequence[str], settings: ExportSettings) -> None:
    """Raise TrainingError where there is no tile at all, or where tiles differ in scale."""
    if not jobs:
        told = f" ({'; '.join(problems)})" if problems else ""
        small = f"tiles of {settings.size_px} px may not fit the images or the region; make --size less"
        raise TrainingError(f"no tile to export{told or ': ' + small}")
    other = next((job for job in jobs if not _alike(job.mpp, jobs[0].mpp)), None)
    if other is not None:
        told = ", ".join(f"{_scale(job.mpp)} um/px: {job.source.name}" for job in (jobs[0], other))
        raise TrainingError(f"the images' tiles would differ in scale ({told}); give --mpp, one scale for all tiles")


def _alike(mpp: float | None, other: float | None) -> bool:
    """Tell whether two scales differ by less than a hundredth."""
    return mpp == other if mpp is None or other is None else abs(mpp / other - 1) < SCALES_ALIKE


def _scale(mpp: float | None) -> str:
    return "unknown" if mpp is None else f"{mpp:.4g}"


def _palette(sources: Sequence[TileSource], settings: ExportSettings, colors: Mapping[str, Color]) -> list[int]:
    """Give the palette that QuPath would: white, then the colours of the classes."""
    known = {item.class_name: item.color for source in sources for item in source.objects if item.color}
    found = [colors.get(name) or known.get(name) or DEFAULT_COLOR for name in settings.classes]
    grey = [IGNORED_COLOR] if any(source.known is not None for source in sources) else []
    return [channel for color in [(255, 255, 255), *found, *grey] for channel in color]


def _write(job: Job, folder: Path, settings: ExportSettings, palette: Sequence[int], version: str | None) -> None:
    """Write the images, labels and `-tiles.json` of one image."""
    place, stem = folder / job.folder, stem_of(job.source.name)
    names = (BACKGROUND, *settings.classes, *([] if job.source.known is None else [IGNORED]))
    entries = []
    with open_source(job.source) as slide:
        size = slide.width, slide.height
        drawer = LabelDrawer((*job.shapes, *_unknown(job, size)), size, job.downsample)
        for box in job.boxes:
            name = tile_name(stem, box, job.downsample)
            image, label = f"{name}.png", f"{name}-labelled.png"
            if settings.layout == "subdir":
                image, label = f"images/{name}.png", f"labels/{name}.png"
            drawn = drawer.tile(box, settings.size_px)
            if job.source.known is not None:
                _mark_outside(drawn, box, size, label=len(job.shapes) + 1)
            labels = Image.fromarray(drawn, "L")
            labels.putpalette(palette)
            _save(Image.fromarray(read_tile(slide, box, settings.size_px)), place / image)
            _save(labels, place / label)
            entries.append({"region": _region(job, box), "image": image, "labels": label})
    content = {
        "qupath_version": version,
        "base_directory": str(place.absolute()),
        "labels": [{"classification": name, "label": label} for label, name in enumerate(names)],
        "tiles": entries,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    write_text(place / f"{stem}-tiles.json", json.dumps(kept, indent=2, ensure_ascii=False))


def _unknown(job: Job, size: tuple[int, int]) -> list[list[BaseGeometry]]:
    """Give the outlines of the last label, over all others: of what nothing is known."""
    return [] if job.source.known is None else [[shapely.box(0, 0, *size).difference(job.source.known)]]


def _mark_outside(drawn: NDArray[np.uint8], box: Box, size: tuple[int, int], *, label: int) -> None:
    """Put a label on what lies off the image, to the right and below."""
    rows, columns = drawn.shape
    drawn[max(0, round((size[1] - box.y) / box.height * rows)) :] = label
    drawn[:, max(0, round((size[0] - box.x) / box.width * columns)) :] = label


def _region(job: Job, box: Box) -> dict[str, Any]:
    corner = {"x": int(box.x), "y": int(box.y), "width": int(box.width), "height": int(box.height)}
    return {"path": job.source.path.absolute().as_uri(), "downsample": job.downsample, **corner, "z": 0, "t": 0}


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")


def _result(job: Job) -> ImageTiles:
    return ImageTiles(
        name=job.source.name,
        folder=job.folder,
        annotated=job.annotated,
        background=len(job.boxes) - job.annotated,
        downsample=job.downsample,
        mpp=job.mpp,
        reviewed=job.source.reviewed,
    )


def _write_record(folder: Path, images: Sequence[ImageTiles], settings: ExportSettings, project: str) -> None:
    """Write down what the tiles do not say themselves; last, so that a cut-off export has none."""
    content = {
        "mpp": settings.mpp or images[0].mpp,
        "downsample": {image.name: image.downsample for image in images},
        "classes": list(settings.classes),
        "project": project,
        "images": {image.folder: {"image": image.name, "reviewed": image.reviewed} for image in images},
    }
    write_text(folder / RECORD, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
