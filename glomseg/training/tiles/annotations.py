"""Where the annotations to export come from: a QuPath project, or a slide and its GeoJSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GlomsegError, QuPathError, TrainingError
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import read_geojson
from glomseg.qupath.process import QuPathProcess, find_qupath, qupath_process
from glomseg.qupath.project import Project, ProjectImage, read_project
from glomseg.runs.status import REVIEWED
from glomseg.training.tiles.choice import tile_folders
from glomseg.training.tiles.export import Export, export_tiles
from glomseg.training.tiles.plan import ExportSettings, TileSource

Progress = Callable[[str], None]


def export_slide(
    slide: Path, geojson: Path, folder: Path, settings: ExportSettings, *, progress: Progress = lambda name: None
) -> Export:
    """Export the tiles of one slide with the annotations of a GeoJSON file; raises GeoJSONError, TrainingError."""
    objects = tuple(read_geojson(geojson))
    source = TileSource(name=slide.name, path=slide, objects=objects)
    return export_tiles([source], folder, settings, progress=progress)


def export_project(
    path: Path,
    folder: Path,
    settings: ExportSettings,
    *,
    slides: Sequence[Path] = (),
    progress: Progress = lambda name: None,
) -> Export:
    """Export the tiles of a project's images as their annotations stand.

    Raises ProjectError, QuPathError where there is no QuPath to read them, and as `export_tiles`.
    """
    project = read_project(path, slides=slides)
    info = find_qupath()
    if info is None:
        raise QuPathError(
            "a project's annotations are read through QuPath, and none was found; install it, or export them as "
            "GeoJSON and use: glomseg export-tiles SLIDE --geojson FILE -o DIR"
        )
    places = tile_folders([(image.entry_id, image.name) for image in project.images])
    sources: list[TileSource] = []
    problems: list[str] = []
    with qupath_process() as qupath:
        for image, place in zip(project.images, places, strict=True):
            progress(image.name)
            try:
                sources += _source(qupath, project, image, place)
            except GlomsegError as error:
                problems.append(f"{image.name}: {error}")
    if not sources and problems:
        raise TrainingError("; ".join(problems))
    export = export_tiles(
        sources,
        folder,
        settings,
        project=project.folder.name,
        version=info.version,
        colors={item.name: item.color for item in project.classes if item.color},
        progress=progress,
    )
    return replace(export, problems=(*problems, *export.problems))


def _source(qupath: QuPathProcess, project: Project, image: ProjectImage, place: str) -> list[TileSource]:
    """Read one image; none where it is not annotated, so that nobody is told of problems with it."""
    objects = tuple(qupath.call(read_annotations, project.path, image.entry_id))
    reviewed = REVIEWED in image.metadata
    if not objects and not reviewed:
        return []
    if image.path is None or image.problem:
        raise TrainingError(image.problem or "the image was not found; name its folder with --slides")
    mpp = (image.mpp_x, image.mpp_y) if image.mpp_x and image.mpp_y else None
    return [TileSource(name=image.name, path=image.path, objects=objects, mpp=mpp, reviewed=reviewed, folder=place)]
