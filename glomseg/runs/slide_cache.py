"""Slides copied to a local disk while those before them are segmented, where the share that they lie on is slow.

DIR/glomseg-<host>-<process>/<number>/<file>

A copy is there from some slides before its turn until it is done with. Whatever cannot be copied is read where it lies.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from glomseg.errors import RunError
from glomseg.runs.lock import is_alive
from glomseg.runs.segment_batch import Job
from glomseg.slides.dicom import dicom_header
from glomseg.slides.find_slides import companions

_CHUNK = 1 << 22


class SlideCache:
    """Copies of the slides that come next, at most `ahead` of them beside those in use."""

    def __init__(self, folder: Path, jobs: Sequence[Job], ahead: int, warn: Callable[[str], None]) -> None:
        """Begin to copy the first of `jobs`, which come in this order, into `folder`."""
        self._folder, self._warn = folder, warn
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="copy")
        self._left = iter(enumerate(jobs))
        self._copies: dict[str, Future[Path | None]] = {}
        self._places: dict[str, Path] = {}
        for _ in range(ahead):
            self._begin_next()

    def is_there(self, job: Job) -> bool:
        """Tell whether the copy of a slide is whole, or not to be had."""
        copy = self._copies.get(job.entry_id)
        return copy is None or copy.done()

    def take(self, job: Job) -> Job:
        """Return the job with its copy, for which it waits, and begin with the next one."""
        copy = self._copies.pop(job.entry_id, None)
        if copy is None:
            return job
        self._begin_next()
        try:
            path, why = copy.result(), "it is no file by itself"
        except OSError as error:
            path, why = None, error.strerror or str(error)
        if path is not None:
            return replace(job, copy=path)
        self._warn(f"{job.name}: not copied to {self._folder} ({why}); read where it lies")
        self.drop(job)
        return job

    def drop(self, job: Job) -> None:
        """Remove the copy of a slide that is done with."""
        if (place := self._places.pop(job.entry_id, None)) is not None:
            shutil.rmtree(place, ignore_errors=True)

    def close(self) -> None:
        """Stop copying and remove all copies."""
        self._stopped.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin_next(self) -> None:
        number, job = next(self._left, (0, None))
        if job is not None:
            self._places[job.entry_id] = self._folder / str(number)
            self._copies[job.entry_id] = self._pool.submit(self._copy, job, self._folder / str(number))

    def _copy(self, job: Job, place: Path) -> Path | None:
        if not job.path.is_file() or dicom_header(job.path) is not None:  # what belongs to it lies in files about it
            return None
        place.mkdir(parents=True, exist_ok=True)
        for part in (job.path, *companions(job.path)):
            if part.is_dir():
                for below in part.rglob("*"):
                    if below.is_file():
                        self._copy_file(below, place / part.name / below.relative_to(part))
            elif part.is_file():
                self._copy_file(part, place / part.name)
        return place / job.path.name

    def _copy_file(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as read, target.open("wb") as written:
            while (chunk := read.read(_CHUNK)) and not self._stopped.is_set():
                written.write(chunk)


@contextmanager
def caching(folder: Path | None, jobs: Sequence[Job], ahead: int, warn: Callable[[str], None]) -> Iterator[SlideCache]:
    """Hold a cache in `folder`, or one that copies nothing where that is None; all copies go with the block.

    Raises RunError where the folder cannot be made. What a killed process of this machine left there is removed.
    """
    if folder is None:
        yield SlideCache(Path(), (), 0, warn)
        return
    mine = folder / f"glomseg-{socket.gethostname()}-{os.getpid()}"
    try:
        mine.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"`cache` {folder} cannot be made: {error.strerror}; choose another folder") from error
    for left in folder.glob(f"glomseg-{socket.gethostname()}-*"):
        with suppress(ValueError):
            if not is_alive(int(left.name.rpartition("-")[2])):
                shutil.rmtree(left, ignore_errors=True)
    cache = SlideCache(mine, jobs, ahead, warn)
    try:
        yield cache
    finally:
        cache.close()
