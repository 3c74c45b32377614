"""Segment one slide after another into a run folder; a slide that fails does not stop the others."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glomseg.errors import GlomsegError, SlideError
from glomseg.models.card import ModelCard
from glomseg.models.predict import Model
from glomseg.pictures.overlay import OverlayStyle, draw_overlay
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs.ownership import FINGERPRINT, stamp
from glomseg.runs.run import Run, printable
from glomseg.runs.table import write_table
from glomseg.segment.outlines import Glomerulus
from glomseg.segment.pipeline import SegmentSettings, SlideResult, segment_slide
from glomseg.segment.probability_map import remove_leftovers
from glomseg.segment.region import Region
from glomseg.segment.shape import measure_shape
from glomseg.slides.slide import Slide, open_slide


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to segment. `key` names its results; `mpp` and `size` are what is known of it beside the file.

    `mpp` is (x, y) in um and wins over the file's; `size` (width, height) in level-0 pixels must be the file's.
    """

    key: str
    name: str
    path: Path
    mpp: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    region: Region | None = None

    def inputs(self) -> dict[str, Any]:
        """Describe what the result depends on, so that a changed image or region is segmented again."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise SlideError(f"{self.path} cannot be read: {error.strerror}; check the path") from error
        region = "" if self.region is None else f"{self.region.area!r} {self.region.ignored!r}"
        return {
            "file": self.path.name,
            "bytes": stat.st_size,
            "modified_ns": stat.st_mtime_ns,
            "mpp": list(self.mpp) if self.mpp else None,
            "region_sha256": hashlib.sha256(region.encode()).hexdigest() if region else None,
        }


@dataclass(frozen=True, kw_only=True)
class Listener:
    """What the caller wants to hear of: a slide begins, its tiles go on, it ends (its record in run.json)."""

    started: Callable[[Job], None] = lambda job: None
    tiles: Callable[[Job, int, int], None] = lambda job, done, total: None
    ended: Callable[[Job, dict[str, Any]], None] = lambda job, record: None


def segment_all(
    jobs: Iterable[Job],
    model: Model,
    run: Run,
    settings: SegmentSettings,
    *,
    overlay: OverlayStyle | None = None,
    keep_probability: bool = False,
    listener: Listener | None = None,
) -> None:
    """Segment what is not yet done of `jobs` into the folder of `run`, whose record then says how each went.

    The folder must be this process's own (see `locked`). Raises RunError where it cannot be written.
    """
    listener = listener or Listener()
    remove_leftovers(run.folder)
    for job in jobs:
        listener.started(job)
        try:
            inputs = job.inputs()
            kept = not keep_probability or _probability_path(run, job).is_file()
            if not (run.is_done(job.key, inputs) and kept):
                run.begin(job.key, name=job.name, path=printable(job.path.absolute()), inputs=inputs)
                done = _segment(job, model, run, settings, overlay, keep_probability, listener)
                run.record(job.key, state="done", reason=None, **done)
            elif overlay is not None and not _overlay_path(run, job).is_file():
                with open_slide(job.path, mpp=job.mpp) as slide:
                    draw_overlay(slide, read_geojson(run.result_path(job.key)), _overlay_path(run, job), overlay)
        except GlomsegError as error:
            run.record(job.key, name=job.name, state="failed", reason=str(error))
        except Exception as error:  # one slide must not stop a night's batch
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            run.record(job.key, name=job.name, state="failed", reason=f"unexpected {reason}; please report it")
        listener.ended(job, run.images[job.key])
    write_table(run)


def _probability_path(run: Run, job: Job) -> Path:
    return run.folder / "probability" / f"{job.key}.tif"


def _overlay_path(run: Run, job: Job) -> Path:
    return run.folder / "overlay" / f"{job.key}.png"


def _segment(
    job: Job,
    model: Model,
    run: Run,
    settings: SegmentSettings,
    overlay: OverlayStyle | None,
    keep_probability: bool,
    listener: Listener,
) -> dict[str, Any]:
    with open_slide(job.path, mpp=job.mpp) as slide:
        check_size(slide, job.size)
        result = segment_slide(
            slide,
            model,
            settings,
            region=job.region,
            scratch=run.folder,
            probability=_probability_path(run, job) if keep_probability else None,
            progress=lambda done, total: listener.tiles(job, done, total),
        )
        objects = path_objects(result.glomeruli, slide.pixel_size, model.card, run.run_id)
        if overlay is not None:
            draw_overlay(slide, objects, _overlay_path(run, job), overlay)
        write_geojson(run.result_path(job.key), objects)
        return _summary(slide, result)


def check_size(slide: Slide, size: tuple[int, int] | None) -> None:
    """Raise SlideError where a slide has not the (width, height) that the project gives it."""
    if size is not None and size != (slide.width, slide.height):
        raise SlideError(
            f"{slide.path} has {slide.width} x {slide.height} px and the project says {size[0]} x {size[1]}: "
            "another image of that name? Outlines would land in the wrong place; point --slides to the right one"
        )


def _summary(slide: Slide, result: SlideResult) -> dict[str, Any]:
    mpp_x, mpp_y = slide.pixel_size
    area = sum(glomerulus.geometry.area for glomerulus in result.glomeruli) * mpp_x * mpp_y
    return {
        "width": slide.width,
        "height": slide.height,
        "mpp": [mpp_x, mpp_y],
        "reading_mpp": result.reading_mpp,
        "glomeruli": len(result.glomeruli),
        "glomerular_area_um2": round(area, 1),
        "tissue_area_um2": round(result.tissue_area_um2, 1),
        "network_passes": round(result.network_passes, 3),
        "seconds": result.seconds,
    }


def path_objects(
    glomeruli: Iterable[Glomerulus], pixel_size: tuple[float, float], card: ModelCard, run_id: str
) -> list[PathObject]:
    """Turn outlines into QuPath's objects: class, colour, measurements, and whose they are."""
    class_name = card.class_names[0]
    objects = []
    for glomerulus in glomeruli:
        centre = glomerulus.geometry.centroid
        measurements = {
            **measure_shape(glomerulus.geometry, *pixel_size).measurements(),
            "Confidence": glomerulus.confidence,
            "Touches edge": float(glomerulus.touches_edge),
        }
        item = PathObject(
            geometry=glomerulus.geometry,
            class_name=class_name,
            color=card.class_colors[0],
            name=f"{class_name} at {centre.x:.0f}, {centre.y:.0f}",  # stays the same when others come and go
            measurements=measurements,
        )
        item = stamp(item, run=run_id, model=card.name)
        # The same outline of the same run has the same id, so that a result written again is the same file.
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id} {item.metadata[FINGERPRINT]}")
        objects.append(replace(item, object_id=str(identity)))
    return objects
