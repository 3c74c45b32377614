"""The images of a run, segmented in this process or by workers, and what is written when all are through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from glomseg.models.device import devices_for
from glomseg.runs.capacity import count_workers
from glomseg.runs.cluster import work_on_cluster
from glomseg.runs.colour_profiles import say_profiles
from glomseg.runs.listener import Listener
from glomseg.runs.merge import WorkPlace, journaled, left_to_others
from glomseg.runs.run import Run
from glomseg.runs.run_summary import write_summary
from glomseg.runs.segment_batch import Job, segment_one
from glomseg.runs.segmenter import Segmenter
from glomseg.runs.slide_cache import SlideCache, caching
from glomseg.runs.table import TABLE, write_table
from glomseg.runs.task import Task
from glomseg.runs.workers import work_through


def segment_jobs(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    run: Run,
    listener: Listener | None = None,
    *,
    place: WorkPlace | None = None,
    everybody: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> None:
    """Segment `jobs` into the folder of `run`, which must be this process's own, or its `place`; raises RunError.

    `everybody` are the entry ids of the images of all shards, in order; those of `jobs` where it is empty. `left_out`
    says for the summary what was not taken for a slide.
    """
    listener, place = listener or Listener(), place or WorkPlace(folder=run.folder)
    everybody = everybody or [job.entry_id for job in jobs]
    run.command, run.device = segmenter.options.command, str(segmenter.model.device)
    run.computed_by, run.model_folder = segmenter.model.computed_by, str(segmenter.folder)
    jobs = [replace(job, icc=segmenter.options.icc) for job in jobs]
    with journaled(run, place, everybody):
        listener.planned(len(jobs))
        notes = _segment(segmenter, jobs, run, listener)
    for problem in run.problems:
        listener.warning(problem)
    if remark := _say_others(run):
        listener.remark(remark)
    done = [run.images[job.entry_id] for job in jobs if run.has_result(job.entry_id)]
    for remark in (profiles := say_profiles(done, icc=segmenter.options.icc)):
        listener.remark(remark)
    if left := left_to_others(run, everybody):
        listener.remark(f"{left} of {len(everybody)} slides are left to other shards; the last writes {TABLE}")
        return
    with place.alone():
        problems = write_table(run)
        kept = write_summary(run, left_out, (*notes, *profiles, *problems))
    for problem in (*problems, *kept):
        listener.warning(problem)


def _segment(segmenter: Segmenter, jobs: Sequence[Job], run: Run, listener: Listener) -> tuple[str, ...]:
    """Segment what is not yet done of `jobs`; returns how the work went, in sentences."""
    options = segmenter.options
    if options.scheduler is not None:
        share = work_on_cluster(_tasks(segmenter, jobs, run), run, options.scheduler, listener)
    else:
        workers = count_workers(options.workers, len(jobs), segmenter.model.device.type)
        fresh = [job for job in jobs if not run.has_result(job.entry_id)]
        with caching(options.cache, fresh, max(1, workers), listener.warning) as cache:
            if not workers:
                _one_by_one(segmenter, jobs, run, cache, listener)
                return ()
            device = segmenter.model.device
            devices = devices_for(options.device if device.type == "cuda" else str(device), workers)
            tasks = _tasks(segmenter, jobs, run)
            share = work_through(tasks, run, devices, options.slide_timeout, cache, listener)
    listener.remark(str(share))
    return (str(share),)


def _say_others(run: Run) -> str:
    """Say where the images of a run were computed in several ways, as by machines of several kinds."""
    counts = Counter(record.computed_by for record in run.images.values() if record.is_done and record.computed_by)
    if len(counts) < 2:
        return ""
    ways = ", ".join(f"{count} by {way}" for way, count in counts.most_common())
    return f"the images of this run were not all computed alike ({ways}); outlines may differ by a pixel for that"


def _tasks(segmenter: Segmenter, jobs: Sequence[Job], run: Run) -> list[Task]:
    return [
        Task(
            job=job,
            before=run.images.get(job.entry_id),
            run_folder=run.folder,
            run_id=run.run_id,
            options=segmenter.options,
        )
        for job in jobs
    ]


def _one_by_one(segmenter: Segmenter, jobs: Sequence[Job], run: Run, cache: SlideCache, listener: Listener) -> None:
    extras = segmenter.extras()
    for job in jobs:
        listener.started(job.name)
        segment_one(cache.take(job), segmenter.model, run, segmenter.settings, extras, listener)
        cache.drop(job)
        listener.ended(job.name, run.images[job.entry_id])
