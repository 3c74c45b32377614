"""Read and write the objects of a QuPath project: the only user of paquo.

All functions but `find_qupath` and `qupath_process` run in the process that holds QuPath's JVM:

    with qupath_process() as qupath:
        objects = qupath.call(read_annotations, project_path, entry_id)
        result = qupath.call(collect_image, project_path, entry_id, image_path, predictions, ...)

Geometry is in level-0 pixels.
"""

from __future__ import annotations

import functools
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import ProjectError, QuPathError
from glomseg.geojson import Color, PathObject
from glomseg.project.history import Place, forget_change, save_change
from glomseg.project.ownership import VERDICT, Plan, plan_update
from glomseg.project.qpproj import ImageState, ProjectClass, load_json
from glomseg.project.qupath import QuPathInfo, QuPathProcess, find_qupath, qupath_process, version_numbers
from glomseg.project.staging import Staged, back_up, check_state, put_in_place, readable_data, stage
from glomseg.project.undo import Change, change_of, plan_undo

__all__ = [
    "CollectResult",
    "QuPathInfo",
    "QuPathProcess",
    "collect_image",
    "find_qupath",
    "qupath_process",
    "read_annotations",
    "undo_image",
]


@dataclass(frozen=True, kw_only=True)
class CollectResult:
    """What came of one image: how many objects, and `remember`, the `earlier_predictions` of the next collect.

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


def read_annotations(project_path: Path, entry_id: str) -> list[PathObject]:
    """Read the annotations of an image as they stand in the project; the image itself need not be reachable.

    Raises ProjectError where the data is damaged.
    """
    start_qupath()
    data = readable_data(project_path.parent / "data" / entry_id)
    if data is None:
        return []
    return [item for item, _ in java_annotations(_read_hierarchy(data))]


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
) -> CollectResult:
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
) -> CollectResult:
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
) -> CollectResult:
    """Change one image as `make_plan` decides from what stands there; `before_writing` is told of a change first."""
    start_qupath()
    check_version(project_path)
    with tempfile.TemporaryDirectory(prefix="glomseg-collect-", ignore_cleanup_errors=True) as scratch:
        staged = stage(project_path, entry_id, image_path, Path(scratch))
        check_state(staged, expected_state)
        project, entry = open_staged(staged)
        standing = java_annotations(entry.hierarchy.java_object)
        existing = [item for item, _ in standing]
        plan = make_plan(existing)
        after = expected_state
        if not plan.is_empty:
            _apply(project, entry, plan, standing)
            before_writing(staged, plan, existing)
            after = put_in_place(staged, expected_state, _classes(plan.add))
    judged = Counter(item.metadata[VERDICT] for item in plan.persons if VERDICT in item.metadata)
    return CollectResult(
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


def start_qupath() -> None:
    """Start the JVM by importing paquo, once; raises QuPathError where that fails."""
    try:
        from paquo import java
        from paquo.projects import QuPathProject  # noqa: F401  (its import sets QuPath's log level)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise QuPathError(f"QuPath's Java could not be started ({error}); install QuPath again") from error
    if java.LogManager is not None:
        java.LogManager.setWarn()
    if version_numbers(str(java.qupath_version)) < (0, 6):  # QuPath 0.5 does not try OpenSlide by itself
        _java_class("qupath.lib.images.servers.openslide.jna.OpenSlideLoader").tryToLoadQuietly()


def _java_class(name: str) -> Any:
    from paquo.jpype_backend import JClass

    return JClass(name)


def check_version(project_path: Path) -> None:
    """Refuse a project of a newer QuPath: saving it with an older one could lose what that does not know."""
    from paquo import java

    written = str(load_json(project_path).get("version") or "")
    if version_numbers(written)[:2] > version_numbers(str(java.qupath_version))[:2]:
        raise QuPathError(
            f"{project_path} was written by QuPath {written}, and QuPath {java.qupath_version} is older; set "
            "PAQUO_QUPATH_DIR to the folder of the newer one"
        )


def open_staged(staged: Staged) -> tuple[Any, Any]:
    """Open the scratch project; the caller keeps the project, as an entry holds it but weakly.

    QuPath answers a data file that it cannot read with an empty image, so that is compared with the file itself.
    """
    from paquo.projects import QuPathProject

    project = QuPathProject(staged.project_file, mode="r+")
    entry = project.images[0]
    data = readable_data(staged.data_folder)
    expected = int(_read_hierarchy(data).nObjects()) if data else 0
    if int(entry.hierarchy.java_object.nObjects()) < expected:
        raise ProjectError(f"QuPath cannot read the data of {staged.name}; open it in QuPath to see why")
    return project, entry


def _read_hierarchy(data: Path) -> Any:
    """Read the objects of a complete data file; QuPath would read on for ever in one that is cut short."""
    from paquo import java

    try:
        return java.PathIO.readHierarchy(java.File(str(data)))
    except _java_class("java.lang.Exception") as error:
        raise ProjectError(f"QuPath cannot read {data} ({error}); open the image in QuPath to see why") from error


def java_annotations(hierarchy: Any) -> list[tuple[PathObject, Any]]:
    from paquo import java

    writer = java.WKBWriter(2)
    return [(_to_path_object(item, writer), item) for item in hierarchy.getAnnotationObjects()]


def _geometry(roi: Any, writer: Any) -> BaseGeometry:
    """Return the shape of a ROI; a valid polygon as it stands, without QuPath's slow repairs."""
    from paquo import java

    if str(roi.getRoiName()) == "Polygon":
        path = roi.getShape().getPathIterator(None, 0.5)
        shape = _java_class("org.locationtech.jts.awt.ShapeReader").read(path, java.GeometryTools.getDefaultFactory())
        polygon = shapely.from_wkb(bytes(writer.write(shape)))
        if polygon.is_valid and not polygon.is_empty:
            return polygon
    return shapely.from_wkb(bytes(writer.write(roi.getGeometry())))


