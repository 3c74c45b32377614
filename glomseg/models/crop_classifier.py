"""A classifier of single glomeruli: does this outlined profile look globally sclerosed?

What it sees is one profile, cut out along its bounding box and scaled to a square, because the crops that it learned
from had lost their size. An encoder is read at two scales; mean and spread of each channel inside the outline go into
one logistic regression. Its folder holds `classifier.json` (what `ClassifierCard` says) and `weights.safetensors`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.files import json_text, replacing
from glomseg.geometry import Bools, Bytes
from glomseg.models.card import WEIGHTS_NAME, TrainingData
from glomseg.models.store import shipped_folder
from glomseg.models.variable_unet import VariableUNet
from glomseg.settings import limited, parse_json, read_record, read_text

CLASSIFIER_NAME = "classifier.json"
SHIPPED = "pas-sclerosis"
CROP_PX = 128
"""The side of the square that a profile is scaled to."""
FEATURES = 1408
"""Mean and spread of 32 + 64 + 128 + 128 channels, at two scales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassifierCard:
    """What a classifier of profiles suggests, from which probability, and what it learned from."""

    name: str = limited(pattern="[a-z0-9-]{1,100}", what="a name of small letters, digits and -")
    description: str
    class_name: str
    measurement: str
    threshold: float = limited(0.5, above=0, high=0.999)
    species: str
    stain: str
    training_data: tuple[TrainingData, ...] = ()
    scores: Mapping[str, Any] = limited({})
    weights_sha256: str = limited("", pattern="[0-9a-f]{64}", what="a sha256 of 64 hexadecimal digits")
    format_version: int = limited(1, low=1, high=1)


class CropNetwork(nn.Module):
    """The encoder of a VariableUNet of base width 16 and a logistic regression on what it sees inside an outline."""

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        whole = VariableUNet(512)
        self.enc1, self.enc2, self.enc3, self.enc4 = whole.enc1, whole.enc2, whole.enc3, whole.enc4
        self.bottleneck = whole.bottleneck
        self.linear = nn.Linear(FEATURES, 1)

    def features(self, pixels: Tensor, inside: Tensor) -> Tensor:
        """Map RGB (N, 3, S, S) in 0..1 and masks (N, 1, S, S) of 0 and 1 to (N, FEATURES)."""
        half = F.avg_pool2d(pixels, 2), F.avg_pool2d(inside, 2)
        return torch.cat([self._pooled(pixels, inside), self._pooled(*half)], dim=1)

    def _pooled(self, pixels: Tensor, inside: Tensor) -> Tensor:
        x, values = self.enc1(pixels), []
        for layer in (self.enc2, self.enc3, self.enc4, self.bottleneck):
            x = layer(F.max_pool2d(x, 2))
            weight = (F.adaptive_avg_pool2d(inside, x.shape[-2:]) > 0.5).to(x.dtype)
            weight = torch.where(weight.sum(dim=(2, 3), keepdim=True) < 2, torch.ones_like(weight), weight)
            count = weight.sum(dim=(2, 3))
            mean = (x * weight).sum(dim=(2, 3)) / count
            spread = (((x - mean[:, :, None, None]) ** 2 * weight).sum(dim=(2, 3)) / (count - 1)).sqrt()
            values += [mean, spread]
        return torch.cat(values, dim=1)

    def forward(self, pixels: Tensor, inside: Tensor) -> Tensor:
        """Return the probabilities (N,) of crops as `features` takes them."""
        return torch.sigmoid(self.linear(self.features(pixels, inside))).squeeze(1)


@dataclass(frozen=True, slots=True)
class CropClassifier:
    """A classifier in memory, on the CPU, with the card that says what its answer means."""

    card: ClassifierCard
    net: CropNetwork

    def probabilities(self, crops: Sequence[tuple[Bytes, Bools]]) -> list[float]:
        """Return the probability of each crop: pixels (CROP_PX, CROP_PX, 3) and what is inside the outline."""
        if not crops:
            return []
        with torch.inference_mode():
            answers = self.net(*tensors(crops))
        if not bool(torch.isfinite(answers).all()):
            raise ModelError(f"{self.card.name} gives values that are not finite; fetch the classifier again")
        return [float(value) for value in answers]


def tensors(crops: Sequence[tuple[Bytes, Bools]]) -> tuple[Tensor, Tensor]:
    """Turn crops into pixels (N, 3, S, S) in 0..1 and masks (N, 1, S, S) of 0 and 1."""
    pixels = torch.from_numpy(np.stack([pixels for pixels, _ in crops])).permute(0, 3, 1, 2).float() / 255
    inside = torch.from_numpy(np.stack([inside for _, inside in crops]))[:, None].float()
    return pixels, inside


def load_classifier(folder: Path | None = None) -> CropClassifier:
    """Load a classifier from its folder, the shipped one without; raises ModelError for what is missing or wrong."""
    folder = folder or shipped_folder() / SHIPPED
    path = folder / CLASSIFIER_NAME
    text = read_text(path, what="the description of a classifier", error=ModelError)
    card = read_record(
        ClassifierCard, parse_json(text, origin=str(path), error=ModelError), origin=str(path), error=ModelError
    )
    weights = folder / WEIGHTS_NAME
    net = CropNetwork()
    try:
        data = weights.read_bytes()
        state = load_file(weights)
        net.load_state_dict(state, strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{weights}: not the weights of a classifier ({reason}); fetch it again") from error
    if hashlib.sha256(data).hexdigest() != card.weights_sha256:
        raise ModelError(f"{weights}: not the file that {CLASSIFIER_NAME} names; fetch the classifier again")
    if not all(bool(torch.isfinite(value).all()) for value in net.state_dict().values()):
        raise ModelError(f"{weights} holds values that are not finite; fetch the classifier again")
    return CropClassifier(card, net.eval())


def save_classifier(folder: Path, card: ClassifierCard, net: CropNetwork) -> ClassifierCard:
    """Write the weights, then the card with their sha256, each whole or not at all; return that card."""
    folder.mkdir(parents=True, exist_ok=True)
    data = save({key: value.detach().contiguous() for key, value in net.state_dict().items()})
    with replacing(folder / WEIGHTS_NAME) as path:
        path.write_bytes(data)
    card = dataclasses.replace(card, weights_sha256=hashlib.sha256(data).hexdigest())
    with replacing(folder / CLASSIFIER_NAME) as path:
        path.write_text(json_text(dataclasses.asdict(card)) + "\n", encoding="utf-8")
    return card
