"""What stands in the data of an image, in QuPath's objects and in ours; in the process that holds QuPath's JVM.

Geometry is in level-0 pixels.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import ProjectError, QuPathError
from glomseg.qupath.classes import ANNOTATION, LeftOutObjects
from glomseg.qupath.image_data import readable_data
from glomseg.qupath.objects import PAINTED, Color, PathObject, unpack_rgb
from glomseg.qupath.process import version_numbers
from glomseg.qupath.project import ImageState, load_json
from glomseg.qupath.safe_write import Staged, check_state, stage
from glomseg.qupath.scratch import scratch_folder
from glomseg.qupath.write_mark import PROPERTY, STANDS, property_value, stands_value

_ANY = "java.lang.Exception"
_CORE = "qupath.lib.objects.TMACoreObject"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, kw_only=True)
class ImageObjects:
    """The annotations of an image, how many other objects it has, and what could not be read."""

    annotations: tuple[PathObject, ...] = ()
    others: LeftOutObjects = field(default_factory=LeftOutObjects)
    remarks: tuple[str, ...] = ()


def read_annotations(project_path: Path, entry_id: str) -> list[PathObject]:
    """Read the annotations of an image, as `read_image_objects` does."""
    return list(read_image_objects(project_path, entry_id).annotations)


def read_image_objects(project_path: Path, entry_id: str) -> ImageObjects:
    """Read the objects of an image as they stand in the project; the image itself need not be reachable.

    An object that cannot be read is left out with a remark. Raises ProjectError where the data is damaged.
    """
    start_qupath()
    data = readable_data(project_path.parent / "data" / entry_id)
    if data is None:
        return ImageObjects()
    hierarchy = _read_hierarchy(data)
    pairs, problems = _read_each(hierarchy)
    others = [*hierarchy.getDetectionObjects(), *hierarchy.getObjects(None, _java_class(_CORE).class_)]
    return ImageObjects(
        annotations=tuple(item for item, _ in pairs),
        others=LeftOutObjects(counts=Counter((_class_name(item) or "", _kind(item)) for item in others)),
        remarks=tuple(problems),
    )


@contextmanager
def opened(
    project_path: Path, entry_id: str, image_path: Path, expected_state: ImageState
) -> Iterator[tuple[Staged, Any, Any]]:
    """Open a scratch copy of one image for as long as the block lasts: the copy, its project and its entry.

    Raises ConflictError where the image was saved since `expected_state`, ProjectError where it cannot be read.
    """
    start_qupath()
    _check_version(project_path)
    with scratch_folder("collect") as scratch:
        staged = stage(project_path, entry_id, image_path, scratch)
        check_state(staged, expected_state)
        project, entry = _open_staged(staged)
        yield staged, project, entry


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


def set_mark(entry: Any, mark: str, stands_as: str | None) -> None:
    """Leave the mark of a write in the data of an image that is open, to be saved with it, and whose outcome stands."""
    from paquo import java

    _image_data(entry).setProperty(PROPERTY, java.String(property_value(mark)))
    _image_data(entry).setProperty(STANDS, java.String(stands_value(mark, stands_as)))


def _java_class(name: str) -> Any:
    from paquo.jpype_backend import JClass

    return JClass(name)


def _check_version(project_path: Path) -> None:
    """Refuse a project of a newer QuPath: saving it with an older one could lose what that does not know."""
    from paquo import java

    written = str(load_json(project_path).get("version") or "")
    if version_numbers(written)[:2] > version_numbers(str(java.qupath_version))[:2]:
        raise QuPathError(
            f"{project_path} was written by QuPath {written}, and QuPath {java.qupath_version} is older; set "
            "PAQUO_QUPATH_DIR to the folder of the newer one"
        )


def _open_staged(staged: Staged) -> tuple[Any, Any]:
    """Open the scratch project; the caller keeps the project, as an entry holds it but weakly.

    QuPath answers a data file that it cannot read with an empty image, so that is compared with the file itself.
    """
    from paquo.projects import QuPathProject

    project = QuPathProject(staged.project_file, mode="r+")
    entry = project.images[0]
    data = readable_data(staged.data_folder)
    expected = int(_read_hierarchy(data).nObjects()) if data else 0
    try:
        count = int(entry.hierarchy.java_object.nObjects())
    except OSError as error:  # as paquo answers an image that QuPath cannot open, and that has no data
        raise ProjectError(f"QuPath cannot open {staged.name} ({error}); open it in QuPath to see why") from error
    if count < expected:
        raise ProjectError(f"QuPath cannot read the data of {staged.name}; open it in QuPath to see why")
    return project, entry


def _read_hierarchy(data: Path) -> Any:
    """Read the objects of a complete data file; QuPath would read on for ever in one that is cut short."""
    from paquo import java

    try:
        return java.PathIO.readHierarchy(java.File(str(data)))
    except _java_class(_ANY) as error:
        raise ProjectError(f"QuPath cannot read {data} ({error}); open the image in QuPath to see why") from error


def java_annotations(hierarchy: Any) -> list[tuple[PathObject, Any]]:
    """Read the annotations of a hierarchy, each with QuPath's own object, but for those that cannot be read."""
    return _read_each(hierarchy)[0]


