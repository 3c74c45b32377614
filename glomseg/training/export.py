"""Training tiles from slides and their annotations: the files that QuPath's TileExporter writes, without QuPath.

`export_training_tiles.groovy` writes the same files from inside QuPath. Labels are the same pixel for pixel. Images
are, where the slide has a level of the tiles' scale; else ours are area means, and QuPath's interpolate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import shapely
from PIL import Image
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError, TrainingError
from glomseg.files import replacing, write_text
from glomseg.geojson import DEFAULT_COLOR, Color, PathObject
from glomseg.project.ownership import VERDICT
from glomseg.readers import Pixels
from glomseg.slide import Slide, open_slide
from glomseg.tiles import Box
from glomseg.training.drawing import LabelDrawer
from glomseg.training.tile_choice import annotated, draw_background, grid, inside, stem_of, tile_name

RECORD = "export.json"
CLASSES = ("Glomerulus", "Glomerulus: Sclerotic")
BACKGROUND = "*Background*"


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What to export: label 1 is the first class, and so on, and an exact name is meant.

    `mpp` (um per pixel of the tiles) goes before `downsample`. `negatives` is the number of background tiles for one
    annotated tile; None takes all empty tiles of a reviewed image, and none of another.
    """

    classes: tuple[str, ...] = CLASSES
    mpp: float | None = None
    downsample: float = 2.0
    size_px: int = 512
    overlap_px: int = 32
    region: str | None = None
    negatives: float | None = None
    reviewed_only: bool = False
    layout: Literal["beside", "subdir"] = "beside"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no tile can be; raises TrainingError."""
        if not 0 <= self.overlap_px < self.size_px:
            raise TrainingError(
                f"an overlap of {self.overlap_px} px does not fit tiles of {self.size_px} px; make it less"
            )
        if not 0 < len(self.classes) < 255 or len(set(self.classes)) < len(self.classes):
            raise TrainingError(
                f"the classes {', '.join(self.classes) or 'none'} cannot be numbered; name each one once"
            )


@dataclass(frozen=True, kw_only=True)
class TileSource:
    """One annotated image; `mpp` is what QuPath knows of its pixels (x, y) and goes before the file's own.

    `folder` is where its tiles belong, below the export's; without one it is the name without its extension.
    """

    name: str
    path: Path
    objects: tuple[PathObject, ...]
    mpp: tuple[float, float] | None = None
    reviewed: bool = False
    folder: str = ""


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


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One image on its way: the tiles that were chosen, and how many of them are annotated."""

    source: TileSource
    downsample: float
    mpp: float | None
    shapes: tuple[tuple[BaseGeometry, ...], ...] = ()
    boxes: tuple[Box, ...] = ()
    annotated: int = 0

    @property
    def folder(self) -> str:
        return self.source.folder or stem_of(self.source.name)


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
            with _open(source) as slide:
                jobs.append(_choose(slide, source, settings))
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


def _open(source: TileSource) -> Slide:
    return open_slide(source.path, mpp=source.mpp)


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
    there = {item.class_name for source in sources for item in source.objects if _counts(item) and item.class_name}
    told = ", ".join(sorted(map(str, there))) or "no annotation with a class"
    if not there & set(settings.classes) and not any(source.reviewed for source in sources):
        raise TrainingError(f"no annotation is of class {' or '.join(settings.classes)} (there: {told}); use --class")
    if settings.region is not None and settings.region not in there:
        raise TrainingError(f"no annotation is of class {settings.region} (there: {told}); draw one or change --region")


def _counts(item: PathObject) -> bool:
    """Tell whether an object is an annotation with an area that nobody rejected."""
    return item.object_type == "annotation" and item.geometry.area > 0 and item.metadata.get(VERDICT) != "reject"


def _choose(slide: Slide, source: TileSource, settings: ExportSettings) -> _Job:
    """Choose the tiles of one image; raises TrainingError where their scale cannot be had."""
    items = [item for item in source.objects if _counts(item)]
    shapes = tuple(tuple(item.geometry for item in items if item.class_name == name) for name in settings.classes)
    wanted = any(shapes) or source.reviewed
    own = (slide.mpp_x + slide.mpp_y) / 2 if slide.mpp_x and slide.mpp_y else None
    downsample = _downsample(own, settings) if wanted else settings.downsample
    job = _Job(source=source, downsample=downsample, mpp=own and own * downsample, shapes=shapes)
    if not wanted:
        return job
    boxes = list(grid(slide.width, slide.height, downsample, settings.size_px, settings.overlap_px))
    if settings.region is not None:
        areas = [item.geometry for item in items if item.class_name == settings.region]
        boxes = inside(boxes, shapely.union_all(areas))
    marks = annotated(boxes, [shape for group in shapes for shape in group])
    chosen = set(_background(slide, job, boxes, marks, settings))
    kept = [box for position, box in enumerate(boxes) if marks[position] or position in chosen]
    return replace(job, boxes=tuple(kept), annotated=sum(marks))


