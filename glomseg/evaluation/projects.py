"""A QuPath project as one side of a comparison, and as data to predict on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glomseg.labelled.pairs import Source, find_labels, stem_of
from glomseg.qupath.java import read_annotations
from glomseg.qupath.process import qupath_process
from glomseg.qupath.project import Project, read_project


def is_project(path: Path) -> bool:
    """Tell whether a path names a QuPath project."""
    return path.suffix == ".qpproj" or (path / "project.qpproj").is_file()


def find_side(path: Path, *, slides: Sequence[Path] = ()) -> list[Source]:
    """List what a project, a run folder, a folder or a file stands for; raises EvaluationError, ProjectError.

    A project is read through QuPath: raises QuPathError where there is none.
    """
    return project_sources(read_project(path, slides=slides)) if is_project(path) else find_labels(path)


def project_sources(project: Project) -> list[Source]:
    """Read the annotations of all images of a project; raises QuPathError, ProjectError."""
    with qupath_process() as qupath:
        return [
            Source(
                path=project.path,
                stem=stem_of(Path(image.name)),
                size=(image.width, image.height) if image.width and image.height else None,
                mpp=(image.mpp_x, image.mpp_y) if image.mpp_x and image.mpp_y else None,
                image=image.path,
                objects=tuple(qupath.call(read_annotations, project.path, image.entry_id)),
            )
            for image in project.images
        ]
