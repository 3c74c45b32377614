"""QuPath's dialect of GeoJSON, both ways.

Coordinates are (x, y) in level-0 pixels, the origin at the top-left corner of the image.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geojson
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError, in_words
from glomseg.files import from_json, replacing
from glomseg.listing import first_names
from glomseg.qupath.geojson_shapes import excerpt, is_open, other_plane, read_geometry

Color = tuple[int, int, int]

DEFAULT_COLOR: Color = (200, 0, 0)
PAINTED = "glomseg.painted"
"""Where the scripts of the review keep the colour that they gave an object for a while, so that it is no person's."""

DECIMALS = 6
"""Of a coordinate: what RFC 7946 advises, and finer than the grid that outlines are snapped to."""

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)

_KINDS_IN_ID = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "PathRootObject": "root",
    "TMACoreObject": "core",
}
"""What QuPath 0.2 wrote as an object's id."""

_ODD = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    shapely.errors.ShapelyError,
)
"""What is raised by reading an object that is none."""


@dataclass(frozen=True, kw_only=True)
class PathObject:
    """One object of a QuPath image: geometry in level-0 pixels, a derived class named "A: B".

    `color` is that of the class. `is_colored` tells of a colour of its own that a person gave it, which `own_color` is
    where a file says it. `has_children` tells of objects inside it, `is_off_plane` that a person put it on another
    plane of a stack or a time series than the first, to which all of ours belong, `is_brought` that a person copied it
    from another image or a file, `is_measured` that a person gave it measurements of their own. These four are known of
    what stands in an image alone, and not of files.
    """

    geometry: BaseGeometry
    object_type: str = "annotation"
    class_name: str | None = None
    color: Color | None = None
    name: str | None = None
    object_id: str | None = None
    is_locked: bool = False
    measurements: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_colored: bool = False
    own_color: Color | None = None
    has_children: bool = False
    is_off_plane: bool = False
    is_brought: bool = False
    is_measured: bool = False


@dataclass(frozen=True, kw_only=True)
class GeoJSONObjects:
    """What a file holds; the remarks say what was repaired and what was left out."""

    objects: tuple[PathObject, ...]
    remarks: tuple[str, ...] = ()


def write_geojson(path: Path, objects: Iterable[PathObject]) -> None:
    """Write `objects` as one FeatureCollection that QuPath imports without a question, whole or not at all.

    One invalid polygon makes QuPath drop a whole file: an invalid or empty geometry raises GeoJSONError.
    """
    text = collection_text(objects)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def collection_text(objects: Iterable[PathObject]) -> str:
    """Return `objects` as the text of the FeatureCollection that `write_geojson` writes; raises GeoJSONError.

    Object by object: the corners of many at once, each a list, would keep Python's garbage collector busy.
    """
    features = ",".join(_JSON.encode(_to_feature(item)) for item in objects)
    return f'{{"type":"FeatureCollection","features":[{features}]}}'


def read_geojson(path: Path) -> list[PathObject]:
    """Read the objects of a file that glomseg wrote; of people's files, see `read_objects`.

    Raises GeoJSONError where the file is missing, is no GeoJSON, or holds an object that cannot be read.
    """
    return from_collection(_load(path), path)


def read_objects(path: Path) -> GeoJSONObjects:
    """Read the objects of a file that a person, QuPath (0.2 to 0.7) or another program made.

    Takes a FeatureCollection, an array or one Feature, each also as `.gz`. Invalid outlines are repaired, and what
    cannot be read is left out; both stand in the remarks. Raises GeoJSONError where the file is missing, is no
    GeoJSON, or none of its objects can be read.
    """
    content = _read_features(_load(path), path)
    if content.unreadable and not content.objects:
        raise GeoJSONError(f"{path} holds no object that can be read ({content.unreadable[0]}); export it again")
    remarks = [f"{path.name}: left out {problem}" for problem in content.unreadable]
    if content.repaired:
        outlines = "outline" if len(content.repaired) == 1 else "outlines"
        said = f"{len(content.repaired)} invalid {outlines} repaired ({first_names(content.repaired, 5)})"
        remarks.insert(0, f"{path.name}: {said}")
    if content.planes:
        which = "; ".join(f"{count} at {plane}" for plane, count in content.planes.items())
        remarks.append(f"{path.name}: {sum(content.planes.values())} objects of other planes ({which}) are taken, too")
    return GeoJSONObjects(objects=content.objects, remarks=tuple(remarks))


