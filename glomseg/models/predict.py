"""A model in memory: a network on a device that turns pixels into probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glomseg.errors import DeviceError
from glomseg.models.card import ModelCard
from glomseg.models.device import dtype_for, keep_memory, resolve_device
from glomseg.models.network import Network
from glomseg.models.store import find_model, load_network, read_card

UInt8 = NDArray[np.uint8]


class Model:
    """A network on a device, with the card that says how to feed it."""

    def __init__(self, card: ModelCard, net: Network, device: torch.device) -> None:
        """Prepare a copy of `net` for prediction on `device`."""
        self.card = card
        self.device = device
        self.dtype = dtype_for(device)
        if device.type == "cpu":
            keep_memory()
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


def load_model(name: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model given by name or folder onto a device (a name as in `resolve_device`, or a torch device)."""
    resolved = resolve_device(device) if isinstance(device, str) else device
    folder = find_model(name)
    card = read_card(folder)
    return Model(card, load_network(folder, card), resolved)
