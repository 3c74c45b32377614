"""Whose object is it: which objects of an image a new run may replace, and which predictions it may add.

Every object that we write carries the run, the model and a fingerprint of itself. An object whose fingerprint still
fits is the machine's; whatever a person drew, moved, put on another plane, copied from another image, reshaped,
reclassified, renamed, described, locked, coloured or judged, gave measurements or metadata of their own, or drew
something into, is that person's, and is never touched. All geometry is in level-0 pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.qupath.amend import MEASURED, WRITTEN_BY
from glomseg.qupath.classes import is_class
from glomseg.qupath.objects import PathObject
from glomseg.runs.rivals import pick, split_coinciding, split_overlapping, valid_geometries

RUN = WRITTEN_BY
MODEL = "glomseg.model"
FINGERPRINT = "glomseg.fingerprint"
VERDICT = "glomseg.verdict"
CLASS_OF = {"reject": "Rejected", "sclerotic": "Glomerulus: Sclerotic"}
"""The class that a verdict gives to its outline, where it gives one."""
REJECTED = "glomseg.rejected"
"""Metadata of a remembered prediction that a person had deleted before the write that it is remembered of."""
DESCRIPTION = "ANNOTATION_DESCRIPTION"  # where QuPath keeps what a person writes about an annotation
OURS = "glomseg."
"""How the names of metadata begin that are not a person's own."""

GRID_PX = 0.25
FEW = 2
"""So many outlines of a run a person may delete from an image and leave none of it, and is believed."""


