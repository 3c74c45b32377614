"""A made-up study: a run folder with small slides of drawn glomeruli, as `glomseg segment` leaves it."""

import json
from collections.abc import Sequence
from pathlib import Path

from shapely.geometry import Point
from support.slides import Disc, disc_slide

from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.runs.ownership import stamp

MPP = (0.5, 0.5)


def write_cohort(
    folder: Path,
    radii_px: Sequence[float],
    *,
    sclerotic: bool = True,
    per_slide: int = 3,
    confidence: float = 0.9,
    mpp: Sequence[float] | None = MPP,
    parameters: dict[str, object] | None = None,
) -> Path:
    """Write `slide 0.tif` and so on, one a radius, each with some discs of it; the first disc of each is a person's.

    `sclerotic` gives that one the class of globally sclerosed glomeruli.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for index, radius in enumerate(radii_px):
        spots = [Disc(120 + 150 * number, 130, radius + number, radius + number) for number in range(per_slide)]
        slide = disc_slide(
            folder / f"slide {index}.tif", size=(150 * per_slide + 120, 260), discs=spots, mpp=0.5,
            tissue=(20, 20, 150 * per_slide + 80, 220),
        )  # fmt: skip
        objects = [
            PathObject(
                geometry=Point(spot.x, spot.y).buffer(spot.radius_x),
                class_name="Glomerulus: Sclerotic" if number == 0 and sclerotic else "Glomerulus",
                measurements={"Confidence": confidence},
            )
            for number, spot in enumerate(spots)
        ]
        objects[1:] = [stamp(item, run="r1", model="oracle") for item in objects[1:]]
        write_geojson(folder / f"{index}.geojson", objects)
        images[str(index)] = {
            **{"name": slide.path.name, "path": str(slide.path), "state": "done", "reading_mpp": 2.0},
            **{"width": slide.width, "height": slide.height, "mpp": mpp and list(mpp)},
        }
    told = {"model": "oracle", "model_sha256": "ab" * 32, "threshold": 0.5, **(parameters or {})}
    run = {"format_version": 1, "run_id": "r1", "parameters": told, "started": "2026", "images": images}
    (folder / "run.json").write_text(json.dumps({**run, "device": "cpu", "command": "glomseg segment"}))
    return folder


def write_sheet(path: Path, *rows: tuple[str, str]) -> Path:
    """Write a sample sheet: (animal, group) of `slide 0.tif` and the following."""
    lines = [f"slide {index}.tif,{animal},{group}" for index, (animal, group) in enumerate(rows)]
    path.write_text("\n".join(["image,animal,group", *lines]) + "\n")
    return path
