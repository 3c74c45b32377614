"""Copies of what a project held of an image, made before each write: which there are, and where the next one goes.

<project folder>/glomseg/<run>/backup/<entry id>/              before the first write of a run
<project folder>/glomseg/backup/<entry id>/<time>-<why>/       before any other write
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.qupath.find_images import path_of_uri
from glomseg.qupath.image_copies import made_at
from glomseg.qupath.image_data import other_copies
from glomseg.qupath.image_servers import unwrapped
from glomseg.qupath.project import ProjectImage, load_json
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.memory import memory_path
from glomseg.runs.run import checked_entry_id, printable
from glomseg.runs.same_image import file_name

_WHY = {
    "collect": "the run went on",
    "undo": "an undo",
    "restore": "a restore",
    "values": "measurements or classes",
    "script": "a script",
    "load": "a review loaded what another program had saved",
    "step": "a review saved what a step of QuPath's undo left",
    "review": "QuPath saved over what another program had saved",
}


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A complete copy of what a project held of one image; `name` is what a user calls it.

    `other` names the image that it is of, where that is not the one that has the entry id now. One that is no backup
    of ours, but a copy of the data that lies beside it, is in `file`.
    """

    name: str
    why: str
    folder: Path
    made: datetime
    other: str | None = None
    file: Path | None = None


def list_backups(runs_folder: Path, entry_id: str, image: ProjectImage | None = None) -> list[Backup]:
    """List the complete backups of an image, the newest first, whoever made them and whatever became of their run.

    Those of another image of this id are named as such where `image` says which one has it now.
    """
    entry_id = checked_entry_id(entry_id)
    candidates = [
        (folder.parents[1].name, "before the run", folder) for folder in runs_folder.glob(f"*/backup/{entry_id}")
    ]
    for folder in sorted((runs_folder / "backup" / entry_id).glob("*")):
        candidates.append((folder.name, f"before {_WHY.get(why := folder.name.rpartition('-')[2], why)}", folder))
    for folder in sorted((runs_folder / "backup").glob(f"*/{entry_id}")):  # where the first versions put some
        candidates.append((folder.parent.name, "before measure or gallery", folder))
    backups = [
        Backup(name=name, why=why, folder=folder, made=made_at(folder), other=_other_image(folder, image))
        for name, why, folder in candidates
        if folder.is_dir() and any(folder.glob("*.qpproj"))
    ]
    if image is not None:
        backups += [_copy_beside(path) for path in other_copies(image.data_folder)]
    return sorted(backups, key=lambda backup: (backup.made, backup.name), reverse=True)


def _copy_beside(path: Path) -> Backup:
    made = datetime.fromtimestamp(path.stat().st_mtime)
    return Backup(name=path.name, why="in a copy that lies beside the data", folder=path.parent, made=made, file=path)


def _other_image(folder: Path, image: ProjectImage | None) -> str | None:
    """Name the image of a backup where its file and its name, or its size, are not those of `image`.

    Of another image of the same name its file is named.
    """
    if image is None:
        return None
    try:
        entries = load_json(next(folder.glob("*.qpproj"))).get("images", [])
        entry = next(entry for entry in entries if str(entry["entryID"]) == image.entry_id)
        builder = unwrapped(entry["serverBuilder"])
        name, path = str(entry["imageName"]), path_of_uri(builder["uri"])
        seen = builder.get("metadata") or entry["serverBuilder"].get("metadata") or {}
        size = seen.get("width"), seen.get("height")
    except (ProjectError, StopIteration, KeyError, TypeError, AttributeError, ValueError):
        return None
    is_same = not image.is_anothers(path) and (name == image.name or printable(path.name) == file_name(image))
    if is_same and (image.size_px is None or None in size or size == image.size_px):
        return None
    return str(path) if name == image.name else name


def backup_folder(runs_folder: Path, entry_id: str, why: str) -> Path:
    """Name a new folder for a backup that is made before `why`, one word."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return runs_folder / "backup" / checked_entry_id(entry_id) / f"{name}-{why}"


def backup_before_run(run_folder: Path, entry_id: str) -> Path:
    """Name the folder for a backup before a write of a run: its own, or a new one where it has written before."""
    first = run_folder / "backup" / checked_entry_id(entry_id)
    return backup_folder(run_folder.parent, entry_id, "collect") if any(first.glob("*.qpproj")) else first


def restore_memory(backup: Backup, runs_folder: Path, entry_id: str) -> None:
    """Bring back what was remembered of data without a mark; data that has one is remembered by it."""
    data, path = backup.folder / "data.qpdata", memory_path(runs_folder, entry_id, None)
    if data.is_file() and mark_of(data) is not None:
        return
    kept = backup.folder / path.name
    if kept.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, path)
    else:
        path.unlink(missing_ok=True)
