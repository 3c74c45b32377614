"""Find the workers of this process, and kill them."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import psutil


def workers_of(parent: int) -> list[psutil.Process]:
    """List the workers that a process has started, without what multiprocessing keeps for itself, and without a QuPath.

    QuPath's process is started the same way; it is told by its session, which is its own.
    """
    below = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # dead, and not buried yet
            if "spawn_main" in " ".join(child.cmdline()) and os.getsid(child.pid) == os.getsid(parent):
                below.append(child)
    return below


def holder_of(path: Path) -> int | None:
    """Tell which worker has a file open."""
    for child in workers_of(os.getpid()):
        with suppress(OSError):
            for link in Path(f"/proc/{child.pid}/fd").iterdir():
                with suppress(OSError):
                    if link.readlink() == path:
                        return child.pid
    return None


class Killer:
    """Kills one of the workers of this process, chosen at random, after one in so many of the slides that end."""

    def __init__(self, *, one_in: int, seed: int) -> None:
        self._chance, self._one_in = random.Random(seed), one_in
        self.killed: list[int] = []

    def __call__(self, name: str, record: object) -> None:
        workers = workers_of(os.getpid())
        if workers and self._chance.randrange(self._one_in) == 0:
            victim = self._chance.choice(workers).pid
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                self.killed.append(victim)
