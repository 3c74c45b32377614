"""QuPath's dialect of GeoJSON, both ways.

Coordinates are (x, y) in level-0 pixels, the origin at the top-left corner of the image.
"""

from __future__ import annotations

import gzip
import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geojson
import shapely
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry

from glomseg.errors import GeoJSONError
from glomseg.files import replacing

Color = tuple[int, int, int]

DEFAULT_COLOR: Color = (200, 0, 0)


@dataclass(frozen=True, kw_only=True)
class PathObject:
    """One object of a QuPath image: geometry in level-0 pixels, a derived class named "A: B"."""

    geometry: BaseGeometry
    object_type: str = "annotation"
    class_name: str | None = None
    color: Color | None = None
    name: str | None = None
    object_id: str | None = None
    is_locked: bool = False
    measurements: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def write_geojson(path: Path, objects: Iterable[PathObject]) -> None:
    """Write `objects` as one FeatureCollection that QuPath imports without a question, whole or not at all.

    One invalid polygon makes QuPath drop a whole file: an invalid or empty geometry raises GeoJSONError.
    """
    text = json.dumps(to_collection(objects), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_collection(objects: Iterable[PathObject]) -> dict[str, Any]:
    """Return `objects` as the FeatureCollection that `write_geojson` writes; raises GeoJSONError."""
    return dict(geojson.FeatureCollection([_to_feature(item) for item in objects]))


def read_geojson(path: Path) -> list[PathObject]:
    """Read the objects of a file that QuPath or glomseg wrote.

    Takes a FeatureCollection, an array or one Feature, each also as `.gz`. Raises GeoJSONError where the
    file is missing, is no GeoJSON, or holds a geometry that cannot be read.
    """
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        content = json.loads(data)
    except FileNotFoundError:
        raise GeoJSONError(f"{path} does not exist; export it from QuPath as GeoJSON") from None
    except (OSError, EOFError, ValueError) as error:
        raise GeoJSONError(f"{path} is not readable GeoJSON ({error}); export it from QuPath again") from error
    return from_collection(content, path)


def from_collection(content: Any, path: Path) -> list[PathObject]:
    """Read the objects of parsed GeoJSON that stood in the file `path`; raises GeoJSONError."""
    try:
        return [_from_feature(feature) for feature in _features(content)]
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        shapely.errors.ShapelyError,
    ) as error:
        raise GeoJSONError(f"{path} holds an object that cannot be read ({error}); export it again") from error


def _features(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, list):
        return content
    if content.get("type") == "FeatureCollection":
        return list(content["features"])
    if content.get("type") == "Feature":
        return [content]
    raise ValueError(f"type {content.get('type')!r} is no feature")


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
    if item.is_locked:
        properties["isLocked"] = True
    if item.measurements:
        finite = {key: float(value) for key, value in item.measurements.items() if math.isfinite(value)}
        properties["measurements"] = finite
    if item.metadata:
        properties["metadata"] = dict(item.metadata)
    return geojson.Feature(
        id=item.object_id or str(uuid.uuid4()),
        geometry=mapping(geometry),
        properties=properties,
    )


def _classification(class_name: str, color: Color) -> dict[str, Any]:
    names = class_name.split(": ")
    described: dict[str, Any] = {"name": class_name} if len(names) == 1 else {"names": names}
    return described | {"color": list(color)}


def _from_feature(feature: dict[str, Any]) -> PathObject:
    properties = feature.get("properties") or {}
    class_name, color = _read_classification(properties.get("classification"))
    return PathObject(
        geometry=shape(feature["geometry"]),
        object_type=str(properties.get("objectType", properties.get("object_type", "annotation"))),
        class_name=class_name,
        color=color or _read_color(properties.get("color")),
        name=properties.get("name"),
        object_id=str(feature["id"]) if feature.get("id") else None,
        is_locked=bool(properties.get("isLocked", False)),
        measurements=_read_measurements(properties.get("measurements")),
        metadata={str(key): str(value) for key, value in (properties.get("metadata") or {}).items()},
    )


def _read_classification(value: Any) -> tuple[str | None, Color | None]:
    if value is None:
        return None, None
    if isinstance(value, str):
        return value, None
    name = ": ".join(value["names"]) if "names" in value else value.get("name")
    packed = value.get("colorRGB")
    color = _unpack_rgb(packed) if isinstance(packed, int) else _read_color(value.get("color"))
    return name, color


def _read_color(value: Any) -> Color | None:
    if value is None:
        return None
    red, green, blue = (int(channel) for channel in value[:3])
    return red, green, blue


def _unpack_rgb(packed: int) -> Color:
    return (packed >> 16) & 255, (packed >> 8) & 255, packed & 255


def _read_measurements(value: Any) -> dict[str, float]:
    if isinstance(value, list):  # QuPath up to 0.3
        value = {item["name"]: item["value"] for item in value}
    return {str(key): float(number) for key, number in (value or {}).items()}
