"""What our writes changed in each image, so that they can be taken back.

<project folder>/glomseg/<run>/changes/<entry id>/<n>.json: one write to an image; n counts those of all runs to it.

A write has a mark, which is in the data that it wrote (see `qupath.write_mark`). What stands in an image is the write
whose mark its data carries, and those that this one was made upon: nothing else is believed to have come about. So a
process may be killed between any two steps, and data of another day put back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from glomseg.errors import GeoJSONError, ProjectError, RunError, in_words
from glomseg.files import from_json, write_text
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.objects import collection_text, from_collection
from glomseg.qupath.project import folder_state
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.lock import who
from glomseg.runs.rights import may_read, say_no_right, unreadable_part
from glomseg.runs.run import checked_entry_id, instant, now
from glomseg.runs.undo import Change

FORMAT_VERSION = 2
READABLE = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the record of a write is kept, by which run, and the mark of the write; `previous` is the data's before."""

    run: str
    path: Path
    memory: Path
    mark: str
    previous: str | None
    kind: Literal["collect", "undo"] = "collect"
    stands_as: str | None = None
    """For an undo: the mark of the write whose state it brings back; None for that before any."""
    outcome: str | None = None
    """For an undo: the write whose outcome that is; other than `stands_as` where that is an undo."""
    stood: str | None = None
    """For an undo: the write whose outcome stands before it, and after it too where it changes no object."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A write as it is kept; `mark` is None for one of the first versions, which made none."""

    path: Path
    change: Change
    mark: str | None
    previous: str | None
    after: str | None
    kind: str
    stands_as: str | None
    by: str | None = None
    """Who wrote, and on which computer."""
    at: str | None = None
    """When; None for one of the versions that did not say."""


def next_path(run_folder: Path, entry_id: str) -> Path:
    """Tell where the record of the next write to an image is to be kept."""
    number = max((int(path.stem) for path in _paths(run_folder.parent, entry_id)), default=0) + 1
    return run_folder / "changes" / checked_entry_id(entry_id) / f"{number}.json"


def save_change(place: Place, change: Change, *, after: str | None) -> None:
    """Keep the record of a write before it is made; `after` is the sha256 of the data to come. Raises RunError."""
    content = {
        "format_version": FORMAT_VERSION,
        "run": change.run,
        "by": who(),
        "at": now(),
        "kind": place.kind,
        "mark": place.mark,
        "previous_mark": place.previous,
        "stands_as": place.stands_as,
        "before_sha256": change.before,
        "after_sha256": after,
        "stood": sorted(change.stood),
        "ids": change.ids,
        "verdicts": change.verdicts,
    }
    objects = {"added": change.added, "removed": change.removed, "remembered": change.remembered}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).removesuffix("}")
    text += "".join(f',"{name}":{collection_text(items)}' for name, items in objects.items())
    write_text(place.path, text + "}")


def forget(place: Place) -> None:
    """Forget a write that did not come about, and whose record may not have been kept at all."""
    for path in (place.path, place.memory):
        with suppress(OSError):
            path.unlink()


def find_write(runs_folder: Path, entry_id: str, mark: str) -> Written | None:
    """Find the write of a mark, to the image or to the original of it; None where its record is lost."""
    try:
        return _Kept(runs_folder, entry_id).marked(mark)
    except RunError:
        return None


def last_write(run_folder: Path, entry_id: str) -> Written | None:
    """Return what a run wrote into an image last, whether or not that stands; None where nothing readable tells it."""
    paths = list((run_folder / "changes" / checked_entry_id(entry_id)).glob("*.json"))
    for path in sorted((path for path in paths if path.stem.isdecimal()), key=lambda path: -int(path.stem)):
        with suppress(RunError):
            return _load(path)
    return None


def outcome_of(runs_folder: Path, entry_id: str, mark: str | None) -> str | None:
    """Name the write whose outcome stands in data of this mark: that itself, or what an undo brought back."""
    try:
        return _Kept(runs_folder, entry_id).effective(mark)
    except RunError:  # the record is lost
        return mark


