"""Devices: which there is, and what a full one says."""

import pytest
import torch
from support.small_models import card, images

from glomseg.errors import DeviceError
from glomseg.models.device import resolve_device
from glomseg.models.predict import Model, load_model

FULL = (
    "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1 GB, max allowed: 9.07 GB).",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 1 GB",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 34359738368 bytes.",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "std::bad_alloc",
    "could not create a primitive",  # oneDNN
    "could not execute a primitive",
    "can't start new thread",
)


@pytest.mark.parametrize("text", FULL)
def test_memory_is_full_on_whatever_device(net, monkeypatch, text):
    def forward(*_):
        raise RuntimeError(text)

    model = Model(card(), net, torch.device("cpu"))
    monkeypatch.setattr(model._net, "forward", forward)
    with pytest.raises(DeviceError, match="cpu has no memory left for 2 x 48 x 32 px; give `batch` as 1") as error:
        model.predict(images())
    assert "\n" not in str(error.value)


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0"):
        with pytest.raises(DeviceError, match="use auto, cpu, cuda"):
            resolve_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_no_quiet_fall_back(name, folder):
    with pytest.raises(DeviceError, match="give `device` as auto or cpu"):
        load_model(folder, name)
