"""Find the workers of this process, and kill them."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


def workers_of(parent: int) -> list[psutil.Process]:
    """List the workers that a process has started, without those that multiprocessing keeps for itself."""
    below = []
    for child in psutil.Process(parent).children():
        with suppress(psutil.NoSuchProcess):  # dead, and not buried yet
            if "spawn_main" in " ".join(child.cmdline()):
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


@contextmanager
def killing_at_random(*, every_seconds: float, seed: int, most: int) -> Iterator[list[int]]:
    """Kill one of the workers of this process again and again, chosen at random; yields who was killed."""
    chance, killed, ended = random.Random(seed), [], threading.Event()

    def kill() -> None:
        while len(killed) < most and not ended.wait(every_seconds * chance.uniform(0.5, 1.5)):
            if workers := workers_of(os.getpid()):
                victim = chance.choice(workers).pid
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()
