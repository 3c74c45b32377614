"""The images of a run, segmented in this process or by workers, and what is written when all are through."""

from __future__ import annotations

from collections.abc import Sequence

from glomseg.models.device import devices_for
from glomseg.runs.capacity import count_workers
from glomseg.runs.listener import Listener
from glomseg.runs.merge import WorkPlace, journaled, left_to_others
from glomseg.runs.run import Run
from glomseg.runs.segment_batch import Job, segment_all
from glomseg.runs.segmenter import Segmenter
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
) -> None:
    """Segment `jobs` into the folder of `run`, which must be this process's own, or its `place`; raises RunError.

    `everybody` are the entry ids of the images of all shards, in order; those of `jobs` where it is empty.
    """
    listener, place = listener or Listener(), place or WorkPlace(folder=run.folder)
    everybody = everybody or [job.entry_id for job in jobs]
    run.command, run.device = segmenter.options.command, str(segmenter.model.device)
    run.model_folder = str(segmenter.folder)
    with journaled(run, place, everybody):
        listener.planned(len(jobs))
        _segment(segmenter, jobs, run, listener)
    if left := left_to_others(run, everybody):
        listener.remark(f"{left} of {len(everybody)} slides are left to other shards; the last writes {TABLE}")
        return
    with place.alone():
        for problem in write_table(run):
            listener.warning(problem)


def _segment(segmenter: Segmenter, jobs: Sequence[Job], run: Run, listener: Listener) -> None:
    workers = count_workers(segmenter.options.workers, len(jobs), segmenter.model.device.type)
    if not workers:
        segment_all(jobs, segmenter.model, run, segmenter.settings, extras=segmenter.extras(), listener=listener)
        return
    tasks = [
        Task(
            job=job,
            before=run.images.get(job.entry_id),
            run_folder=run.folder,
            run_id=run.run_id,
            options=segmenter.options,
        )
        for job in jobs
    ]
    devices = devices_for(segmenter.options.device, workers)
    share = work_through(tasks, run, devices, segmenter.options.slide_timeout, listener)
    listener.remark(str(share))
