"""A QuPath project as one side of a comparison, and as data to predict on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import EvaluationError
from glomseg.labelled.find_files import Source, find_labels
from glomseg.labelled.names import stem_of
from glomseg.labelled.pairs import Pair
from glomseg.qupath.annotations import read_annotated_images
from glomseg.qupath.project import Project, read_project
from glomseg.qupath.same_slides import same_slides


def is_project(path: Path) -> bool:
    """Tell whether a path names a QuPath project."""
    return path.suffix == ".qpproj" or (path / "project.qpproj").is_file()


def find_side(path: Path, *, slides: Sequence[Path] = ()) -> list[Source]:
    """List what a project, a run folder, a folder or a file stands for; raises EvaluationError, ProjectError.

    A project is read through QuPath: raises QuPathError where there is none.
    """
    return project_sources(read_project(path, slides=slides)) if is_project(path) else find_labels(path)


def project_sources(project: Project) -> list[Source]:
    """Read the annotations of all images of a project, see `without_unread`; raises QuPathError.

    Another level of the slide of one of them has a `data_problem` that says so, a second entry of one file a remark.
    """
    same = same_slides(project.images)
    images = read_annotated_images(project)
    images = tuple(
        replace(
            image,
            data_problem=same.other_levels.get(image.entry_id, image.data_problem),
            remarks=(*image.remarks, *filter(None, [same.copies.get(image.entry_id)])),
        )
        for image in images
    )
    return [Source(path=project.path, stem=stem_of(Path(image.name)), annotated=image) for image in images]


def without_unread(pairs: Iterable[Pair]) -> tuple[list[Pair], list[str]]:
    """Leave out the pairs of which a project could not read one side, and say why; raises EvaluationError for all."""
    kept, remarks = [], []
    for pair in pairs:
        sides = [side.annotated for side in (pair.predicted, pair.true) if side is not None and side.annotated]
        problems = [image.data_problem for image in sides if image.data_problem is not None]
        if problems:
            remarks.append(f"{pair.key}: {problems[0]}; left out")
        else:
            kept.append(pair)
    if remarks and not kept:
        raise EvaluationError(f"no image could be read ({remarks[0]})")
    return kept, remarks
