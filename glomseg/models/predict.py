"""Models: a card and weights on disk, a network that turns pixels into probabilities in memory."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from glomseg.errors import DeviceError, ModelError
from glomseg.files import replacing
from glomseg.models.card import (
    WEIGHTS_NAME,
    ModelCard,
    TrainingData,
    find_model,
    list_models,
    read_card,
    write_card,
)
from glomseg.models.network import Network
from glomseg.models.networks import build_network
from glomseg.models.variable_unet import VariableUNet, patch_size_of

__all__ = [
    "Model",
    "ModelCard",
    "TrainingData",
    "find_model",
    "has_fast_bf16",
    "import_state_dict",
    "list_models",
    "load_model",
    "load_net",
    "resolve_device",
    "save_model",
    "verify_model",
]

UInt8 = NDArray[np.uint8]


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; raise DeviceError for one that is not there."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not mps:
            raise DeviceError("no Apple GPU (mps) on this machine; use --device auto or --device cpu")
        return torch.device("mps")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (":" in name and not (number.isascii() and number.isdigit())):
        raise DeviceError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        there = f"only {count} CUDA device(s)" if count else "no CUDA device that torch can use"
        raise DeviceError(f"device {name!r}, but there is {there} on this machine; use --device auto or --device cpu")
    return torch.device(name)


def _cpu_has_bf16() -> bool:
    """Say whether this CPU multiplies bfloat16 itself; where it only emulates it, float32 is faster."""
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, probe, lambda: False)()) for probe in probes)


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether a device computes with bfloat16 itself."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and _cpu_has_bf16()


def _dtype_for(device: torch.device) -> torch.dtype:
    if has_fast_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32


@functools.cache
def _keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next batch, instead of giving it back and faulting it in again.

    A network allocates and frees the same large maps for every tile. By default glibc maps and unmaps each, and the
    page faults cost as much as the arithmetic. The process keeps its peak instead. Does nothing, and returns False,
    where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    m_trim_threshold, m_mmap_max = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(m_mmap_max, 0)) and bool(mallopt(m_trim_threshold, 2**31 - 1))


class Model:
    """A network on a device, with the card that says how to feed it."""

    def __init__(self, card: ModelCard, net: Network, device: torch.device) -> None:
        """Prepare a copy of `net` for prediction on `device`."""
        self.card = card
        self.device = device
        self.dtype = _dtype_for(device)
        if device.type == "cpu":
            _keep_memory()
        folded = net.folded().to(device=device, dtype=self.dtype)
        self._net = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, images: UInt8, *, tta: bool = False) -> UInt8:
        """Return the probability 0..255 (N, H, W) uint8 of RGB `images` (N, H, W, 3) uint8, read at the card's spacing.

        Any N, H and W; an image's result does not depend on the rest of its batch. `tta` averages over four flips.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"predict takes (N, H, W, 3) uint8, not {images.shape} {images.dtype}")
        if images.size == 0:
            return np.zeros(images.shape[:3], dtype=np.uint8)
        try:
            with torch.inference_mode():
                result: UInt8 = self._probability(images, tta).mul_(255).round_().to(torch.uint8).cpu().numpy()
        except torch.OutOfMemoryError as error:
            size = " x ".join(map(str, images.shape[:3]))
            raise DeviceError(
                f"{self.device} has no memory left for {size} px; try --batch 1, or --device cpu"
            ) from error
        return result

    def _probability(self, images: UInt8, tta: bool) -> Tensor:
        """Return the probability (N, H, W), on the device; with `tta` the mean over four flips."""
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)
        x = self._normalised(pixels.permute(0, 3, 1, 2))  # a view of (N, H, W, 3) is channels-last already
        if not tta:
            return torch.sigmoid(self._logits(x))
        turns: tuple[list[int], ...] = ([], [2], [3], [2, 3])
        maps = [torch.sigmoid(self._logits(x.flip(turn))).flip([t - 1 for t in turn]) for turn in turns]
        return torch.stack(maps).mean(dim=0)

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Scale (N, 3, H, W) uint8 to 0..1, and by the card's mean and std if it has them."""
        x = pixels.to(self.dtype) / 255
        if self.card.mean is None or self.card.std is None:
            return x
        mean, std = (torch.tensor(v, dtype=self.dtype, device=self.device) for v in (self.card.mean, self.card.std))
        return (x - mean[:, None, None]) / std[:, None, None]

    def _logits(self, x: Tensor) -> Tensor:
        """Return the logits (N, H, W) of the one class, in float32."""
        logits: Tensor = self._net(x)
        return logits[:, 0].float()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); fetch the model again") from error


def load_net(folder: Path, card: ModelCard) -> Network:
    """Load the network of `folder` and its `card`; raise ModelError where the weights are others or do not fit."""
    path = folder / WEIGHTS_NAME
    digest = _digest(path)
    if digest != card.weights_sha256:
        raise ModelError(
            f"{path}: sha256 is {digest[:12]}…, the card says {card.weights_sha256[:12]}…; "
            "the file is damaged or of another model: fetch it again"
        )
    net = build_network(card)
    net.read_weights(path)
    return net.eval()


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model given by name or folder onto a device (a name as in `resolve_device`, or a torch device)."""
    resolved = resolve_device(device) if isinstance(device, str) else device
    folder = find_model(name)
    card = read_card(folder)
    return Model(card, load_net(folder, card), resolved)


def verify_model(name: str | Path) -> ModelCard:
    """Check a model's card, digest and weights, and return the card; raise ModelError for what is wrong."""
    folder = find_model(name)
    card = read_card(folder)
    load_net(folder, card)
    return card


def save_model(folder: Path, card: ModelCard, net: Network) -> ModelCard:
    """Write the weights, then the card with their sha256, each whole or not at all; return that card."""
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    with replacing(folder / WEIGHTS_NAME) as path:
        path.write_bytes(save(state))  # save_file would make a file that nobody else can read
    card = dataclasses.replace(card, weights_sha256=_digest(folder / WEIGHTS_NAME))
    write_card(folder, card)
    return card


def import_state_dict(
    path: Path,
    output: Path,
    *,
    spacing_um_px: float,
    training_diameter_um: float,
    species: str,
    patch_size: int | None = None,
    name: str | None = None,
    threshold: float = 0.5,
    minimum_area_um2: float = 0.0,
    training_data: tuple[TrainingData, ...] = (),
) -> ModelCard:
    """Turn a `.pth` state dict of the reference project into a model folder, and return its card.

    Only tensors are read: a file that needs code to unpickle is refused. `patch_size` is deduced from the shapes
    where it is not given.
    """
    state = _foreign_state(path)
    patch_size = patch_size if patch_size is not None else patch_size_of(state)
    net = VariableUNet(patch_size)
    net.take_weights(state, path)
    card = ModelCard(
        name=name or output.resolve().name,
        description=f"Imported from {path.name}. Its training and its scores are not known to glomseg.",
        architecture_args={"patch_size": patch_size},
        spacing_um_px=spacing_um_px,
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
