"""What people changed in an image since our last write into it, and who that was, as far as that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from glomseg.errors import RunError
from glomseg.qupath.classes import ANNOTATION
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.objects import PathObject
from glomseg.qupath.write_mark import mark_of
from glomseg.runs.changes import find_write
from glomseg.runs.memory import read_memory
from glomseg.runs.ownership import FINGERPRINT, REJECTED, VERDICT, mark, owners, verdict_of
from glomseg.runs.undo import Change

INITIALS = "glomseg.initials"
"""Metadata in which the review keeps who judged an outline."""


_KINDS = ("added", "deleted", "reshaped", "reclassified", "changed")


@dataclass(frozen=True, kw_only=True)
class PeoplesChanges:
    """What people did to an image since a write of ours; each counts annotations by class, "" for none.

    `added` is what people drew and `deleted` what they took away, of ours or of theirs. `reshaped` and `reclassified`
    (by the former class) are outlines of ours; `changed` is what else they did to one, and all that they did to one of
    theirs. `judged` counts by verdict, `judged_by` by the initials of those who judged. `run` was written last, by
    `written_by`, and the data that stands was saved by `saved_by`, the owner of the file; None where that is unknown.
    """

    run: str
    written_by: str | None = None
    saved_by: str | None = None
    added: Mapping[str, int] = field(default_factory=dict)
    deleted: Mapping[str, int] = field(default_factory=dict)
    reshaped: Mapping[str, int] = field(default_factory=dict)
    reclassified: Mapping[str, int] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    judged: Mapping[str, int] = field(default_factory=dict)
    judged_by: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Say it in words: "2 added, 3 deleted, 5 judged (by AB)"."""
        counts = {what: sum(getattr(self, what).values()) for what in (*_KINDS, "judged")}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing changed"
        by = ", ".join(sorted(self.judged_by))
        return f"{said} (by {by})" if by else said


def changes_since(existing: Sequence[PathObject], predictions: Iterable[PathObject], change: Change) -> PeoplesChanges:
    """Tell what people changed since `change`, after which our `predictions` stood, where `existing` stand now."""
    standing: dict[str, list[PathObject]] = {}
    for item in existing:
        if FINGERPRINT in item.metadata:
            standing.setdefault(item.metadata[FINGERPRINT], []).append(item)
    stood = {*change.stood, *(item.metadata.get(FINGERPRINT) for item in change.added)}
    predicted = {item.metadata.get(FINGERPRINT, ""): item for item in predictions if REJECTED not in item.metadata}
    ours = {written: item for written, item in predicted.items() if written in stood}  # after an undo not all do
    counts: dict[str, Counter[str]] = {name: Counter() for name in _KINDS}
    for written, item in ours.items():
        done = sorted(((_done_to(item, now), now) for now in standing.get(written, [])), key=lambda pair: len(pair[0]))
        copies = [now for _, now in done[1:] if now.object_id not in change.ids]
        for what in [*(done[0][0] if done else ["deleted"]), *["added" for _ in copies]]:
            counts[what][item.class_name or ""] += 1
    _count_theirs([item for item in existing if item.metadata.get(FINGERPRINT) not in ours], change, set(ours), counts)
    judged = [item for item in existing if _is_judged_since(item, change)]
    return PeoplesChanges(
        run=change.run,
        judged=Counter(item.metadata[VERDICT] for item in judged),
        judged_by=Counter(item.metadata[INITIALS] for item in judged if INITIALS in item.metadata),
        added=counts["added"],
        deleted=counts["deleted"],
        reshaped=counts["reshaped"],
        reclassified=counts["reclassified"],
        changed=counts["changed"],
    )


def _is_judged_since(item: PathObject, change: Change) -> bool:
    """Tell whether a verdict that holds is younger than a write.

    Where the write's record holds no verdicts: one locks its outline, which stood otherwise then, but for "edit", which
    counts whenever it was given.
    """
    said = verdict_of(item)
    if said is None:
        return False
    if change.verdicts is not None:
        return change.verdicts.get(item.object_id or "") != said
    return said == "edit" or mark(item) not in change.stood


def _done_to(before: PathObject, now: PathObject) -> list[str]:
    """Tell what was done to an outline of ours: reshaped, reclassified, or something else."""
    if verdict_of(now) or owners([now], [before]) == ["machine"]:
        return []
    is_reclassified = now.class_name != before.class_name
    is_reshaped = mark(before) != mark(replace(before, geometry=now.geometry))
    done = [name for name, is_so in (("reshaped", is_reshaped), ("reclassified", is_reclassified)) if is_so]
    return done or ["changed"]


def _count_theirs(
    items: Sequence[PathObject], change: Change, ours: set[str], counts: Mapping[str, Counter[str]]
) -> None:
    """Count what is a person's own: new, gone, or another than it was.

    What stands as it was under another id, as after QuPath's "Refresh object IDs", is neither.
    """
    standing = {item.object_id for item in items}
    gone: dict[str, list[str]] = {}  # class names by fingerprint
    for object_id, (written, class_name) in change.ids.items():
        if object_id not in standing and written not in ours:
            gone.setdefault(written, []).append(class_name)
    annotations = []
    for item in (one for one in items if one.object_type == ANNOTATION):
        if item.object_id not in change.ids and gone.get(written := mark(item)):
            gone[written].pop()
        else:
            annotations.append(item)
    is_copied = {item.object_id for item in annotations if change.ids and item.object_id not in change.ids}
    for item in (one for one in annotations if one.object_id in is_copied or mark(one) not in change.stood):
        known = item.object_id in change.ids
        counts["changed" if known else "added"][item.class_name or ""] += 1
    counts["deleted"].update(class_name for names in gone.values() for class_name in names)


def read_changes(
    existing: Sequence[PathObject], runs_folder: Path, entry_id: str, data_folder: Path
) -> PeoplesChanges | None:
    """Tell what people changed in an image since our last write; None where none of ours is in its data.

    Raises ProjectError where the data cannot be read, and RunError where the record of that write is lost.
    """
    write = mark_of(readable_data(data_folder))
    if write is None:
        return None
    written = find_write(runs_folder, entry_id, write)
    if written is None:
        raise RunError("the record of the last write by glomseg is lost")
    memory = read_memory(runs_folder, entry_id, data_folder)
    since = changes_since(existing, memory.predictions, written.change)
    return replace(since, written_by=written.by, saved_by=_owner_of(data_folder / "data.qpdata"))


def _owner_of(path: Path) -> str | None:
    try:
        return path.owner()
    except (OSError, KeyError, NotImplementedError):
        return None
