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
from glomseg.qupath.java import exchange_objects, java_annotations, opened, set_mark
from glomseg.qupath.objects import Color, PathObject, write_geojson
from glomseg.qupath.project import ImageState
from glomseg.qupath.safe_write import back_up, data_sha256, put_in_place
from glomseg.runs.changes import Place, forget, save_change
from glomseg.runs.ownership import VERDICT, Memory, Plan, plan_update
from glomseg.runs.undo import Change, change_of, plan_undo


@dataclass(frozen=True, kw_only=True)
class WrittenImage:
    """What a write did to one image: how many objects, what to remember, and which deletions it did not believe.

    `machine`, `persons` and `verdicts` (verdict to number) count the annotations that stand there now.
    """

    added: int
    removed: int
    kept: int
    dropped_person: int
    dropped_rejected: int
    dropped_outside: int
    remember: tuple[PathObject, ...]
    doubtful: tuple[PathObject, ...]
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
    memory: Memory | None = None,
    forget_rejections: bool = False,
    believe_deletions: bool = False,
) -> WrittenImage:
    """Bring stamped predictions into one image of a project, as `plan_update` decides.

    `image_path` is where the image lies now, `expected_state` what `image_state` said before segmenting, and
    `backup_folder` is filled before the write. Where nothing changes, nothing is written at all. An image that has
    moved gets its new URI in the project; the type that a person gave it is left alone, set or not. With `place`,
    what was changed is kept there for `undo_image`, and what to remember beside it, before the image is written.

    Raises ConflictError where the image was saved since, ProjectError where it cannot be written; it is then as it
    was, and so it is when this process is killed before the last step.
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
    return _change_image(
        project_path,
        entry_id,
        image_path,
        make_plan,
        expected_state,
        backup_folder,
        place,
        lambda plan, existing: change_of(
            plan, existing, plan.remembered, run=place.run if place else "", before=expected_state.sha256
        ),
    )


def undo_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    change: Change,
    *,
    expected_state: ImageState,
    backup_folder: Path,
    place: Place,
    memory: Memory,
    believe_deletions: bool = False,
) -> WrittenImage:
    """Take a change of one image back, as `plan_undo` decides; otherwise as `collect_image`.

    The image is written even where no object changes, so that its data says that the run does not stand in it.
    """
    return _change_image(
        project_path,
        entry_id,
        image_path,
        functools.partial(plan_undo, change=change, memory=memory, believe_deletions=believe_deletions),
        expected_state,
        backup_folder,
        place,
        lambda plan, existing: change_of(plan, existing, plan.remember, run=place.run, before=expected_state.sha256),
    )


def _change_image(
    project_path: Path,
    entry_id: str,
    image_path: Path,
    make_plan: Callable[[Sequence[PathObject]], Plan],
    expected_state: ImageState,
    backup_folder: Path,
    place: Place | None,
    describe: Callable[[Plan, Sequence[PathObject]], Change],
) -> WrittenImage:
    """Change one image as `make_plan` decides from what stands there; what `describe` says of it is kept first."""
    with opened(project_path, entry_id, image_path, expected_state) as (staged, project, entry):
        standing = java_annotations(entry.hierarchy.java_object)
        existing = [item for item, _ in standing]
        plan = make_plan(existing)
        after = expected_state
        writes = not plan.is_empty or (place is not None and place.kind == "undo")
        if writes:
            _apply(project, entry, plan, standing, place.mark if place else None)
            legacy_memory = place.memory.parent.with_suffix(".geojson") if place else None
            back_up(staged, backup_folder, legacy_memory, expected=expected_state)
            try:
                if place:
                    write_geojson(place.memory, plan.remember)
                    save_change(place, describe(plan, existing), after=data_sha256(staged))
                after = put_in_place(staged, expected_state, _classes(plan.add))
            except GlomsegError:
                if place:
                    forget(place)
                raise
    judged = Counter(item.metadata[VERDICT] for item in plan.persons if VERDICT in item.metadata)
    return WrittenImage(
        added=len(plan.add),
        removed=len(plan.remove),
        kept=len(plan.keep),
        dropped_person=len(plan.dropped_person),
        dropped_rejected=len(plan.dropped_rejected),
        dropped_outside=len(plan.dropped_outside),
        remember=plan.remember,
        doubtful=plan.doubtful,
        state_before=expected_state,
        state_after=after,
        moved=staged.new_uri is not None and writes,
        machine=len(existing) - len(plan.persons) - len(plan.remove) + len(plan.add),
        persons=len(plan.persons),
        verdicts=dict(judged),
    )


def _apply(project: Any, entry: Any, plan: Plan, standing: Sequence[tuple[PathObject, Any]], mark: str | None) -> None:
    """Change the scratch project as planned; an id that stands already is not given twice."""
    going = {id(item) for item in plan.remove}
    ids = {item.object_id for item, _ in standing if id(item) not in going}
    if mark is not None:
        set_mark(entry, mark)
    exchange_objects(
        project,
        entry,
        remove=[java_object for item, java_object in standing if id(item) in going],
        add=[replace(item, object_id=None) if item.object_id in ids else item for item in plan.add],
    )


def _classes(added: Iterable[PathObject]) -> list[ProjectClass]:
    colors: dict[str, Color | None] = {item.class_name: item.color for item in added if item.class_name}
    return [ProjectClass(name=name, color=color) for name, color in colors.items()]
