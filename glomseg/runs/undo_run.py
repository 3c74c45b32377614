"""Take back what a run changed in the project, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import ProjectError, RunError
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.objects import PathObject
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state, read_project
from glomseg.qupath.write_mark import NOTHING, mark_of, new_mark, stand_of
from glomseg.runs.backups import backup_folder
from glomseg.runs.changes import Place, Written, last_changes, next_path, outcome_of, runs_in, taken_back_at, writes_in
from glomseg.runs.each_image import (
    WriteOptions,
    doubt,
    heed_loss,
    merging,
    reachable,
    recording,
    refuse_saved_over,
    standing_after,
)
from glomseg.runs.image_record import ImageRecord, Outcome, Undone
from glomseg.runs.listener import Listener, keeping
from glomseg.runs.lock import locked
from glomseg.runs.lost_writes import written_at
from glomseg.runs.memory import memory_path, read_memory
from glomseg.runs.ownership import RUN
from glomseg.runs.result import RunResult
from glomseg.runs.run import FOLDER, Run, forget_unchanged, instant, now
from glomseg.runs.run_list import find_run, list_runs
from glomseg.runs.same_image import other_scale, refuse_missing_data, under_its_name
from glomseg.runs.undo import fold
from glomseg.runs.write_image import Target, WrittenImage, undo_image


def undo_run(
    project: Path, run: str | None = None, options: WriteOptions | None = None, *, listener: Listener | None = None
) -> RunResult:
    """Take back what a run, by default the last one brought in, changed in its project.

    The result holds the images that it had changed. Raises RunError where there are none, and otherwise as
    `collect_run`. The text of a KeyboardInterrupt names the run that is taken back.
    """
    options = options or WriteOptions()
    listener, remarks = keeping(listener)
    read = read_project(project, slides=options.slides)
    runs_folder = read.folder / FOLDER
    chosen: Run | None = None
    try:
        with locked(runs_folder):
            chosen = find_run(runs_folder, run) if run else last_collected(read, runs_folder)
            for problem in chosen.problems:
                listener.warning(problem)
            entry_ids = _undo_images(read, chosen, options, listener)
    except KeyboardInterrupt as error:
        if chosen is None:
            raise
        raise KeyboardInterrupt(  # without its name, the same command would go on with the run before
            f"each image is as it was, or taken back; the rest is taken back by: glomseg undo PROJECT {chosen.run_id}"
        ) from error
    return RunResult(run=chosen, entry_ids=entry_ids, remarks=tuple(remarks))


@dataclass(frozen=True, kw_only=True)
class UndoPreview:
    """The run that an undo would take back, and how many outlines it brought into each image where it stands last.

    `left` says why of the other images that it changed, by entry id.
    """

    run: Run
    outlines: Mapping[str, int]
    left: Mapping[str, str]


def preview_undo(project: Path, run: str | None = None, *, slides: Sequence[Path] = ()) -> UndoPreview:
    """Tell what `undo_run` would take back, and what not and why; changes nothing.

    Images that moved are looked for under `slides`. Raises RunError where there is nothing to take back.
    """
    read = read_project(project, slides=slides)
    runs_folder = read.folder / FOLDER
    chosen = find_run(runs_folder, run) if run else last_collected(read, runs_folder)
    images = {image.entry_id: image for image in read.images}
    outlines, left = {}, {}
    for entry_id in _changed_by(chosen, read):
        try:
            image, _ = reachable(images.get(entry_id))
            writes = _writes_of(chosen, image, image_state(image))
            outlines[entry_id] = len(fold([written.change for written in writes]).added)
        except (RunError, ProjectError) as error:
            left[entry_id] = str(error)
    if not outlines:
        why = f" ({'; '.join(dict.fromkeys(left.values()))})" if left else ""
        raise RunError(f"nothing that run {chosen.run_id} changed can be taken back{why}; see: glomseg status PROJECT")
    return UndoPreview(run=chosen, outlines=outlines, left=left)


def _changed_by(run: Run, project: Project) -> tuple[str, ...]:
    """Name the images that a run changed, and duplicates of these in which it stands last, by entry id.

    From then on they go by their names of now, and a duplicate that was made after the run is among its records.
    """
    changed = [key for key in run.images if (run.folder / "changes" / key).is_dir()]
    copies = [
        image
        for image in project.images
        if image.entry_id not in changed
        and runs_in(run.folder.parent, image.entry_id, image.data_folder)[:1] == [run.run_id]
    ]
    for image in copies:
        run.images.setdefault(image.entry_id, ImageRecord(name=image.name))
    for image in project.images:
        if image.entry_id in changed:
            run.images[image.entry_id] = under_its_name(run.images[image.entry_id], image)
    return (*changed, *(image.entry_id for image in copies))


def _undo_images(project: Project, run: Run, options: WriteOptions, listener: Listener) -> tuple[str, ...]:
    """Take back what a run changed, image by image; returns the ids of those where it was not taken back before."""
    images = {image.entry_id: image for image in project.images}
    entry_ids = _changed_by(run, project)
    if not entry_ids:
        raise RunError(f"run {run.run_id} has changed nothing that could be undone; see: glomseg status PROJECT")
    before: list[str] = []
    undone: list[ProjectImage] = []
    listener.waiting("QuPath is starting")
    with qupath_process() as qupath:
        for entry_id in entry_ids:
            record = run.images[entry_id]
            listener.in_project(record.name)
            with recording(run, entry_id, Outcome.NOT_UNDONE, options.on_conflict):
                image, path = reachable(images.get(entry_id))
                refuse_missing_data(image, [run], run.folder.parent)
                try:
                    doubtful = _undo(qupath, project, run, image, path, options, listener)
                except _StandsAsBefore:
                    said = record.undone or _killed_after(run, image)
                    if said is None:
                        raise
                    before.append(entry_id)
                    run.update(
                        entry_id,
                        replace(record, collected=None, undone=said, outcome=None, reason=None, conflict=False),
                    )
                    listener.warning(f"{image.name}: taken back before; left as it stands")
                    continue
                if doubtful:
                    listener.warning(f"{image.name}: {doubt(doubtful)}")
                undone.append(image)
    for image in undone:
        with recording(run, image.entry_id, Outcome.NOT_UNDONE, options.on_conflict):
            refuse_saved_over(image, run, stands=False)
    if len(before) == len(entry_ids):
        raise RunError(f"run {run.run_id} was taken back before, in all its images; nothing to undo")
    return tuple(entry_id for entry_id in entry_ids if entry_id not in before)


def _killed_after(run: Run, image: ProjectImage) -> Undone | None:
    """Return what is to be written down of an undo whose process was killed when the image was written."""
    at = taken_back_at(run.folder.parent, image.entry_id, image.data_folder, run.run_id)
    return None if at is None else Undone(at=now())


class _StandsAsBefore(RunError):
    """An image stands as before the run that is to be taken back."""


def last_collected(project: Project, runs_folder: Path) -> Run:
    """Find the run that changed the project last and was not undone.

    Raises RunError where there is none, and where the last is not known, as the record of one is damaged, or the data
    of an image cannot be read.
    """
    runs = {run.run_id: (number, run) for number, run in enumerate(list_runs(runs_folder))}
    last: tuple[float, int] | None = None
    for image in project.images:
        for written in writes_in(runs_folder, image.entry_id, image.data_folder)[:1]:
            run_id = written.change.run
            if run_id not in runs:
                record = runs_folder / run_id / "run.json"
                raise RunError(
                    f"run {run_id} changed {image.name} last, and {record} is damaged or gone, "
                    "so which run is the last is not known; name another one that is to be undone, or bring a backup "
                    f"back: `glomseg restore PROJECT {image.entry_id}` lists them"
                )
            number, run = runs[run_id]
            last = max(last or (0.0, -1), (_made_at(written, run, image), number))
    _refuse_unread(project, runs_folder, [run for _, run in runs.values()], 0.0 if last is None else last[0])
    if last is None:
        _refuse_lost(project, runs_folder)
        raise RunError(f"no run in {runs_folder} has changed the project; nothing to undo")
    return next(run for number, run in runs.values() if number == last[1])


def _made_at(written: Written, run: Run, image: ProjectImage) -> float:
    """Return when a write was made, in seconds since 1970, at the earliest; the records of before do not say it.

    A process that is killed, and the script in QuPath, leave no word of it in the run's own record.
    """
    record = run.images.get(image.entry_id, ImageRecord())
    return instant(written.at or (record.collected.at if record.collected else run.started))


def _refuse_unread(project: Project, runs_folder: Path, runs: Sequence[Run], last: float) -> None:
    """Raise RunError where data cannot be read into which a run was brought after `last`."""
    for image in project.images:
        try:
            refuse_missing_data(image, runs, runs_folder)
            readable_data(image.data_folder)
        except ProjectError as error:
            written = [(written_at(run, image.entry_id) or 0.0, run.run_id) for run in runs]
            later = [run_id for at, run_id in sorted(written) if at > last]
            if later:
                after = " after the others" if last else ""
                raise RunError(
                    f"run {later[-1]} changed {image.name}{after}, and {error}; or name the run that is to be undone: "
                    "glomseg undo PROJECT RUN"
                ) from error


def _refuse_lost(project: Project, runs_folder: Path) -> None:
    """Raise RunError where outlines of ours stand in an image, and the record of that write is gone."""
    for image in project.images:
        try:
            mark = mark_of(readable_data(image.data_folder))
        except ProjectError:
            continue
        last_changes(runs_folder, image.entry_id, mark, None)


def _undo(
    qupath: QuPathProcess,
    project: Project,
    run: Run,
    image: ProjectImage,
    path: Path,
    options: WriteOptions,
    listener: Listener,
) -> tuple[PathObject, ...]:
    """Take back what the run changed in one image; returns the deletions that were not believed."""

    came_back: list[PathObject] = []

    def write(state: ImageState) -> WrittenImage:
        last = _writes_of(run, image, state)
        change = fold([written.change for written in last])
        came_back[:] = change.removed
        memory = read_memory(run.folder.parent, image.entry_id, image.data_folder)
        if said := heed_loss(memory, image, forget_rejections=True):
            listener.warning(f"{image.name}: {said}")
        return qupath.call(
            undo_image,
            _target(project, run, image, path, state, stands_as=last[0].previous),
            change,
            memory=memory,
            believe_deletions=options.believe_deletions,
        )

    written = merging(options.on_conflict, image, image_state(image), write)
    for said in _other_scales(came_back, run.folder.parent, image) if written.added else []:
        listener.warning(f"{image.name}: of the outlines that came back, {said}")
    undone = Undone(
        at=now(),
        removed=written.removed,
        restored=written.added,
        left_to_a_persons=written.dropped_person,
        left_as_rejected=written.dropped_rejected,
        left_alone=dict(written.persons),
    )
    record = replace(
        run.images[image.entry_id], collected=None, standing=standing_after(written), undone=undone, outcome=None,
        reason=None, conflict=False,
    )  # fmt: skip
    run.update(image.entry_id, record)
    forget_unchanged(run.folder.parent, image.entry_id)
    return written.doubtful


def _other_scales(items: Iterable[PathObject], runs_folder: Path, image: ProjectImage) -> list[str]:
    """Say with which other pixel size the runs of some outlines measured them, as `other_scale` does."""
    names = {item.metadata.get(RUN) for item in items}
    records = [(run.run_id, run.images.get(image.entry_id)) for run in list_runs(runs_folder) if run.run_id in names]
    said = [other_scale(record, run_id, image) for run_id, record in records if record is not None]
    return [text for text in said if text is not None]


def _writes_of(run: Run, image: ProjectImage, state: ImageState) -> list[Written]:
    """Return what the run wrote last into an image; raises RunError where another run was after it, or it was not."""
    last = last_changes(run.folder.parent, image.entry_id, mark_of(readable_data(image.data_folder)), state.sha256)
    if last and last[-1].change.run != run.run_id:
        if run.run_id not in runs_in(run.folder.parent, image.entry_id, image.data_folder):
            raise _StandsAsBefore(f"nothing of run {run.run_id} stands in the image; nothing to undo")
        later = last[-1].change.run
        raise RunError(f"run {later} changed the image after it; undo that one first: glomseg undo PROJECT {later}")
    if not last:
        raise _StandsAsBefore(f"the image stands as before run {run.run_id}; nothing to undo")
    return last


def _target(
    project: Project, run: Run, image: ProjectImage, path: Path, state: ImageState, *, stands_as: str | None
) -> Target:
    """Say where to write, and under which mark that is kept; `stands_as` is the write that is brought back."""
    entry_id, runs_folder, mark = image.entry_id, run.folder.parent, new_mark()
    data = readable_data(image.data_folder)
    stood = stand_of(data)
    place = Place(
        run=run.run_id,
        path=next_path(run.folder, entry_id),
        memory=memory_path(runs_folder, entry_id, mark),
        mark=mark,
        previous=mark_of(data),
        kind="undo",
        stands_as=stands_as,
        outcome=outcome_of(runs_folder, entry_id, stands_as),
        stood=None if stood == NOTHING else stood,
    )
    return Target(
        project_path=project.path,
        entry_id=entry_id,
        image_path=path,
        state=state,
        backup_folder=backup_folder(runs_folder, entry_id, "undo"),
        place=place,
    )
