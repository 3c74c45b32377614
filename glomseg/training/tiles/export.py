"""Training tiles from slides and their annotations: the files that QuPath's TileExporter writes, without QuPath.

`export_training_tiles.groovy` writes the same files from inside QuPath. Labels are the same pixel for pixel. Images
are, where the slide has a level of the tiles' scale; else ours are area means, and QuPath's interpolate.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError, SlideError, TrainingError
from glomseg.files import filling, write_json
from glomseg.geometry import Box
from glomseg.labelled.tile_files import EXPORT, UNFINISHED
from glomseg.pictures.marked import write_marked
from glomseg.qupath.classes import LeftOutObjects, best_class, describe_spellings, is_class
from glomseg.qupath.objects import DEFAULT_COLOR, Color
from glomseg.runs.colour_profiles import name_profiles
from glomseg.runs.reviewed import unjudged
from glomseg.segment.region import IGNORED, off_image
from glomseg.training.tiles.choice import stem_of, tile_name
from glomseg.training.tiles.drawing import LabelDrawer
from glomseg.training.tiles.plan import (
    ExportSettings,
    TilePlan,
    TileRequest,
    choose_tiles,
    counts,
    open_image,
    read_tile,
    unused,
)
from glomseg.training.tiles.unfinished import remove_unfinished

RECORD = EXPORT
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
    """What came of an export; `problems` are images that could not be read, with the reason.

    `left_out` counts the objects that give no label, `remarks` say what was repaired or read as another class and
    whose colours an ICC profile would change; of these `profiles` are the last alone.
    """

    images: tuple[ImageTiles, ...]
    problems: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    left_out: LeftOutObjects = field(default_factory=LeftOutObjects)


def export_tiles(
    requests: Sequence[TileRequest],
    folder: Path,
    settings: ExportSettings,
    *,
    project: str = "",
    version: str | None = None,
    colors: Mapping[str, Color] | None = None,
    home: Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Export:
    """Write the tiles of all images, and `export.json`, into an empty folder, which is empty again where that fails.

    `project`, `version` (of QuPath) and `home` (where the folder will lie, by default where it lies now) are written
    down; `colors` are those of the palette. An image that cannot be
    read is among the problems and the others go on. Raises TrainingError where there is nothing to export, where the
    tiles would not have one scale, or where the folder is not empty, and RunError where it cannot be written.
    """
    remove_unfinished(folder)
    _check_folder(folder)
    requests = [request for request in requests if request.reviewed or not settings.reviewed_only]
    _check_classes(requests, settings)
    plans, problems, off = [], [], []
    for request in requests:
        progress(request.image.name)
        try:
            with open_image(request.image) as slide:
                plans.append(choose_tiles(slide, request, settings))
                off += _without_tiles(plans[-1], (slide.width, slide.height), settings)
        except GlomsegError as error:
            problems.append(f"{request.image.name}: {error}")
    plans, without_scale = _of_known_scale([plan for plan in plans if plan.boxes])
    problems += without_scale
    _check_plans(plans, [*problems, *off], settings)
    palette = _palette(requests, settings, colors or {})
    written = []
    with filling(folder):
        _write_record(folder, (), settings, project)
        for plan in plans:
            progress(plan.request.image.name)
            try:
                _write(plan, folder, home or folder, settings, palette, version)
                written.append(plan)
            except SlideError as error:  # it opened, and its pixels are damaged
                shutil.rmtree(folder / plan.folder, ignore_errors=True)
                problems.append(f"{plan.request.image.name}: {error}")
        _check_plans(written, [*problems, *off], settings)
        images = tuple(_result(plan) for plan in written)
        _write_record(folder, images, settings, project)
    profiles = name_profiles(
        dict.fromkeys((plan.request.image.name, plan.colour_profile) for plan in written),
        "not applied, tiles hold colours as they are stored",
    )
    return Export(
        images=images,
        problems=tuple(problems),
        profiles=profiles,
        remarks=(*off, *profiles, *_remarks(requests, settings)),
        left_out=sum((unused(request, settings) for request in requests), LeftOutObjects()),
    )


def _remarks(requests: Sequence[TileRequest], settings: ExportSettings) -> list[str]:
    """Say once of each image what was repaired, and of all what was read as another class."""
    images = {request.image.entry_id: request.image for request in requests}.values()
    objects = [item for image in images for item in image.objects if counts(item)]
    repaired = [f"{image.name}: {remark}" for image in images for remark in image.remarks]
    return [*repaired, *describe_spellings(objects, settings.classes)]


def _without_tiles(plan: TilePlan, size: tuple[int, int], settings: ExportSettings) -> list[str]:
    """Say of an image that its annotations lie off it, and that it has no tile though it has some."""
    name, drawn = plan.request.image.name, [shape for group in plan.shapes for shape in group]
    said = [off_image(drawn, *size, "annotations")]
    if settings.region is not None:
        objects = [item for item in plan.request.image.objects if counts(item)]
        areas = [item.geometry for item in objects if is_class(item.class_name, settings.region)]
        said.append(off_image(areas, *size, f"areas of class {settings.region}"))
        if drawn and not areas:
            said.append(f"no tile: no annotation of class {settings.region}")
    said.append(_said_of_ignored(plan, drawn))
    if drawn and not plan.boxes and not any(said):
        where = "the image" if settings.region is None else f"its areas of class {settings.region}"
        said.append(f"no tile: none of {settings.size_px} px fits {where}, or shows an annotation; make `size_px` less")
    return [f"{name}: {text}" for text in said if text]


def _said_of_ignored(plan: TilePlan, drawn: Sequence[BaseGeometry]) -> str:
    """Say how many outlines teach nothing, or only a part of them, because a person wants their place ignored."""
    if not plan.ignored or plan.request.known is not None:
        return ""
    area = shapely.union_all(plan.ignored)
    reached = sum(area.intersects(shape) for shape in drawn)
    if drawn and not plan.boxes and all(area.covers(shape) for shape in drawn):
        return f"no tile: all {len(drawn)} annotations lie in areas of class {IGNORED}"
    if not plan.boxes:
        return ""
    candidates = len(unjudged(plan.request.image.objects))
    what = f"areas of class {IGNORED}" + (f", and {candidates} candidates that nobody judged," if candidates else "")
    return (
        f"{what} have a label of their own, which training leaves out; {reached} of {len(drawn)} "
        "annotations reach into them"
    )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder} is a file; name a folder for the tiles")
    if folder.is_dir() and any(folder.iterdir()):
        raise TrainingError(f"{folder} is not empty; choose another folder, or delete it, so that no old tile stays")


def _check_classes(requests: Sequence[TileRequest], settings: ExportSettings) -> None:
    """Raise TrainingError where no image has any of the classes, or the region."""
    if not requests:
        why = (
            "marked as reviewed; review one in QuPath or leave `reviewed_only` out"
            if settings.reviewed_only
            else "here"
        )
        raise TrainingError(f"no image is {why}")
    objects = [item for request in requests for item in request.image.objects]
    there = {item.class_name for item in objects if counts(item) and item.class_name}
    labelled = any(best_class(name, settings.classes) for name in there)
    told = ", ".join(sorted(map(str, there))) or "no annotation with a class"
    if not labelled and not any(request.reviewed for request in requests):
        raise TrainingError(f"no annotation is of class {' or '.join(settings.classes)} (there: {told}); use `classes`")
    if settings.region is not None and not any(is_class(name, settings.region) for name in there):
        raise TrainingError(f"no annotation is of class {settings.region} (there: {told}); draw one or change `region`")


def _of_known_scale(plans: Sequence[TilePlan]) -> tuple[list[TilePlan], list[str]]:
    """Leave out by name the images of unknown scale among those of a known one: all tiles are to have the same."""
    known = [plan for plan in plans if plan.mpp is not None]
    left = [plan.request.image.name for plan in plans if plan.mpp is None] if known else []
    said = [f"{name}: its pixel size is not known, and that of others is; set it in QuPath; left out" for name in left]
    return known or list(plans), said


def _check_plans(plans: Sequence[TilePlan], problems: Sequence[str], settings: ExportSettings) -> None:
    """Raise TrainingError where there is no tile at all, or where tiles differ in scale."""
    if not plans:
        told = f" ({'; '.join(problems)})" if problems else ""
        small = f"tiles of {settings.size_px} px may not fit the images or the region; make `size_px` less"
        raise TrainingError(f"no tile to export{told or ': ' + small}")
    other = next((plan for plan in plans if not _alike(plan.mpp, plans[0].mpp)), None)
    if other is not None:
        told = ", ".join(f"{_scale(plan.mpp)} um/px: {plan.request.image.name}" for plan in (plans[0], other))
        raise TrainingError(f"the images' tiles would differ in scale ({told}); give `tile_mpp`, the same for all")


def _alike(mpp: float | None, other: float | None) -> bool:
    """Tell whether two scales differ by less than a hundredth."""
    return mpp == other if mpp is None or other is None else abs(mpp / other - 1) < SCALES_ALIKE


def _scale(mpp: float | None) -> str:
    return "unknown" if mpp is None else f"{mpp:.4g}"


def _palette(requests: Sequence[TileRequest], settings: ExportSettings, colors: Mapping[str, Color]) -> list[int]:
    """Give the palette that QuPath would: white, then the colours of the classes and of what is to be ignored."""
    objects = [item for request in requests for item in request.image.objects]
    known = {item.class_name: item.color for item in objects if item.class_name and item.color} | dict(colors)
    classes = [known.get(name, DEFAULT_COLOR) for name in settings.classes]
    grey = known.get(IGNORED, IGNORED_COLOR)
    return [channel for color in [(255, 255, 255), *classes, grey] for channel in color]


def _write(
    plan: TilePlan, folder: Path, home: Path, settings: ExportSettings, palette: Sequence[int], version: str | None
) -> None:
    """Write the images, labels and `-tiles.json` of one image."""
    place, stem = folder / plan.folder, stem_of(plan.request.image.name)
    names = (BACKGROUND, *settings.classes, *([IGNORED] if plan.ignored else []))
    entries = []
    with open_image(plan.request.image) as slide:
        size = slide.width, slide.height
        drawer = LabelDrawer((*plan.shapes, plan.ignored), size, plan.downsample)
        for box in plan.boxes:
            name = tile_name(stem, box, plan.downsample)
            image, label = f"{name}.png", f"{name}-labelled.png"
            if settings.layout == "subdir":
                image, label = f"images/{name}.png", f"labels/{name}.png"
            drawn = drawer.tile(box, settings.size_px)
            if plan.request.known is not None:
                _mark_outside(drawn, box, size, label=len(plan.shapes) + 1)
            labels = Image.fromarray(drawn, "L")
            labels.putpalette(palette[: 3 * len(names)])
            write_marked(Image.fromarray(read_tile(slide, box, settings.size_px)), place / image, is_packed=False)
            write_marked(labels, place / label, is_packed=False)
            entries.append({"region": _region(plan, box), "image": image, "labels": label})
    content = {
        "qupath_version": version,
        "base_directory": str((home / plan.folder).absolute()),
        "labels": [{"classification": name, "label": label} for label, name in enumerate(names)],
        "tiles": entries,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    write_json(place / f"{stem}-tiles.json", kept)


def _mark_outside(drawn: NDArray[np.uint8], box: Box, size: tuple[int, int], *, label: int) -> None:
    """Put a label on what lies off the image, to the right and below."""
    rows, columns = drawn.shape
    drawn[max(0, round((size[1] - box.y) / box.height * rows)) :] = label
    drawn[:, max(0, round((size[0] - box.x) / box.width * columns)) :] = label


def _region(plan: TilePlan, box: Box) -> dict[str, Any]:
    corner = {"x": int(box.x), "y": int(box.y), "width": int(box.width), "height": int(box.height)}
    path = plan.request.image.readable_path.absolute().as_uri()
    return {"path": path, "downsample": plan.downsample, **corner, "z": 0, "t": 0}


def _result(plan: TilePlan) -> ImageTiles:
    return ImageTiles(
        name=plan.request.image.name,
        folder=plan.folder,
        annotated=plan.annotated,
        background=len(plan.boxes) - plan.annotated,
        downsample=plan.downsample,
        mpp=plan.mpp,
        reviewed=plan.request.reviewed,
    )


def _write_record(folder: Path, images: Sequence[ImageTiles], settings: ExportSettings, project: str) -> None:
    """Write down what the tiles do not say themselves: first, without `images`, that they are not all there."""
    content = {
        **({} if images else {UNFINISHED: True}),
        "mpp": images[0].mpp if images and settings.tile_mpp is None else settings.tile_mpp,
        "downsample": {image.name: image.downsample for image in images},
        "classes": list(settings.classes),
        "project": project,
        "images": {
            image.folder: {
                "image": image.name,
                "reviewed": image.reviewed,
                "project": project,
                "sum": _sum(folder / image.folder),
            }
            for image in images
        },
    }
    write_json(folder / RECORD, content)


def _sum(folder: Path) -> str:
    """Sum up the tiles of an image: the script in QuPath replaces none that a person corrected since."""
    total = hashlib.sha256()
    named = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.png")}
    for name, path in sorted(named.items()):
        total.update(f"{name}\n".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
