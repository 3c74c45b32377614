"""What stands where in a project, from its files; what people changed since the last run is read through QuPath."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from glomseg.errors import GlomsegError, ProjectError
from glomseg.listing import first_names
from glomseg.qupath.annotations import AnnotatedImage, check_as_read, read_annotated_images
from glomseg.qupath.image_data import DATA, has_hole, readable_data, say_other_copies
from glomseg.qupath.process import find_qupath
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state, read_project
from glomseg.qupath.review_mark import (
    REVIEWED,
    is_mark_lost,
    is_review_outdated,
    progress_of,
    say_mark_lost,
    say_outdated,
)
from glomseg.qupath.same_slides import same_slides
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.adapted_model import AdaptedTo, model_of_project, remembered_model
from glomseg.runs.changes import runs_in
from glomseg.runs.image_record import ImageRecord, Outcome, State
from glomseg.runs.lock import Holder, at_work
from glomseg.runs.lost_writes import lost_write, unrecorded_undo
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import RUN, VERDICT, Memory, owner, verdict_of
from glomseg.runs.run import FOLDER, Run, instant
from glomseg.runs.run_list import read_runs
from glomseg.runs.same_image import (
    another_image,
    other_file,
    other_scale,
    refuse_data_of_another,
    refuse_missing_data,
    say_other_projects,
    without_strangers,
)
from glomseg.runs.since import PeoplesChanges, read_changes
from glomseg.runs.whose import told_apart, with_gone_at_once

LOST = "collected, and not in the data any more"
"""State of a run whose outlines an open QuPath saved over, or that older data do not hold."""


@dataclass(frozen=True, kw_only=True)
class OwnerCounts:
    """Whose annotations stand in an image, None where that is unknown.

    `current` is False where the image was saved since these numbers were taken, at the last write by glomseg.
    """

    machine: int | None = None
    persons: int | None = None
    verdicts: Mapping[str, int] | None = None
    current: bool = False


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """How far a run got with an image, in words, and how many glomeruli it found; None where that is unknown."""

    run_id: str
    state: str
    glomeruli: int | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageStatus:
    """One image: its annotations by class, whose they are, its runs, the oldest first, and what went wrong.

    `annotations` is None where QuPath's summary is gone, or of other data or of such that cannot be read. `reviewed`
    says who marked it as fully reviewed, None where other outlines stand there than then; `review` how far it is, None
    where that is not known. `since` is what people
    changed since the last write of ours; None where that was not read, or nothing is ours.
    """

    image: ProjectImage
    annotations: Mapping[str, int] | None
    saved: datetime | None
    owners: OwnerCounts
    review: str | None
    reviewed: str | None
    runs: tuple[RunStatus, ...]
    conflict: str | None
    problem: str | None
    since: PeoplesChanges | None = None


@dataclass(frozen=True, kw_only=True)
class ProjectStatus:
    """What stands in a project, image by image, what of its runs cannot be read, and who is at work in it."""

    project: Project
    images: tuple[ImageStatus, ...]
    problems: tuple[str, ...]
    at_work: tuple[Holder, ...]
    adapted_to: AdaptedTo | None = None


def project_status(path: Path, *, slides: Sequence[Path] = (), files_only: bool = False) -> ProjectStatus:
    """Say what stands in a project; raises ProjectError. Nothing is changed.

    What people changed since the last run is read through QuPath, where one is installed and an image was saved since,
    unless `files_only` says not to.
    """
    project = read_project(path, slides=slides)
    runs_folder = project.folder / FOLDER
    runs, unreadable = read_runs(runs_folder)
    same = same_slides(project.images)
    images = [
        replace(
            image,
            problem=same.other_levels.get(image.entry_id, image.problem),
            remarks=(*image.remarks, *filter(None, [same.copies.get(image.entry_id)])),
        )
        for image in project.images
    ]
    workers = at_work(runs_folder)
    described = [describe_image(image, runs, runs_folder, is_at_work=bool(workers)) for image in images]
    if not files_only:
        described = _with_changes(project, described, runs_folder)
    problems = [*(run.problem for run in unreadable), *(problem for run in runs for problem in run.problems)]
    problems += [*_saved_over(described, project.folder), *say_other_projects(project)]
    try:
        model_of_project(project.folder)
    except GlomsegError as error:
        problems.append(str(error))
    return ProjectStatus(
        project=project,
        images=tuple(described),
        problems=tuple(problems),
        at_work=workers,
        adapted_to=remembered_model(project.folder),
    )


def _with_changes(project: Project, images: Sequence[ImageStatus], runs_folder: Path) -> list[ImageStatus]:
    """Add what people changed in the images that were saved since our last write, or that no summary tells of."""
    looked_for = [status.image for status in images if not status.owners.current or status.annotations is None]
    saved = [image for image in looked_for if any(image.data_folder.glob(f"{DATA}*"))]
    if not saved or find_qupath() is None:
        return list(images)
    annotated = {image.entry_id: image for image in read_annotated_images(project, saved)}

    def with_changes(status: ImageStatus) -> ImageStatus:
        read = annotated.get(status.image.entry_id)
        return status if read is None else _changed(status, read, runs_folder)

    return [with_changes(status) for status in images]


def _changed(status: ImageStatus, read: AnnotatedImage, runs_folder: Path) -> ImageStatus:
    if read.data_problem is not None:
        return replace(status, annotations=None, problem=status.problem or read.data_problem)
    memory = Memory()
    try:
        since = read_changes(read.objects, runs_folder, read.entry_id, status.image.data_folder)
        memory = read_memory(runs_folder, read.entry_id, status.image.data_folder)
        check_as_read(read, status.image.data_folder)
    except GlomsegError as error:
        since, status = None, replace(status, problem=status.problem or f"not known what people changed: {error}")
    told = with_gone_at_once(replace(read, remarks=status.image.remarks), memory)
    status = replace(status, image=replace(status.image, remarks=told.remarks))
    machine = [owner(item) for item in told_apart(read, memory, runs_folder).objects].count("machine")
    verdicts = Counter(verdict for item in read.objects if (verdict := verdict_of(item)))
    counts = OwnerCounts(machine=machine, persons=len(read.objects) - machine, verdicts=verdicts, current=True)
    counted = Counter(item.class_name or "Unclassified" for item in read.objects)  # as QuPath's summary says it
    annotations = counted if status.annotations is None else status.annotations
    review = progress_of(status.image.metadata, verdicts, annotations)
    return replace(status, since=since, owners=counts, annotations=annotations, review=review)


def describe_image(image: ProjectImage, runs: Sequence[Run], runs_folder: Path, *, is_at_work: bool) -> ImageStatus:
    """Gather what the project's files and the records of `runs`, the oldest first, say about an image.

    `is_at_work` says whether a glomseg works in the project now.
    """
    looked_at = [(run, run.images[image.entry_id]) for run in runs if image.entry_id in run.images]
    others = {run.run_id: other for run, record in looked_at if (other := another_image(record, image))}
    records = [(run, record) for run, record in looked_at if run.run_id not in others]
    runs = without_strangers(runs, [image])[0]
    standing = runs_in(runs_folder, image.entry_id, image.data_folder)
    lost = lost_write(runs, runs_folder, image.entry_id, image.data_folder)
    state, problem, counts = ImageState(sha256=None), image.problem, OwnerCounts()
    try:
        refuse_data_of_another(image, [run for run, _ in looked_at], runs_folder)
    except ProjectError as error:
        problem = "; ".join(filter(None, [str(error), problem]))
    is_outdated, is_lost, is_known, holes, is_half = False, False, True, False, False
    try:
        refuse_missing_data(image, runs, runs_folder)
        state = image_state(image)
        data = readable_data(image.data_folder)
        is_outdated, is_lost = is_review_outdated(image.metadata, data), is_mark_lost(image.metadata, data)
        holes = has_hole(data)
        is_half = data is not None and not (image.data_folder / DATA).is_file()  # a save: the summary tells of none
        if not holes and not is_half:  # else QuPath is asked
            counts = _owners(image, state, [record for _, record in records])
    except ProjectError as error:
        said = [text for text in (str(error), problem) if text]
        problem, is_known = "; ".join(dict.fromkeys(said)), False
    annotations = state.annotation_counts if is_known and not (holes or is_half) and not _lacks_summary(state) else None
    return ImageStatus(
        image=replace(
            image,
            remarks=(
                *image.remarks,
                *([say_outdated(image.metadata)] if is_outdated else []),
                *([say_mark_lost()] if is_lost else []),
                *([_say_holes(image)] if holes else []),
                *say_other_copies(image.data_folder),
                *_changed_since(records, image),
            ),
        ),
        annotations=annotations,
        saved=_saved(state),
        owners=counts,
        review=progress_of(image.metadata, counts.verdicts if counts.current else None, annotations),
        reviewed=None if is_outdated else image.metadata.get(REVIEWED),
        runs=tuple(
            RunStatus(
                run_id=run.run_id,
                state=_run_state(
                    run,
                    record,
                    standing,
                    lost,
                    is_taken_back=unrecorded_undo(run, image.entry_id, image.data_folder) is not None,
                    is_unchanged=run.needed_no_change(image.entry_id),
                    is_at_work=is_at_work,
                ),
                glomeruli=record.glomeruli,
                doubts=record.doubts,
            )
            for run, record in records
        )
        + tuple(RunStatus(run_id=run, state=f"of another image ({other})") for run, other in others.items()),
        conflict=next((record.reason for _, record in reversed(records) if record.outcome and record.conflict), None),
        problem=problem,
    )


def _changed_since(records: Sequence[tuple[Run, ImageRecord]], image: ProjectImage) -> list[str]:
    """Say that the file or the pixel size of an image is another than that with which the newest run looked at it."""
    done = [(record, run.run_id) for run, record in records if record.is_done and record.undone is None]
    said = [tell(*newest, image) for newest in done[-1:] for tell in (other_file, other_scale)]
    return list(filter(None, said))


def _say_holes(image: ProjectImage) -> str:
    return (
        "whole blocks of its data are zeros, as a crash or a share leaves them: look whether all is there; "
        f"`glomseg restore PROJECT {image.entry_id}` lists backups"
    )


def _lacks_summary(state: ImageState) -> bool:
    return state.sha256 is not None and state.object_count is None


def _saved(state: ImageState) -> datetime | None:
    """Tell when an image was saved, by the time of its file where QuPath's summary is gone; None for never."""
    if state.saved_ms is not None:
        return datetime.fromtimestamp(state.saved_ms / 1000)
    return None if state.modified_ns is None else datetime.fromtimestamp(state.modified_ns / 1e9)