def _downsample(own: float | None, settings: ExportSettings) -> float:
    if settings.mpp is None:
        return settings.downsample
    if own is None:
        raise TrainingError(
            "its pixel size is not known, so --mpp cannot be met; set it in QuPath, or use --downsample"
        )
    if settings.mpp < own * (1 - 1e-6):
        raise TrainingError(f"its pixels are {own:g} um, coarser than --mpp {settings.mpp:g}; give {own:g} or more")
    return max(1.0, settings.mpp / own)


def _background(
    slide: Slide, job: _Job, boxes: Sequence[Box], marks: Sequence[bool], settings: ExportSettings
) -> list[int]:
    """Choose among the empty boxes; returns their positions."""
    empty = [position for position, mark in enumerate(marks) if not mark]
    if settings.negatives is None:
        return empty if job.source.reviewed else []
    stem = stem_of(job.source.name)
    names = [tile_name(stem, boxes[position], job.downsample) for position in empty]
    count = int(settings.negatives * max(1, sum(marks)) + 0.5)

    def read(position: int) -> Pixels:
        return _read(slide, boxes[empty[position]], settings.size_px)

    return [empty[position] for position in draw_background(names, count, settings.seed, read)]


def _read(slide: Slide, box: Box, size_px: int) -> Pixels:
    return slide.read_downsampled(box, box.width / size_px, box.height / size_px)


def _check_jobs(jobs: Sequence[_Job], problems: Sequence[str], settings: ExportSettings) -> None:
    """Raise TrainingError where there is no tile at all, or where tiles differ in scale."""
    if not jobs:
        told = f" ({'; '.join(problems)})" if problems else ""
        small = f"tiles of {settings.size_px} px may not fit the images or the region; make --size less"
        raise TrainingError(f"no tile to export{told or ': ' + small}")
    scales: dict[str, str] = {}
    for job in jobs:
        scales.setdefault("unknown" if job.mpp is None else f"{job.mpp:.3g}", job.source.name)
    if len(scales) > 1:
        told = ", ".join(f"{scale} um/px: {name}" for scale, name in scales.items())
        raise TrainingError(f"the images' tiles would differ in scale ({told}); give --mpp, one scale for all tiles")


def _palette(sources: Sequence[TileSource], settings: ExportSettings, colors: Mapping[str, Color]) -> list[int]:
    """Give the palette that QuPath would: white, then the colours of the classes."""
    known = {item.class_name: item.color for source in sources for item in source.objects if item.color}
    found = [colors.get(name) or known.get(name) or DEFAULT_COLOR for name in settings.classes]
    return [channel for color in [(255, 255, 255), *found] for channel in color]


def _write(job: _Job, folder: Path, settings: ExportSettings, palette: Sequence[int], version: str | None) -> None:
    """Write the images, labels and `-tiles.json` of one image."""
    place, stem = folder / job.folder, stem_of(job.source.name)
    entries = []
    with _open(job.source) as slide:
        drawer = LabelDrawer(job.shapes, (slide.width, slide.height), job.downsample)
        for box in job.boxes:
            name = tile_name(stem, box, job.downsample)
            image, label = f"{name}.png", f"{name}-labelled.png"
            if settings.layout == "subdir":
                image, label = f"images/{name}.png", f"labels/{name}.png"
            labels = Image.fromarray(drawer.tile(box, settings.size_px), "L")
            labels.putpalette(palette)
            _save(Image.fromarray(_read(slide, box, settings.size_px)), place / image)
            _save(labels, place / label)
            entries.append({"region": _region(job, box), "image": image, "labels": label})
    content = {
        "qupath_version": version,
        "base_directory": str(place.absolute()),
        "labels": [
            {"classification": name, "label": label} for label, name in enumerate((BACKGROUND, *settings.classes))
        ],
        "tiles": entries,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    write_text(place / f"{stem}-tiles.json", json.dumps(kept, indent=2, ensure_ascii=False))


def _region(job: _Job, box: Box) -> dict[str, Any]:
    corner = {"x": int(box.x), "y": int(box.y), "width": int(box.width), "height": int(box.height)}
    return {"path": job.source.path.absolute().as_uri(), "downsample": job.downsample, **corner, "z": 0, "t": 0}


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")


def _result(job: _Job) -> ImageTiles:
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
