"""Write values and classes into the objects that stand in a project."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from glomseg.columns import measurements
from glomseg.errors import MeasureError
from glomseg.progress import ProgressText
from glomseg.qupath.amend import Amendment, amend_image
from glomseg.qupath.process import QuPathProcess, qupath_process
from glomseg.qupath.project import Project
from glomseg.runs.backups import backup_folder
from glomseg.runs.each_image import reason_of
from glomseg.runs.lock import locked
from glomseg.runs.run import FOLDER
from glomseg.study.columns import GLOMERULI, outdated_measurements
from glomseg.study.measure_project import StudyResult
from glomseg.study.records import StudySlide
from glomseg.study.sources import Sources
from glomseg.study.tables import placed_profiles


@dataclass(frozen=True)
class Amended:
    """What came of writing into one image: how many objects changed, or why it was not written."""

    name: str
    changed: int = 0
    problem: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        changed = f"{self.changed} objects changed"
        return f"{self.problem} ({changed})" if self.problem and self.changed else self.problem or changed


def write_measurements(result: StudyResult, *, progress: ProgressText = lambda text: None) -> dict[str, Amended]:
    """Put the values of every profile into QuPath's measurement lists; returns what came of each image, by entry id.

    Raises MeasureError without a project, QuPathError without a QuPath, RunError where another glomseg is at work.
    """
    study = result.study
    amendments = {
        slide.image.entry_id: [
            Amendment(
                object_id=placed.profile.item.object_id,
                measurements=measurements(GLOMERULI, placed),
                outdated=outdated_measurements(placed),
            )
            for placed in placed_profiles(study, slide)
            if placed.profile.item.object_id
        ]
        for slide in study.slides
        if slide.slide.source == "project"
    }
    return amend_all(result.sources, amendments, progress=progress)


def amend_all(
    sources: Sources, amendments: Mapping[str, Iterable[Amendment]], *, progress: ProgressText = lambda text: None
) -> dict[str, Amended]:
    """Set values on the objects of images, by entry id; returns what came of each image, by entry id.

    An image that cannot be written is named with its reason, whatever that is, and the others go on.
    """
    project = sources.project
    if project is None:
        raise MeasureError("only a QuPath project can be written to; name its project.qpproj")
    wanted = {entry_id: list(values) for entry_id, values in amendments.items()}
    outcomes: dict[str, Amended] = {}
    with locked(project.folder / FOLDER), qupath_process() as qupath:
        for slide in sources.slides:
            entry_id = slide.image.entry_id
            if wanted.get(entry_id):
                progress(f"into the project: {slide.image.name}")
                outcomes[entry_id] = _amend(qupath, project, slide, wanted[entry_id])
    return outcomes


def _amend(qupath: QuPathProcess, project: Project, slide: StudySlide, amendments: list[Amendment]) -> Amended:
    image = slide.image
    try:
        if image.state is None:
            raise MeasureError("how it stood when it was read is not known")
        amended = qupath.call(
            amend_image,
            project.path,
            image.entry_id,
            image.readable_path,
            amendments,
            expected_state=image.state,
            backup_folder=backup_folder(project.folder / FOLDER, image.entry_id, "values"),
        )
    except Exception as error:  # one bad thing never stops the others
        return Amended(image.name, problem=reason_of(error))
    return Amended(image.name, changed=amended.changed, problem=_doubt(amended.ambiguous))


def _doubt(ambiguous: int) -> str:
    """Say that objects were left alone whose id is not theirs alone; "" where there are none."""
    if not ambiguous:
        return ""
    return f"{ambiguous} objects left alone, as others have their id; duplicate one in QuPath, and delete its original"
