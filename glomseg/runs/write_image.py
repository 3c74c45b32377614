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

from glomseg.qupath.java import exchange_objects, java_annotations, opened
from glomseg.qupath.objects import Color, PathObject
from glomseg.qupath.project import ImageState, ProjectClass
from glomseg.qupath.safe_write import Staged, back_up, put_in_place
from glomseg.runs.changes import Place, forget_change, save_change
from glomseg.runs.ownership import VERDICT, Plan, plan_update
from glomseg.runs.undo import Change, change_of, plan_undo


@dataclass(frozen=True, kw_only=True)
class WrittenImage:
    """What a write did to one image: how many objects, and `remember`, the `earlier_predictions` of the next collect.

    `machine`, `persons` and `verdicts` (verdict to number) count the annotations that stand there now.
    """

    added: int
    removed: int
    kept: int
    dropped_person: int
    dropped_rejected: int
    dropped_outside: int
    remember: tuple[PathObject, ...]
    state_before: ImageState
    state_after: ImageState
    moved: bool
    machine: int
    persons: int
    verdicts: Mapping[str, int]

    @property
    def changed(self) -> bool:
        """Tell whether anything was written."""
        return bool(self.added or self.removed)


def collect_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    predictions: Sequence[PathObject],
    *,
    processed_area: BaseGeometry | None,
    expected_state: ImageState,
    backup_folder: Path,
    place: Place | None = None,
    earlier_predictions: Sequence[PathObject] = (),
    forget_rejections: bool = False,
) -> WrittenImage:
    """Bring stamped predictions into one image of a project, as `plan_update` decides.

    `image_path` is where the image lies now, `expected_state` what `image_state` said before segmenting, and
    `backup_folder` is filled before the first write. Where nothing changes, nothing is written at all. An image that
    has moved gets its new URI in the project; the type that a person gave it is left alone, set or not. With `place`,
    what was changed is kept there for `undo_image`.

    Raises ConflictError where the image was saved since, ProjectError where it cannot be written; it is then as it
    was, and so it is when this process is killed before the last step.
    """
    make_plan = functools.partial(
        plan_update,
        predictions=predictions,
        processed_area=processed_area,
        earlier_predictions=earlier_predictions,
        forget_rejections=forget_rejections,
    )

    def before_writing(staged: Staged, plan: Plan, existing: Sequence[PathObject]) -> None:
        back_up(staged, backup_folder, place.memory if place else None)
        if place:
            change = change_of(plan, existing, earlier_predictions, run=place.run, before=expected_state.sha256)
            save_change(place, change)

    try:
        return _change_image(project_path, entry_id, image_path, make_plan, expected_state, before_writing)
    except Exception:
        if place:
            forget_change(place)
        raise


def undo_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    change: Change,
    *,
    expected_state: ImageState,
    backup_folder: Path,
    memory: Path,
) -> WrittenImage:
    """Take a change of one image back, as `plan_undo` decides; otherwise as `collect_image`."""
    return _change_image(
        project_path,
        entry_id,
        image_path,
        functools.partial(plan_undo, change=change),
        expected_state,
        lambda staged, plan, existing: back_up(staged, backup_folder, memory),
    )


def _change_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    make_plan: Callable[[Sequence[PathObject]], Plan],
    expected_state: ImageState,
    before_writing: Callable[[Staged, Plan, Sequence[PathObject]], None],
) -> WrittenImage:
    """Change one image as `make_plan` decides from what stands there; `before_writing` is told of a change first."""
    with opened(project_path, entry_id, image_path, expected_state) as (staged, project, entry):
        standing = java_annotations(entry.hierarchy.java_object)
        existing = [item for item, _ in standing]
        plan = make_plan(existing)
        after = expected_state
        if not plan.is_empty:
            _apply(project, entry, plan, standing)
            before_writing(staged, plan, existing)
            after = put_in_place(staged, expected_state, _classes(plan.add))
    judged = Counter(item.metadata[VERDICT] for item in plan.persons if VERDICT in item.metadata)
    return WrittenImage(
        added=len(plan.add),
        removed=len(plan.remove),
        kept=len(plan.keep),
        dropped_person=len(plan.dropped_person),
        dropped_rejected=len(plan.dropped_rejected),
        dropped_outside=len(plan.dropped_outside),
        remember=plan.remember,
        state_before=expected_state,
        state_after=after,
        moved=staged.new_uri is not None and not plan.is_empty,
        machine=len(existing) - len(plan.persons) - len(plan.remove) + len(plan.add),
        persons=len(plan.persons),
        verdicts=dict(judged),
    )


def _apply(project: Any, entry: Any, plan: Plan, standing: Sequence[tuple[PathObject, Any]]) -> None:
    """Change the scratch project as planned; an id that stands already is not given twice."""
    going = {id(item) for item in plan.remove}
    ids = {item.object_id for item, _ in standing if id(item) not in going}
    exchange_objects(
        project,
        entry,
        remove=[java_object for item, java_object in standing if id(item) in going],
        add=[replace(item, object_id=None) if item.object_id in ids else item for item in plan.add],
    )


def _classes(added: Iterable[PathObject]) -> list[ProjectClass]:
    colors: dict[str, Color | None] = {item.class_name: item.color for item in added if item.class_name}
    return [ProjectClass(name=name, color=color) for name, color in colors.items()]