def _load(path: Path) -> Any:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        return from_json(data)
    except FileNotFoundError:
        raise GeoJSONError(f"{path} does not exist; export it from QuPath as GeoJSON") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise GeoJSONError(
            f"{path} is not readable GeoJSON ({in_words(error)}); export it from QuPath again"
        ) from error


def from_collection(content: Any, path: Path) -> list[PathObject]:
    """Read the objects of parsed GeoJSON that stood in the file `path`; raises GeoJSONError."""
    read = _read_features(content, path)
    if read.unreadable:
        raise GeoJSONError(f"{path} holds an object that cannot be read ({read.unreadable[0]}); export it again")
    return list(read.objects)


def repair(geometry: BaseGeometry) -> BaseGeometry:
    """Return the areas of a geometry, valid; one without an area, such as points, comes back as it is.

    A ring that crosses itself becomes its parts; what a hole cuts off beyond its outline was never inside.
    """
    if geometry.geom_type in ("Polygon", "MultiPolygon") and geometry.is_valid:
        return geometry
    valid = geometry if geometry.is_valid else shapely.make_valid(geometry, method="structure", keep_collapsed=False)
    parts = [part for part in shapely.get_parts(shapely.get_parts(valid)) if part.geom_type == "Polygon"]
    area = shapely.union_all([part for part in parts if part.area > 0])
    return geometry if area.is_empty else area


@dataclass(frozen=True)
class _Read:
    """Objects of a file, the numbers or names of those repaired, what could not be read and why, and how many lie on
    which plane but the first.
    """

    objects: tuple[PathObject, ...]
    repaired: tuple[str, ...]
    unreadable: tuple[str, ...]
    planes: Mapping[str, int]


def _read_features(content: Any, path: Path) -> _Read:
    objects, repaired, unreadable = [], [], []
    planes: Counter[str] = Counter()
    for number, feature in enumerate(_features(content, path), 1):
        try:
            item = _from_feature(feature)
            sound = repair(item.geometry)
            was_open = is_open(feature["geometry"])
        except _ODD as error:
            unreadable.append(f"object {number}: {_reason(error)}")
            continue
        if sound is not item.geometry or was_open:
            repaired.append(f"object {number}")
        if plane := other_plane(feature["geometry"]):
            planes[plane] += 1
        objects.append(item if sound is item.geometry else replace(item, geometry=sound))
    return _Read(tuple(objects), tuple(repaired), tuple(unreadable), planes)


def _reason(error: Exception) -> str:
    return f"no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]


def _features(content: Any, path: Path) -> list[Any]:
    if isinstance(content, list):
        return content
    kind = content.get("type") if isinstance(content, dict) else content
    if kind == "FeatureCollection" and isinstance(content.get("features"), list):
        return list(content["features"])
    if kind == "Feature":
        return [content]
    raise GeoJSONError(f"{path} holds no objects (its type is {kind!r}); export them from QuPath as GeoJSON")


def _to_feature(item: PathObject) -> geojson.Feature:
    geometry = item.geometry
    if geometry.is_empty or geometry.geom_type not in ("Polygon", "MultiPolygon") or not geometry.is_valid:
        reason = "empty" if geometry.is_empty else shapely.is_valid_reason(geometry)
        raise GeoJSONError(f"a {geometry.geom_type} that QuPath would refuse ({reason}); repair it before writing")
    properties: dict[str, Any] = {"objectType": item.object_type}
    if item.name:
        properties["name"] = item.name
    if item.class_name is not None:
        properties["classification"] = _classification(item.class_name, item.color or DEFAULT_COLOR)
    if item.own_color is not None:
        properties["color"] = list(item.own_color)
    if item.is_locked:
        properties["isLocked"] = True
    if item.measurements:
        finite = {key: float(value) for key, value in item.measurements.items() if math.isfinite(value)}
        properties["measurements"] = finite
    if item.metadata:
        properties["metadata"] = dict(item.metadata)
    feature = geojson.Feature(id=item.object_id or str(uuid.uuid4()), properties=properties)
    feature["geometry"] = _to_geometry(geometry)  # given to Feature, each corner would be copied and checked one by one
    return feature