def last_changes(runs_folder: Path, entry_id: str, mark: str | None, sha256: str | None) -> list[Written]:
    """Return the writes that the last run made to an image one after another, the oldest first.

    `mark` and `sha256` are those of the image's data as it stands. Raises RunError where the record of the very last
    write is lost, or one of that run's is damaged. What was before writes whose records are gone is not known.
    """
    kept = _Kept(runs_folder, entry_id)
    standing, lost = _standing(kept, mark, sha256)
    last: list[Written] = []
    for written in standing:
        if last and written.change.run != last[0].change.run:
            break
        last.insert(0, written)
    if lost is not None and len(last) == len(standing) and (not last or last[0].change.run in kept.damaged_runs):
        raise lost
    return last


def recorded_ids(runs_folder: Path, entry_id: str) -> frozenset[str]:
    """Return the ids of all objects that stood in an image at some write, or were written, as far as records are left.

    Ids are not those of another image. Damaged records have none.
    """
    ids: set[str] = set()
    for path in _paths(runs_folder, entry_id):
        with suppress(RunError):
            change = _load(path).change
            ids |= {*change.ids, *(item.object_id for item in (*change.added, *change.removed) if item.object_id)}
    return frozenset(ids)


def runs_in(runs_folder: Path, entry_id: str, data_folder: Path) -> list[str]:
    """List the runs whose writes stand in an image's data, the last first; those beyond a lost record are not known.

    What the run files say does not count. An image whose data cannot be read has none.
    """
    return list(dict.fromkeys(written.change.run for written in writes_in(runs_folder, entry_id, data_folder)))


def writes_in(runs_folder: Path, entry_id: str, data_folder: Path) -> list[Written]:
    """List the writes that stand in an image's data, the last first, as `runs_in` does their runs."""
    try:
        mark, sha256 = mark_of(readable_data(data_folder)), folder_state(data_folder).sha256
    except ProjectError:
        return []
    return _standing(_Kept(runs_folder, entry_id), mark, sha256)[0]


def is_record_lost(runs_folder: Path, entry_id: str, data_folder: Path) -> bool:
    """Tell whether the record of a write that stands in an image's data is lost, so that not all its runs are known."""
    try:
        mark, sha256 = mark_of(readable_data(data_folder)), folder_state(data_folder).sha256
    except ProjectError:
        return False
    return _standing(_Kept(runs_folder, entry_id), mark, sha256)[1] is not None


def taken_back_at(runs_folder: Path, entry_id: str, data_folder: Path, run: str) -> float | None:
    """Tell when a run was taken back last in an image's data, in seconds since 1970; None where no undo of it is there.

    Whoever was killed after that has left no word of it in the run's own record. 0 stands for an undo without a time.
    """
    kept = _Kept(runs_folder, entry_id)
    with suppress(RunError, ProjectError):
        for written in kept.chain(mark_of(readable_data(data_folder)), lambda written: written.previous):
            if written.kind == "undo" and written.change.run == run:
                return instant(written.at or "")
    return None


def _standing(kept: _Kept, mark: str | None, sha256: str | None) -> tuple[list[Written], RunError | None]:
    """Return the writes that stand in an image, the last first, and what keeps one before them from being known."""
    standing: list[Written] = []
    try:
        for written in kept.chain(kept.effective(mark), lambda written: kept.effective(written.previous)):
            standing.append(written)
    except RunError as error:
        return standing, error
    return standing + kept.unmarked(sha256), None


