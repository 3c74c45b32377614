"""Two sides of one project: its images are known by their ids there, whatever they were called when a run saw them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from glomseg.errors import EvaluationError
from glomseg.evaluation.projects import Side, find_side, is_project
from glomseg.labelled.find_files import Source
from glomseg.qupath.project import project_file, read_project
from glomseg.runs.run import FOLDER, RECORD, load_run
from glomseg.runs.same_image import another_image


def find_sides(predicted: Path, truth: Path, *, slides: Sequence[Path] = ()) -> tuple[Side, Side]:
    """List what both sides stand for, as `find_side` does.

    A run goes by the names of now in its project, images of one name there by their ids as well, and two runs of one
    project by what the second called them.
    """
    ours = find_side(predicted, slides=slides)
    theirs = ours if truth == predicted else find_side(truth, slides=slides)
    if is_project(truth) and is_project(predicted) and _file(truth) == _file(predicted):
        return _told_apart(ours), _told_apart(theirs)
    if is_project(truth) and _is_run_of(predicted, truth):
        theirs = _told_apart(theirs)
        return _under_names_of(theirs, ours, predicted, truth, slides), theirs
    if is_project(predicted) and _is_run_of(truth, predicted):
        ours = _told_apart(ours)
        return ours, _under_names_of(ours, theirs, truth, predicted, slides)
    if truth != predicted and _project_of(predicted) is not None and _project_of(predicted) == _project_of(truth):
        theirs = _told_apart(theirs)
        return _named_as(theirs, ours), theirs
    return ours, theirs


def _file(project: Path) -> Path:
    return project_file(project).resolve()


def _is_run_of(path: Path, project: Path) -> bool:
    """Tell whether a path names a run of a project; its folder may be a link."""
    folder = (project_file(project).parent / FOLDER).resolve()
    return (path / RECORD).is_file() and folder in (path.resolve().parent, path.absolute().parent.resolve())


def _project_of(path: Path) -> Path | None:
    """Return the folder of the project that a path names a run of; None for what is no run of one."""
    folder = path.absolute().parent.resolve()
    is_run = (path / RECORD).is_file() and folder.name == FOLDER and any(folder.parent.glob("*.qpproj"))
    return folder.parent if is_run else None


def _named_as(other: Side, side: Side) -> Side:
    """Give the images of a run the names that another run of the project gave them; others are left out, and said."""
    names = {_entry_id(source): source for source in other.sources}
    known = [(source, names[_entry_id(source)]) for source in side.sources if _entry_id(source) in names]
    left = [source.stem for source in side.sources if _entry_id(source) not in names]
    if not known:
        raise EvaluationError("the two runs looked at no image of the project both; name two that did")
    return Side(
        sources=tuple(replace(source, stem=same.stem, folders=same.folders) for source, same in known),
        remarks=(*side.remarks, *(f"{stem}: the other run did not look at it; left out" for stem in left)),
    )


def _told_apart(side: Side) -> Side:
    names = Counter(source.stem for source in side.sources)
    return replace(
        side,
        sources=tuple(
            replace(source, stem=f"{source.stem} (id {_entry_id(source)})", folders=())
            if names[source.stem] > 1
            else source
            for source in side.sources
        ),
    )


def _under_names_of(of_project: Side, side: Side, run_folder: Path, path: Path, slides: Sequence[Path]) -> Side:
    """Give the images of a run the names that they have in its project now; one that is not there is left out."""
    names = {_entry_id(source): source.stem for source in of_project.sources}
    images = {image.entry_id: image for image in read_project(path, slides=slides).images}
    records = load_run(run_folder).images
    kept, remarks = list[Source](), list[str]()
    for source in side.sources:
        entry_id = _entry_id(source)
        image = images.get(entry_id)
        if image is None:
            remarks.append(f"{source.stem}: no image of the project any more; left out")
        elif other := another_image(records[entry_id], image):
            remarks.append(
                f"{source.stem}: the run looked at another image under its id, {entry_id} ({other}); left out"
            )
        elif entry_id in names:
            kept.append(replace(source, stem=names[entry_id], folders=()))
        else:
            remarks.append(f"{source.stem}: not among the images of the project that are compared; left out")
    if not kept:
        raise EvaluationError(f"no image that {run_folder} looked at can be compared: {'; '.join(remarks[:3])}")
    return replace(side, sources=tuple(kept), remarks=(*side.remarks, *remarks))


def _entry_id(source: Source) -> str:
    return source.annotated.entry_id if source.annotated is not None else ""