def _to_path_object(item: Any, writer: Any) -> PathObject:
    path_class, name = item.getPathClass(), item.getName()
    color = None if path_class is None else path_class.getColor()
    return PathObject(
        geometry=_geometry(item.getROI(), writer),
        class_name=None if path_class is None else str(path_class.toString()),
        color=None if color is None else _rgb(int(color)),
        name=None if name is None else str(name),
        object_id=str(item.getID().toString()),
        is_locked=bool(item.isLocked()),
        measurements={str(key): float(value) for key, value in item.getMeasurementList().asMap().items()},
        metadata={str(key): str(value) for key, value in item.getMetadata().items()},
    )


def _apply(project: Any, entry: Any, plan: Plan, standing: Sequence[tuple[PathObject, Any]]) -> None:
    """Change the hierarchy as planned and save the scratch project; everything is set before the one save.

    The children of an object that goes stay, one level up. An id that stands already is not given twice.
    """
    from paquo import java

    listed = {str(item.toString()) for item in project.java_object.getPathClasses()}
    going = {id(item) for item in plan.remove}
    ids = {item.object_id for item, _ in standing if id(item) not in going}
    removed, added = java.ArrayList(), java.ArrayList()
    for item, java_object in standing:
        if id(item) in going:
            removed.add(java_object)
    for item in plan.add:
        added.add(_to_java(replace(item, object_id=None) if item.object_id in ids else item, listed))
    hierarchy = entry.hierarchy.java_object
    hierarchy.removeObjects(removed, True)
    hierarchy.addObjects(added)
    entry.save()


def _to_java(item: PathObject, listed: Collection[str]) -> Any:
    from paquo import java

    shape = java.WKBReader(java.GeometryTools.getDefaultFactory()).read(shapely.to_wkb(item.geometry))
    roi = java.GeometryTools.geometryToROI(shape, None)
    made = java.PathObjects.createAnnotationObject(roi, path_class(item, listed))
    made.setLocked(item.is_locked)
    if item.name:
        made.setName(java.String(item.name))
    if item.object_id:
        made.setID(_java_class("java.util.UUID").fromString(str(uuid.UUID(item.object_id))))
    measurements, metadata = made.getMeasurementList(), made.getMetadata()
    for key, value in item.measurements.items():
        measurements.put(java.String(key), float(value))
    for key, text in item.metadata.items():
        metadata.put(java.String(key), java.String(text))
    return made


def path_class(item: PathObject, listed: Collection[str]) -> Any:
    """Return QuPath's class of an object; the project's own colour wins over ours."""
    from paquo import java

    if not item.class_name:
        return None
    path_class = java.PathClass.fromString(java.String(item.class_name))
    if item.color is not None and item.class_name not in listed:
        path_class.setColor(*item.color)
    return path_class


def _classes(added: Iterable[PathObject]) -> list[ProjectClass]:
    colors: dict[str, Color | None] = {item.class_name: item.color for item in added if item.class_name}
    return [ProjectClass(name=name, color=color) for name, color in colors.items()]


def _rgb(packed: int) -> Color:
    return (packed >> 16) & 255, (packed >> 8) & 255, packed & 255
