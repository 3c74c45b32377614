"""A model in memory: a network on a device that turns pixels into probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glomseg.errors import ModelError
from glomseg.geometry import Bytes
from glomseg.models.card import ModelCard
from glomseg.models.device import dtype_for, keep_memory, memory_guard, resolve_device
from glomseg.models.network import Network, activated
from glomseg.models.store import find_model, load_network, read_card


class Model:
    """A network on a device, with the card that says how to feed it."""

    def __init__(self, card: ModelCard, net: Network, device: torch.device) -> None:
        """Prepare a copy of `net` for prediction on `device`."""
        self.card = card
        self.device = device
        self.dtype = torch.float32 if net.single_precision else dtype_for(device)
        if device.type == "cpu":
            keep_memory()
        folded = net.folded().to(device=device, dtype=self.dtype)
        self.stride = net.stride
        self._net = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, images: Bytes, *, tta: bool = False) -> Bytes:
        """Return the probabilities 0..255 (N, classes, H, W) uint8 of RGB `images` (N, H, W, 3) uint8.

        They are read at the card's mpp, in any N, H and W; an image's result does not depend on the rest of its
        batch. `tta` averages over four flips.
        Raises DeviceError where memory is full, ModelError where the network gives what is no number.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"predict takes (N, H, W, 3) uint8, not {images.shape} {images.dtype}")
        if images.size == 0:
            return np.zeros((len(images), self.card.num_classes, *images.shape[1:3]), dtype=np.uint8)
        size = " x ".join(map(str, images.shape[:3]))
        with memory_guard(self.device, f"{size} px"), torch.inference_mode():
            probability = self._probability(images, tta)
            if not bool(torch.isfinite(probability).all()):
                raise ModelError(f"{self.card.name} gives values that are not finite; give `device` as cpu")
            result: Bytes = probability.mul_(255).round_().to(torch.uint8).cpu().numpy()
        return result

    def _probability(self, images: Bytes, tta: bool) -> Tensor:
        """Return the probabilities (N, classes, H, W), on the device; with `tta` the mean over four flips."""
        pixels = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)
        x = self._normalised(pixels.permute(0, 3, 1, 2))  # a view of (N, H, W, 3) is channels-last already
        if not tta:
            return self._activated(x)
        turns: tuple[list[int], ...] = ([], [2], [3], [2, 3])
        maps = [self._activated(x.flip(turn)).flip(turn) for turn in turns]
        return torch.stack(maps).mean(dim=0)

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Scale (N, 3, H, W) uint8 to 0..1, and by the card's mean and std if it has them."""
        x = pixels.to(self.dtype) / 255
        if self.card.mean is None or self.card.std is None:
            return x
        mean, std = (torch.tensor(v, dtype=self.dtype, device=self.device) for v in (self.card.mean, self.card.std))
        return (x - mean[:, None, None]) / std[:, None, None]

    def _activated(self, x: Tensor) -> Tensor:
        """Return the probabilities (N, classes, H, W) of normalised pixels, in float32."""
        return activated(self._net(x).float(), self.card.activation)


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model given by name or folder onto a device (a name as in `resolve_device`, or a torch device)."""
    resolved = resolve_device(device) if isinstance(device, str) else device
    folder = find_model(name)
    card = read_card(folder)
    return Model(card, load_network(folder, card), resolved)