def _owners(image: ProjectImage, state: ImageState, records: Sequence[ImageRecord]) -> OwnerCounts:
    """Say whose the annotations are: exactly where none is ours or nobody saved since the last write."""
    if state.sha256 is None:
        return OwnerCounts(machine=0, persons=0, verdicts={}, current=True)
    written = [record.standing for record in records if record.standing is not None]
    last = max(written, key=lambda standing: instant(standing.at), default=None)
    if last is not None and last.data_sha256 == state.sha256:
        return OwnerCounts(machine=last.machine, persons=last.persons, verdicts=last.verdicts, current=True)
    path = image.data_folder / "data.qpdata"
    data = path.read_bytes()  # holds text as it is, though little else is readable
    is_ours = RUN.encode() in data or mark_of(path) is not None  # also where each of our outlines was deleted since
    if last is None and not is_ours and state.object_count is not None:
        verdicts: dict[str, int] | None = None if VERDICT.encode() in data else {}
        return OwnerCounts(machine=0, persons=sum(state.annotation_counts.values()), verdicts=verdicts, current=True)
    if last is None:
        return OwnerCounts()
    return OwnerCounts(machine=last.machine, persons=last.persons, verdicts=last.verdicts)


def _saved_over(images: Sequence[ImageStatus], folder: Path) -> list[str]:
    """Name the runs whose outlines an open QuPath saved over, and what brings them in again."""
    lost: dict[str, list[str]] = {}
    for status in images:
        for run in status.runs:
            if run.state == LOST:
                lost.setdefault(run.run_id, []).append(status.image.name)
    return [
        f"run {run} is not in the data of {first_names(names)} any more: an open QuPath saved over it, or older data "
        f"were put back; `glomseg collect {folder} {run}` brings it in again, and leaves what people did since"
        for run, names in lost.items()
    ]


def _run_state(
    run: Run,
    record: ImageRecord,
    standing: Sequence[str],
    lost: str | None,
    *,
    is_taken_back: bool,
    is_unchanged: bool,
    is_at_work: bool,
) -> str:
    """Say how far a run got: what stands in the data counts, whatever the record says."""
    if record.outcome is not None:
        again = record.outcome is Outcome.NOT_COLLECTED and run.run_id in standing
        return "collected, not written again" if again else str(record.outcome)
    if run.run_id in standing:
        return "collected"
    if run.run_id == lost:
        return LOST
    if record.undone is not None or is_taken_back:
        return "undone"
    if (record.collected is not None or is_unchanged) and record.is_done:
        return "collected"
    if record.state is State.RUNNING and not is_at_work:
        return "interrupted"
    return str(record.state or "unknown")
