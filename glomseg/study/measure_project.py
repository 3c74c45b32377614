"""Measure all images of a project or of a run: `measure_project`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from glomseg.errors import MeasureError
from glomseg.labelled.alike import say_alike
from glomseg.progress import ProgressText
from glomseg.qupath.classes import LeftOutObjects, is_class
from glomseg.runs.colour_profiles import name_profiles
from glomseg.study.columns import QUANTITIES
from glomseg.study.groups import choose_reference
from glomseg.study.kinds import is_cortex
from glomseg.study.measuring import measure_slide, sample_stain
from glomseg.study.pas import estimate_study_stains
from glomseg.study.records import CORTEX, SCLEROTIC_CLASSES, MeasuredSlide, MeasureSettings, Study
from glomseg.study.sources import Sources, read_sources
from glomseg.study.summary import animals


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What to measure, and how.

    `slides` are folders where images that moved are looked for, by file name. `samples` is a sample sheet; without one
    the metadata of the images in QuPath says of which animal and group they are. `reference` names the group to
    compare with, one called control or the first by default; `primary` the primary outcome, a column of the animals'
    table by which groups are compared.
    """

    slides: tuple[Path, ...] = ()
    samples: Path | None = None
    reference: str | None = None
    primary: str | None = None
    settings: MeasureSettings = field(default_factory=MeasureSettings)


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What was measured, and where it was read, which is what writing back needs."""

    study: Study
    sources: Sources

    @property
    def folder(self) -> Path:
        """Return the folder where tables and a report belong."""
        return self.sources.folder

    @property
    def problems(self) -> tuple[str, ...]:
        """List the images that could not be read, with the reason."""
        return self.sources.problems


def measure_project(
    path: Path, options: MeasureOptions | None = None, *, progress: ProgressText = lambda text: None
) -> StudyResult:
    """Measure the glomeruli of a QuPath project as they stand, or of the run folder that `path` is.

    Without QuPath on this machine the outlines of the newest run that was not taken back are measured. An image that
    cannot be read, or in which neither a run nor a person looked for glomeruli, is left out of all sums and means, and
    named in the remarks.
    `progress` hears what is going on. Raises ProjectError, RunError, and MeasureError for a sample sheet, group or
    primary outcome that does not fit.
    """
    options = options or MeasureOptions()
    _check_primary(options.primary)
    sources = read_sources(
        Path(path),
        slides=options.slides,
        samples=options.samples,
        progress=lambda name: progress(f"reading the annotations: {name}"),
    )
    return StudyResult(study=measure_study(sources, options, progress=progress), sources=sources)


def measure_study(
    sources: Sources, options: MeasureOptions | None = None, *, progress: ProgressText = lambda text: None
) -> Study:
    """Measure every slide of what was read; raises MeasureError for a reference group that no slide is of."""
    options = options or MeasureOptions()
    groups = [slide.sample.group for slide in sources.slides]
    if options.reference is not None and options.reference not in groups:
        there = ", ".join(sorted(set(groups) - {""})) or "none"
        raise MeasureError(f"no image is of the group {options.reference!r} (there: {there}); check `reference`")
    settings = _with_study_stains(sources, options.settings, progress)
    slides = []
    for slide in sources.slides:
        progress(f"measuring: {slide.image.name}")
        slides.append(measure_slide(slide, settings))
    study = Study(
        name=sources.name,
        settings=settings,
        slides=tuple(slides),
        path=sources.path,
        reference_group=choose_reference(groups, options.reference),
        primary=options.primary,
        runs=sources.runs,
    )
    unread = (f"not measured: {problem}" for problem in sources.problems)
    return replace(study, remarks=(*sources.remarks, *unread, *_remarks(study)))


def _check_primary(primary: str | None) -> None:
    names = [quantity.name for quantity in QUANTITIES]
    if primary is not None and primary not in names:
        raise MeasureError(f"`primary` {primary!r} is no quantity that groups are compared by; there are: "
                           f"{', '.join(names)}")  # fmt: skip


def _with_study_stains(sources: Sources, settings: MeasureSettings, progress: ProgressText) -> MeasureSettings:
    """Estimate the stain vectors once for the study, where that is asked for: vectors of its own make a slide its own
    yardstick, and slides no longer comparable.
    """
    pas = settings.pas
    if pas is None or pas.stains is not None or pas.per_slide:
        return settings
    samples = []
    for slide in sources.slides:
        progress(f"estimating the stains: {slide.image.name}")
        pixels = sample_stain(slide, settings)
        if pixels is not None and len(pixels):
            samples.append(pixels)
    return replace(settings, pas=replace(pas, stains=estimate_study_stains(samples))) if samples else settings


def _profiles(study: Study) -> tuple[str, ...]:
    """Name the slides whose ICC profile would change what is measured on their colours, or the run's view of them."""
    applied = any(run.icc for run in study.runs)
    slides = [slide for slide in study.slides if applied or slide.stains is not None]
    made = "not applied, tissue and stain are measured on colours as they are stored"
    return name_profiles(
        ((slide.image.name, slide.colour_profile) for slide in slides),
        f"{made}, though a run read them, and pictures show them, in sRGB" if applied else made,
    )


