"""The shapes of GeoJSON as people's files hold them: what they are, and which plane of an image they lie on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

_FARTHEST_PX = 1e9


def read_geometry(value: Any) -> BaseGeometry:
    """Read a shape in two dimensions; raises ValueError and the like, with words that say what it is instead."""
    if value is None:
        raise ValueError("it has no geometry")
    if not isinstance(value, dict):
        raise ValueError(f"its geometry is {excerpt(value)}")
    for part in (value, *_members(value)):
        _check_numbers(part.get("coordinates"))
    with np.errstate(invalid="ignore"):  # of numbers that are none, which are refused below
        geometry = shapely.force_2d(shape(value))
    if geometry.is_empty:
        raise ValueError("its geometry is empty")
    coordinates = shapely.get_coordinates(geometry)
    if not math.isfinite(coordinates.sum()):
        raise ValueError("a coordinate is no number")
    if (far := np.abs(coordinates).max()) > _FARTHEST_PX:
        raise ValueError(f"a coordinate is {far:.3g}, which is on no image")
    return geometry


def is_open(value: Mapping[str, Any]) -> bool:
    """Tell whether a ring does not end where it begins; reading has closed it."""
    kind = value["type"].lower()
    if kind not in ("polygon", "multipolygon"):
        return False
    polygons = [value["coordinates"]] if kind == "polygon" else value["coordinates"]
    return any(ring and list(ring[0]) != list(ring[-1]) for rings in polygons for ring in rings)


def other_plane(value: Mapping[str, Any]) -> str:
    """Name the plane of a shape where it is not the first one of a stack or a time series, such as z=1; else ""."""
    plane = value.get("plane")
    if not isinstance(plane, dict):
        return ""
    return ", ".join(f"{axis}={plane[axis]}" for axis in ("z", "t") if plane.get(axis) not in (None, 0))


def excerpt(value: Any) -> str:
    """Show a value that is not what was expected, as it stands in a file, cut short."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _members(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """List the shapes of a GeometryCollection."""
    shapes = value.get("geometries")
    return [item for item in shapes if isinstance(item, dict)] if isinstance(shapes, list) else []


def _check_numbers(coordinates: Any) -> None:
    """Refuse text and the like in the place of numbers, which would be read as if it were one."""
    for item in coordinates if isinstance(coordinates, list) else ():
        if isinstance(item, list):
            _check_numbers(item)
        elif isinstance(item, bool) or not isinstance(item, int | float):
            raise ValueError(f"a coordinate is {excerpt(item)} and no number")
