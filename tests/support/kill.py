"""A process that ends at its n-th operation on files: nothing after it happens, not even the clearing up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OPERATIONS = ("replace", "rename", "unlink", "rmdir", "fsync")


class Killed(BaseException):
    """The end of the process, which nobody catches."""


@contextmanager
def killed_at(number: int) -> Iterator[Callable[[], int]]:
    """Let the operation of this number, counted from 0, and all that follow not happen; yields how many did."""
    done = 0
    before = {name: getattr(os, name) for name in OPERATIONS}

    def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            if done >= number:
                raise Killed
            done += 1
            return operation(*args, **kwargs)

        return call

    for name, operation in before.items():
        setattr(os, name, counting(operation))
    try:
        yield lambda: done
    finally:
        for name, operation in before.items():
            setattr(os, name, operation)


def call_killed(number: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a process that ends at its n-th operation on files; None where it was killed."""
    try:
        with killed_at(number):
            return function(*args, **kwargs)
    except Killed:
        return None
