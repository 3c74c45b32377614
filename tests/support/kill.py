"""A process that ends at its n-th operation on files: nothing after it happens, not even the clearing up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from glomseg.qupath import swap

OPERATIONS = ("replace", "rename", "unlink", "rmdir", "fsync", "link")


class Killed(BaseException):
    """The end of the process, which nobody catches."""


@contextmanager
def killed_at(number: int, *, can_exchange: bool = True) -> Iterator[Callable[[], int]]:
    """Let the operation of this number, counted from 0, and all that follow not happen; yields how many did.

    With `can_exchange` False it is as on a system that cannot exchange two files in one step.
    """
    done = 0
    before = {(os, name): getattr(os, name) for name in OPERATIONS}
    before[swap, "exchange"] = swap.exchange if can_exchange else lambda one, other: False
    original = swap.exchange

    def counting(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            if done >= number:
                raise Killed
            done += 1
            return operation(*args, **kwargs)

        return call

    for (module, name), operation in before.items():
        setattr(module, name, counting(operation))
    try:
        yield lambda: done
    finally:
        for (module, name), operation in before.items():
            setattr(module, name, operation)
        swap.exchange = original


def call_killed(number: int, function: Callable[..., Any], *args: Any, can_exchange: bool = True, **kwargs: Any) -> Any:
    """Call a function in a process that ends at its n-th operation on files; None where it was killed."""
    try:
        with killed_at(number, can_exchange=can_exchange):
            return function(*args, **kwargs)
    except Killed:
        return None
