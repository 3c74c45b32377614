"""How many samples a batch may hold, found by trying."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from glomseg.errors import TrainingError
from glomseg.unexpected import is_out_of_memory

SHARE = 0.8
"""What is taken of the memory that there is."""
HEADROOM = 3.0
"""Gradients and workspace of a backward pass, by the activations that the forward pass keeps."""


def largest_batch(step: Callable[[Tensor], Tensor], image_px: int, device: torch.device, *, limit: int) -> int:
    """Return the largest batch, at most `limit`, that `step` (images to logits) has memory for, forward and backward.

    Raises TrainingError where there is no room for two.
    """
    size = _on_cuda(step, image_px, device, limit) if device.type == "cuda" else _by_activations(step, image_px, limit)
    if size < 2:
        raise TrainingError(
            f"no memory on {device} for two squares of {image_px} px, and BatchNorm needs two; "
            "lower data.crop_px or model.arguments.patch_size, or give `device` as cpu"
        )
    return size


def _on_cuda(step: Callable[[Tensor], Tensor], image_px: int, device: torch.device, limit: int) -> int:
    """Double until memory is out, then take 80 %."""
    fits, size = 0, 2
    while size <= 2 * limit:
        try:
            step(torch.zeros(size, 3, image_px, image_px, device=device)).sum().backward()
            torch.cuda.synchronize(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        finally:
            torch.cuda.empty_cache()
        fits, size = size, 2 * size
    if fits <= 2:
        return fits
    return min(limit, fits if fits >= 2 * limit else int(SHARE * fits))


def _by_activations(step: Callable[[Tensor], Tensor], image_px: int, limit: int) -> int:
    """Count what one forward pass of two samples keeps for the backward pass, and see how often that fits."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step(torch.zeros(2, 3, image_px, image_px)).sum().backward()
    free = free_bytes()
    return limit if free is None else min(limit, int(SHARE * free / (HEADROOM * sum(kept.values()) / 2)))


def free_bytes() -> int | None:
    """Return the memory that this machine can still give, None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (line,) = [line for line in lines if line.startswith("MemAvailable:")]
        free = int(line.split()[1]) * 1024
    except (OSError, ValueError):
        try:
            free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        except (AttributeError, OSError, ValueError):
            return None
    return min([free, *_container_bytes()])


def _container_bytes() -> list[int]:
    """Return what a container may still take, where it has a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    return [max(0, limit - used)]
