"""A QuPath project as one side of a comparison, and as data to predict on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import EvaluationError
from glomseg.labelled.find_files import Source, find_labels
from glomseg.labelled.label_files import Selection
from glomseg.labelled.names import stem_of
from glomseg.labelled.pairs import Missing, Pair
from glomseg.listing import first_names
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.classes import is_candidate
from glomseg.qupath.objects import PathObject
from glomseg.qupath.project import Project, read_project
from glomseg.qupath.same_slides import same_slides
from glomseg.runs.candidates import candidate_marks, was_candidate
from glomseg.runs.lost_writes import written_at
from glomseg.runs.ownership import RUN, VERDICT, owner
from glomseg.runs.reviewed import read_own_annotations
from glomseg.runs.run import FOLDER, Run
from glomseg.runs.run_list import list_runs
from glomseg.runs.whose import with_owners


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
    images = read_own_annotations(project, same.left(project.images))
    images = tuple(
        replace(image, remarks=(*image.remarks, *filter(None, [same.copies.get(image.entry_id)])))
        for image in (with_owners(image, project.folder / FOLDER) for image in images)
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


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The pairs of which somebody looked at both sides, and in words which images were left out, and what to doubt."""

    pairs: tuple[Pair, ...]
    remarks: tuple[str, ...]


def without_unseen(
    pairs: Iterable[Pair], predicted: Selection | None, true: Selection, *, missing: Missing = "refuse"
) -> Seen:
    """Leave out the images of a project that nobody looked at: what is not known is no empty image.

    As truth that is one without any outline that is asked for, and not marked as reviewed; as prediction one on which
    no run has worked that is asked for, unless `missing` scores it as empty; where `predicted` is None a model will
    predict. Raises EvaluationError where no image is left.
    """
    kept: list[Pair] = []
    remarks: list[str] = []
    untouched: list[str] = []
    parts: list[str] = []
    runs: dict[Path, list[Run]] = {}
    for pair in pairs:
        image, ours = _of_project(pair.true), pair.predicted
        if image is not None and not _is_seen(image, true):
            remarks.append(f"{pair.key}: {_NO_TRUTH}; left out")
            continue
        if ours and predicted and missing != "empty" and not _is_predicted(ours, predicted, runs):
            remarks.append(f"{pair.key}: no run or person that is asked for has worked on it; left out")
            continue
        own = _own_of(ours, predicted, runs) if ours and predicted else None
        if own and own.left_out:
            remarks.append(f"{pair.key}: {own.left_out}; left out")
        else:
            kept.append(pair)
            parts += [f"{pair.key}: {own.remark}"] if own and own.remark else []
            untouched += [pair.key] if image is not None and true.whose == "all" and not _is_judged(image, true) else []
    if remarks and not kept:
        raise EvaluationError(f"there is nothing to compare: {first_names(remarks, between='; ')}")
    if untouched:
        remarks.append(f"{_ALL_TRUE}: {', '.join(untouched)}")
    return Seen(pairs=tuple(kept), remarks=(*remarks, *parts))


_NO_TRUTH = "no outline that counts as true, and not marked as reviewed, so its truth is not known"
_ALL_TRUE = "not marked as reviewed, and nobody drew or changed an outline, so what a run put there counts as true"


def _of_project(source: Source) -> AnnotatedImage | None:
    return source.annotated if source.path.suffix == ".qpproj" else None


def _is_reviewed(image: AnnotatedImage) -> bool:
    return image.is_reviewed or bool(image.reviewed_regions)


def _is_seen(image: AnnotatedImage, asked: Selection) -> bool:
    """Tell whether somebody said something of an image: an outline that is asked for, a verdict, a mark of a review."""
    classes = any(item.class_name for item in image.objects)
    return _is_reviewed(image) or any(
        VERDICT in item.metadata or (asked.owns(item) and (asked.wants(item) or not classes)) for item in image.objects
    )


def _is_judged(image: AnnotatedImage, asked: Selection) -> bool:
    return _is_reviewed(image) or any(
        VERDICT in item.metadata or owner(item) == "person" for item in image.objects if asked.wants(item)
    )


