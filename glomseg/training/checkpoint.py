"""How far a training is, on disk: written whole or not at all, and read without running any code from it."""

from __future__ import annotations

import dataclasses
import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from glomseg.errors import ModelError, TrainingError
from glomseg.files import replacing
from glomseg.models.card import CARD_NAME, WEIGHTS_NAME, ModelCard
from glomseg.models.store import verify_model
from glomseg.training.config import TrainConfig
from glomseg.training.config_file import CONFIG_NAME, parse_config
from glomseg.training.data.sampling import HardBox
from glomseg.training.data.training_data import SPLIT_NAME, SURVEY_NAME, Data
from glomseg.training.history import EpochRow
from glomseg.training.optimise import Learner
from glomseg.training.outputs import ADAPTATION_NAME, CURVES_NAME, HISTORY_NAME, WORST_NAME

STATE_NAME = "state.pt"
FORMAT = 1
WRITTEN = (
    STATE_NAME, CARD_NAME, WEIGHTS_NAME, CURVES_NAME, WORST_NAME, HISTORY_NAME, SPLIT_NAME, SURVEY_NAME,
    ADAPTATION_NAME, CONFIG_NAME,
)  # fmt: skip
"""All that a training leaves in its folder; what tells whose a file is goes after that file."""
_WAY_OUT = "or name another `output`, or start over with `restart`"


@dataclass(slots=True)
class TrainState:
    """How far a training is: what changes from epoch to epoch but the weights.

    `best` is object F1 and Dice of the best epoch so far, number `best_epoch`; `hard` are the places where the network
    last saw a glomerulus that is none.
    """

    name: str
    batch_size: int = 0
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    best: tuple[float, float] = (-1.0, -1.0)
    best_epoch: int = 0
    hard: list[HardBox] = field(default_factory=list)
    rows: list[EpochRow] = field(default_factory=list)
    started_from: ModelCard | None = None


def holds_training(folder: Path) -> bool:
    """Tell whether a folder holds the state of a training."""
    return (folder / STATE_NAME).exists()


def check_clearable(folder: Path) -> None:
    """Raise TrainingError where a folder holds a model that no training left there."""
    if (folder / CARD_NAME).exists() and not (folder / CONFIG_NAME).exists():
        raise TrainingError(f"{folder} holds a model that was not trained there; name another `output`")


def clear_training(folder: Path) -> None:
    """Remove what a training left in its folder; raises TrainingError where the folder is not of a training."""
    check_clearable(folder)
    for name in WRITTEN:
        (folder / name).unlink(missing_ok=True)


def write_state(folder: Path, state: TrainState, learner: Learner, config: TrainConfig, data: Data) -> None:
    """Write `folder/state.pt`; raises RunError where the disk is full, and leaves what was there."""
    buffer = io.BytesIO()
    content = {
        "format": FORMAT,
        "config": config.to_toml(),
        "data": data.digest,
        "origins": [[item.name, item.licence, item.source] for item in data.origins],
        "devices": learner.fabric.world_size,
        "name": state.name,
        "batch_size": state.batch_size,
        "epoch": state.epoch,
        "step": state.step,
        "seconds": state.seconds,
        "best": list(state.best),
        "best_epoch": state.best_epoch,
        "hard": [[box.name, box.x, box.y] for box in state.hard],
        "rows": [dataclasses.asdict(row) for row in state.rows],
        "started_from": state.started_from.to_json() if state.started_from else "",
        "random": torch.get_rng_state(),
        "net": learner.net.module.state_dict(),
        "ema": learner.average.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "scaler": learner.fabric.strategy.precision.state_dict(),
    }
    torch.save(content, buffer)
    with replacing(folder / STATE_NAME) as path:
        path.write_bytes(buffer.getbuffer())


def check_settings(folder: Path, config: TrainConfig) -> None:
    """Raise TrainingError where the training in a folder had other settings, or cannot be gone on with."""
    _check_settings(_read(folder / STATE_NAME), config, folder)


def read_state(folder: Path, learner: Learner, config: TrainConfig, data: Data) -> tuple[TrainState, Data]:
    """Read `folder/state.pt` into the learner; return how far it is, and the data with the licences they had.

    Raises TrainingError where there is none, or one of another training.
    """
    stored = _read(folder / STATE_NAME)
    _check_settings(stored, config, folder)
    _check_data(stored, data.digest, learner.fabric.world_size, folder)
    state = TrainState(
        name=str(stored.get("name", folder.resolve().name)),
        batch_size=config.optimiser.batch_size or int(stored["batch_size"]),
        epoch=stored["epoch"],
        step=stored["step"],
        seconds=stored["seconds"],
        best=(stored["best"][0], stored["best"][1]),
        best_epoch=stored["best_epoch"],
        hard=[HardBox(name, x, y) for name, x, y in stored["hard"]],
        rows=[EpochRow(**row) for row in stored["rows"]],
        started_from=ModelCard.from_json(stored["started_from"]) if stored["started_from"] else None,
    )
    if state.best_epoch and not _is_whole(folder):  # cut off between weights and card
        state.best, state.best_epoch = (-1.0, -1.0), 0
    learner.net.module.load_state_dict(stored["net"])
    learner.average.load_state_dict(stored["ema"])
    learner.optimizer.load_state_dict(stored["optimizer"])
    learner.fabric.strategy.precision.load_state_dict(stored["scaler"])
    torch.set_rng_state(stored["random"])
    return state, data.with_licences(stored.get("origins", ()))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no training to go on with; start one without `resume`") from error
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise TrainingError(
            f"{path}: cannot be read ({' '.join(str(error).split())[:120]}); start anew with `restart`"
        ) from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise TrainingError(f"{path}: not of this version of glomseg; start anew with `restart`, or in another folder")
    return stored


def _check_settings(stored: Mapping[str, Any], config: TrainConfig, folder: Path) -> None:
    differences = config.differences(parse_config(stored["config"]))
    if differences:
        changed = ", ".join(f"{name} {theirs!r}, not {mine!r}" for name, mine, theirs in differences)
        raise TrainingError(f"{folder}: its training had {changed}; set it so, {_WAY_OUT}")


def _check_data(stored: Mapping[str, Any], data: str, devices: int, folder: Path) -> None:
    if stored["data"] != data:
        raise TrainingError(
            f"{folder}: its training had other data (see its {SPLIT_NAME}); give the same folders, {_WAY_OUT}"
        )
    if stored["devices"] != devices:
        raise TrainingError(
            f"{folder}: its training ran on {stored['devices']} devices, not {devices}; start as many, {_WAY_OUT}"
        )


def _is_whole(folder: Path) -> bool:
    """Tell whether a folder holds a model whose weights are those of its card."""
    try:
        verify_model(folder)
    except ModelError:
        return False
    return True
