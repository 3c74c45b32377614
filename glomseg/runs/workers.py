"""Processes of this machine that share the slides of a run; one that dies or hangs costs its slide a second try.

Each worker has a pipe of its own, and nothing is shared between two of them: one that is killed, wherever it is, holds
up no other. (A pool of concurrent.futures is broken as a whole when one process dies, and pools with one queue for all
wait for ever where that process had the queue's lock.) The workers write the results; this process keeps the record.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait

from glomseg.child_process import end_with_parent, without_interrupts
from glomseg.errors import GlomsegError, RunError
from glomseg.models.device import limit_threads
from glomseg.runs.capacity import WorkShare, cores
from glomseg.runs.image_record import ImageRecord
from glomseg.runs.listener import Listener
from glomseg.runs.run import Run
from glomseg.runs.segmenter import Segmenter, SegmentOptions
from glomseg.runs.slide_cache import SlideCache
from glomseg.runs.task import Task, TaskResult, remove_leftovers_of, run_task

TRIES = 2
"""How often a slide is begun that ends its worker: the second time by another, with one tile at once."""
FAILED_STARTS = 3
"""How often in a row each worker may end before it begins; then those that are there go on without."""
START_SECONDS = 600.0
TOLD_SECONDS = 0.5
_KILLED = -9


@dataclass
class _Worker:
    """A process, and the slide that it is at since `begun`; `heard` is when it last said anything."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    device: str
    task: Task | None = None
    is_ready: bool = False
    begun: float = 0.0
    heard: float = field(default_factory=time.monotonic)
    tiles: tuple[int, int] = (0, 0)

    @property
    def is_idle(self) -> bool:
        """Tell whether it waits for a slide."""
        return self.is_ready and self.task is None


