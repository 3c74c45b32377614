"""Small files whose scores can be computed by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scenes import boxes

from glomseg.geojson import PathObject, write_geojson


@pytest.fixture
def geojson(tmp_path: Path) -> Callable[..., Path]:
    """Write rectangles as a GeoJSON file."""

    def write(name: str, *corners: tuple[float, float, float, float], class_name="Glomerulus", **more) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_geojson(path, [PathObject(geometry=item, class_name=class_name, **more) for item in boxes(*corners)])
        return path

    return write


@pytest.fixture
def mask(tmp_path: Path) -> Callable[..., Path]:
    """Write rectangles as a black and white mask."""

    def write(name: str, *corners: tuple[int, int, int, int], size=(100, 100), value=255) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros(size[::-1], np.uint8)
        for x, y, width, height in corners:
            values[y : y + height, x : x + width] = value
        Image.fromarray(values).save(path)
        return path

    return write
