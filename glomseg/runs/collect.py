"""From the run folder into the QuPath project, and back: collect a run, undo it, restore an image from a backup.

One image after another; how each went stands in the run's record. What can go wrong with an image stops that image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from glomseg.errors import ConflictError, GlomsegError, ProjectError, RunError
from glomseg.qupath.objects import read_geojson
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state
from glomseg.qupath.safe_write import copy_image_data, restore_image_data
from glomseg.runs import changes as history
from glomseg.runs.plan import processed_area
from glomseg.runs.run import Run, list_runs, now
from glomseg.runs.undo import fold
from glomseg.runs.write_image import CollectResult, collect_image, undo_image

OnConflict = Literal["stop", "skip", "merge"]

NOT_IN = "not in the project"
NOT_UNDONE = "not undone"
TRIES = 5
"""How often a merge reads an image again that others go on saving."""

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How to write into a project: whether rejections count, and what to do where somebody else saves meanwhile.

    On a conflict, `skip` leaves the image and goes on, `stop` leaves the images after it too, and `merge` reads the
    image as it is now and plans again.
    """

    forget_rejections: bool = False
    on_conflict: OnConflict = "skip"
    progress: Progress = lambda name: None


def collect_run(
    project: Project, run: Run, *, keys: Iterable[str], states: Mapping[str, ImageState], writing: Writing
) -> None:
    """Bring what `run` found in the images of these keys into the project.

    `states` says how an image's data stood when it was read; for an image that is not in it, that is now. Raises
    QuPathError where there is no QuPath, and ConflictError where a conflict is to stop.
    """
    images = {image.entry_id: image for image in project.images}
    with qupath_process() as qupath:
        for key in keys:
            record = run.images.get(key, {})
            if record.get("state") != "done":
                continue
            writing.progress(str(record["name"]))
            with _recording(run, key, NOT_IN, writing):
                image, path = _reachable(images.get(key))
                state = states.get(key) or image_state(image)
                result = _merging(writing, image, state, _Collect(qupath, project, run, image, path, writing))
                history.write_memory(run.folder.parent, key, result.remember)
                run.record(
                    key, collected=_summary(result), standing=_standing(result), undone=None, outcome=None, reason=None
                )


def undo_run(project: Project, run: Run, writing: Writing) -> list[str]:
    """Take back what `run` changed in the project; returns the keys of the images that it had changed.

    Raises RunError where it has changed none, and otherwise as `collect_run`.
    """
    images = {image.entry_id: image for image in project.images}
    keys = [key for key in run.images if any((run.folder / "changes" / key).glob("*.json"))]
    if not keys:
        raise RunError(f"run {run.run_id} has changed nothing that could be undone; see: glomseg status PROJECT")
    with qupath_process() as qupath:
        for key in keys:
            writing.progress(str(run.images[key]["name"]))
            with _recording(run, key, NOT_UNDONE, writing):
                image, path = _reachable(images.get(key))
                _undo(qupath, project, run, image, path, writing)
    return keys


def last_collected(runs_folder: Path) -> Run:
    """Find the run that changed the project last and was not undone; raises RunError where there is none."""
    found = [
        (str(record["collected"]["at"]), number, run)
        for number, run in enumerate(list_runs(runs_folder))
        for key, record in run.images.items()
        if record.get("collected") and any((run.folder / "changes" / key).glob("*.json"))
    ]
    if not found:
        raise RunError(f"no run in {runs_folder} has changed the project; nothing to undo")
    return max(found)[2]


def restore(project: Project, image: ProjectImage, name: str, runs_folder: Path) -> history.Backup:
    """Bring an image's data back from the backup of this name; the present state becomes a backup first.

    Needs no QuPath. Raises ProjectError for a backup that is unknown or damaged.
    """
    key = image.entry_id
    backups = history.list_backups(runs_folder, key)
    chosen = next((backup for backup in backups if backup.name == name), None)
    if chosen is None:
        known = ", ".join(backup.name for backup in backups) or "none"
        raise ProjectError(f"{image.name} has no backup {name!r}; there are: {known}")
    before = history.backup_folder(runs_folder, key, "restore")
    copy_image_data(project.path, key, before, history.memory_path(runs_folder, key))
    state = restore_image_data(chosen.folder, image.data_folder)
    history.restore_memory(chosen, runs_folder, key)
    undone = history.drop_undone(runs_folder, key, state.sha256)
    for run in list_runs(runs_folder):
        if run.run_id in undone:
            run.record(key, collected=None, standing=None, undone={"at": now(), "restored_from": name})
    return chosen