def java_detections(hierarchy: Any, places: Iterable[PathObject]) -> list[tuple[PathObject, Any]]:
    """Read the detections that may coincide with one of `places`, each with QuPath's own object.

    A detection less than half as large as what it lies on is none of these: of a million cells few are read.
    """
    from paquo import java

    writer, kind = java.WKBWriter(2), _java_class("qupath.lib.objects.PathDetectionObject").class_
    region = _java_class("qupath.lib.regions.ImageRegion")
    read: dict[str, tuple[PathObject, Any]] = {}
    if hierarchy.getDetectionObjects().isEmpty():  # thousands of places need not be asked then
        return []
    for place in places:
        x, y, right, top = (round(value) for value in place.geometry.bounds)
        box = region.createInstance(x, y, max(1, right - x), max(1, top - y), 0, 0)
        for item in hierarchy.getObjectsForRegion(kind, box, None):
            if float(item.getROI().getArea()) < place.geometry.area / 2:
                continue
            with suppress(AttributeError, TypeError, ValueError, shapely.errors.ShapelyError, _java_class(_ANY)):
                read[str(item.getID())] = _to_path_object(item, writer, kind=_kind(item)), item
    return list(read.values())


def _read_each(hierarchy: Any) -> tuple[list[tuple[PathObject, Any]], list[str]]:
    """Read the annotations one by one; say which could not be read."""
    from paquo import java

    writer = java.WKBWriter(2)
    pairs, problems = [], []
    for item in hierarchy.getAnnotationObjects():
        try:
            pairs.append((_to_path_object(item, writer), item))
        except (AttributeError, TypeError, ValueError, shapely.errors.ShapelyError, _java_class(_ANY)) as error:
            problems.append(f"left out an annotation that cannot be read ({item.getName() or item.getID()}: {error})")
    return pairs, problems


def _class_name(item: Any) -> str | None:
    path_class = item.getPathClass()
    return None if path_class is None else str(path_class.toString())


def _kind(item: Any) -> str:
    """Name the kind of an object that is no annotation."""
    if item.isCell():
        return "cell"
    return "tile" if item.isTile() else "core" if item.isTMACore() else "detection"


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


def _to_path_object(item: Any, writer: Any, *, kind: str = ANNOTATION) -> PathObject:
    path_class, name, own_color = item.getPathClass(), item.getName(), item.getColor()
    metadata = {str(key): str(value) for key, value in item.getMetadata().items()}
    color = None if path_class is None else path_class.getColor()
    return PathObject(
        geometry=_geometry(item.getROI(), writer),
        class_name=_class_name(item),
        color=None if color is None else unpack_rgb(int(color)),
        name=None if name is None else str(name),
        object_type=kind,
        object_id=str(item.getID().toString()),
        is_locked=bool(item.isLocked()),
        measurements={str(key): float(value) for key, value in item.getMeasurementList().asMap().items()},
        metadata=metadata,
        is_colored=own_color is not None and metadata.get(PAINTED) != str(own_color),
        has_children=bool(item.hasChildObjects()),
        is_off_plane=bool(item.getROI().getZ() or item.getROI().getT()),
    )


def to_java(items: Iterable[PathObject], listed: Collection[str]) -> Any:
    """Make QuPath's annotations of objects, in a list of Java's; what many have in common is made once."""
    from paquo import java

    reader, uuids = java.WKBReader(java.GeometryTools.getDefaultFactory()), _java_class("java.util.UUID")
    text = functools.lru_cache(maxsize=1000)(java.String)
    classes: dict[tuple[str | None, Color | None], Any] = {}
    made = java.ArrayList()
    for item in items:
        kind = item.class_name, item.color
        if kind not in classes:
            classes[kind] = path_class(item, listed)
        roi = java.GeometryTools.geometryToROI(reader.read(shapely.to_wkb(item.geometry)), None)
        annotation = java.PathObjects.createAnnotationObject(roi, classes[kind])
        annotation.setLocked(item.is_locked)
        if item.own_color is not None:
            annotation.setColor(*item.own_color)
        if item.name:
            annotation.setName(java.String(item.name))
        if item.object_id and _UUID.fullmatch(item.object_id):  # another program's id is none of QuPath's
            annotation.setID(uuids.fromString(item.object_id))
        measurements, metadata = annotation.getMeasurementList(), annotation.getMetadata()
        for key, value in item.measurements.items():
            measurements.put(text(key), float(value))
        for key, words in item.metadata.items():
            metadata.put(text(key), text(words))
        made.add(annotation)
    return made


def exchange_objects(project: Any, entry: Any, *, remove: Iterable[Any], add: Iterable[PathObject]) -> None:
    """Take QuPath's own objects out of an opened image, put ours in, and save it; all is set before the one save.

    The children of an object that goes stay, one level up.
    """
    from paquo import java

    listed = {str(item.toString()) for item in project.java_object.getPathClasses()}
    removed, added = java.ArrayList(), to_java(add, listed)
    for java_object in remove:
        removed.add(java_object)
    hierarchy = entry.hierarchy.java_object
    hierarchy.removeObjects(removed, True)
    hierarchy.addObjects(added)
    save_entry(entry)


def save_entry(entry: Any) -> None:
    """Save an opened image; raises ProjectError for one that QuPath cannot open and has never saved."""
    _image_data(entry)
    entry.save()


def _image_data(entry: Any) -> Any:
    try:
        return entry._image_data
    except FileNotFoundError as error:  # there is no data to read instead
        raise ProjectError(
            f"QuPath cannot open {entry.image_name}, and has never saved it; open it in QuPath to see why, or take the "
            "outlines from the run folder"
        ) from error


def path_class(item: PathObject, listed: Collection[str]) -> Any:
    """Return QuPath's class of an object; the project's own colour wins over ours."""
    from paquo import java

    if not item.class_name:
        return None
    path_class = java.PathClass.fromString(java.String(item.class_name))
    if item.color is not None and item.class_name not in listed:
        path_class.setColor(*item.color)
    return path_class