def work_through(
    tasks: Sequence[Task], run: Run, devices: Sequence[str], slide_timeout: float, cache: SlideCache, listener: Listener
) -> WorkShare:
    """Have tasks done by one worker for each of `devices`, and keep what comes of them in `run`.

    Raises RunError where the record cannot be written, or workers end before they begin. Whatever ends this, no worker
    outlives it.
    """
    pool = _Pool(run, tasks, slide_timeout, cache, listener)
    own, begun = time.process_time(), time.monotonic()
    try:
        for device in devices:
            pool.start(device, threads=max(1, cores() // len(devices)))
        while pool.is_busy():
            pool.step()
    finally:
        pool.end()
    return WorkShare(
        workers=len(devices),
        slides=len(tasks),
        seconds=time.monotonic() - begun,
        busy=pool.busy_seconds,
        own=time.process_time() - own,
    )


class _Pool:
    """The workers, and the tasks that wait for one; those begun before wait until all others are through."""

    def __init__(
        self, run: Run, tasks: Sequence[Task], slide_timeout: float, cache: SlideCache, listener: Listener
    ) -> None:
        self._run, self._timeout, self._cache, self._listener = run, slide_timeout, cache, listener
        self._waiting, self._again = deque(tasks), deque[Task]()
        self._options = tasks[0].options
        self._tries: dict[str, int] = {}
        self._workers: list[_Worker] = []
        self._failed_starts, self._count = 0, 0
        self._threads = 1
        self.busy_seconds = 0.0

    def start(self, device: str, *, threads: int) -> None:
        """Start a worker; it says when it is ready."""
        self._threads, self._count = threads, max(self._count, len(self._workers) + 1)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        options = replace(self._options, device=device)
        process = context.Process(target=_work, args=(there, options, threads), name="glomseg worker", daemon=True)
        with without_interrupts():
            process.start()
        there.close()
        self._workers.append(_Worker(process=process, connection=here, device=device))

    def is_busy(self) -> bool:
        """Tell whether anything is left to do."""
        return bool(self._waiting or self._again or any(worker.task for worker in self._workers))

    def step(self) -> None:
        """Deal out, hear what workers have to say, and bury the dead."""
        for worker in self._workers:
            if worker.is_idle and (task := self._next()) is not None:
                self._give(worker, task)
        told = {worker.connection: worker for worker in self._workers}
        copying = bool(self._waiting) and not self._cache.is_there(self._waiting[0].job)
        for connection in wait(list(told), timeout=0.05 if copying else 1.0):
            worker = told[connection]  # type: ignore[index]
            try:
                self._hear(worker, worker.connection.recv())
            except (EOFError, OSError):
                worker.process.join(5)
                self._bury(worker, _why(worker.process.exitcode))
        for worker in list(self._workers):
            silent = time.monotonic() - worker.heard
            if silent > (self._timeout if worker.is_ready else START_SECONDS) and not worker.is_idle:
                worker.process.kill()
                worker.process.join(5)
                self._bury(worker, f"made no step for {silent:.0f} s, as where its file or its disk does not answer")

    def end(self) -> None:
        """End all workers at once, and remove what they have half done."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(5)
            worker.connection.close()
            if worker.task is not None:
                remove_leftovers_of(worker.task)

    def _next(self) -> Task | None:
        """Choose what is begun next; what ended a worker before is begun again alone, with all memory to itself."""
        if self._waiting:
            return self._waiting.popleft() if self._cache.is_there(self._waiting[0].job) else None
        if self._again and not any(worker.task for worker in self._workers):
            return self._again.popleft()
        return None

    def _give(self, worker: _Worker, task: Task) -> None:
        task = replace(task, job=self._cache.take(task.job))
        worker.task, worker.tiles = task, (0, 0)
        worker.begun = worker.heard = time.monotonic()
        self._tries[task.job.entry_id] = self._tries.get(task.job.entry_id, 0) + 1
        self._listener.started(task.job.name)
        with suppress(OSError):  # a dead worker is found when it is listened to
            worker.connection.send(task)

    def _hear(self, worker: _Worker, said: object) -> None:
        worker.heard = time.monotonic()
        if isinstance(said, GlomsegError):
            raise RunError(str(said)) from said
        if isinstance(said, TaskResult) and worker.task is not None:
            task, worker.task = worker.task, None
            self.busy_seconds += worker.heard - worker.begun
            self._end(task, said.record, said.warnings)
        elif isinstance(said, tuple):
            worker.tiles = said
            running = [one.tiles for one in self._workers if one.task is not None]
            self._listener.tiles(sum(done for done, _ in running), sum(total for _, total in running))
        else:
            worker.is_ready, self._failed_starts = True, 0

    def _end(self, task: Task, record: ImageRecord, warnings: Sequence[str] = ()) -> None:
        self._cache.drop(task.job)
        self._run.update(task.job.entry_id, record)
        for warning in warnings:
            self._listener.warning(warning)
        self._listener.ended(task.job.name, record)

    def _bury(self, worker: _Worker, why: str) -> None:
        """Replace a worker that is gone; its slide is tried again, or has failed."""
        self._workers.remove(worker)
        worker.connection.close()
        task = worker.task
        if task is not None:
            self.busy_seconds += time.monotonic() - worker.begun
            remove_leftovers_of(task)
            if self._tries[task.job.entry_id] < TRIES:
                self._listener.warning(f"{task.job.name}: its process {why}; another tries once more")
                self._again.append(replace(task, batch=1))
            else:
                self._give_up(task, why)
        elif not worker.is_ready:
            self._failed_starts += 1
        can_start = self._failed_starts < FAILED_STARTS * self._count
        if not can_start and not self._workers:
            raise RunError(
                f"{self._failed_starts} workers ended before they began (the last one {why}); see their messages, give "
                "fewer `workers`, and in a script of your own start them under if __name__ == '__main__'"
            )
        if can_start and (self._waiting or self._again):
            self.start(worker.device, threads=self._threads)

    def _give_up(self, task: Task, why: str) -> None:
        entry_id, name = task.job.entry_id, task.job.name
        self._cache.drop(task.job)
        reason = f"{TRIES} processes that segmented it ended (the last one {why}); the others went on without it"
        self._run.fail(entry_id, name, reason)
        self._listener.ended(name, self._run.images[entry_id])


def _why(exit_code: int | None) -> str:
    if exit_code == _KILLED:
        return "was killed, as where memory is full"
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with code {exit_code}"


def _work(connection: Connection, options: SegmentOptions, threads: int) -> None:
    """Be a worker: load the model, then segment what comes until nothing more does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this ends it
    end_with_parent()
    limit_threads(threads)
    try:
        segmenter = Segmenter.load(options)
        connection.send(None)
        while True:
            connection.send(run_task(connection.recv(), segmenter, tiles=_Telling(connection)))
    except GlomsegError as error:
        connection.send(RunError(str(error)))
    except (EOFError, BrokenPipeError):
        return


class _Telling:
    """Tells how many tiles are done, not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._told = connection, 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._told > TOLD_SECONDS:
            self._told = time.monotonic()
            self._connection.send((done, total))
