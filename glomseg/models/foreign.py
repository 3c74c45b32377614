"""Networks of others: `.pth` state dicts of the reference project and of mmsegmentation, made into a model folder."""

from __future__ import annotations

import dataclasses
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from glomseg.errors import ModelError
from glomseg.models.card import CARD_NAME, ModelCard, TrainingData
from glomseg.models.mmseg import IMAGENET, read_mmseg, without_counterpart
from glomseg.models.networks import build_network
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet, patch_size_of

Architecture = Literal["variable-unet", "mask2former", "segformer", "upernet"]
COLOURS = ((0, 200, 0), (200, 0, 0), (0, 0, 200), (230, 159, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66))
TILE, HALO = 512, 128
"""Box and margin of a tile: with both it is the 768 px that the challenge's winners learned from."""


def import_state_dict(
    path: Path,
    output: Path,
    *,
    architecture: Architecture = "variable-unet",
    class_names: tuple[str, ...] = ("Glomerulus",),
    mpp: float,
    training_diameter_um: float,
    species: str,
    patch_size: int | None = None,
    name: str | None = None,
    threshold: float = 0.5,
    minimum_area_um2: float = 0.0,
    training_data: tuple[TrainingData, ...] = (),
) -> ModelCard:
    """Turn a `.pth` state dict into a model folder, and return its card.

    It is the reference project's, or one of mmsegmentation 1.x for the other architectures: their size is told by the
    shapes, and outputs of one more than `class_names` begin with a background. Only tensors are read: a file that needs
    code to unpickle is refused. `patch_size` is deduced from the shapes where it is not given. Raises ModelError where
    the file is no such state dict, or where `output` holds a model already.
    """
    if (output / CARD_NAME).exists():
        raise ModelError(f"{output} holds a model already; remove it, or choose another `output`")
    state = _foreign_state(path)
    card = ModelCard(
        name=name or output.resolve().name,
        description=f"Imported from {path.name}. Its training and its scores are not known to glomseg.",
        architecture=architecture,
        num_classes=len(class_names),
        class_names=class_names,
        class_colors=tuple(COLOURS[index % len(COLOURS)] for index in range(len(class_names))),
        mpp=mpp,
        threshold=threshold,
        minimum_area_um2=minimum_area_um2,
        species=species,
        training_diameter_um=training_diameter_um,
        training_data=training_data,
    )
    if architecture != "variable-unet":
        if patch_size is not None:
            raise ModelError(f"`patch_size` is of a variable-unet, and {architecture} reads any; leave it away")
        return _of_mmseg(path, output, card, state)
    patch_size = patch_size if patch_size is not None else patch_size_of(state)
    net = VariableUNet(patch_size, len(class_names))
    net.take_weights(state, path)
    box = min(patch_size, TILE)  # a larger one is read in boxes that fit a memory
    card = dataclasses.replace(card, architecture_args={"patch_size": patch_size}, patch_size_pixels=box)
    return save_model(output, card, net)


def _of_mmseg(path: Path, output: Path, card: ModelCard, state: Mapping[str, Tensor]) -> ModelCard:
    """Save the network of an mmsegmentation state dict, whose classes and sizes its shapes tell."""
    weights = read_mmseg(card.architecture, state, str(path))
    background = weights.outputs == card.num_classes + 1
    if not background and weights.outputs != card.num_classes:
        raise ModelError(
            f"{path} has {weights.outputs} outputs, and {card.num_classes} classes are named "
            f"({', '.join(card.class_names)}); name as many in `class_names`, or one less for a background first"
        )
    left_out = f" {weights.left_out} tensors that only its training or no weight needs are left out."
    card = dataclasses.replace(
        card,
        description=card.description + (left_out if weights.left_out else ""),
        architecture_args={**weights.arguments, "background": background},
        activation="softmax" if background else "sigmoid",
        patch_size_pixels=TILE,
        halo_pixels=HALO,
        mean=IMAGENET[0],
        std=IMAGENET[1],
    )
    net = build_network(card)
    ours = {name: value for name, value in net.state_dict().items() if without_counterpart(name)}
    net.take_weights({**ours, **weights.state}, path)
    return save_model(output, card, net)


def _foreign_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a `.pth`, out of a checkpoint or a DataParallel if need be, without running its code."""
    _refuse_packed(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of torch, about how the file was written
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


def _refuse_packed(path: Path) -> None:
    """Raise ModelError for a `.pth` that would take more memory than it takes of a disk; PyTorch packs nothing."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):  # PyTorch will say what is wrong with it
        return
    is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if is_packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ModelError(f"{path}: not as PyTorch saves it (it grows when it is unpacked); save the state dict again")
