"""A process that ends at its n-th operation on files, or is sent Ctrl-C there.

Of one that ends nothing more happens, not even the clearing up. One that is interrupted clears up, and waits for the
process of QuPath, which does not hear Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from glomseg.qupath import swap

OPERATIONS = ("replace", "rename", "unlink", "rmdir", "fsync", "link")


class Killed(BaseException):
    """The end of the process, which nobody catches."""


@contextmanager
def _counted(
    around: Callable[[int, Callable[[], Any]], Any], *, can_exchange: bool = True
) -> Iterator[Callable[[], int]]:
    """Let `around` do each operation, which it gets with its number from 0; yields how many there were."""
    done = 0
    before = {(os, name): getattr(os, name) for name in OPERATIONS}
    before[swap, "exchange"] = swap.exchange if can_exchange else lambda one, other: False
    original = swap.exchange

    def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            number, done = done, done + 1
            return around(number, lambda: operation(*args, **kwargs))

        return call

    for (module, name), operation in before.items():
        setattr(module, name, counting(operation))
    try:
        yield lambda: done
    finally:
        for (module, name), operation in before.items():
            setattr(module, name, operation)
        swap.exchange = original


@contextmanager
def killed_at(number: int, *, can_exchange: bool = True) -> Iterator[Callable[[], int]]:
    """Let the operation of this number, counted from 0, and all that follow not happen; yields how many did.

    With `can_exchange` False it is as on a system that cannot exchange two files in one step.
    """

    def around(at: int, operation: Callable[[], Any]) -> Any:
        if at >= number:
            raise Killed
        return operation()

    with _counted(around, can_exchange=can_exchange) as count:
        yield lambda: min(count(), number)


@contextmanager
def meanwhile(action: Callable[[int], None], *, can_exchange: bool = True) -> Iterator[Callable[[], int]]:
    """Let somebody else act before each operation, of which they get the number from 0; yields how many there were."""

    def around(at: int, operation: Callable[[], Any]) -> Any:
        action(at)
        return operation()

    with _counted(around, can_exchange=can_exchange) as count:
        yield count


@contextmanager
def interrupted_at(number: int, process: int | None = None) -> Iterator[Callable[[], int]]:
    """Send Ctrl-C to a process, this one by default, right after its operation of this number; all of them happen."""

    def around(at: int, operation: Callable[[], Any]) -> Any:
        try:
            return operation()
        finally:
            if at == number:
                os.kill(process or os.getpid(), signal.SIGINT)

    with _counted(around) as count:
        yield count


@contextmanager
def full_at(number: int) -> Iterator[Callable[[], int]]:
    """Let no file get to the disk from the sync of this number on, as where a quota is reached on a share."""
    done, before = 0, os.fsync

    def refusing(file: int) -> None:
        nonlocal done
        done += 1
        if done > number:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
        before(file)

    os.fsync = refusing
    try:
        yield lambda: done
    finally:
        os.fsync = before


def call_full(number: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function while no file gets to the disk from the n-th sync on."""
    with full_at(number):
        return function(*args, **kwargs)


def call_killed(number: int, function: Callable[..., Any], *args: Any, can_exchange: bool = True, **kwargs: Any) -> Any:
    """Call a function in a process that ends at its n-th operation on files; None where it was killed."""
    try:
        with killed_at(number, can_exchange=can_exchange):
            return function(*args, **kwargs)
    except Killed:
        return None


def call_interrupting(number: int, process: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function, and send Ctrl-C to another process right after the n-th operation on files."""
    with interrupted_at(number, process):
        return function(*args, **kwargs)


@contextmanager
def using(process: Any) -> Iterator[None]:
    """Let the library use this process of QuPath."""
    from glomseg.qupath import annotations
    from glomseg.runs import collect, undo_run
    from glomseg.study import write_back

    before = collect.qupath_process

    @contextmanager
    def running() -> Iterator[Any]:
        try:
            yield process
        finally:  # as when it is closed
            process.call(os.getpid)

    modules = (collect, undo_run, annotations, write_back)
    for module in modules:
        module.qupath_process = running
    try:
        yield
    finally:
        for module in modules:
            module.qupath_process = before
