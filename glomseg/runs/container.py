"""What a container or a batch system lets this process take of its machine, as the control groups of Linux say it.

Both versions are read, from the group of this process up to the root: each on the way may be the tightest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cores_allowed() -> float:
    """Return how many cores' time this process may take, without bound where no group limits it."""
    allowed = math.inf
    for folder in _groups("cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not period:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if (most := _number(quota)) > 0 and (each := _number(period)) > 0:
            allowed = min(allowed, most / each)
    return allowed


def memory_allowed() -> float:
    """Return how many bytes this process may still take, without bound where no group limits it."""
    allowed = math.inf
    for folder in _groups("memory"):
        for limit, usage, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = _number(_text(folder / limit)), _number(_text(folder / usage))
            if most >= 0 and used >= 0:  # pages of files that nobody reads now are given back when they are needed
                allowed = min(allowed, max(0.0, most - used + max(0.0, _entry(folder / "memory.stat", cache))))
    return allowed


def _groups(controller: str) -> Iterator[Path]:
    """Name the folders of the groups that this process is in, the innermost first."""
    for line in _text(MEMBERSHIP).splitlines():
        _, _, rest = line.partition(":")
        names, _, place = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        root = GROUPS / controller if names else GROUPS
        inner = root / place.strip("/")
        # in a container its own group is often mounted as the root, and the path that is named is not there
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root) and folder.is_dir())


def _entry(path: Path, name: str) -> float:
    lines = (line.split() for line in _text(path).splitlines())
    return next((_number(line[1]) for line in lines if len(line) == 2 and line[0] == name), 0.0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _number(text: str) -> float:
    """Return a number, -1 for `max` and for what is none."""
    try:
        return float(text)
    except ValueError:
        return -1.0
