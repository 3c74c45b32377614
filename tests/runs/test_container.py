"""Limits of containers and batch systems, as both versions of control groups write them."""

import math

import pytest

from glomseg.runs import container
from glomseg.runs.capacity import cores, count_workers


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Write the files of control groups, and put this process into one of them."""
    monkeypatch.setattr(container, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(container, "MEMBERSHIP", tmp_path / "membership")

    def write(membership: str, files: dict[str, str]) -> None:
        (tmp_path / "membership").write_text(membership)
        (tmp_path / "cgroup").mkdir()
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")

    return write


def test_no_groups_no_bounds(groups) -> None:
    assert (container.cores_allowed(), container.memory_allowed()) == (math.inf, math.inf)
    groups("0::/\n", {"cpu.max": "max 100000", "memory.max": "max", "memory.current": "5"})
    assert (container.cores_allowed(), container.memory_allowed()) == (math.inf, math.inf)


def test_the_tightest_group_on_the_way_up_counts(groups) -> None:
    files = {
        "job/cpu.max": "150000 100000", "job/step/cpu.max": "max 100000",
        "job/memory.max": "8000", "job/memory.current": "5000", "job/memory.stat": "anon 3000\ninactive_file 1000",
        "job/step/memory.max": "max", "job/step/memory.current": "10",
    }  # fmt: skip
    groups("0::/job/step\n", files)
    assert container.cores_allowed() == 1.5
    assert container.memory_allowed() == 4000
    assert cores() == 1
    assert count_workers("auto", 1000, "cpu") == 0


def test_the_first_version_whose_own_group_is_mounted_as_the_root(groups) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9000", "memory/memory.usage_in_bytes": "8000",
        "memory/memory.stat": "total_inactive_file 500",
    }  # fmt: skip
    groups("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n", files)
    assert container.cores_allowed() == 4
    assert container.memory_allowed() == 1500