def _to_geometry(geometry: BaseGeometry) -> dict[str, Any]:
    """Return a polygon, or several, with corners of 6 decimals, all of a ring rounded at once."""
    if geometry.geom_type == "Polygon":
        rings = [geometry] if not shapely.get_num_interior_rings(geometry) else shapely.get_rings(geometry)
        corners = [np.round(shapely.get_coordinates(ring), DECIMALS).tolist() for ring in rings]
    else:
        corners = [_to_geometry(part)["coordinates"] for part in shapely.get_parts(geometry)]
    return {"type": geometry.geom_type, "coordinates": corners}


def _classification(class_name: str, color: Color) -> dict[str, Any]:
    names = class_name.split(": ")
    described: dict[str, Any] = {"name": class_name} if len(names) == 1 else {"names": names}
    return described | {"color": list(color)}


def _from_feature(feature: Any) -> PathObject:
    """Read one object; raises what says that it cannot be, KeyError, TypeError, ValueError and the like."""
    if not isinstance(feature, dict):
        raise ValueError(f"it is {excerpt(feature)} and no GeoJSON Feature")
    properties = _table(feature.get("properties"))
    class_name, color = _read_classification(properties.get("classification"))
    kind, object_id = _kind_and_id(feature.get("id"), properties.get("objectType", properties.get("object_type")))
    own_color = _read_color(properties.get("color"))
    metadata = {str(key): str(value) for key, value in _table(properties.get("metadata")).items()}
    is_colored = (
        own_color is not None and (color is not None or class_name is None) and not _is_painted(metadata, own_color)
    )
    return PathObject(
        geometry=read_geometry(feature["geometry"]),
        object_type=kind,
        class_name=class_name,
        color=color or own_color,
        name=_read_name(properties),
        object_id=object_id,
        is_locked=properties.get("isLocked", False) is True,
        measurements=_read_measurements(properties.get("measurements")),
        metadata=metadata,
        is_colored=is_colored,
        own_color=own_color if is_colored else None,
    )


def _is_painted(metadata: Mapping[str, str], color: Color) -> bool:
    """Tell whether a colour is that which the review gave an object; a file holds it with another alpha."""
    painted = metadata.get(PAINTED, "")
    return re.fullmatch(r"-?\d{1,10}", painted) is not None and unpack_rgb(int(painted)) == color


def _read_name(properties: Mapping[str, Any]) -> str | None:
    """Read the name of an object, which other programs call its label."""
    name = properties.get("name", properties.get("label"))
    return None if name is None else str(name)


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _kind_and_id(object_id: Any, kind: Any) -> tuple[str, str | None]:
    """Tell what an object is; QuPath 0.2 wrote that into its id, and gave it none."""
    if isinstance(object_id, str) and object_id in _KINDS_IN_ID:
        return _KINDS_IN_ID[object_id] if kind is None else str(kind).lower(), None
    return "annotation" if kind is None else str(kind).lower(), str(object_id) if object_id else None


def _read_classification(value: Any) -> tuple[str | None, Color | None]:
    """Read a class, named as QuPath names it: a derived one is "A: B"."""
    described = value if isinstance(value, dict) else {"name": value}
    names = described.get("names") or described.get("name")
    parts = names if isinstance(names, list) else str(names or "").split(":")
    name = ": ".join(part for part in (str(part).strip() for part in parts) if part)
    packed = described.get("colorRGB")
    color = unpack_rgb(packed) if isinstance(packed, int) else _read_color(described.get("color"))
    return name or None, color


def _read_color(value: Any) -> Color | None:
    """Read a colour; an odd one is none."""
    channels = [_number(channel) for channel in value[:3]] if isinstance(value, list) else []
    if len(channels) < 3 or not all(math.isfinite(channel) for channel in channels):
        return None
    red, green, blue = (min(255, max(0, int(channel))) for channel in channels)
    return red, green, blue


def _number(value: Any) -> float:
    """Return a number of a file; NaN for what is none, or larger than any that is meant."""
    try:
        return float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return math.nan


def unpack_rgb(packed: int) -> Color:
    """Return the colour of one of QuPath's packed numbers."""
    return (packed >> 16) & 255, (packed >> 8) & 255, packed & 255


def _read_measurements(value: Any) -> dict[str, float]:
    """Read the measurements that are numbers; QuPath writes null or text for one that is not known."""
    if isinstance(value, list):  # QuPath up to 0.3
        value = {item["name"]: item.get("value") for item in value if isinstance(item, dict) and "name" in item}
    return {str(key): _number(number) for key, number in _table(value).items() if isinstance(number, int | float)}