def _is_predicted(source: Source, asked: Selection, runs: dict[Path, list[Run]]) -> bool:
    """Tell whether what is asked for worked on an image, with or without an outline that is left; `runs` are kept."""
    image = _of_project(source)
    if image is None or (asked.whose in ("all", "person") and _is_seen(image, asked)):
        return True
    if asked.whose == "person":
        return False
    run_id = asked.whose.removeprefix("run:") if asked.whose.startswith("run:") else None
    own = [item for item in image.objects if RUN in item.metadata and run_id in (None, item.metadata[RUN])]
    offered = _candidates_of(own, source, image, runs)
    if any(not was_candidate(item, offered) for item in own):
        return True
    return any(
        record.undone is None and (record.collected is not None or run.needed_no_change(image.entry_id))
        for run in _runs_of(source, runs)
        if run_id in (None, run.run_id) and (record := run.images.get(image.entry_id)) is not None
    )


@dataclass(frozen=True, kw_only=True)
class _Own:
    """What a run found on an image, and how many of it stand there as its own; others have their place, or none.

    `accepted` counts its candidates that a person took for glomeruli.
    """

    run: Run
    found: int
    standing: int
    accepted: int
    was_added: bool

    @property
    def left_out(self) -> str | None:
        """Why nothing of it can be scored; None where something was added, of which a person may have deleted all."""
        if self.standing or self.accepted or self.was_added:
            return None
        return (
            f"what run {self.run.run_id} found there ({self.found}) was not added, as it stood already or gave way to "
            f"a person's; name the run as whose it stands, or compare {self.run.folder}"
        )

    @property
    def remark(self) -> str | None:
        """What is not scored of it, and what is beside it; None where that is just what the run found."""
        left, beside = "", ""
        if self.standing < self.found:
            left = (
                f"{self.standing} of the {self.found} that run {self.run.run_id} found stand as its own; the others, "
                "which stood already, gave way to a person's or were deleted, are not scored "
                f"(compare {self.run.folder} for all)"
            )
        if self.accepted:
            beside = (
                f"candidates of run {self.run.run_id} that a person accepted are scored as its own: {self.accepted}"
            )
        return "; ".join(filter(None, [left, beside])) or None


def _own_of(source: Source, asked: Selection, runs: dict[Path, list[Run]]) -> _Own | None:
    """Tell what the run that is asked for found on an image of a project; None where no run is, or it found nothing."""
    image = _of_project(source)
    if image is None or not asked.whose.startswith("run:"):
        return None
    own = [item for item in image.objects if asked.owns(item) and not is_candidate(item.class_name)]
    offered = _candidates_of(own, source, image, runs)
    accepted = sum(was_candidate(item, offered) for item in own if asked.wants(item))
    standing = sum(not was_candidate(item, offered) for item in own)
    for run in _runs_of(source, runs):
        record = run.images.get(image.entry_id)
        if f"run:{run.run_id}" != asked.whose or record is None or record.undone is not None:
            continue
        if not (record.glomeruli or accepted):
            continue
        if own or record.collected is not None or run.needed_no_change(image.entry_id):
            was_added = written_at(run, image.entry_id) is not None
            return _Own(run=run, found=record.glomeruli or 0, standing=standing, accepted=accepted, was_added=was_added)
    return None


def _candidates_of(
    own: Sequence[PathObject], source: Source, image: AnnotatedImage, runs: dict[Path, list[Run]]
) -> frozenset[str]:
    """Return the fingerprints of the candidates of those runs to which some objects of an image belong."""
    names = {item.metadata.get(RUN) for item in own}
    of_them = [run for run in _runs_of(source, runs) if run.run_id in names and image.entry_id in run.images]
    return frozenset().union(*(candidate_marks(run, image.entry_id) for run in of_them))


def _runs_of(source: Source, runs: dict[Path, list[Run]]) -> list[Run]:
    if source.path not in runs:
        runs[source.path] = list_runs(source.path.parent / FOLDER)
    return runs[source.path]