def _remarks(study: Study) -> list[str]:
    """Say what was left out, and what stands in the way of comparing animals and groups."""
    remarks = [f"not measured: {names}: {why}" for why, names in _by_reason(study, lambda slide: slide.not_measured)]
    remarks += [f"{names}: {why}" for why, names in _by_reason(study, lambda slide: slide.doubt)]
    remarks += _profiles(study)
    if left_out := sum((slide.left_out for slide in study.slides), LeftOutObjects()):
        remarks.append(str(left_out))
    if lost := [slide.image.name for slide in study.slides if not slide.slide.sample.animal]:
        remarks.append(f"no animal known, so not in animals.csv (give `samples`): {', '.join(lost)}")
    for animal in animals(study):
        groups = sorted({slide.slide.sample.group for slide in animal.slides} - {""})
        if len(groups) > 1:
            remarks.append(f"animal {animal.name} is in several groups ({', '.join(groups)}), so in none")
        elif not animal.group:
            remarks.append(f"animal {animal.name} is of no group")
    if partly := [slide.image.name for slide in study.slides if slide.measured and slide.sclerosis_partly_judged]:
        remarks.append(f"reviewed in part, where what nobody looked at counts as not sclerotic: {', '.join(partly)}")
    remarks += say_alike("groups", (slide.slide.sample.group for slide in study.slides))
    remarks += say_alike("animals", (slide.slide.sample.animal for slide in study.slides))
    remarks += _unknown_classes(study)
    if len({slide.reference for slide in study.slides if slide.measured} - {""}) > 1:
        remarks.append(
            f"some slides have an annotated {study.settings.cortex} and others have none: densities per mm² of cortex "
            "and of tissue are not compared"
        )
    if not any(slide.profiles for slide in study.slides):
        remarks.append(f"no annotation of class {study.settings.class_name} anywhere; run: glomseg annotate PROJECT")
    return remarks


def _unknown_classes(study: Study) -> list[str]:
    """Say so where a class that was named for the sclerotic or the cortex is on no image: another word for zero."""
    settings = study.settings
    objects = [item for slide in study.slides for item in slide.image.objects]
    remarks = [
        f"no object has the class {name}: nothing counts as globally sclerotic by it (`sclerotic`)"
        for name in settings.sclerotic
        if settings.sclerotic != SCLEROTIC_CLASSES and not any(is_class(item.class_name, name) for item in objects)
    ]
    if settings.cortex != CORTEX and not any(is_cortex(item, settings) for item in objects):
        remarks.append(f"no area has the class {settings.cortex}: densities refer to all tissue (`cortex`)")
    return remarks


def _by_reason(study: Study, reason: Callable[[MeasuredSlide], str]) -> list[tuple[str, str]]:
    """Gather the names of slides by the reason that they have; slides without one are left out."""
    names: dict[str, list[str]] = {}
    for slide in study.slides:
        if why := reason(slide):
            names.setdefault(why, []).append(slide.image.name)
    return [(why, ", ".join(listed)) for why, listed in names.items()]