@dataclass(frozen=True, kw_only=True)
class Deletions:
    """Predictions that are gone from an image: `rejected` by a person, or in doubt.

    That a run is gone as a whole is not what a review looks like: a script takes all of its outlines at once, or data
    of another day. These are `doubtful`, and count as rejected only where a person says so.
    """

    rejected: tuple[PathObject, ...] = ()
    doubtful: tuple[PathObject, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The predictions that stood in an image after a write of ours, and those that a person had rejected before it.

    `is_of_data` tells that the image's data is known to be based on that write. `recovered` says what became of the
    file that remembered it where the record of the write tells as much, `lost` where nothing does; None where it is
    whole.
    """

    predictions: tuple[PathObject, ...] = ()
    is_of_data: bool = False
    recovered: str | None = None
    lost: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run changes in one image.

    `remove`, `keep` and `persons` hold objects of `existing` themselves. `remember` is what the next plan has to know:
    the machine's objects as they stand afterwards, and those that a person has deleted. `doubtful` are deletions that
    are not believed. `remembered` is what holds of the image as it stands before, told apart: what stands, what is
    rejected.
    """

    remove: tuple[PathObject, ...] = ()
    add: tuple[PathObject, ...] = ()
    keep: tuple[PathObject, ...] = ()
    dropped_person: tuple[PathObject, ...] = ()
    dropped_rejected: tuple[PathObject, ...] = ()
    dropped_outside: tuple[PathObject, ...] = ()
    doubtful: tuple[PathObject, ...] = ()
    remember: tuple[PathObject, ...] = ()
    remembered: tuple[PathObject, ...] = ()
    persons: tuple[PathObject, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether the image stays as it is."""
        return not self.remove and not self.add


def snap(geometry: BaseGeometry) -> BaseGeometry:
    """Move the vertices onto multiples of 0.25 px, the result valid; a sliver may come out empty.

    QuPath keeps vertices as float32 and reads geometry rounded to 0.01 px. A multiple of 0.25 survives both as it
    is, up to 4,194,304 px, so that what was written reads back the same.
    """
    return shapely.set_precision(geometry, GRID_PX, mode="valid_output")


def fingerprint(
    geometry: BaseGeometry, class_name: str | None, is_locked: bool = False, name: str | None = None
) -> str:
    """Digest what a person can change about an object: its corners rounded to 0.01 px, class, lock and name.

    The corners are a set: where a ring starts, its direction, the order of rings and parts, and points in the
    middle of a straight edge do not count, as QuPath keeps none of these. Equal only for geometry that went through
    `snap`; another program gets the same digest from the UTF-8 text in `_corners` and here.
    """
    text = f"{class_name or ''}\n{'locked' if is_locked else ''}\n{name or ''}\n{_corners(geometry)}"
    return "1-" + hashlib.sha256(text.encode()).hexdigest()[:32]


def stamp(item: PathObject, *, run: str, model: str) -> PathObject:
    """Return `item` snapped to the grid and marked as the machine's."""
    return _sealed(replace(item, metadata={**item.metadata, RUN: run, MODEL: model}))


def verdict_of(item: PathObject) -> str | None:
    """Return a person's verdict on an object; none where a person gave it another class since than the verdict did.

    What was rejected stays so where only its class was taken away: it counts as nothing either way.
    """
    verdict = item.metadata.get(VERDICT)
    given = CLASS_OF.get(verdict or "")
    is_bare = item.class_name is None and verdict == "reject"
    return verdict if given is None or is_bare or is_class(item.class_name, given) else None


def owner(item: PathObject) -> Literal["machine", "person"]:
    """Tell whose object it is."""
    written = item.metadata.get(FINGERPRINT)
    added = VERDICT in item.metadata or any(not name.startswith(OURS) for name in item.metadata)
    if item.object_type != "annotation" or not written or RUN not in item.metadata or added:
        return "person"
    if item.is_colored or item.has_children or item.is_off_plane or item.is_brought or item.is_measured:
        return "person"
    return "machine" if _mark(item) == written else "person"


def owners(existing: Sequence[PathObject], written: Iterable[PathObject]) -> list[Literal["machine", "person"]]:
    """Tell whose each object is, where `written` are objects as the machine wrote them.

    An outline of the machine's to which a person has added measurements is that person's; those that glomseg itself
    added, named in its metadata, do not count.
    """
    names = {(item.metadata.get(RUN), item.metadata.get(FINGERPRINT)): set(item.measurements) for item in written}
    whose = []
    for item in existing:
        known = names.get((item.metadata.get(RUN), item.metadata.get(FINGERPRINT)))
        extra = set() if known is None else set(item.measurements) - known - set(_measured(item))
        whose.append("person" if extra else owner(item))
    return whose


def _measured(item: PathObject) -> list[str]:
    return item.metadata.get(MEASURED, "").split(";")


def plan_update(
    existing: Sequence[PathObject],
    predictions: Sequence[PathObject],
    processed_area: BaseGeometry | None,
    memory: Memory | None = None,
    *,
    forget_rejections: bool = False,
    believe_deletions: bool = False,
) -> Plan:
    """Decide what a run changes, so that no person's object is touched and the same run again changes nothing.

    `predictions` are stamped; one that was changed since is a person's as it comes in; `processed_area` is None for the
    whole image; `memory` is what the plan of the last write said to remember. In this order, a prediction

    - is dropped where it overlaps a person's object of the same base class, however that is spelled, or one that was a
      prediction once, or where it coincides with an outline of a person's of whatever class and kind;
    - keeps the machine's object in place that has its fingerprint: its shape, class and name;
    - is dropped where it overlaps a machine's object whose centroid lies outside the processed area;
    - is dropped where it overlaps an earlier prediction that a person deleted or moved away since.

    What is left is added, and the machine's other objects with their centroid in the area are removed; but for one in
    whose place the run saw something that was dropped for what a person did beside it: that would be lost unseen.
    What a person put on another plane takes the place of nothing that stands beneath it on the first.
    `rivals` says when two objects overlap or coincide. Raises ValueError for a prediction without a run.
    """
    if any(RUN not in item.metadata for item in predictions):
        raise ValueError("a prediction without a run; stamp() it first")
    memory = memory or Memory()
    whose = owners(existing, memory.predictions)
    persons = [item for item, owned in zip(existing, whose, strict=True) if owned == "person"]
    machine = [item for item, owned in zip(existing, whose, strict=True) if owned == "machine"]
    here, elsewhere = split_by_plane(persons)
    obstacles = [*here, *split_overlapping(elsewhere, machine, of_any_kind=True)[0]]
    left, dropped_person = split_overlapping([_snapped(item) for item in predictions], obstacles, of_any_kind=True)
    left, keep = _match(left, machine)
    kept = {id(item) for item in keep}
    inside, outside = _split_by_area([item for item in machine if id(item) not in kept], processed_area)
    left, dropped_outside = split_overlapping(left, outside)
    gone = deletions(existing, memory, believe=believe_deletions)
    rejected = () if forget_rejections else gone.rejected
    add, dropped_rejected = split_overlapping(left, rejected)
    remove, seen_again = _split_seen_again(inside, [*dropped_person, *dropped_rejected], add, here, rejected)
    keep += seen_again
    known = _taken_over(gone.rejected, persons) if forget_rejections else gone.rejected
    return Plan(
        remove=tuple(remove),
        add=tuple(add),
        keep=tuple(keep),
        dropped_person=tuple(dropped_person),
        dropped_rejected=tuple(dropped_rejected),
        dropped_outside=tuple(dropped_outside),
        doubtful=gone.doubtful,
        remember=(*keep, *outside, *add, *as_rejected(known), *_split_by_area(gone.doubtful, processed_area)[1]),
        remembered=(*_standing(memory, existing), *as_rejected(gone.rejected), *gone.doubtful),
        persons=tuple(persons),
    )


def deletions(existing: Sequence[PathObject], memory: Memory, *, believe: bool = False) -> Deletions:
    """Say which remembered predictions are gone from an image where `existing` stand: deleted, moved or changed.

    What a run left there is in doubt where nothing of it is seen any more, changed by a person or not; unless the data
    is known to be based on the last write and the run left but few outlines, or `believe` says so.
    """
    unchanged = _unchanged(existing, memory)
    seen = {item.metadata.get(RUN) for item in existing if FINGERPRINT in item.metadata}
    rejected: list[PathObject] = []
    missing: dict[str | None, list[PathObject]] = {}
    for item in memory.predictions:
        if item.metadata.get(FINGERPRINT) in unchanged:
            continue
        if REJECTED in item.metadata:
            rejected.append(item)
        else:
            missing.setdefault(item.metadata.get(RUN), []).append(item)
    doubtful: list[PathObject] = []
    for run, items in missing.items():
        is_sure = run in seen or believe or (memory.is_of_data and len(items) <= FEW)
        (rejected if is_sure else doubtful).extend(items)
    return Deletions(rejected=tuple(rejected), doubtful=tuple(doubtful))


def split_by_plane(items: Sequence[PathObject]) -> tuple[list[PathObject], list[PathObject]]:
    """Split objects into those on the first plane, to which all of ours belong, and those on others."""
    return [item for item in items if not item.is_off_plane], [item for item in items if item.is_off_plane]


def _standing(memory: Memory, existing: Sequence[PathObject]) -> list[PathObject]:
    unchanged = _unchanged(existing, memory)
    return [item for item in memory.predictions if item.metadata.get(FINGERPRINT) in unchanged]


def _taken_over(predictions: Iterable[PathObject], persons: Iterable[PathObject]) -> list[PathObject]:
    """List the predictions that a person made theirs by measurements alone: they are to be known for good."""
    marks = {item.metadata[FINGERPRINT] for item in persons if owner(item) == "machine"}
    return [item for item in predictions if item.metadata.get(FINGERPRINT) in marks]


def _unchanged(existing: Sequence[PathObject], memory: Memory) -> set[str]:
    """Return the fingerprints of the machine's objects.

    One that became a person's for what was added to it is not among these, so that the memory keeps its prediction:
    what was written of it then is what tells a person's measurements from ours at every later write.
    """
    whose = owners(existing, memory.predictions)
    return {item.metadata[FINGERPRINT] for item, owned in zip(existing, whose, strict=True) if owned == "machine"}


def as_rejected(items: Iterable[PathObject]) -> tuple[PathObject, ...]:
    """Mark predictions as rejected, to be remembered so."""
    return tuple(replace(item, metadata={**item.metadata, REJECTED: "yes"}) for item in items)


def is_corrected(item: PathObject) -> bool:
    """Tell whether an outline in the files of a run is another than the run wrote."""
    return item.metadata.get(FINGERPRINT) != _mark(item)


def _mark(item: PathObject) -> str:
    return fingerprint(item.geometry, item.class_name, item.is_locked, item.name)


def _snapped(item: PathObject) -> PathObject:
    return replace(item, geometry=snap(item.geometry)) if is_corrected(item) else _sealed(item)


def _sealed(item: PathObject) -> PathObject:
    geometry = snap(item.geometry)
    snapped = replace(item, geometry=geometry)
    return replace(snapped, metadata={**item.metadata, FINGERPRINT: _mark(snapped)})


def _corners(geometry: BaseGeometry) -> str:
    """Return the corners in 1/100 px as "x,y;x,y;...", each one once, in the order of their characters."""
    corners: set[str] = set()
    for ring in shapely.get_rings(shapely.get_parts(geometry)):
        points = np.rint(shapely.get_coordinates(ring) * 100).astype(np.int64)
        steps = np.diff(points, axis=0)
        moving = steps.any(axis=1)
        starts, steps = points[:-1][moving], steps[moving]
        before = np.concatenate([steps[-1:], steps[:-1]])
        bends = before[:, 0] * steps[:, 1] != before[:, 1] * steps[:, 0]
        corners.update([f"{x},{y}" for x, y in starts[bends].tolist()])
    return ";".join(sorted(corners))


def _match(
    predictions: Sequence[PathObject], machine: Sequence[PathObject]
) -> tuple[list[PathObject], list[PathObject]]:
    """Split off the predictions that stand already; return the others, each once, and what stands for the former."""
    standing: dict[str, PathObject] = {}
    for item in machine:
        standing.setdefault(item.metadata[FINGERPRINT], item)
    asked = {_mark(item): item for item in predictions if not item.geometry.is_empty}  # one that was changed is another
    there = {mark for mark, item in asked.items() if mark in standing and owner(item) == "machine"}
    return [item for mark, item in asked.items() if mark not in there], [
        standing[mark] for mark in asked if mark in there
    ]


def _split_seen_again(
    inside: Sequence[PathObject],
    dropped: Sequence[PathObject],
    add: Sequence[PathObject],
    persons: Sequence[PathObject],
    rejected: Sequence[PathObject],
) -> tuple[list[PathObject], list[PathObject]]:
    """Split off the machine's objects that stay, as what the run saw in their place is `dropped`.

    An outline of two glomeruli, of which a person drew or rejected one, is dropped for that one; the other stays as it
    stands. What is replaced, coincides with a person's outline or lies where one was rejected goes.
    """
    gone, seen = split_overlapping(inside, dropped)
    stay, replaced = split_overlapping(seen, [*add, *rejected])
    stay, theirs = split_coinciding(stay, persons)
    return [*gone, *replaced, *theirs], stay


def _split_by_area(items: Sequence[PathObject], area: BaseGeometry | None) -> tuple[list[PathObject], list[PathObject]]:
    if area is None or not items:
        return list(items), []
    centroids = shapely.centroid(valid_geometries(items))
    shapely.prepare(area)
    within = shapely.intersects(area, centroids)
    return pick(items, within), pick(items, ~within)


def mark(item: PathObject) -> str:
    """Return the fingerprint of an object as it is now, whatever is written in it."""
    return fingerprint(item.geometry, item.class_name, item.is_locked, item.name)
