"""The annotations to measure as they stand: from a QuPath project, else from the GeoJSON of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from glomseg.errors import GlomsegError, MeasureError
from glomseg.labelled.sample_sheet import Sample, match_samples, read_samples, sample_of
from glomseg.qupath.find_images import Locator
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, read_geojson
from glomseg.qupath.process import QuPathProcess, find_qupath, qupath_process
from glomseg.qupath.project import ImageState, Project, ProjectImage, image_state, read_project
from glomseg.runs.ownership import VERDICT, owner
from glomseg.runs.plan import FOLDER
from glomseg.runs.run import RECORD, Run, list_runs, load_run
from glomseg.runs.status import REVIEWED
from glomseg.study.records import SlideObjects


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What there is to measure. `folder` is where results belong; `project` is None for a plain run folder.

    `states` says how each image's data stood when it was read. `problems` are images that could not be read at all.
    """

    name: str
    folder: Path
    project: Project | None
    slides: tuple[SlideObjects, ...]
    states: Mapping[str, ImageState]
    runs: tuple[Run, ...]
    remarks: tuple[str, ...]
    problems: tuple[str, ...]


def read_sources(
    path: Path,
    *,
    slides: Sequence[Path] = (),
    samples: Path | None = None,
    progress: Callable[[str], None] = lambda name: None,
) -> Sources:
    """Read the annotations of a project, through QuPath where there is one, or of the run folder that `path` is.

    Without QuPath an image has the outlines of the newest run that segmented it. Raises ProjectError, RunError,
    MeasureError.
    """
    sheet = read_samples(samples) if samples else {}
    if (path / RECORD).is_file():
        return _from_run(path, slides, sheet)
    project = read_project(path, slides=slides)
    runs = list_runs(project.folder / FOLDER)
    matched, remarks = match_samples(
        sheet, [(image.entry_id, image.name, sample_of(image.metadata)) for image in project.images]
    )
    states, problems, found = {}, [], []
    read, missing_qupath = _read_all(project, runs, progress)
    if missing_qupath and project.images:
        remarks.append(
            "without QuPath the project cannot be read: measured are the outlines of the newest run, unreviewed"
        )
    for image in project.images:
        content = read[image.entry_id]
        if isinstance(content, GlomsegError):
            problems.append(f"{image.name}: {content}")
            continue
        objects, source, states[image.entry_id] = content
        found.append(_slide(image, objects, source, matched[image.entry_id], runs))
    return Sources(
        name=project.folder.name,
        folder=project.folder / FOLDER / "measurements",
        project=project,
        slides=tuple(found),
        states=states,
        runs=tuple(runs),
        remarks=tuple(remarks),
        problems=tuple(problems),
    )


_Content = tuple[list[PathObject], str, ImageState]


def _read_all(
    project: Project, runs: Sequence[Run], progress: Callable[[str], None]
) -> tuple[dict[str, _Content | GlomsegError], bool]:
    """Read the objects of each image; an image that cannot be read has its error instead."""
    found: dict[str, _Content | GlomsegError] = {}
    if find_qupath() is None:
        for image in project.images:
            found[image.entry_id] = _attempt(image, lambda image: _from_runs(image, runs))
        return found, True
    with qupath_process() as qupath:
        for image in project.images:
            progress(image.name)
            found[image.entry_id] = _attempt(image, lambda image: _from_qupath(qupath, project, image))
    return found, False


def _attempt(image: ProjectImage, read: Callable[[ProjectImage], _Content]) -> _Content | GlomsegError:
    try:
        return read(image)
    except GlomsegError as error:
        return error


def _from_qupath(qupath: QuPathProcess, project: Project, image: ProjectImage) -> _Content:
    state = image_state(image)
    objects = qupath.call(read_annotations, project.path, image.entry_id) if state.sha256 else []
    objects = [item for item in objects if item.metadata.get(VERDICT) != "reject"]
    return objects, "project" if objects else "", state


def _from_runs(image: ProjectImage, runs: Sequence[Run]) -> _Content:
    done = [run for run in runs if run.images.get(image.entry_id, {}).get("state") == "done"]
    if not done:
        return [], "", image_state(image)
    return read_geojson(done[-1].result_path(image.entry_id)), f"run {done[-1].run_id}", image_state(image)


def _slide(
    image: ProjectImage, objects: Sequence[PathObject], source: str, sample: Sample, runs: Sequence[Run]
) -> SlideObjects:
    mpp = (image.mpp_x, image.mpp_y) if image.mpp_x and image.mpp_y else None
    records = [run.images[image.entry_id] for run in runs if "mpp" in run.images.get(image.entry_id, {})]
    return SlideObjects(
        key=image.entry_id,
        name=image.name,
        path=image.path,
        problem=image.problem,
        size=(image.width, image.height) if image.width and image.height else None,
        mpp=mpp or (_pair(records[-1]["mpp"]) if records else None),
        objects=tuple(objects),
        persons=_persons(objects),
        reviewed=_reviewed(objects, REVIEWED in image.metadata),
        source=source,
        sample=sample,
    )


def _from_run(folder: Path, slides: Sequence[Path], sheet: Mapping[str, Sample]) -> Sources:
    """Read the results of `glomseg segment`."""
    run = load_run(folder)
    done = {key: record for key, record in run.images.items() if record.get("state") == "done"}
    if not done:
        raise MeasureError(f"{folder} holds no finished slide; run the same glomseg segment again")
    matched, remarks = match_samples(sheet, [(key, str(record["name"]), Sample()) for key, record in done.items()])
    locator = Locator(folder, None, [path.absolute() for path in slides])
    found = []
    for key, record in done.items():
        objects = read_geojson(run.result_path(key))
        found.append(
            SlideObjects(
                key=key,
                name=str(record["name"]),
                path=_find(locator, record),
                size=(int(record["width"]), int(record["height"])),
                mpp=_pair(record["mpp"]),
                objects=tuple(objects),
                persons=_persons(objects),
                source=f"run {run.run_id}",
                sample=matched[key],
            )
        )
    failed = [f"{record['name']}: {record.get('reason')}" for key, record in run.images.items() if key not in done]
    return Sources(
        name=folder.resolve().name,
        folder=folder / "measurements",
        project=None,
        slides=tuple(found),
        states={},
        runs=(run,),
        remarks=tuple(remarks),
        problems=tuple(failed),
    )


def _find(locator: Locator, record: Mapping[str, Any]) -> Path | None:
    """Look for the image of a run where it was segmented, then under the folders of `--slides` by name."""
    place = record.get("path")
    if place and Path(place).is_file():
        return Path(place)
    return locator.locate(Path("/", str(record["name"])).as_uri()).path


def _pair(mpp: Sequence[float]) -> tuple[float, float]:
    return float(mpp[0]), float(mpp[1])


def _reviewed(objects: Sequence[PathObject], whole_image: bool) -> frozenset[int]:
    """Give the positions of what a person marked as reviewed: all of an image, or all whose centre is in a region."""
    if whole_image:
        return frozenset(range(len(objects)))
    regions = shapely.union_all([item.geometry for item in objects if REVIEWED in item.metadata])
    return frozenset(index for index, item in enumerate(objects) if regions.intersects(item.geometry.centroid))


def _persons(objects: Sequence[PathObject]) -> frozenset[int]:
    return frozenset(position for position, item in enumerate(objects) if owner(item) == "person")
