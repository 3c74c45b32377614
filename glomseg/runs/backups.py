"""Copies of what a project held of an image, made before each write: which there are, and where the next one goes.

<project folder>/glomseg/<run>/backup/<entry id>/              before the first write of a run
<project folder>/glomseg/backup/<entry id>/<time>-<why>/       before any other write
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from glomseg.qupath.write_mark import mark_of
from glomseg.runs.memory import memory_path
from glomseg.runs.run import checked_entry_id

_WHY = {"collect": "the run went on", "undo": "an undo", "restore": "a restore", "values": "measurements or classes"}


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A complete copy of what a project held of one image; `name` is what a user calls it."""

    name: str
    why: str
    folder: Path
    made: datetime


def list_backups(runs_folder: Path, entry_id: str) -> list[Backup]:
    """List the complete backups of an image, the newest first, whoever made them and whatever became of their run."""
    entry_id = checked_entry_id(entry_id)
    candidates = [
        (folder.parents[1].name, "before the run", folder) for folder in runs_folder.glob(f"*/backup/{entry_id}")
    ]
    for folder in sorted((runs_folder / "backup" / entry_id).glob("*")):
        candidates.append((folder.name, f"before {_WHY.get(why := folder.name.rpartition('-')[2], why)}", folder))
    for folder in sorted((runs_folder / "backup").glob(f"*/{entry_id}")):  # where the first versions put some
        candidates.append((folder.parent.name, "before measure or gallery", folder))
    backups = [
        Backup(name=name, why=why, folder=folder, made=datetime.fromtimestamp(folder.stat().st_mtime))
        for name, why, folder in candidates
        if folder.is_dir() and any(folder.glob("*.qpproj"))
    ]
    return sorted(backups, key=lambda backup: (backup.made, backup.name), reverse=True)


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
