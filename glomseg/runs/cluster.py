"""The slides of a run on a cluster, dealt out by a scheduler of dask.distributed that somebody has started.

The task is the one of the workers on this machine. Slides, model and run folder must lie at the same path for all. A
worker that dies has its slide begun by another, as often as the scheduler allows (`allowed-failures`, 3 by default).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from glomseg.errors import RunError
from glomseg.models.device import limit_threads
from glomseg.runs.capacity import WorkShare
from glomseg.runs.listener import Listener
from glomseg.runs.run import Run
from glomseg.runs.segmenter import Segmenter
from glomseg.runs.task import Task, TaskResult, remove_leftovers_of, run_task

CONNECT_SECONDS = 30
POLL_SECONDS = 5.0
PATIENCE_SECONDS = 3600.0
"""So long slides wait for a worker where there is none: a batch system may start some late."""
_one_at_a_time = threading.Lock()
_loaded: dict[str, Segmenter] = {}


def work_on_cluster(tasks: Sequence[Task], run: Run, address: str, listener: Listener) -> WorkShare:
    """Have tasks done by the workers of the scheduler at `address`, and keep what comes of them in `run`.

    Raises RunError where dask.distributed is not installed, no scheduler answers, or the record cannot be written; what
    was not begun then is taken back.
    """
    try:
        from distributed import Client, wait
    except ImportError as error:
        raise RunError("`scheduler` needs dask.distributed; install it with: pip install 'glomseg[cluster]'") from error
    own, begun, busy = time.process_time(), time.monotonic(), 0.0
    try:
        client = Client(address, set_as_default=False, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:  # a time-out is an OSError
        raise RunError(f"no scheduler answers at `scheduler` {address} ({error}); start one, or correct it") from error
    with client, client.as_current():
        workers = len(client.nthreads())
        listener.remark(f"{workers} workers at {address}; their dashboard is {client.dashboard_link}")
        watch = _WorkerWatch(client, address, listener)
        asked = {client.submit(run_on_cluster, _absolute(task), pure=False): task for task in tasks}
        try:
            left = set(asked)
            while left:
                done = _next(wait, left, watch)
                left -= done
                for future in done:
                    task = asked[future]
                    listener.started(task.job.name)
                    busy += _keep(future, task, run, listener)
            workers = max(workers, watch.most)
        finally:
            client.cancel(list(asked))
    return WorkShare(
        workers=workers,
        slides=len(tasks),
        seconds=time.monotonic() - begun,
        busy=busy,
        own=time.process_time() - own,
    )


class _WorkerWatch:
    """Looks whether a cluster has workers while nothing comes back, and gives up where it has had none for long."""

    def __init__(self, client: Any, address: str, listener: Listener) -> None:
        self._client, self._address, self._listener = client, address, listener
        self._alone_since: float | None = None
        self.most = 0

    def look(self) -> None:
        """Say once what is waited for; raises RunError when that has taken too long."""
        workers = len(self._client.nthreads())
        self.most = max(self.most, workers)
        if workers:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = time.monotonic()
            self._listener.remark(
                f"no worker is at {self._address}: waiting for one, {PATIENCE_SECONDS / 60:.0f} minutes at most; "
                f"start some with: dask worker {self._address}"
            )
        elif time.monotonic() - self._alone_since >= PATIENCE_SECONDS:
            raise RunError(
                f"no worker came to `scheduler` {self._address} in {PATIENCE_SECONDS / 60:.0f} minutes; start some "
                f"with `dask worker {self._address}` and give the same command again, or leave `scheduler` away"
            )


def _next(wait: Any, left: set[Any], watch: _WorkerWatch) -> set[Any]:
    """Wait until at least one of the futures is done, and return those that are; raises what `watch` raises."""
    while True:
        watch.look()
        with suppress(TimeoutError):
            done: set[Any] = wait(left, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
            return done


def _absolute(task: Task) -> Task:
    """Name slide and models by whole paths, as the workers start in folders of their own."""
    model = task.options.model
    names = [] if model is None else [model] if isinstance(model, str | Path) else list(model)
    models = tuple(Path(name).absolute() if Path(name).exists() else name for name in names) or None
    job = replace(task.job, path=task.job.path.absolute())
    return replace(task, job=job, run_folder=task.run_folder.absolute(), options=replace(task.options, model=models))


def _keep(future: Any, task: Task, run: Run, listener: Listener) -> float:
    """Keep what became of a task; returns the seconds that its slide took."""
    entry_id, name, error = task.job.entry_id, task.job.name, future.exception()
    if error is None:
        result: TaskResult = future.result()
        run.update(entry_id, result.record)
        for warning in result.warnings:
            listener.warning(warning)
    else:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        run.fail(entry_id, name, f"its worker could not do it ({reason})")
    record = run.images[entry_id]
    listener.ended(name, record)
    future.release()
    return record.seconds.get("total", 0.0)


def run_on_cluster(task: Task) -> TaskResult:
    """Segment an image in a worker of dask's: one at a time in each, with all of its threads."""
    with _one_at_a_time:
        key = repr(task.options)
        if key not in _loaded:
            from distributed import get_worker

            _loaded.clear()
            limit_threads(get_worker().state.nthreads)
            _loaded[key] = Segmenter.load(task.options)
        remove_leftovers_of(task)  # of a worker that died at it
        return run_task(task, _loaded[key])
