"""What a run found, image by image, as annotated images."""

from __future__ import annotations

from pathlib import Path

from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import read_geojson
from glomseg.runs.run import Run
from glomseg.slides.pixel_size import StatedMpp, stated_mpp


def image_of_run(run: Run, entry_id: str, path: Path | None = None) -> AnnotatedImage:
    """Read the outlines that a run found in an image, which lies at `path`; raises GeoJSONError.

    A pixel size in its record that no microscope has is not taken, and said.
    """
    record = run.images[entry_id]
    stated = StatedMpp() if record.mpp is None else stated_mpp(*record.mpp)
    return AnnotatedImage(
        entry_id=entry_id,
        name=record.name,
        path=path,
        size_px=record.size,
        mpp=stated.mpp,
        remarks=(f"run {run.run_id} {stated.remark}",) if stated.remark else (),
        objects=tuple(read_geojson(run.result_path(entry_id))),
    )
