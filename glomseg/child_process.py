"""What a process does that another has started."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended: killed, it can end nobody itself."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Let what is started inside never hear of Ctrl-C; this process hears of it at the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # where it began inside, it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    heard: list[tuple[int, FrameType | None]] = []
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which may raise for one that came just before
        if callable(handler):  # another thread may take the signal, and have it raised in this one
            signal.signal(signal.SIGINT, lambda number, frame: heard.append((number, frame)))
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if heard and callable(handler):
            handler(*heard[0])


def _wait_for_the_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
