"""What a run changed in an image, and how to take that back: the run's objects go, those that it replaced return.

Pure functions over objects, as in `ownership`. Right after a run, undoing it gives back the same set of objects.
What a person has done since is left as it is: it is no object of the machine's, and nothing comes back beneath it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from glomseg.qupath.classes import ANNOTATION
from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import (
    FINGERPRINT,
    REJECTED,
    RUN,
    Memory,
    Plan,
    as_rejected,
    deletions,
    mark,
    owners,
    split_by_plane,
    verdict_of,
)
from glomseg.runs.rivals import split_overlapping


@dataclass(frozen=True, kw_only=True)
class Change:
    """What one write, or several of one run, changed in an image.

    `stood` holds the fingerprints of what was there and stayed, `ids` by its id the fingerprint and class of each of
    these, `verdicts` by its id that on each which had been judged (None for all where a version kept none),
    `remembered` the predictions remembered before, and `before` the sha256 of the image's data before, None where
    QuPath had never saved it.
    """

    run: str
    before: str | None
    added: tuple[PathObject, ...]
    removed: tuple[PathObject, ...]
    stood: frozenset[str]
    remembered: tuple[PathObject, ...]
    ids: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    verdicts: Mapping[str, str] | None = None


def change_of(
    plan: Plan, existing: Sequence[PathObject], remembered: Sequence[PathObject], *, run: str, before: str | None
) -> Change:
    """Describe what `plan` changes in `existing`, where `remembered` was remembered."""
    going = {id(item) for item in plan.remove}
    stood = [(item, mark(item)) for item in existing if id(item) not in going]
    annotations = {
        item.object_id: (item, digest) for item, digest in stood if item.object_id and item.object_type == ANNOTATION
    }
    return Change(
        run=run,
        before=before,
        added=plan.add,
        removed=plan.remove,
        stood=frozenset(digest for _, digest in stood),
        remembered=tuple(remembered),
        ids={key: (digest, item.class_name or "") for key, (item, digest) in annotations.items()},
        verdicts={key: said for key, (item, _) in annotations.items() if (said := verdict_of(item))},
    )


def fold(changes: Sequence[Change]) -> Change:
    """Join the changes that one run made one after another, the oldest first, into one."""
    first, *others = changes
    added, removed = {_key(item): item for item in first.added}, list(first.removed)
    for change in others:
        removed += [item for item in change.removed if _key(item) not in added]
        for item in change.removed:
            added.pop(_key(item), None)
        added |= {_key(item): item for item in change.added}
    return Change(
        run=first.run,
        before=first.before,
        added=tuple(added.values()),
        removed=tuple(removed),
        stood=first.stood,
        remembered=first.remembered,
        ids=first.ids,
        verdicts=first.verdicts,
    )


def plan_undo(
    existing: Sequence[PathObject], change: Change, memory: Memory | None = None, *, believe_deletions: bool = False
) -> Plan:
    """Decide how to take a change back; `memory` is what is remembered of the image as it stands.

    What it added goes where it is still the machine's. What it removed returns, but not where it overlaps something
    on its plane that was not there at the time, nor where a person deleted or changed what had replaced it: that is a
    verdict on the place, and is remembered as such. Deletions in doubt are no verdict.
    """
    whose = owners(existing, (*change.added, *change.remembered))
    persons = [item for item, owned in zip(existing, whose, strict=True) if owned == "person"]
    theirs = {id(item) for item in persons}
    machine = [item for item in existing if id(item) not in theirs]
    added = {_key(item) for item in change.added}
    remove = [item for item in machine if _key(item) in added]
    going = {id(item) for item in remove}
    stay = [item for item in existing if id(item) not in going]
    memory = memory or Memory(predictions=change.added, is_of_data=True)
    gone = deletions(existing, memory, believe=believe_deletions)
    before = {item.metadata.get(FINGERPRINT) for item in change.remembered if REJECTED in item.metadata}
    rejected = [item for item in gone.rejected if item.metadata.get(FINGERPRINT) not in before]
    ids = {item.object_id for item in stay if item.object_id}
    back = [item for item in change.removed if item.object_id not in ids]
    here, _ = split_by_plane(stay)
    back, dropped_person = split_overlapping(
        back, [item for item in here if mark(item) not in change.stood], of_any_kind=True
    )
    back, dropped_rejected = split_overlapping(back, rejected)
    return Plan(
        remove=tuple(remove),
        add=tuple(back),
        keep=tuple(item for item in machine if id(item) not in going),
        dropped_person=tuple(dropped_person),
        dropped_rejected=tuple(dropped_rejected),
        doubtful=gone.doubtful,
        remember=(*change.remembered, *as_rejected(rejected)),
        persons=tuple(persons),
    )


def _key(item: PathObject) -> tuple[str | None, str | None]:
    return item.metadata.get(RUN), item.metadata.get(FINGERPRINT)
