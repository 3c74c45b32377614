"""From the run folder into the QuPath project: the second stage, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.qupath.image_data import readable_data, say_other_copies
from glomseg.qupath.objects import PathObject
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state, read_project
from glomseg.qupath.same_slides import same_slides
from glomseg.qupath.write_mark import mark_of, new_mark
from glomseg.runs.area import processed_area
from glomseg.runs.backups import backup_before_run
from glomseg.runs.changes import Place, next_path
from glomseg.runs.each_image import (
    WriteOptions,
    doubt,
    heed_loss,
    merging,
    reachable,
    recording,
    refuse_saved_over,
    same_image,
    standing_after,
)
from glomseg.runs.image_record import Collected, Outcome
from glomseg.runs.listener import Listener, keeping
from glomseg.runs.lock import locked
from glomseg.runs.memory import memory_path, read_memory
from glomseg.runs.predictions import read_predictions
from glomseg.runs.result import RunResult
from glomseg.runs.run import FOLDER, Run, now
from glomseg.runs.run_list import find_run, list_runs
from glomseg.runs.same_image import other_file, other_scale, refuse_data_of_another, refuse_missing_data, under_its_name
from glomseg.runs.write_image import Target, WrittenImage, collect_image


def collect_run(
    project: Path, run: str | None = None, options: WriteOptions | None = None, *, listener: Listener | None = None
) -> RunResult:
    """Bring the outlines of a run, the newest by default, into its project as annotations.

    How each image went stands in its record. Raises ProjectError, RunError, QuPathError where there is no QuPath, and
    ConflictError where somebody else saved an image meanwhile and `options` says to stop there.
    """
    options = options or WriteOptions()
    listener, remarks = keeping(listener)
    read = read_project(project, slides=options.slides)
    with locked(read.folder / FOLDER):
        chosen = find_run(read.folder / FOLDER, run)
        for problem in chosen.problems:
            listener.warning(problem)
        entry_ids = _one_of_each_slide(read, chosen, listener)
        collect_images(read, chosen, entry_ids, states={}, options=options, listener=listener)
    return RunResult(run=chosen, entry_ids=entry_ids, remarks=tuple(remarks))


def _one_of_each_slide(project: Project, run: Run, listener: Listener) -> tuple[str, ...]:
    """Leave out by name the other levels of a slide, which runs of before took for slides of their own.

    One whose slide the run did not segment by the image that stands for it is recorded as not collected.
    """
    same = same_slides(project.images)
    left = []
    for entry_id, record in run.images.items():
        whole = same.stand_for.get(entry_id)
        if whole is None:
            left.append(entry_id)
        elif run.has_result(whole):
            listener.warning(f"{record.name}: {same.other_levels[entry_id]}; left out")
        elif record.is_done:
            with recording(run, entry_id, Outcome.NOT_COLLECTED, "skip"):
                raise ProjectError(f"{same.other_levels[entry_id]}, which counts for all; annotate that one")
            left.append(entry_id)
    return tuple(left)


def collect_images(
    project: Project,
    run: Run,
    entry_ids: Iterable[str],
    *,
    states: Mapping[str, ImageState],
    options: WriteOptions,
    listener: Listener | None = None,
) -> None:
    """Bring what `run` found in these images into the project, whose lock the caller holds; raises as `collect_run`.

    `states` says how an image's data stood when it was read; for an image that is not in it, that is now.
    """
    listener = listener or Listener()
    images = {image.entry_id: image for image in project.images}
    other_levels = same_slides(project.images).other_levels
    runs = list_runs(project.folder / FOLDER)
    changed: list[ProjectImage] = []
    listener.waiting("QuPath is starting")
    with qupath_process() as qupath:
        for entry_id in entry_ids:
            record = run.images.get(entry_id)
            if record is None or not record.is_done or entry_id in other_levels:
                continue
            listener.in_project(record.name)
            with recording(run, entry_id, Outcome.NOT_COLLECTED, options.on_conflict):
                image, path = reachable(images.get(entry_id))
                same_image(image, run)
                refuse_data_of_another(image, runs, project.folder / FOLDER)
                refuse_missing_data(image, runs, project.folder / FOLDER)
                run.images[entry_id] = record = under_its_name(record, image)
                state = states.get(entry_id) or image_state(image)
                predictions, problems = read_predictions(run, entry_id)
                others = [tell(record, run.run_id, image) for tell in (other_file, other_scale)]
                for problem in (*problems, *filter(None, others), *say_other_copies(image.data_folder)):
                    listener.warning(f"{record.name}: {problem}")
                write = _Collect(qupath, project, run, image, path, tuple(predictions), options, listener)
                written = merging(options.on_conflict, image, state, write)
                _keep(run, entry_id, written)
                changed += [image] if written.changed else []
                if written.doubtful:
                    listener.warning(f"{record.name}: {doubt(written.doubtful)}")
    for image in changed:
        with recording(run, image.entry_id, Outcome.NOT_COLLECTED, options.on_conflict):
            refuse_saved_over(image, run, stands=True)


@dataclass(frozen=True)
class _Collect:
    """The collect of one image, which may be tried again."""

    qupath: QuPathProcess
    project: Project
    run: Run
    image: ProjectImage
    path: Path
    predictions: tuple[PathObject, ...]
    options: WriteOptions
    listener: Listener

    def __call__(self, state: ImageState) -> WrittenImage:
        entry_id, runs_folder = self.image.entry_id, self.run.folder.parent
        memory = read_memory(runs_folder, entry_id, self.image.data_folder)
        if said := heed_loss(memory, self.image, forget_rejections=self.options.forget_rejections):
            self.listener.warning(f"{self.image.name}: {said}")
        return self.qupath.call(
            collect_image,
            self._target(state),
            self.predictions,
            processed_area=processed_area(self.run, entry_id),
            memory=memory,
            forget_rejections=self.options.forget_rejections,
            believe_deletions=self.options.believe_deletions,
        )

    def _target(self, state: ImageState) -> Target:
        entry_id, run, mark = self.image.entry_id, self.run, new_mark()
        place = Place(
            run=run.run_id,
            path=next_path(run.folder, entry_id),
            memory=memory_path(run.folder.parent, entry_id, mark),
            mark=mark,
            previous=mark_of(readable_data(self.image.data_folder)),
        )
        return Target(
            project_path=self.project.path,
            entry_id=entry_id,
            image_path=self.path,
            state=state,
            backup_folder=backup_before_run(run.folder, entry_id),
            place=place,
        )


def _keep(run: Run, entry_id: str, written: WrittenImage) -> None:
    """Keep what was written of an image."""
    collected = Collected(
        at=now(),
        added=written.added,
        removed=written.removed,
        kept=written.kept,
        dropped_for_a_persons=written.dropped_person,
        dropped_as_rejected=written.dropped_rejected,
        dropped_outside=written.dropped_outside,
        deletions_not_believed=len(written.doubtful),
        left_out=dict(written.left_out),
        left_alone=dict(written.persons),
        image_moved=written.moved,
    )
    record = replace(
        run.images[entry_id], collected=collected, standing=standing_after(written), undone=None, outcome=None,
        reason=None, conflict=False,
    )  # fmt: skip
    run.update(entry_id, record)
