"""A QuPath project as one side of a comparison, and as data to predict on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, kw_only=True)
class Side:
    """The images of one side, and what was left out of them on purpose, in words."""

    sources: tuple[Source, ...]
    remarks: tuple[str, ...] = ()


def find_side(path: Path, *, slides: Sequence[Path] = ()) -> Side:
    """List what a project, a run folder, a folder or a file stands for; raises EvaluationError, ProjectError.

    A project is read through QuPath: raises QuPathError where there is none.
    """
    if is_project(path):
        return project_side(read_project(path, slides=slides))
    return Side(sources=tuple(find_labels(path)))


def project_side(project: Project) -> Side:
    """Read the annotations of all images of a project; raises QuPathError.

    Another level of the slide of one of them is left out; a second entry of one file counts and has a remark. What
    could not be read is there with its problem, see `without_unread`.
    """
    same = same_slides(project.images)
    images = read_annotated_images(project, same.left(project.images))
    images = tuple(
        replace(image, remarks=(*image.remarks, *filter(None, [same.copies.get(image.entry_id)]))) for image in images
    )
    return Side(
        sources=tuple(Source(path=project.path, stem=stem_of(Path(image.name)), annotated=image) for image in images),
        remarks=tuple(
            f"{image.name}: {same.other_levels[image.entry_id]}; left out"
            for image in project.images
            if image.entry_id in same.other_levels
        ),
    )


def without_unread(pairs: Iterable[Pair], *, pixels: bool = False) -> tuple[list[Pair], list[str]]:
    """Leave out the pairs of which a project could not read one side, and say why; raises EvaluationError for all.

    With `pixels` the images themselves are needed, as QuPath shows them: one that is turned or not there is left out.
    """
    kept, unread = [], []
    for pair in pairs:
        sides = [side.annotated for side in (pair.predicted, pair.true) if side is not None and side.annotated]
        problems = [image.data_problem or (image.problem if pixels else None) for image in sides]
        problem = next(filter(None, problems), None)
        if problem is None:
            kept.append(pair)
        else:
            unread.append(f"{pair.key}: {problem}; left out")
    if unread and not kept:
        raise EvaluationError(f"no image could be read ({unread[0]})")
    return kept, unread