@dataclass(frozen=True)
class _Collect:
    """The collect of one image, which may be tried again."""

    qupath: QuPathProcess
    project: Project
    run: Run
    image: ProjectImage
    path: Path
    writing: Writing

    def __call__(self, state: ImageState) -> CollectResult:
        key, runs_folder = self.image.entry_id, self.run.folder.parent
        history.drop_undone(runs_folder, key, image_state(self.image).sha256)
        return self.qupath.call(
            collect_image,
            self.project.path,
            key,
            self.path,
            read_geojson(self.run.result_path(key)),
            processed_area=processed_area(self.run, key),
            expected_state=state,
            backup_folder=self.run.folder / "backup" / key,
            place=history.next_place(self.run.folder, self.run.run_id, key),
            earlier_predictions=history.read_memory(runs_folder, key),
            forget_rejections=self.writing.forget_rejections,
        )


def _undo(qupath: QuPathProcess, project: Project, run: Run, image: ProjectImage, path: Path, writing: Writing) -> None:
    key, runs_folder = image.entry_id, run.folder.parent
    state = image_state(image)
    history.drop_undone(runs_folder, key, state.sha256)
    changes = history.last_changes(runs_folder, key)
    if changes and changes[-1][1].run != run.run_id:
        later = changes[-1][1].run
        raise RunError(f"run {later} changed the image after it; undo that one first: glomseg undo PROJECT {later}")
    if not changes:
        raise RunError(f"the image stands as before run {run.run_id}; nothing to undo")
    result = _merging(
        writing,
        image,
        state,
        lambda state: qupath.call(
            undo_image,
            project.path,
            key,
            path,
            fold([change for _, change in changes]),
            expected_state=state,
            backup_folder=history.backup_folder(runs_folder, key, "undo"),
            memory=history.memory_path(runs_folder, key),
        ),
    )
    history.write_memory(runs_folder, key, result.remember)
    for change_path, _ in reversed(changes):
        change_path.unlink()
    undone = {
        "at": now(),
        "removed": result.removed,
        "restored": result.added,
        "left_to_a_persons": result.dropped_person,
        "left_as_rejected": result.dropped_rejected,
    }
    run.record(key, collected=None, standing=_standing(result), undone=undone, outcome=None, reason=None)


def _merging(
    writing: Writing, image: ProjectImage, state: ImageState, write: Callable[[ImageState], CollectResult]
) -> CollectResult:
    """Call `write`; on a conflict that is to be merged, again with the state as it is now."""
    for _ in range(TRIES - 1):
        try:
            return write(state)
        except ConflictError:
            if writing.on_conflict != "merge":
                raise
            state = image_state(image)
    return write(state)


@contextmanager
def _recording(run: Run, key: str, outcome: str, writing: Writing) -> Iterator[None]:
    """Turn an error with one image into its record; a conflict is raised again where it is to stop."""
    try:
        yield
    except GlomsegError as error:
        run.record(key, outcome=outcome, reason=str(error), conflict=isinstance(error, ConflictError))
        if isinstance(error, ConflictError) and writing.on_conflict == "stop":
            raise


def _reachable(image: ProjectImage | None) -> tuple[ProjectImage, Path]:
    if image is None or image.path is None or image.problem:
        raise ProjectError(image.problem if image and image.problem else "no longer in the project")
    return image, image.path


def _summary(result: CollectResult) -> dict[str, Any]:
    return {
        "at": now(),
        "added": result.added,
        "removed": result.removed,
        "kept": result.kept,
        "dropped_for_a_persons": result.dropped_person,
        "dropped_as_rejected": result.dropped_rejected,
        "dropped_outside": result.dropped_outside,
        "image_moved": result.moved,
    }


def _standing(result: CollectResult) -> dict[str, Any]:
    """Say what stands in an image after a write, and of which data that is true."""
    return {
        "at": now(),
        "data_sha256": result.state_after.sha256,
        "machine": result.machine,
        "persons": result.persons,
        "verdicts": dict(result.verdicts),
    }
