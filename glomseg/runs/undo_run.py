"""Take back what a run changed in the project, image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from glomseg.errors import RunError
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import Project, ProjectImage, image_state, read_project
from glomseg.runs import changes as history
from glomseg.runs.each_image import WriteOptions, merging, reachable, recording, standing_after
from glomseg.runs.image_record import Outcome, Undone
from glomseg.runs.listener import Listener
from glomseg.runs.plan import FOLDER
from glomseg.runs.result import RunResult
from glomseg.runs.run import Run, find_run, instant, list_runs, locked, now
from glomseg.runs.undo import fold
from glomseg.runs.write_image import undo_image


def undo_run(
    project: Path, run: str | None = None, options: WriteOptions | None = None, *, listener: Listener | None = None
) -> RunResult:
    """Take back what a run, by default the last one brought in, changed in its project.

    The result holds the images that it had changed. Raises RunError where there are none, and otherwise as
    `collect_run`.
    """
    options, listener = options or WriteOptions(), listener or Listener()
    read = read_project(project, slides=options.slides)
    runs_folder = read.folder / FOLDER
    with locked(runs_folder):
        chosen = find_run(runs_folder, run) if run else last_collected(runs_folder)
        entry_ids = _changed_by(chosen)
        if not entry_ids:
            raise RunError(f"run {chosen.run_id} has changed nothing that could be undone; see: glomseg status PROJECT")
        images = {image.entry_id: image for image in read.images}
        listener.waiting("QuPath is starting")
        with qupath_process() as qupath:
            for entry_id in entry_ids:
                listener.in_project(chosen.images[entry_id].name)
                with recording(chosen, entry_id, Outcome.NOT_UNDONE, options.on_conflict):
                    image, path = reachable(images.get(entry_id))
                    _undo(qupath, read, chosen, image, path, options)
    return RunResult(run=chosen, entry_ids=entry_ids)


def last_collected(runs_folder: Path) -> Run:
    """Find the run that changed the project last and was not undone; raises RunError where there is none."""
    times = [
        (instant(record.collected.at), number, run)
        for number, run in enumerate(list_runs(runs_folder))
        for entry_id, record in run.images.items()
        if record.collected is not None and entry_id in _changed_by(run)
    ]
    if not times:
        raise RunError(f"no run in {runs_folder} has changed the project; nothing to undo")
    return max(times)[2]


def _changed_by(run: Run) -> tuple[str, ...]:
    return tuple(key for key in run.images if any((run.folder / "changes" / key).glob("*.json")))


def _undo(
    qupath: QuPathProcess, project: Project, run: Run, image: ProjectImage, path: Path, options: WriteOptions
) -> None:
    entry_id, runs_folder = image.entry_id, run.folder.parent
    state = image_state(image)
    history.drop_undone(runs_folder, entry_id, state.sha256)
    changes = history.last_changes(runs_folder, entry_id)
    if changes and changes[-1][1].run != run.run_id:
        later = changes[-1][1].run
        raise RunError(f"run {later} changed the image after it; undo that one first: glomseg undo PROJECT {later}")
    if not changes:
        raise RunError(f"the image stands as before run {run.run_id}; nothing to undo")
    written = merging(
        options.on_conflict,
        image,
        state,
        lambda state: qupath.call(
            undo_image,
            project.path,
            entry_id,
            path,
            fold([change for _, change in changes]),
            expected_state=state,
            backup_folder=history.backup_folder(runs_folder, entry_id, "undo"),
            memory=history.memory_path(runs_folder, entry_id),
        ),
    )
    history.write_memory(runs_folder, entry_id, written.remember)
    for change_path, _ in reversed(changes):
        change_path.unlink()
    undone = Undone(
        at=now(),
        removed=written.removed,
        restored=written.added,
        left_to_a_persons=written.dropped_person,
        left_as_rejected=written.dropped_rejected,
    )
    record = replace(
        run.images[entry_id], collected=None, standing=standing_after(written), undone=undone, outcome=None,
        reason=None, conflict=False,
    )  # fmt: skip
    run.update(entry_id, record)