class _Kept:
    """The kept records of an image's writes, read as they are needed: a damaged one is no obstacle to the others."""

    def __init__(self, runs_folder: Path, entry_id: str) -> None:
        self._entry_id, self._runs_folder = entry_id, runs_folder
        self._hidden: Path | None = None
        paths = [*_paths(runs_folder, entry_id), *runs_folder.glob("*/changes/*/*.json")]  # of duplicates too
        self._paths = list(dict.fromkeys(paths))
        self._own = _paths(runs_folder, entry_id)
        self._marked: dict[str, Written] = {}
        self._unread = list(self._paths)
        self.damaged_runs: set[str] = set()

    def marked(self, mark: str) -> Written:
        """Find the write of a mark; raises RunError where its record is lost."""
        while mark not in self._marked and self._unread:
            path = self._unread.pop(0)
            try:
                written = _load(path)
            except RunError:
                self.damaged_runs.add(path.parents[2].name)
                self._hidden = self._hidden if may_read(path) else path
                continue
            if written.mark is not None:
                self._marked.setdefault(written.mark, written)
        if mark not in self._marked:
            if (hidden := self._hidden or unreadable_part(self._runs_folder)) is not None:
                raise RunError(say_no_right(hidden))
            raise self._lost()
        return self._marked[mark]

    def _lost(self) -> RunError:
        return RunError(
            f"what the last write changed in image {self._entry_id} is lost or damaged; take it back with `glomseg "
            f"restore PROJECT {self._entry_id}`, or let a new run replace its outlines: `glomseg annotate PROJECT`"
        )

    def chain(self, mark: str | None, before: Callable[[Written], str | None]) -> Iterator[Written]:
        """Yield the write of a mark, the one `before` it and so on; raises RunError where a record is lost.

        So it does where damaged records lead in a circle.
        """
        seen: set[str] = set()
        while mark is not None:
            if mark in seen:
                raise self._lost()
            seen.add(mark)
            written = self.marked(mark)
            yield written
            mark = before(written)

    def effective(self, mark: str | None) -> str | None:
        """Follow undos to the write whose state they brought back."""
        writes = self.chain(mark, lambda written: written.stands_as)
        return next((written.mark for written in writes if written.kind != "undo"), None)

    def unmarked(self, sha256: str | None) -> list[Written]:
        """Return the writes of versions that left no mark, the last first: those up to the one made upon this data."""
        writes = []
        for path in sorted(self._own, key=lambda path: int(path.stem)):
            try:
                written = _load(path)
            except RunError:
                continue
            if written.mark is None:
                writes.append(written)
        first = next((number for number, written in enumerate(writes) if written.change.before == sha256), len(writes))
        return writes[:first][::-1]


def _paths(runs_folder: Path, entry_id: str) -> list[Path]:
    return [
        path for path in runs_folder.glob(f"*/changes/{checked_entry_id(entry_id)}/*.json") if path.stem.isdecimal()
    ]


def _text(content: Mapping[str, Any], name: str) -> str | None:
    value = content.get(name)
    return None if value is None else str(value)


def _load(path: Path) -> Written:
    try:
        content: dict[str, Any] = from_json(path.read_bytes())
        if content["format_version"] not in READABLE:
            raise RunError(f"{path} has format {content['format_version']!r}; this glomseg reads {READABLE}")
        change = Change(
            run=str(content["run"]),
            before=content["before_sha256"],
            added=tuple(from_collection(content["added"], path)),
            removed=tuple(from_collection(content["removed"], path)),
            stood=frozenset(content["stood"]),
            remembered=tuple(from_collection(content["remembered"], path)),
            ids={str(key): (str(digest), str(name)) for key, (digest, name) in dict(content.get("ids") or {}).items()},
            verdicts=None if (said := content.get("verdicts")) is None else {str(key): str(said[key]) for key in said},
        )
        return Written(
            path=path,
            change=change,
            mark=_text(content, "mark"),
            previous=_text(content, "previous_mark"),
            after=_text(content, "after_sha256"),
            kind=_text(content, "kind") or "collect",
            stands_as=_text(content, "stands_as"),
            by=_text(content, "by"),
            at=_text(content, "at"),
        )
    except PermissionError as error:
        raise RunError(say_no_right(path)) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, GeoJSONError) as error:
        raise RunError(
            f"{path} is damaged ({in_words(error)}); restore the image with: glomseg restore PROJECT IMAGE"
        ) from error
