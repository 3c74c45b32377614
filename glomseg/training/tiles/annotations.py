"""Where the annotations to export come from: a QuPath project, or a slide and its GeoJSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import GlomsegError, QuPathError, TrainingError
from glomseg.progress import ProgressText
from glomseg.qupath.annotations import AnnotatedImage, read_annotated_slide
from glomseg.qupath.process import find_qupath
from glomseg.qupath.project import read_project, usable_path
from glomseg.qupath.same_slides import same_slides
from glomseg.runs.reviewed import deletions_of, read_own_annotations, readable_runs
from glomseg.runs.run import FOLDER
from glomseg.training.tiles.choice import tile_folders
from glomseg.training.tiles.export import Export, export_tiles
from glomseg.training.tiles.plan import ExportSettings, TileRequest


def export_slide(
    slide: Path, geojson: Path, folder: Path, settings: ExportSettings, *, progress: ProgressText = lambda name: None
) -> Export:
    """Export the tiles of one slide with the annotations of a GeoJSON file; raises GeoJSONError, TrainingError."""
    image = read_annotated_slide(slide, geojson)
    return export_tiles([TileRequest(image=image)], folder, settings, progress=progress)


def export_project(
    path: Path,
    folder: Path,
    settings: ExportSettings,
    *,
    slides: Sequence[Path] = (),
    believe_deletions: bool = False,
    progress: ProgressText = lambda name: None,
) -> Export:
    """Export the tiles of a project's images as their annotations stand.

    What is marked as reviewed and no review is among the problems, such as an image from which all outlines of a run
    are gone at once, unless `believe_deletions` says that it was on purpose: all of it would be background.
    Raises ProjectError, QuPathError where there is no QuPath to read them, and as `export_tiles`.
    """
    project = read_project(path, slides=slides)
    info = find_qupath()
    if info is None:
        raise QuPathError(
            "a project's annotations are read through QuPath, and none was found; install it, or export them as "
            "GeoJSON and use: glomseg export-tiles SLIDE --geojson FILE -o DIR"
        )
    same = same_slides(project.images)
    images = same.left(project.images)
    places = tile_folders([(image.entry_id, image.name) for image in images])
    requests: list[TileRequest] = []
    problems: list[str] = []
    runs, left_alone = readable_runs(project)
    remarks = [*same.remarks(project.images), *left_alone]
    for image, place in zip(read_own_annotations(project, images, progress=progress), places, strict=True):
        try:
            asked = _request(image, place)
            if asked and image.is_reviewed:
                deletions_of(image, runs, project.folder / FOLDER, remarks, believe=believe_deletions)
            requests += asked
        except GlomsegError as error:
            problems.append(f"{image.name}: {error}")
    if problems and not any(request.reviewed or not settings.reviewed_only for request in requests):
        raise TrainingError("; ".join(problems))
    export = export_tiles(
        requests,
        folder,
        settings,
        project=project.folder.name,
        version=info.version,
        colors={item.name: item.color for item in project.classes if item.color},
        progress=progress,
    )
    return replace(
        export,
        problems=(*problems, *export.problems),
        remarks=(*remarks, *export.remarks),
    )


def _request(image: AnnotatedImage, place: str) -> list[TileRequest]:
    """Ask for the tiles of one image; none where it is not annotated, so that nobody is told of problems with it."""
    if image.data_problem is not None:
        raise TrainingError(image.data_problem)
    if not image.objects and not image.is_reviewed:
        return []
    usable_path(image.path, image.problem)
    return [TileRequest(image=image, folder=place)]
