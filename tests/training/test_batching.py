"""The batch is as large as memory lets it be, and never one."""

import pytest
import torch

from glomseg.errors import TrainingError
from glomseg.training import batching
from glomseg.training.batching import free_bytes, largest_batch


@pytest.fixture
def step():
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    return lambda images: torch.relu(conv(images)).square()


def test_as_much_as_there_is_memory(step, monkeypatch):
    cpu = torch.device("cpu")
    assert largest_batch(step, 64, cpu, limit=16) == 16
    one = 64 * 64 * 4 * 4 * 1  # bytes of one map of one sample
    found = []
    for free in (40 * one, 400 * one):
        monkeypatch.setattr(batching, "free_bytes", lambda free=free: free)
        found.append(largest_batch(step, 64, cpu, limit=1000))
    assert 2 <= found[0] < 40
    assert found[1] == pytest.approx(10 * found[0], rel=0.2)


def test_no_room_for_two(step, monkeypatch):
    monkeypatch.setattr(batching, "free_bytes", lambda: 1000)
    with pytest.raises(TrainingError, match="no memory on cpu for two squares of 64 px"):
        largest_batch(step, 64, torch.device("cpu"), limit=16)


def test_memory_is_told_somehow():
    free = free_bytes()
    assert free is None or 1e6 < free < 1e14


@pytest.mark.gpu
def test_on_a_gpu(step):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    conv = torch.nn.Conv2d(3, 4, 3, padding=1).cuda()
    assert largest_batch(lambda images: conv(images), 64, torch.device("cuda"), limit=16) == 16
    with pytest.raises(TrainingError, match="no memory on cuda"):
        largest_batch(lambda images: conv(images).repeat(1, 10**9, 1, 1), 64, torch.device("cuda"), limit=16)
