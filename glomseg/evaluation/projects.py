"""A QuPath project as one side of a comparison, and as data to predict on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.labelled.find_files import Source, find_labels
from glomseg.labelled.names import stem_of
from glomseg.qupath.annotations import AnnotatedImage, read_annotated_images
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
    return [_source(project, image) for image in read_annotated_images(project)]


def _source(project: Project, image: AnnotatedImage) -> Source:
    """Turn an image into one side's labels; raises ProjectError where its annotations could not be read."""
    if image.data_problem is not None:
        raise ProjectError(f"{image.name}: {image.data_problem}")
    return Source(
        path=project.path,
        stem=stem_of(Path(image.name)),
        annotated=image,
    )
