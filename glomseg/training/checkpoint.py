"""The state of a training on disk, written whole or not at all, and read without running any code from it."""

from __future__ import annotations

import dataclasses
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from glomseg.errors import TrainingError
from glomseg.files import replacing
from glomseg.training.config import TrainConfig, parse_config

STATE_NAME = "state.pt"
FORMAT = 1


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of `net`, BatchNorm's statistics included, that forgets its beginning quickly.

    With a decay of 0 it is a copy of `net`.
    """

    @torch.no_grad()
    def mean(old: Any, new: Any, count: Tensor | int) -> None:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        if old[0].is_floating_point():
            torch._foreach_lerp_(old, new, 1 - keep)
        else:
            for kept, value in zip(old, new, strict=True):
                kept.copy_(value)

    return AveragedModel(net, multi_avg_fn=mean, use_buffers=True)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `folder/state.pt`; raises RunError where the disk is full, and leaves what was there."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with replacing(folder / STATE_NAME) as path:
        path.write_bytes(buffer.getbuffer())


def read_state(folder: Path) -> dict[str, Any]:
    """Read `folder/state.pt`; raises TrainingError where there is none, or none that can be gone on with."""
    path = folder / STATE_NAME
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no training to go on with; start one without --resume") from error
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise TrainingError(f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); start anew") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(f"{path}: not of this version of glomseg; start anew in another folder")
    return state


def check_same(state: dict[str, Any], config: TrainConfig, data: str, devices: int, folder: Path) -> None:
    """Check that a state is of this training; raises TrainingError."""
    other = parse_config(state["config"])
    changed = [f"{name} {_told(getattr(other, name), getattr(config, name))}" for name in config.differences(other)]
    if changed:
        raise TrainingError(f"{folder}: its training had {', '.join(changed)}; set it so, or name another --output")
    if state["data"] != data:
        raise TrainingError(f"{folder}: its training had other data (see its split.json); give the same folders")
    if state["devices"] != devices:
        raise TrainingError(f"{folder}: its training ran on {state['devices']} devices, not {devices}; start as many")


def _told(before: Any, now: Any) -> str:
    return "otherwise" if dataclasses.is_dataclass(before) else f"{before!r}, not {now!r}"
