"""Networks of others: the `.pth` state dicts of the reference project, made into a model folder."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from glomseg.errors import ModelError
from glomseg.models.card import CARD_NAME, ModelCard, TrainingData
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet, patch_size_of


def import_state_dict(
    path: Path,
    output: Path,
    *,
    mpp: float,
    training_diameter_um: float,
    species: str,
    patch_size: int | None = None,
    name: str | None = None,
    threshold: float = 0.5,
    minimum_area_um2: float = 0.0,
    training_data: tuple[TrainingData, ...] = (),
) -> ModelCard:
    """Turn a `.pth` state dict of the reference project into a model folder, and return its card.

    Only tensors are read: a file that needs code to unpickle is refused. `patch_size` is deduced from the shapes where
    it is not given. Raises ModelError where the file is no such state dict, or where `output` holds a model already.
    """
    if (output / CARD_NAME).exists():
        raise ModelError(f"{output} holds a model already; remove it, or choose another `output`")
    state = _foreign_state(path)
    patch_size = patch_size if patch_size is not None else patch_size_of(state)
    net = VariableUNet(patch_size)
    net.take_weights(state, path)
    card = ModelCard(
        name=name or output.resolve().name,
        description=f"Imported from {path.name}. Its training and its scores are not known to glomseg.",
        architecture_args={"patch_size": patch_size},
        mpp=mpp,
        threshold=threshold,
        minimum_area_um2=minimum_area_um2,
        species=species,
        training_diameter_um=training_diameter_um,
        training_data=training_data,
    )
    return save_model(output, card, net)


def _foreign_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.pth`, out of a checkpoint or a DataParallel if need be, without running its code."""
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; check the path") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: not a plain state dict: reading it would run code from the file, which is refused; "
            "save model.state_dict() alone and import that"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path}: not a PyTorch file ({reason}); give a .pth with a state dict") from error
    for key in ("model_state_dict", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{path}: no state dict in it; save model.state_dict() and import that")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}
