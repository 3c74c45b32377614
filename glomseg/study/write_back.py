"""Measure all images of a project or a run, and write the values back into the project's objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from glomseg.errors import GlomsegError, MeasureError
from glomseg.qupath.amend import Amendment, amend_image
from glomseg.qupath.process import qupath_process
from glomseg.runs.image_record import Outcome
from glomseg.runs.plan import FOLDER
from glomseg.runs.run import now
from glomseg.study.measuring import measure_slide
from glomseg.study.records import MeasureSettings, Study
from glomseg.study.sources import Sources
from glomseg.study.summaries import animals, choose_reference, group_of
from glomseg.study.tables import measurements

Progress = Callable[[str], None]


def measure_study(
    sources: Sources,
    settings: MeasureSettings,
    *,
    reference_group: str | None = None,
    progress: Progress = lambda name: None,
) -> Study:
    """Measure every slide; raises MeasureError for a reference group that no slide is of."""
    groups = [slide.sample.group for slide in sources.slides]
    if reference_group is not None and reference_group not in groups:
        there = ", ".join(sorted(set(groups) - {""})) or "none"
        raise MeasureError(f"no image is of the group {reference_group!r} (there: {there}); check --reference")
    measured = []
    for slide in sources.slides:
        progress(slide.image.name)
        measured.append(measure_slide(slide, settings))
    study = Study(
        name=sources.name,
        settings=settings,
        slides=tuple(measured),
        reference_group=choose_reference(groups, reference_group),
        runs=tuple(run.summary() for run in sources.runs),
    )
    remarks = (*sources.remarks, *(f"not measured: {problem}" for problem in sources.problems), *_remarks(study))
    return Study(**{**vars(study), "remarks": remarks})


def _remarks(study: Study) -> list[str]:
    """Say what stands in the way of comparing animals and groups."""
    remarks = []
    if lost := [slide.image.name for slide in study.slides if not slide.slide.sample.animal]:
        remarks.append(f"no animal known, so not in animals.csv (give --samples): {', '.join(lost)}")
    for animal, slides in animals(study).items():
        groups = sorted({slide.slide.sample.group for slide in slides} - {""})
        if len(groups) > 1:
            remarks.append(f"animal {animal} is in several groups ({', '.join(groups)}), so in none")
        elif not group_of(slides):
            remarks.append(f"animal {animal} is of no group")
    if len({slide.reference for slide in study.slides} - {""}) > 1:
        remarks.append(
            f"some slides have an annotated {study.settings.cortex} and others have none: densities per mm² of cortex "
            "and of tissue are not compared"
        )
    if not any(slide.profiles for slide in study.slides):
        remarks.append(f"no annotation of class {study.settings.class_name} anywhere; run: glomseg annotate PROJECT")
    return remarks


def write_measurements(study: Study, sources: Sources, progress: Progress = lambda name: None) -> dict[str, str]:
    """Put the values of every profile into QuPath's measurement lists; returns what came of each image, by its name.

    Raises MeasureError without a project, QuPathError without a QuPath.
    """
    amendments = {
        slide.image.entry_id: [
            Amendment(object_id=profile.item.object_id, measurements=measurements(profile))
            for profile in slide.profiles
            if profile.item.object_id
        ]
        for slide in study.slides
        if slide.slide.source == "project"
    }
    return amend_all(sources, amendments, progress)


def amend_all(
    sources: Sources, amendments: Mapping[str, Iterable[Amendment]], progress: Progress = lambda name: None
) -> dict[str, str]:
    """Set values on the objects of images, by entry id; returns what came of each image, by its name.

    An image that cannot be written is named with its reason, and the others go on.
    """
    project = sources.project
    if project is None:
        raise MeasureError("only a QuPath project can be written to; name its project.qpproj")
    backups = project.folder / FOLDER / "backup" / now().replace(":", "").replace(".", "-")
    states = {slide.image.entry_id: slide.image.state for slide in sources.slides}
    outcomes: dict[str, str] = {}
    with qupath_process() as qupath:
        for image in project.images:
            wanted = list(amendments.get(image.entry_id, ()))
            if not wanted:
                continue
            progress(image.name)
            try:
                state = states.get(image.entry_id)
                assert state is not None  # what is amended was read
                changed = qupath.call(
                    amend_image,
                    project.path,
                    image.entry_id,
                    image.readable_path,
                    wanted,
                    expected_state=state,
                    backup_folder=backups / image.entry_id,
                )
                outcomes[image.name] = f"{changed} objects changed"
            except GlomsegError as error:
                outcomes[image.name] = f"{Outcome.NOT_COLLECTED}: {error}"
    return outcomes
