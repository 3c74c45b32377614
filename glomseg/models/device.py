"""The device that a network runs on: which there is, what it computes with, and what it says when memory is full."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from glomseg.errors import DeviceError
from glomseg.models.machine import BackendChoice, instruction_limit
from glomseg.unexpected import is_out_of_memory


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; raise DeviceError for one that is not there."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not mps:
            raise DeviceError("no Apple GPU (mps) on this machine; give `device` as auto or cpu")
        return torch.device("mps")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not (number.isascii() and number.isdigit())):
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        there = f"only {count} CUDA device(s)" if count else "no CUDA device that torch can use"
        raise DeviceError(f"device {name!r}, but there is {there} on this machine; give `device` as auto or cpu")
    return torch.device(name)


def device_with(backend: BackendChoice, device: str | torch.device) -> torch.device:
    """Return the device for what computes: OpenVINO and ONNX Runtime have the CPU alone; raises DeviceError."""
    if backend in ("auto", "torch"):
        return resolve_device(device) if isinstance(device, str) else device
    if str(device) == "auto":
        return torch.device("cpu")
    resolved = device_with("torch", device)
    if resolved.type != "cpu":
        raise DeviceError(
            f"`backend` {backend} computes on the CPU, and `device` is {device}; leave one of them out, or give cpu"
        )
    return resolved


def limit_threads(count: int) -> None:
    """Let a network take at most so many of this machine's cores; it gives the same with any number."""
    torch.set_num_threads(count)


def devices_for(name: str, processes: int) -> list[str]:
    """Name the device of each of several processes: the GPUs of this machine in turn, or for all what was asked for.

    Raises DeviceError as `resolve_device`.
    """
    kind = resolve_device(name).type
    if kind != "cuda" or ":" in name:
        return [name] * processes
    return [f"cuda:{number % torch.cuda.device_count()}" for number in range(processes)]


_WITHOUT_BF16 = {
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI",
}  # fmt: skip
"""Limits of oneDNN that leave out the instructions for bfloat16."""


def _cpu_has_bf16() -> bool:
    """Say whether this CPU multiplies bfloat16 itself; where it only emulates it, float32 is faster.

    What oneDNN is not allowed to use (ONEDNN_MAX_CPU_ISA) is not there.
    """
    if instruction_limit() in _WITHOUT_BF16:
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether a device computes with bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_bf16()


def dtype_for(device: torch.device) -> torch.dtype:
    """Return the type that a device predicts fastest in.

    On a GPU float16, which is eight times finer than bfloat16 and as fast or faster; its numbers end at 65,504, see
    `wider_dtype`.
    """
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if has_fast_bf16(device) else torch.float32


def wider_dtype(device: torch.device) -> torch.dtype:
    """Return the type for a network whose numbers float16 cannot hold."""
    return torch.bfloat16 if has_fast_bf16(device) else torch.float32


def free_bytes(device: torch.device) -> int:
    """Return how much memory a CUDA device has left, what torch keeps for its next batch included."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def give_back(device: torch.device) -> None:
    """Give memory that torch keeps for its next batch back to a CUDA device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def memory_guard(device: torch.device, what: str) -> Iterator[None]:
    """Raise DeviceError where memory is full inside, which says what there was none for and what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        way = "close other programs" if device.type == "cpu" else "`device` as cpu"
        raise DeviceError(f"{device} has no memory left for {what}; give `batch` as 1, or {way}") from error


@functools.cache
def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next batch, instead of giving it back and faulting it in again.

    A network allocates and frees the same large maps for every tile, and so do the threads that read. By default
    glibc maps and unmaps each, and the page faults cost as much as the arithmetic. The process keeps its peak instead.
    Does nothing, and returns False, where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    m_trim_threshold, m_mmap_max = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(m_mmap_max, 0)) and bool(mallopt(m_trim_threshold, 2**31 - 1))
