"""The backups of a project's images: list them, and bring one back. Needs no QuPath."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.qupath.image_copies import copy_image_data, restore_image_data
from glomseg.qupath.project import ProjectImage, image_state, read_project
from glomseg.runs.backups import Backup, backup_folder, list_backups, restore_memory
from glomseg.runs.changes import runs_in
from glomseg.runs.image_record import Undone
from glomseg.runs.lock import locked
from glomseg.runs.memory import memory_path
from glomseg.runs.plan import choose_images
from glomseg.runs.run import FOLDER, list_runs, now

LAST = "last"
"""What stands for the name of the newest backup."""


def image_backups(project: Path, image: str) -> tuple[ProjectImage, list[Backup]]:
    """Find an image by its name or entry id, and list its backups, the newest first.

    Raises ProjectError where no image is so named, or several are.
    """
    read = read_project(project)
    chosen = choose_images(read, [image])
    if len(chosen) > 1:
        ids = ", ".join(item.entry_id for item in chosen)
        raise ProjectError(f"{len(chosen)} images are named {image}; name one by its id: {ids}")
    return chosen[0], list_backups(read.folder / FOLDER, chosen[0].entry_id)


def restore_image(project: Path, image: str, backup: str) -> Backup:
    """Bring an image's data back from the backup of this name, or the `last`; what stands now becomes a backup first.

    Raises ProjectError for an image or backup that is unknown or damaged, RunError where another glomseg is at work.
    """
    read = read_project(project)
    runs_folder = read.folder / FOLDER
    with locked(runs_folder):
        item, backups = image_backups(project, image)
        entry_id = item.entry_id
        name = backups[0].name if backup == LAST and backups else backup
        chosen = next((listed for listed in backups if listed.name == name), None)
        if chosen is None:
            known = ", ".join(listed.name for listed in backups) or "none"
            raise ProjectError(f"{item.name} has no backup {name!r}; there are: {known}")
        state, stood = image_state(item), runs_in(runs_folder, entry_id, item.data_folder)
        before = backup_folder(runs_folder, entry_id, "restore")
        copy_image_data(read.path, entry_id, before, memory_path(runs_folder, entry_id, None), expected=state)
        restore_image_data(chosen.folder, item.data_folder, expected=state)
        restore_memory(chosen, runs_folder, entry_id)
        gone = set(stood) - set(runs_in(runs_folder, entry_id, item.data_folder))
        for run in list_runs(runs_folder):
            if run.run_id in gone and entry_id in run.images:
                undone = Undone(at=now(), restored_from=name)
                run.update(entry_id, replace(run.images[entry_id], collected=None, standing=None, undone=undone))
    return chosen
