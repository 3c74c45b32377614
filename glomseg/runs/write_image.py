"""Bring predictions into the images of a QuPath project, and take them back.

All functions run in the process that holds QuPath's JVM:

    with qupath_process() as qupath:
        result = qupath.call(collect_image, project_path, entry_id, image_path, predictions, ...)

Geometry is in level-0 pixels.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from glomseg.errors import GlomsegError
from glomseg.qupath.class_list import ProjectClass
from glomseg.qupath.classes import ANNOTATION
from glomseg.qupath.image_data import SavedOverError
from glomseg.qupath.java import exchange_objects, java_annotations, java_detections, opened, set_mark
from glomseg.qupath.objects import Color, PathObject, write_geojson
from glomseg.qupath.project import ImageState, folder_state
from glomseg.qupath.safe_write import Staged, back_up, data_sha256, put_in_place
from glomseg.runs.brought import with_brought
from glomseg.runs.changes import Place, forget, save_change
from glomseg.runs.ownership import Memory, Plan, owner, plan_update, verdict_of
from glomseg.runs.run import FOLDER
from glomseg.runs.undo import Change, change_of, plan_undo


@dataclass(frozen=True, kw_only=True)
class Target:
    """The image to write: `image_path` is where it lies now, `state` how its data stood when it was read.

    `backup_folder` is filled before the write. With `place`, what was changed is kept there for `undo_image`, and what
    to remember beside it, before the image is written.
    """

    project_path: Path
    entry_id: str
    image_path: Path
    state: ImageState
    backup_folder: Path
    place: Place | None = None


@dataclass(frozen=True, kw_only=True)
class WrittenImage:
    """What a write did to one image: how many objects, what to remember, and which deletions it did not believe.

    `machine`, `persons` (by class, "" for none) and `verdicts` count the annotations that stand there now, `left_out`
    by class the predictions that were not added.
    """

    added: int
    removed: int
    kept: int
    dropped_person: int
    dropped_rejected: int
    dropped_outside: int
    left_out: Mapping[str, int]
    remember: tuple[PathObject, ...]
    doubtful: tuple[PathObject, ...]
    state_before: ImageState
    state_after: ImageState
    moved: bool
    machine: int
    persons: Mapping[str, int]
    verdicts: Mapping[str, int]

    @property
    def changed(self) -> bool:
        """Tell whether anything was written."""
        return bool(self.added or self.removed)


def collect_image(
    target: Target,
    predictions: Sequence[PathObject],
    *,
    processed_area: BaseGeometry | None,
    memory: Memory | None = None,
    forget_rejections: bool = False,
    believe_deletions: bool = False,
) -> WrittenImage:
    """Bring stamped predictions into one image of a project, as `plan_update` decides.

    Where nothing changes, nothing is written at all. An image that has moved gets its new URI in the project; the type
    that a person gave it is left alone, set or not.

    Raises ConflictError where the image was saved since `target.state`, ProjectError where it cannot be written; it is
    then as it was, and so it is when this process is killed before the last step.
    """
    memory = memory or Memory()
    make_plan = functools.partial(
        plan_update,
        predictions=predictions,
        processed_area=processed_area,
        memory=memory,
        forget_rejections=forget_rejections,
        believe_deletions=believe_deletions,
    )
    return _change_image(target, predictions, memory, make_plan, lambda plan: plan.remembered)


def undo_image(target: Target, change: Change, *, memory: Memory, believe_deletions: bool = False) -> WrittenImage:
    """Take a change of one image back, as `plan_undo` decides; otherwise as `collect_image`.

    The image is written even where no object changes, so that its data says that the run does not stand in it.
    """
    make_plan = functools.partial(plan_undo, change=change, memory=memory, believe_deletions=believe_deletions)
    return _change_image(target, change.removed, memory, make_plan, lambda plan: plan.remember)


def _change_image(
    target: Target,
    coming: Sequence[PathObject],
    memory: Memory,
    make_plan: Callable[[Sequence[PathObject]], Plan],
    remembered: Callable[[Plan], Sequence[PathObject]],
) -> WrittenImage:
    """Change one image as `make_plan` decides from what stands there; `remembered` tells what held before of it."""
    place = target.place
    with opened(target.project_path, target.entry_id, target.image_path, target.state) as (staged, project, entry):
        hierarchy = entry.hierarchy.java_object
        read = [*java_annotations(hierarchy), *java_detections(hierarchy, coming)]
        existing = with_brought(
            [item for item, _ in read], memory, target.project_path.parent / FOLDER, target.entry_id
        )
        standing = [(item, java_object) for item, (_, java_object) in zip(existing, read, strict=True)]
        plan = make_plan(existing)
        after = target.state
        writes = not plan.is_empty or (place is not None and place.kind == "undo")
        if writes:
            _apply(project, entry, plan, standing, place)
            after = _put(staged, target, plan, existing, remembered(plan))
    return _described(plan, existing, target.state, after, moved=staged.new_uri is not None and writes)


def _put(
    staged: Staged, target: Target, plan: Plan, existing: Sequence[PathObject], remembered: Sequence[PathObject]
) -> ImageState:
    """Bring the changed scratch copy into the project, after a backup and the record of the change."""
    place = target.place
    legacy_memory = place.memory.parent.with_suffix(".geojson") if place else None
    back_up(staged, target.backup_folder, legacy_memory, expected=target.state)
    try:
        if place:
            write_geojson(place.memory, plan.remember)
            change = change_of(plan, existing, remembered, run=place.run, before=target.state.sha256)
            save_change(place, change, after=data_sha256(staged))
        return put_in_place(staged, target.state, _classes(plan.add))
    except SavedOverError:  # what we wrote may be QuPath's .bkp now
        raise
    except GlomsegError:
        if place and folder_state(staged.original_data_folder).sha256 != data_sha256(staged):
            forget(place)  # else the data stand, and only what comes after them could not be written
        raise


def _described(
    plan: Plan, existing: Sequence[PathObject], before: ImageState, after: ImageState, *, moved: bool
) -> WrittenImage:
    corrected = [item for item in plan.add if owner(item) == "person"]  # in the file of the run
    persons = [item for item in (*plan.persons, *corrected) if item.object_type == ANNOTATION]
    dropped = (*plan.dropped_person, *plan.dropped_rejected, *plan.dropped_outside)
    return WrittenImage(
        added=len(plan.add),
        removed=len(plan.remove),
        kept=len(plan.keep),
        dropped_person=len(plan.dropped_person),
        dropped_rejected=len(plan.dropped_rejected),
        dropped_outside=len(plan.dropped_outside),
        left_out=Counter(item.class_name or "" for item in dropped),
        remember=plan.remember,
        doubtful=plan.doubtful,
        state_before=before,
        state_after=after,
        moved=moved,
        machine=len(existing) - len(plan.persons) - len(plan.remove) + len(plan.add) - len(corrected),
        persons=Counter(item.class_name or "" for item in persons),
        verdicts=Counter(verdict for item in persons if (verdict := verdict_of(item))),
    )


def _apply(
    project: Any, entry: Any, plan: Plan, standing: Sequence[tuple[PathObject, Any]], place: Place | None
) -> None:
    """Change the scratch project as planned; an id that stands already is not given twice."""
    going = {id(item) for item in plan.remove}
    ids = {item.object_id for item, _ in standing if id(item) not in going}
    if place is not None:
        undone_as = place.stood if plan.is_empty else place.outcome  # what was reviewed is so where all of it stays
        set_mark(entry, place.mark, place.mark if place.kind == "collect" else undone_as)
    exchange_objects(
        project,
        entry,
        remove=[java_object for item, java_object in standing if id(item) in going],
        add=[replace(item, object_id=None) if item.object_id in ids else item for item in plan.add],
    )


def _classes(added: Iterable[PathObject]) -> list[ProjectClass]:
    colors: dict[str, Color | None] = {item.class_name: item.color for item in added if item.class_name}
    return [ProjectClass(name=name, color=color) for name, color in colors.items()]
