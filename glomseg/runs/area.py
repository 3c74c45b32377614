"""Which part of each image a run looked at, kept with its results, for a collect that comes later.

<run folder>/area/<entry id>.geojson    of the result that lies beside it; there is none where that was all of the image
"""

from __future__ import annotations

from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from glomseg.geometry import polygons
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs.run import Run
from glomseg.segment.region import Region

AREA = "Processed area"


def save_area(run: Run, entry_id: str, region: Region | None, size: tuple[int, int] | None) -> None:
    """Keep which part of an image of `size` (width, height) a run looks at; raises RunError.

    That is done where its result is made, and no sooner: a former result that stays is one of the former part. Where
    all is looked at, a file that says otherwise goes, unless it is a person's.
    """
    path = area_path(run, entry_id)
    if region is None:
        if path.is_file() and AREA.encode() in path.read_bytes():
            path.unlink()
    else:
        area = region.processed(*(size or (2**31, 2**31)))
        write_geojson(path, [PathObject(geometry=part, name=AREA) for part in polygons(area)])


def area_path(run: Run, entry_id: str) -> Path:
    """Tell where the part of an image lies that was looked at; there is no file where that was all of it."""
    return run.folder / "area" / f"{entry_id}.geojson"


def processed_area(run: Run, entry_id: str) -> BaseGeometry | None:
    """Read which part of an image was looked at, None for the whole."""
    path = area_path(run, entry_id)
    return shapely.union_all([item.geometry for item in read_geojson(path)]) if path.exists() else None
