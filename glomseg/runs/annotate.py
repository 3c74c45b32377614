"""The main job: a project's images to polygon annotations to review, both stages in a row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glomseg.errors import ProjectError
from glomseg.qupath.objects import GeoJSONObjects, PathObject
from glomseg.qupath.process import REMEDY, find_qupath
from glomseg.qupath.project import Project, ProjectImage, read_project
from glomseg.qupath.same_slides import same_slides
from glomseg.runs.adapted_model import model_of_project
from glomseg.runs.collect import collect_images
from glomseg.runs.each_image import OnConflict, WriteOptions
from glomseg.runs.image_record import Outcome
from glomseg.runs.listener import Listener, keeping
from glomseg.runs.merge import working_in
from glomseg.runs.plan import ProjectPlan, choose_images, plan_project, read_areas
from glomseg.runs.result import RunResult
from glomseg.runs.run import FOLDER, Run
from glomseg.runs.run_list import read_runs, resume_or_start
from glomseg.runs.same_image import refuse_data_of_another, refuse_missing_data
from glomseg.runs.segment_jobs import segment_jobs
from glomseg.runs.segmenter import Segmenter, SegmentOptions
from glomseg.runs.shard import share_of


@dataclass(frozen=True, kw_only=True)
class AnnotateOptions(SegmentOptions):
    """How to annotate a project: how to segment, which images, where on them, and how to write into the project.

    `images` are names or entry ids, all where it is empty; images that moved are looked for under `slides`. `region`
    is a class of annotations to look inside, `within` a GeoJSON file of areas: at most one of them is given. `mpp`
    counts where neither QuPath nor the file knows it. With `collect` False, or with a `shard`, the outlines stay
    in the run folder.
    """

    images: tuple[str, ...] = ()
    slides: tuple[Path, ...] = ()
    region: str | None = None
    within: Path | None = None
    collect: bool = True
    forget_rejections: bool = False
    believe_deletions: bool = False
    on_conflict: OnConflict = "skip"


def annotate_project(
    project: Path, options: AnnotateOptions | None = None, *, listener: Listener | None = None
) -> RunResult:
    """Outline the glomeruli of a project's images as annotations to review; annotations of people are not touched.

    An unfinished run of the same settings goes on. Without a QuPath on this machine the outlines stay in the run
    folder, and a remark says what finishes the work. How each image went stands in its record. Raises ProjectError,
    RunError, ModelError, DeviceError, QuPathError for a wrong PAQUO_QUPATH_DIR or a region without QuPath, and
    ConflictError where somebody else saved an image meanwhile and `options` says to stop there.
    """
    options = options or AnnotateOptions()
    listener, remarks = keeping(listener)
    if options.region is not None and options.within is not None:
        raise ProjectError("`region` and `within` both say where to look; give one of them")
    read = read_project(project, slides=options.slides)
    chosen = _one_of_each_slide(read, choose_images(read, options.images), listener)
    mine, share = share_of(chosen, options.shard)
    for said in share:
        listener.remark(said)
    areas = read_areas(options.within) if options.within else GeoJSONObjects(objects=())
    for remark in areas.remarks:
        listener.warning(remark)
    has_qupath = find_qupath() is not None  # a wrong setting is better known before hours of work than after
    segmenter = Segmenter.load(_with_model(options, read, listener), listener)
    with working_in(read.folder / FOLDER, options.shard, listener.remark) as place:
        plan = _plan(read, mine, options, areas.objects, listener)
        runs, unreadable = read_runs(read.folder / FOLDER)
        for left_alone in unreadable:
            listener.warning(f"a run is left alone: {left_alone.problem}")
        others = _without_own_data(read, mine, runs)
        plan = plan.without(others)
        parameters = segmenter.parameters(region=_where(options))
        with place.alone():
            run = resume_or_start(read.folder / FOLDER, parameters, restart=options.restart, resume=options.resume)
            _refuse(run, mine, plan, others, listener)
            run.save()  # the next shard goes on with this run
        segment_jobs(segmenter, plan.jobs, run, listener, place=place, everybody=[image.entry_id for image in chosen])
        entry_ids = tuple(image.entry_id for image in mine)
        if options.shard is not None:
            listener.remark(_left_to_collect(read, run))
        elif options.collect and has_qupath:
            writing = WriteOptions(
                forget_rejections=options.forget_rejections,
                believe_deletions=options.believe_deletions,
                on_conflict=options.on_conflict,
            )
            collect_images(read, run, entry_ids, states=plan.states, options=writing, listener=listener)
        elif options.collect:
            listener.remark(_waiting(read, run))
    is_waiting = not (options.collect and has_qupath) or options.shard is not None
    return RunResult(run=run, entry_ids=entry_ids, remarks=tuple(remarks), is_waiting=is_waiting)


def _with_model(options: AnnotateOptions, project: Project, listener: Listener) -> AnnotateOptions:
    """Take the model that a project was adapted to where none is asked for, and say so; raises ModelError."""
    if options.model is not None:
        return options
    folder, remarks = model_of_project(project.folder)
    for remark in remarks:
        listener.remark(remark)
    return replace(options, model=folder)


def _one_of_each_slide(
    project: Project, images: Sequence[ProjectImage], listener: Listener
) -> tuple[ProjectImage, ...]:
    """Leave out other levels of a slide by name; raises ProjectError where that leaves none of the images."""
    same = same_slides(project.images)
    left = same.left(images)
    if images and not left:
        raise ProjectError("; ".join(same.remarks(images)))
    for remark in same.remarks(images):
        listener.warning(remark)
    return left


def _left_to_collect(project: Project, run: Run) -> str:
    """Say what brings the outlines of all shards into the project: many at once cannot write into it."""
    return (
        f"the outlines wait in {run.folder}; when all shards are through, bring them into the project with "
        f"`glomseg collect {project.path} {run.run_id}`"
    )


def _plan(
    project: Project,
    images: Sequence[ProjectImage],
    options: AnnotateOptions,
    areas: Sequence[PathObject],
    listener: Listener,
) -> ProjectPlan:
    plan = plan_project(project, images, region_class=options.region, mpp=options.mpp, within=areas)
    for remark in plan.remarks:
        listener.warning(remark)
    return plan


def _where(options: AnnotateOptions) -> str | None:
    """Name where to look as the run's parameters do: a class, or the areas of a file by their sha256."""
    if options.within is None:
        return options.region
    return f"areas {hashlib.sha256(options.within.read_bytes()).hexdigest()[:12]}"


