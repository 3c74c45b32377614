"""The annotations to measure as they stand: from a QuPath project, else from the GeoJSON of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

from glomseg.errors import GlomsegError, MeasureError
from glomseg.labelled.match_samples import match_samples
from glomseg.labelled.sample_sheet import Sample, SampleSheet, read_sample_sheet, sample_of
from glomseg.qupath.annotations import AnnotatedImage, read_annotated_images
from glomseg.qupath.find_images import Locator, path_or_none
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.qupath.process import find_qupath
from glomseg.qupath.project import Project, ProjectImage, read_project
from glomseg.qupath.same_slides import same_slides
from glomseg.runs.changes import runs_in
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.lost_writes import lost_write, older_than
from glomseg.runs.outlines import image_of_run
from glomseg.runs.reviewed import is_rejected, without_rejected
from glomseg.runs.run import FOLDER, RECORD, Run, load_run
from glomseg.runs.run_list import UnreadableRun, read_runs
from glomseg.runs.same_image import other_file, other_scale, without_data_of_others, without_strangers
from glomseg.runs.whose import with_owners
from glomseg.slides.pixel_size import stated_mpp
from glomseg.study.records import RunDescription, StudySlide
from glomseg.study.run_results import describe_run, failure, killed_undos, newest_result, unread_result


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What there is to measure. `folder` is where results belong; `project` is None for a plain run folder.

    `problems` are images that could not be read at all.
    """

    name: str
    folder: Path
    project: Project | None
    slides: tuple[StudySlide, ...]
    runs: tuple[RunDescription, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Return the project's file, or the run folder."""
        return self.project.path if self.project else self.folder.parent


def read_sources(
    path: Path,
    *,
    slides: Sequence[Path] = (),
    samples: Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Sources:
    """Read the annotations of a project, through QuPath where there is one, or of the run folder that `path` is.

    Without QuPath an image has the outlines of the newest run that segmented it and was not taken back. Raises
    ProjectError, RunError, MeasureError.
    """
    sheet = read_sample_sheet(samples) if samples else None
    if (path / RECORD).is_file():
        return _from_run(path, slides, sheet)
    project = read_project(path, slides=slides)
    project.require_images()
    all_runs, unreadable = read_runs(project.folder / FOLDER)
    runs, strangers = without_strangers(all_runs, project.images)
    matched, remarks = match_samples(
        sheet,
        [(image.entry_id, image.name, sample_of(image.metadata)) for image in project.images],
        {image.entry_id: image.path or path_or_none(image.uri) for image in project.images},
    )
    same = same_slides(project.images)
    remarks += [*same.remarks(project.images), *strangers]
    without_qupath = find_qupath() is None
    if without_qupath and project.images:
        remarks.append(
            "without QuPath the project cannot be read: measured are the outlines of the newest run, unreviewed"
        )
    remarks += [_unreadable(run, project.images, without_qupath) for run in unreadable]
    remarks += [problem for run in runs for problem in run.problems]
    remarks += _changed_since(runs, project.images)
    described = [describe_run(run) for run in runs]
    images = read_annotated_images(
        project,
        same.left(project.images),
        without_qupath=lambda image: _outlines(_done_run(runs, image.entry_id), image),
        progress=progress,
    )
    folder = project.folder / FOLDER
    if not without_qupath:
        images = without_data_of_others(images, project.images, all_runs, folder)
    remarks += _doubts(runs, images, without_qupath)
    remarks += [] if without_qupath else _saved_over(runs, images, folder)
    standing = {image.entry_id: runs_in(folder, image.entry_id, image.data_folder) for image in project.images}
    taken_back = {
        image.entry_id: killed_undos(runs, image.entry_id, image.data_folder, standing[image.entry_id])
        for image in project.images
    }
    images = tuple(with_owners(image, folder) for image in images)
    return Sources(
        name=project.folder.name,
        folder=folder / "measurements",
        project=project,
        slides=tuple(
            StudySlide(
                image=_with_mpp(without_rejected(image), runs),
                source=_source(image, runs if without_qupath else ()),
                is_read=not without_qupath,
                sample=matched[image.entry_id],
                rejected=len(image.objects) - len(without_rejected(image).objects),
                rejected_ids=frozenset(
                    item.object_id for item in image.objects if is_rejected(item) and item.object_id
                ),
                run=newest_result(
                    runs, described, image.entry_id, standing[image.entry_id], taken_back[image.entry_id]
                ),
                failure=failure(runs, image.entry_id),
                unread=unread_result(all_runs, unreadable, image.entry_id),
            )
            for image in images
            if image.data_problem is None
        ),
        runs=tuple(described),
        remarks=tuple(remarks),
        problems=tuple(f"{image.name}: {image.data_problem}" for image in images if image.data_problem),
    )


def _unreadable(run: UnreadableRun, images: Sequence[ProjectImage], without_qupath: bool) -> str:
    """Say of a run that cannot be read what that means for what is measured."""
    names = [image.name for image in images if run.has_result(image.entry_id)]
    if not names or not without_qupath:
        return f"{run.problem}; what it found is known only as far as it stands in the project"
    return f"{run.problem}; its outlines of {', '.join(names)} are not measured"


def _doubts(runs: Sequence[Run], images: Sequence[AnnotatedImage], without_qupath: bool) -> list[str]:
    """Say what the newest run of each image doubted; of what a person reviewed, as it stands, that person knows better.

    Without QuPath the run's own outlines are measured, and not what was reviewed.
    """
    unreviewed = [image for image in images if without_qupath or not image.is_reviewed]
    newest = [(image, _done_run(runs, image.entry_id)) for image in unreviewed]
    return [
        f"{image.name} {doubt}"
        for image, run in newest
        if run is not None
        for doubt in run.images[image.entry_id].doubts
    ]


def _changed_since(runs: Sequence[Run], images: Sequence[ProjectImage]) -> list[str]:
    """Say of which images the file or the pixel size is another than that with which the newest run looked at them."""
    newest = [(image, run) for image in images if (run := _done_run(runs, image.entry_id)) is not None]
    return [
        f"{image.name}: {text}"
        for image, run in newest
        if (record := run.images[image.entry_id]).undone is None
        for text in (other_file(record, run.run_id, image), other_scale(record, run.run_id, image))
        if text
    ]


def _saved_over(runs: Sequence[Run], images: Sequence[AnnotatedImage], folder: Path) -> list[str]:
    """Say of which images what is measured is not what a run brought in, nor what a person made of that."""
    lost = [
        (image, lost_write(runs, folder, image.entry_id, folder.parent / "data" / image.entry_id)) for image in images
    ]
    return [
        f"{image.name}: {older_than(run)}; what stands in it was measured"
        + (", though it is marked as reviewed" if image.is_reviewed else "")
        for image, run in lost
        if run is not None and image.data_problem is None
    ]


def _done_run(runs: Sequence[Run], entry_id: str) -> Run | None:
    """Find the newest run that segmented an image and was not taken back there; the newest of all where each was."""
    done = [run for run in reversed(runs) if run.has_result(entry_id)]
    return next((run for run in done if run.images[entry_id].undone is None), next(iter(done), None))


def _outlines(run: Run | None, image: ProjectImage) -> list[PathObject]:
    return [] if run is None else read_geojson(run.result_path(image.entry_id))


def _source(image: AnnotatedImage, runs: Sequence[Run]) -> str:
    """Say where the objects of an image come from: with `runs` from one of these, else from the project."""
    run = _done_run(runs, image.entry_id)
    if run is not None:
        return f"run {run.run_id}"
    return "project" if without_rejected(image).objects else ""


def _with_mpp(image: AnnotatedImage, runs: Sequence[Run]) -> AnnotatedImage:
    """Add the pixel size that the newest run knew, where the project knows none."""
    records = [run.images[image.entry_id] for run in runs if image.entry_id in run.images]
    sizes = [record.mpp for record in records if record.mpp is not None and stated_mpp(*record.mpp).mpp is not None]
    return image if image.mpp or not sizes else replace(image, mpp=sizes[-1])


def _from_run(folder: Path, slides: Sequence[Path], sheet: SampleSheet | None) -> Sources:
    """Read the results of `glomseg segment`."""
    run = load_run(folder)
    done = {entry_id: record for entry_id, record in run.images.items() if record.is_done}
    if not done:
        raise MeasureError(f"{folder} holds no finished slide; run the same glomseg segment again")
    images = [(entry_id, record.name, Sample()) for entry_id, record in run.images.items()]
    paths = {entry_id: path_or_none(_uri(record)) for entry_id, record in run.images.items()}
    matched, remarks = match_samples(sheet, images, paths)
    remarks = [*remarks, *run.problems]
    uris = [_uri(record) for record in run.images.values()]
    locator = Locator(folder, None, [path.absolute() for path in slides], uris)
    read, problems, described = [], _unrecorded(run), describe_run(run)
    for entry_id, record in run.images.items():
        if entry_id not in done:
            problems.append(f"{record.name}: {record.reason}")
            continue
        try:
            image = image_of_run(run, entry_id, _find(locator, record))
        except GlomsegError as error:
            problems.append(f"{record.name}: {error}")
            continue
        read.append(
            StudySlide(
                image=image,
                source=f"run {run.run_id}",
                sample=matched[entry_id],
                run=newest_result([run], [described], entry_id),
            )
        )
    return Sources(
        name=folder.resolve().name,
        folder=folder / "measurements",
        project=None,
        slides=tuple(read),
        runs=(described,),
        remarks=tuple(remarks),
        problems=tuple(problems),
    )


def _unrecorded(run: Run) -> list[str]:
    """Name the slides of which there is a result and, as a part of the record is lost, nothing written down."""
    if not run.problems:  # files of other names are a person's own
        return []
    names = [path.stem for path in sorted(run.folder.glob("*.geojson")) if path.stem not in run.images]
    return [f"{name}: nothing is written down of it; run the same glomseg segment again" for name in names]


def _find(locator: Locator, record: ImageRecord) -> Path | None:
    """Look for the image of a run where it was segmented, then under the folders of `slides` by name and folders."""
    return locator.locate(_uri(record)).path


def _uri(record: ImageRecord) -> str:
    path = PurePosixPath("/", record.name) if record.path is None else Path(record.path)
    if path.is_absolute():
        return path.as_uri()
    windows = PureWindowsPath(record.path or "")
    return windows.as_uri() if windows.is_absolute() else PurePosixPath("/", record.name).as_uri()
