"""What a model, its export and its training need of a network; each network of the registry is one."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.models.card import Activation, Head, ModelCard
from glomseg.models.machine import Backend

HOVER_PLANES = 2
"""What the head `hover` gives: how far right, and how far down in its object a pixel lies, -1..1."""


def activated(logits: Tensor, activation: Activation) -> Tensor:
    """Turn logits (N, classes, H, W) into probabilities, as a card's `activation` says."""
    if activation == "sigmoid":
        return torch.sigmoid(logits)
    return torch.softmax(F.pad(logits, (0, 0, 0, 0, 1, 0)), dim=1)[:, 1:]  # the background's logit is 0


class Network(nn.Module, ABC):
    """A network from pixels to logits, built from a card alone.

    `stride` is the product of its poolings: tiles that start on multiples of it are pooled at the same pixels. `needs`
    is the library of `extras` that builds it, `backbone` names the submodule that is usually trained before on other
    pictures, and moves more slowly where a training says so.
    """

    heads: ClassVar[frozenset[Head]] = frozenset({"mask"})  # those that a card may ask for
    trainable = True
    comes = ""  # how one comes here that is not trained
    single_precision = False  # True where it must not be computed with less
    owns_loss = False  # True where it learns by `own_loss` alone
    computed_by: ClassVar[Backend] = "torch"
    export_problem = ""  # why ONNX cannot hold it, where it cannot
    needs = ""
    backbone = ""
    stride: int  # TorchScript reads this, and cannot where annotations are kept as text

    @classmethod
    @abstractmethod
    def of(cls, card: ModelCard) -> Self:
        """Return a new network as the card describes it; raise ModelError for arguments that are not allowed."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map RGB (N, 3, H, W), normalised as the card says, to logits (N, num_classes, H, W); any H and W.

        With the head `hover` two more planes follow: how far right, and how far down in its object a pixel lies.
        """

    def own_loss(self, x: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the loss of a batch for a network that cannot be taught by its logits.

        `x` as in `forward`, `targets` (N, num_classes, H, W) in 0..1, `weights` (N, 1 or num_classes, H, W).
        """
        raise NotImplementedError(f"{type(self).__name__} learns by its logits")

    def begin_with(self, folder: Path) -> str:
        """Take weights that were trained before out of a folder, and say what was taken; raises ModelError."""
        raise ModelError(f"{folder}: {type(self).__name__} has no part that others train; leave model.pretrained empty")

    def read_weights(self, path: Path) -> None:
        """Take the weights of a file that is known to be the card's; raise ModelError where they do not fit."""
        needed = sum(8 * value.numel() for value in self.state_dict().values()) + (1 << 20)  # names, and doubles
        if path.stat().st_size > needed:
            raise ModelError(f"{path}: {path.stat().st_size:,} bytes are not the weights of this architecture")
        try:
            state = load_file(path)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: not a safetensors file ({error}); fetch the model again") from error
        self.take_weights(state, path)

    def take_weights(self, state: Mapping[str, Tensor], origin: Path) -> None:
        """Take weights by name, all and no others; raise ModelError, which names `origin`."""
        try:
            self.load_state_dict(dict(state), strict=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{origin}: the weights are not those of this architecture: {reason}") from error
        broken = [key for key, value in self.state_dict().items() if not torch.isfinite(value).all()]
        if broken:
            raise ModelError(f"{origin}: {broken[0]} holds values that are not finite; train or fetch the model again")

    def folded(self) -> nn.Module:
        """Return a copy in evaluation mode that gives the same, faster where that can be (see `fold_batch_norm`)."""
        return copy.deepcopy(self).eval()

    def for_export(self) -> nn.Module:
        """Return what `folded` returns, in terms that ONNX can say for any size of picture."""
        return self.folded()
