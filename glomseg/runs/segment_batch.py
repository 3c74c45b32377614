"""Segment one slide after another into a run folder; a slide that fails does not stop the others."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import GeoJSONError, GlomsegError, MissingMppError, SlideError
from glomseg.files import replacing
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.predict import Model
from glomseg.pictures.marked import is_as_written
from glomseg.pictures.overlay import OverlayStyle, draw_overlay
from glomseg.qupath.objects import PathObject
from glomseg.runs.area import area_path, save_area
from glomseg.runs.candidates import CandidateChoice, choose_candidates, counted_outlines, write_outlines
from glomseg.runs.colour_profiles import profile_of
from glomseg.runs.image_record import ImageRecord, Inputs, State
from glomseg.runs.listener import Listener
from glomseg.runs.ownership import FINGERPRINT, stamp
from glomseg.runs.predictions import is_a_persons, is_readable
from glomseg.runs.run import Run, checked_entry_id, printable
from glomseg.runs.suggestions import with_suggestions
from glomseg.segment.look import check_candidates, check_colours, check_merged
from glomseg.segment.outlines import Glomerulus
from glomseg.segment.pipeline import SegmentSettings, SlideResult, segment_slide
from glomseg.segment.region import Region
from glomseg.segment.shape import measure_shape
from glomseg.segment.suggest import Suggester
from glomseg.segment.tissue_scale import check_scale, check_species, propose_mpp
from glomseg.slides.file_sample import file_sample
from glomseg.slides.slide import Slide, check_size, open_slide
from glomseg.unexpected import describe

_DIAMETER = "Equivalent diameter µm"  # as `measure_shape` names it for QuPath


@dataclass(frozen=True, kw_only=True)
class Job:
    """One image to segment. `entry_id` names its results; `mpp` and `size` are what is known of it beside the file.

    `mpp` is (x, y) in um and wins over the file's; `size` (width, height) in level-0 pixels must be the file's. The
    pixels are read from `copy`, where there is one, and with `icc` as the file's ICC profile says.
    """

    entry_id: str
    name: str
    path: Path
    mpp: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    region: Region | None = None
    copy: Path | None = None
    icc: bool = False

    def open(self) -> Slide:
        """Open the image, or its copy."""
        return open_slide(self.copy or self.path, mpp=self.mpp, icc=self.icc)

    def inputs(self) -> Inputs:
        """Describe what the result depends on, so that a changed image or region is segmented again."""
        try:
            stat = self.path.stat()
        except OSError as error:
            raise SlideError(f"{self.path} cannot be read: {error.strerror}; check the path") from error
        region = "" if self.region is None else f"{self.region.area!r} {self.region.ignored!r}"
        return Inputs(
            file=printable(self.path.name),
            bytes=stat.st_size,
            modified_ns=stat.st_mtime_ns,
            mpp=self.mpp,
            region_sha256=hashlib.sha256(region.encode()).hexdigest() if region else None,
        )


@dataclass(frozen=True, kw_only=True)
class Extras:
    """What a run makes of each slide beside its outlines: a picture, kept probabilities, candidates, suggestions.

    The map of a slide lies in `scratch` while it works, in the run folder by default.
    """

    overlay: OverlayStyle | None = None
    keep_probability: bool = False
    candidates: CandidateChoice = "review"
    suggester: Suggester | None = None
    scratch: Path | None = None


def segment_one(
    job: Job, model: Model, run: Run, settings: SegmentSettings, extras: Extras, listener: Listener
) -> None:
    """Segment one image unless it is done; whatever goes wrong with it stands in its record. Raises RunError."""
    try:
        _segment_anew(job, model, run, settings, extras, listener)
    except GlomsegError as error:
        run.fail(job.entry_id, job.name, str(error).replace(str(job.copy or job.path), str(job.path)))
    except Exception as error:  # one slide must not stop a night's batch
        run.fail(job.entry_id, job.name, describe(error))


def _segment_anew(
    job: Job,
    model: Model,
    run: Run,
    settings: SegmentSettings,
    extras: Extras,
    listener: Listener,
) -> None:
    """Segment an image unless it is done already; one that cannot be opened keeps what was found before."""
    try:
        inputs = job.inputs()
        if run.has_result(job.entry_id):
            with job.open():
                pass
    except SlideError as error:
        if not run.has_result(job.entry_id):
            raise
        listener.warning(f"{job.name}: {error}; what this run found on it before stays")
        return
    kept = not extras.keep_probability or probability_path(run, job.entry_id).is_file()
    done = run.is_done(job.entry_id, inputs) and kept and is_readable(run, job.entry_id)
    if not done and (theirs := _corrected(run, job.entry_id, extras)) is not None:
        listener.warning(
            f"{job.name}: a person changed {theirs} since, so it stays, though the slide or what is asked of it is "
            "another than then; to segment it anew, move that file away"
        )
        return
    if not (done and choose_candidates(run, job.entry_id, extras.candidates)):
        with _keeping(job, run, listener):
            run.begin(job.entry_id, name=job.name, path=printable(job.path.absolute()), inputs=inputs)
            save_area(run, job.entry_id, job.region, job.size)
            run.update(
                job.entry_id,
                _segment(job, model, run, settings, extras, listener),
            )
    elif extras.overlay is not None and not overlay_path(run, job.entry_id).is_file():
        with job.open() as slide:
            draw_overlay(slide, counted_outlines(run, job.entry_id), overlay_path(run, job.entry_id), extras.overlay)
    if done and (record := run.images[job.entry_id]).name != job.name:  # renamed since
        run.update(job.entry_id, replace(record, name=job.name))


def _corrected(run: Run, entry_id: str, extras: Extras) -> Path | None:
    """Name the file of a finished image that holds what a person did to it, its picture too; None where none does."""
    if not run.has_result(entry_id):
        return None
    picture = overlay_path(run, entry_id)
    if extras.overlay is not None and picture.is_file() and not is_as_written(picture):
        return picture
    with suppress(GeoJSONError):  # what is damaged is made anew
        return next(filter(is_a_persons, (run.result_path(entry_id), run.candidates_path(entry_id))), None)
    return None


@contextmanager
def _keeping(job: Job, run: Run, listener: Listener) -> Iterator[None]:
    """Keep what was found before on an image whose pixels cannot be read now; of another one of that name it goes."""
    before, path = run.images.get(job.entry_id), run.result_path(job.entry_id)
    content = path.read_bytes() if run.has_result(job.entry_id) else None
    looked_at = area.read_bytes() if (area := area_path(run, job.entry_id)).is_file() else None
    try:
        yield
    except SlideError as error:
        if before is None or content is None or before.size != _size_of(job):
            raise
        save_area(run, job.entry_id, None, None)
        for file, text in ((area, looked_at), (path, content)):
            if text is not None:
                with replacing(file) as temporary:
                    temporary.write_bytes(text)
        run.update(job.entry_id, before)
        listener.warning(f"{job.name}: {error}; what this run found on it before stays")


def _size_of(job: Job) -> tuple[int, int] | None:
    try:
        with job.open() as slide:
            return slide.width, slide.height
    except SlideError:
        return None


def probability_path(run: Run, entry_id: str) -> Path:
    """Tell where the probabilities of an image lie, if the run kept them."""
    return run.folder / "probability" / f"{checked_entry_id(entry_id)}.tif"


def overlay_path(run: Run, entry_id: str) -> Path:
    """Tell where the picture of an image with its outlines lies, if the run drew one."""
    return run.folder / "overlay" / f"{checked_entry_id(entry_id)}.png"


def _segment(
    job: Job,
    model: Model,
    run: Run,
    settings: SegmentSettings,
    extras: Extras,
    listener: Listener,
) -> ImageRecord:
    with job.open() as slide:
        check_size(slide, job.size)
        off = job.region.check_on_image(slide.width, slide.height) if job.region is not None else ""
        if off:
            listener.warning(f"{job.name}: {off}")
        if slide.mpp_x is None:
            raise MissingMppError(f"{slide.path} {propose_mpp(slide, model, species=settings.species)}")
        colours = check_colours(slide, model.card)
        doubt = check_scale(slide, model, species=settings.species)
        result = segment_slide(
            slide,
            model,
            settings,
            region=job.region,
            scratch=extras.scratch or run.folder,
            probability=probability_path(run, job.entry_id) if extras.keep_probability else None,
            progress=listener.tiles,
        )
        objects = path_objects(result.glomeruli, slide.pixel_size, model.card, run.run_id)
        if extras.suggester is not None:
            suggestions = extras.suggester.suggest(slide, [item.geometry for item in objects])
            objects = with_suggestions(objects, suggestions, classify=extras.suggester.classify)
        if extras.overlay is not None:
            draw_overlay(slide, objects, overlay_path(run, job.entry_id), extras.overlay)
        doubtful = path_objects(result.candidates, slide.pixel_size, model.card, run.run_id)
        write_outlines(run, job.entry_id, objects, doubtful, extras.candidates)
        done = replace(_done(run.images[job.entry_id], slide, result), colour_profile=profile_of(slide, icc=job.icc))
        done = replace(done, computed_by=model.computed_by, file_sample=file_sample(job.path))
        few_sure = check_candidates(len(result.glomeruli), len(result.candidates))
        outlined = (*result.glomeruli, *result.candidates)
        large = check_merged([glomerulus.merged_px for glomerulus in outlined], result.reading_mpp)
        done = replace(done, doubts=tuple(text for text in (colours, few_sure, large) if text is not None))
        return replace(done, remarks=(*slide.remarks, *_doubts(doubt, objects, model.card, settings.species)))


def _doubts(scale: str | None, objects: Sequence[PathObject], card: ModelCard, species: str | None) -> tuple[str, ...]:
    """Say where the tissue contradicts the pixel size, or the outlines the species."""
    whole = [item.measurements for item in objects if not item.measurements.get("Touches edge")]
    diameters = [values[_DIAMETER] for values in whole if _DIAMETER in values]
    species = species or card.species
    said = (scale, check_species(diameters, species) if species in SPECIES_DIAMETER_UM else None)
    return tuple(text for text in said if text is not None)


def _done(begun: ImageRecord, slide: Slide, result: SlideResult) -> ImageRecord:
    mpp_x, mpp_y = slide.pixel_size
    area = sum(glomerulus.geometry.area for glomerulus in result.glomeruli) * mpp_x * mpp_y
    return replace(
        begun,
        state=State.DONE,
        size=(slide.width, slide.height),
        mpp=(mpp_x, mpp_y),
        reading_mpp=result.reading_mpp,
        glomeruli=len(result.glomeruli),
        candidates=len(result.candidates) or None,
        glomerular_area_um2=round(area, 1),
        tissue_area_um2=round(result.tissue_area_um2, 1),
        network_passes=round(result.network_passes, 3),
        seconds=result.seconds,
    )


def path_objects(
    glomeruli: Iterable[Glomerulus], pixel_size: tuple[float, float], card: ModelCard, run_id: str
) -> list[PathObject]:
    """Turn outlines into QuPath's objects: class, colour, measurements, and whose they are.

    Of several classes the mean probability of each is a measurement, as in `Confidence: Sclerotic`.
    """
    objects = []
    for glomerulus in glomeruli:
        class_name = card.class_names[glomerulus.class_index]
        by_class = zip(card.class_names, glomerulus.probabilities, strict=True) if card.num_classes > 1 else ()
        centre = glomerulus.geometry.centroid
        measurements = {
            **measure_shape(glomerulus.geometry, *pixel_size).measurements(),
            "Confidence": glomerulus.confidence,
            **{f"Confidence: {name}": value for name, value in by_class},
            **({} if glomerulus.agreement is None else {"Agreement": glomerulus.agreement}),
            "Touches edge": float(glomerulus.touches_edge),
        }
        item = PathObject(
            geometry=glomerulus.geometry,
            class_name=class_name,
            color=card.class_colors[glomerulus.class_index],
            name=f"{class_name} at {centre.x:.0f}, {centre.y:.0f}",  # stays the same when others come and go
            measurements=measurements,
        )
        item = stamp(item, run=run_id, model=card.name)
        # The same outline of the same run has the same id, so that a result written again is the same file.
        identity = uuid.uuid5(uuid.NAMESPACE_OID, f"{run_id} {item.metadata[FINGERPRINT]}")
        objects.append(replace(item, object_id=str(identity)))
    return objects
