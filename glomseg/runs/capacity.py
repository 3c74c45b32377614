"""How many workers fit this machine, and how those that there were spent their time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.runs.container import cores_allowed, memory_allowed

SLIDES_A_WORKER = 8
"""Fewer slides are not worth a process of their own, which takes seconds to start."""
MEMORY_A_WORKER = 2e9


@dataclass(frozen=True, kw_only=True)
class WorkShare:
    """How the workers spent their time: `busy` and `own` seconds of all of them and of the process that deals out."""

    workers: int
    slides: int
    seconds: float
    busy: float
    own: float

    def __str__(self) -> str:
        """Say it in a line."""
        at_work = 100 * self.busy / (self.workers * self.seconds or 1)
        dealing = 100 * self.own / (self.seconds or 1)
        return (
            f"{self.workers} workers did {self.slides} slides in {self.seconds:.1f} s, {at_work:.0f} % of it at work; "
            f"dealing out took {dealing:.1f} % of one core"
        )


def count_workers(asked: int | Literal["auto"], slides: int, device: str) -> int:
    """Tell how many workers to start, 0 for none: what was asked for, or what fits slides, cores and memory."""
    if asked != "auto":
        return min(asked, slides)
    if device != "cpu":
        return 0
    fitting = min(cores(), int(_memory_bytes() // MEMORY_A_WORKER), slides // SLIDES_A_WORKER)
    return fitting if fitting > 1 else 0


def cores() -> int:
    """Count the cores that this process may use, of what its container has where that has fewer."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(there, cores_allowed())))


def _memory_bytes() -> float:
    """Return the memory that is free or can be freed, of this machine and its container; no bound without."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        free = float("inf")
    return min(free, memory_allowed())