def _without_own_data(project: Project, images: Sequence[ProjectImage], runs: Sequence[Run]) -> dict[str, str]:
    """Say of which images the data are gone, or hold what a run found on another one, by entry id."""
    others = {}
    for image in images:
        try:
            refuse_data_of_another(image, runs, project.folder / FOLDER)
            refuse_missing_data(image, runs, project.folder / FOLDER)
        except ProjectError as error:
            others[image.entry_id] = str(error)
    return others


def _refuse(
    run: Run, images: Sequence[ProjectImage], plan: ProjectPlan, others: Mapping[str, str], listener: Listener
) -> None:
    """Record the images that cannot be segmented; what the run has found on one before stays.

    What it found on one of `others`, whose data is another image's, was not on this image, which failed then.
    """
    for image in images:
        reason = plan.refused.get(image.entry_id)
        if reason is None:
            continue
        if image.entry_id in others and run.has_result(image.entry_id):
            record = run.images[image.entry_id]
            run.update(image.entry_id, replace(record, outcome=Outcome.NOT_COLLECTED, reason=reason, conflict=False))
            listener.warning(f"{image.name}: {reason}")
        elif run.has_result(image.entry_id):
            listener.warning(f"{image.name}: {reason}; what this run found on it before stays")
        else:
            run.fail(image.entry_id, image.name, reason)
            listener.warning(f"{image.name}: {reason}")


def _waiting(project: Project, run: Run) -> str:
    return (
        f"no QuPath on this machine: the outlines wait in {run.folder}. Bring them in with `glomseg collect "
        f"{project.path} {run.run_id}` where QuPath is, or with import_results.groovy in QuPath ({REMEDY})"
    )
