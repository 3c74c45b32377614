"""The backups of a project's images: list them, and bring one back. Needs no QuPath."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from glomseg.errors import ProjectError, RunError
from glomseg.qupath.image_copies import checked_copy, copy_image_data, restore_image_data
from glomseg.qupath.image_data import DATA, check_written
from glomseg.qupath.project import Project, ProjectImage, folder_state, image_state, read_project
from glomseg.qupath.scratch import scratch_folder
from glomseg.runs.backups import Backup, backup_folder, list_backups, restore_memory
from glomseg.runs.changes import is_record_lost, runs_in
from glomseg.runs.image_record import Undone
from glomseg.runs.lock import locked
from glomseg.runs.lost_writes import written_at
from glomseg.runs.memory import memory_path
from glomseg.runs.plan import choose_images
from glomseg.runs.rights import say_no_right, unreadable_part
from glomseg.runs.run import FOLDER, forget_unchanged, now
from glomseg.runs.run_list import list_runs

LAST = "last"
"""What stands for the name of the newest backup of the image itself that is not what stands there anyhow."""


def image_backups(project: Path, image: str) -> tuple[ProjectImage, list[Backup]]:
    """Find an image by its name or entry id, and list its backups, the newest first.

    Raises ProjectError where no image is so named, or several are.
    """
    read = read_project(project)
    chosen = choose_images(read, [image])
    if len(chosen) > 1:
        ids = ", ".join(item.entry_id for item in chosen)
        raise ProjectError(f"{len(chosen)} images are named {image}; name one by its id: {ids}")
    backups = list_backups(read.folder / FOLDER, chosen[0].entry_id, chosen[0])
    if not backups and (hidden := unreadable_part(read.folder / FOLDER)) is not None:
        raise ProjectError(say_no_right(hidden))
    return chosen[0], backups


def restore_image(project: Path, image: str, backup: str) -> Backup:
    """Bring an image's data back from the backup of this name, or the `last`; what stands now becomes a backup first.

    Raises ProjectError for an image or backup that is unknown or damaged, RunError where another glomseg is at work.
    """
    read = read_project(project)
    runs_folder = read.folder / FOLDER
    again: str | None = None
    try:
        with locked(runs_folder):
            item, backups = image_backups(project, image)
            if backup == LAST and (hidden := unreadable_part(runs_folder)) is not None:
                raise ProjectError(f"which backup is the last is not known: {say_no_right(hidden)}")
            chosen = _chosen(item, backups, backup)
            again = f"glomseg restore PROJECT {item.entry_id} {shlex.quote(chosen.name)}"
            before = image_state(item).sha256
            try:
                _restore(read, item, chosen)
            except RunError as error:
                if image_state(item).sha256 == before:
                    raise
                raise RunError(
                    f"{error}. The image's data are as in the backup already; for the rest: {again}"
                ) from error
    except KeyboardInterrupt as error:
        if again is None:
            raise
        raise KeyboardInterrupt(  # the `last` one may be what stood there before, by now
            f"the image is as it was, or as in the backup; give again: {again}"
        ) from error
    return chosen


def _chosen(image: ProjectImage, backups: list[Backup], name: str) -> Backup:
    """Find a backup by its name, or the last; raises ProjectError for an unknown one."""
    its_own = [listed for listed in backups if listed.other is None and listed.file is None]
    if name == LAST and its_own:  # one that was stopped, or had no room, has left a backup of what still stands
        sha256 = image_state(image).sha256
        return next((listed for listed in its_own if folder_state(listed.folder).sha256 != sha256), its_own[0])
    chosen = next((listed for listed in backups if listed.name == name), None)
    if chosen is None:
        known = ", ".join(listed.name for listed in backups) or "none"
        raise ProjectError(f"{image.name} has no backup {name!r}; there are: {known}")
    return chosen


def _restore(project: Project, image: ProjectImage, backup: Backup) -> None:
    """Bring a backup back, after one of what stands there; runs that are gone with that are recorded as undone."""
    runs_folder, entry_id = project.folder / FOLDER, image.entry_id
    state, stood = image_state(image), runs_in(runs_folder, entry_id, image.data_folder)
    with _folder_of(backup) as folder:
        checked_copy(folder)  # one that is refused leaves no backup, which would be the `last` from then on
        before = backup_folder(runs_folder, entry_id, "restore")
        copy_image_data(project.path, entry_id, before, memory_path(runs_folder, entry_id, None), expected=state)
        restored = restore_image_data(folder, image.data_folder, expected=state)
    if backup.file is None:
        restore_memory(backup, runs_folder, entry_id)
    standing = runs_in(runs_folder, entry_id, image.data_folder)
    is_lost = is_record_lost(runs_folder, entry_id, image.data_folder)
    for run in list_runs(runs_folder):
        if run.run_id in standing or entry_id not in run.images:
            continue
        if run.run_id in stood or (
            not is_lost and written_at(run, entry_id) is not None
        ):  # the data may have been gone
            undone = Undone(at=now(), restored_from=backup.name)
            run.update(entry_id, replace(run.images[entry_id], collected=None, standing=None, undone=undone))
    forget_unchanged(runs_folder, entry_id)
    check_written(image.data_folder, restored.sha256, image.name)


@contextmanager
def _folder_of(backup: Backup) -> Iterator[Path]:
    """Yield the folder of a backup; of a copy that lies beside the data, one that holds nothing else."""
    if backup.file is None:
        yield backup.folder
        return
    with scratch_folder("restore") as folder:
        shutil.copy2(backup.file, folder / DATA)
        yield folder
