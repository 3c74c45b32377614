"""What was changed in each image, so that it can be taken back; and what is remembered of each image.

<project folder>/glomseg/
  memory/<entry id>.geojson            predictions that stand in an image, and those that a person has rejected
  <run>/changes/<entry id>/<n>.json    what one write changed; n counts the writes of all runs to the image
  <run>/backup/<entry id>/             the image's data before the run's first write
  backup/<entry id>/<time>-<why>/      the same before an undo or a restore
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from glomseg.errors import GeoJSONError, RunError
from glomseg.files import write_text
from glomseg.qupath.objects import PathObject, from_collection, read_geojson, to_collection, write_geojson
from glomseg.runs.ownership import FINGERPRINT
from glomseg.runs.run import checked_entry_id, list_runs
from glomseg.runs.undo import Change

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the next change of an image is kept, by which run, and where its memory lies."""

    run: str
    path: Path
    memory: Path


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A complete copy of what a project held of one image; `name` is what a user calls it."""

    name: str
    why: str
    folder: Path
    made: datetime


def memory_path(runs_folder: Path, entry_id: str) -> Path:
    """Tell where the memory of an image lies."""
    return runs_folder / "memory" / f"{checked_entry_id(entry_id)}.geojson"


def read_memory(runs_folder: Path, entry_id: str) -> list[PathObject]:
    """Read which predictions stood in an image, or were rejected there, after the last write.

    A process that was stopped between a write and keeping its memory has left the change, which says as much.
    """
    path = memory_path(runs_folder, entry_id)
    paths = sorted(_change_paths(runs_folder, entry_id), key=lambda path: int(path.stem))
    if paths and not (path.is_file() and path.stat().st_mtime_ns >= paths[-1].stat().st_mtime_ns):
        change = _load(paths[-1])
        gone = {item.metadata.get(FINGERPRINT) for item in change.removed}
        return [item for item in change.remembered if item.metadata.get(FINGERPRINT) not in gone] + list(change.added)
    return read_geojson(path) if path.is_file() else []


def write_memory(runs_folder: Path, entry_id: str, objects: Sequence[PathObject]) -> None:
    """Keep what to remember of an image."""
    write_geojson(memory_path(runs_folder, entry_id), objects)


def next_place(run_folder: Path, run_id: str, entry_id: str) -> Place:
    """Tell where the next change of an image is to be kept."""
    runs_folder = run_folder.parent
    number = max([int(path.stem) for path in _change_paths(runs_folder, entry_id)], default=0) + 1
    path = run_folder / "changes" / checked_entry_id(entry_id) / f"{number}.json"
    return Place(run=run_id, path=path, memory=memory_path(runs_folder, entry_id))


def save_change(place: Place, change: Change) -> None:
    """Keep a change; raises RunError."""
    content = {
        "format_version": FORMAT_VERSION,
        "run": change.run,
        "before_sha256": change.before,
        "stood": sorted(change.stood),
        "added": to_collection(change.added),
        "removed": to_collection(change.removed),
        "remembered": to_collection(change.remembered),
    }
    write_text(place.path, json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def forget_change(place: Place) -> None:
    """Forget a change that did not come about, and that may not have been kept at all."""
    with suppress(OSError):
        place.path.unlink()


def drop_undone(runs_folder: Path, entry_id: str, sha256: str | None) -> set[str]:
    """Forget the changes that the image, whose data has this sha256, does not show; returns the ids of their runs.

    Such are left behind by a process that was killed before the write, and by a backup that was restored: the state
    before a change is the present one.
    """
    paths = sorted(_change_paths(runs_folder, entry_id), key=lambda path: int(path.stem))
    changes = [(path, _load(path)) for path in paths]
    first = next((number for number, (_, change) in enumerate(changes) if change.before == sha256), len(changes))
    for path, _ in changes[first:]:
        path.unlink()
    return {change.run for _, change in changes[first:]}


def last_changes(runs_folder: Path, entry_id: str) -> list[tuple[Path, Change]]:
    """Read the changes of an image that its last run made one after another, the oldest first."""
    last: list[tuple[Path, Change]] = []
    for path in sorted(_change_paths(runs_folder, entry_id), key=lambda path: int(path.stem), reverse=True):
        change = _load(path)
        if last and change.run != last[0][1].run:
            break
        last.insert(0, (path, change))
    return last


def list_backups(runs_folder: Path, entry_id: str) -> list[Backup]:
    """List the complete backups of an image, the newest first."""
    found = []
    for run in list_runs(runs_folder):
        found.append((run.run_id, "before the run", run.folder / "backup" / entry_id))
    for folder in sorted((runs_folder / "backup" / entry_id).glob("*")):
        found.append((folder.name, f"before {folder.name.rpartition('-')[2]}", folder))
    backups = [
        Backup(name=name, why=why, folder=folder, made=datetime.fromtimestamp(folder.stat().st_mtime))
        for name, why, folder in found
        if any(folder.glob("*.qpproj"))
    ]
    return sorted(backups, key=lambda backup: (backup.made, backup.name), reverse=True)


def backup_folder(runs_folder: Path, entry_id: str, why: str) -> Path:
    """Name a new folder for a backup that is made before `why`, one word."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    return runs_folder / "backup" / checked_entry_id(entry_id) / f"{name}-{why}"


def restore_memory(backup: Backup, runs_folder: Path, entry_id: str) -> None:
    """Bring back what was remembered when a backup was made."""
    path = memory_path(runs_folder, entry_id)
    kept = backup.folder / path.name
    if kept.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept, path)
    else:
        path.unlink(missing_ok=True)


def _change_paths(runs_folder: Path, entry_id: str) -> list[Path]:
    return [path for path in runs_folder.glob(f"*/changes/{checked_entry_id(entry_id)}/*.json") if path.stem.isdigit()]


def _load(path: Path) -> Change:
    try:
        content = json.loads(path.read_bytes())
        if content["format_version"] != FORMAT_VERSION:
            raise RunError(f"{path} has format {content['format_version']!r}; this glomseg reads {FORMAT_VERSION}")
        return Change(
            run=str(content["run"]),
            before=content["before_sha256"],
            added=tuple(from_collection(content["added"], path)),
            removed=tuple(from_collection(content["removed"], path)),
            stood=frozenset(content["stood"]),
            remembered=tuple(from_collection(content["remembered"], path)),
        )
    except (OSError, ValueError, KeyError, TypeError, GeoJSONError) as error:
        raise RunError(f"{path} is damaged ({error}); restore the image with: glomseg restore PROJECT IMAGE") from error
