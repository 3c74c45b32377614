"""What holds for networks that another library builds: any size of picture, a background, weights out of a folder."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.listing import first_names
from glomseg.models.card import ModelCard
from glomseg.models.network import Network
from glomseg.settings import read_record

_M = TypeVar("_M", bound=nn.Module)
LARGEST_MARGIN = 0.5
"""How much of an encoder a folder may lack: what a classifier has none of, such as the norms of its stages."""


@dataclass(frozen=True, kw_only=True)
class BorrowedArguments:
    """The `architecture_args` that all of them take.

    With `background` the network has a channel for what is no class, before the classes, and the logits of the classes
    are those above it.
    """

    background: bool = False


class BorrowedNetwork(Network):
    """A network of another library."""

    stride = 32
    arguments: type[BorrowedArguments] = BorrowedArguments

    def __init__(self, card: ModelCard) -> None:
        """Take classes and arguments of a card; raises ModelError for arguments that are not allowed."""
        super().__init__()
        origin = f"{card.name}: architecture_args"
        self.given: Any = read_record(self.arguments, card.architecture_args, origin=origin, error=ModelError)
        self.activation, self.hover = card.activation, card.hover
        self.channels = card.num_classes + self.given.background
        self.net: nn.Module = self.built(card.name)

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Build the network of a card."""
        return cls(card)

    @abstractmethod
    def built(self, name: str) -> nn.Module:
        """Build the library's network, with random weights; `name` is the card's, for messages."""

    @abstractmethod
    def values(self, x: Tensor) -> Tensor:
        """Return what the network gives for pixels whose sides are multiples of the stride.

        That is (N, channels, H, W), and the two planes of the head `hover` after them.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to logits (N, classes, H, W), and the planes of the head `hover` after them."""
        values = self.values(self.padded(x))[..., : x.shape[-2], : x.shape[-1]]
        if not self.hover:
            return self.logits(values)
        return torch.cat([self.logits(values[:, : self.channels]), values[:, self.channels :]], dim=1)

    def padded(self, x: Tensor) -> Tensor:
        """Fill the sides up to multiples of the stride with the edge pixels."""
        pad_y, pad_x = -x.shape[-2] % self.stride, -x.shape[-1] % self.stride
        return F.pad(x, (0, pad_x, 0, pad_y), mode="replicate") if pad_y or pad_x else x

    def logits(self, values: Tensor) -> Tensor:
        """Return the logits of the classes alone, such that the background's would be 0."""
        return values[:, 1:] - values[:, :1] if self.given.background else values

    def encoder(self) -> nn.Module:
        """Return the part that is usually trained before, on other pictures."""
        part = self.get_submodule(self.backbone)
        assert isinstance(part, nn.Module)
        return part

    def begin_with(self, folder: Path) -> str:
        """Take the weights of the encoder, or of all, from safetensors in a folder; say what was taken.

        A name fits where it ends a name of the file or the other way round, and the shapes agree. Raises ModelError
        where the folder holds none, or weights of something else.
        """
        state = _local_weights(folder)
        part = self.encoder()
        own = part.state_dict()
        prefix, taken = max(
            ((prefix, _fitting(own, state, prefix)) for prefix in _prefixes(own, state)),
            key=lambda found: len(found[1]),
            default=("", {}),
        )
        share = sum(value.numel() for value in taken.values()) / max(1, sum(value.numel() for value in own.values()))
        if share < LARGEST_MARGIN:
            raise ModelError(
                f"{folder}: {len(taken)} of {len(own)} tensors fit the encoder; give the folder of weights of the "
                "encoder that model.arguments names"
            )
        part.load_state_dict(taken, strict=False)
        missing = [key for key in own if key not in taken]
        rest = f"; random: {first_names(missing)}" if missing else ""
        below = f" below {prefix}" if prefix else ""
        return f"the encoder begins with {len(taken)} of its {len(own)} tensors, from {folder}{below}{rest}"


def _local_weights(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else [folder] if folder.is_file() else []
    if not files or files[0].suffix != ".safetensors":
        raise ModelError(f"{folder}: no weights there; give a folder with model.safetensors, nothing is downloaded")
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{file}: not a safetensors file ({error}); fetch the weights again") from error
    return state


def _prefixes(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Name what may stand before our names in a file, or before the file's in ours (with a minus)."""
    prefixes = {""}
    for key in state:
        prefixes |= {key[: -len(name)] for name in own if key.endswith(f".{name}")}
    for name in own:
        prefixes |= {"-" + name[: -len(key)] for key in state if name.endswith(f".{key}")}
    return sorted(prefixes, key=len)


def _fitting(own: Mapping[str, Tensor], state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return what of a file has a name and a shape of ours."""
    if prefix.startswith("-"):
        pairs = {name: name.removeprefix(prefix[1:]) for name in own if name.startswith(prefix[1:])}
    else:
        pairs = {name: prefix + name for name in own}
    return {name: state[key] for name, key in pairs.items() if key in state and state[key].shape == own[name].shape}


def built_anywhere(make: Callable[[], _M]) -> _M:
    """Build a network on the device that is set, or on the CPU where it cannot be built without numbers (meta)."""
    try:
        return make()
    except RuntimeError as error:
        if "meta tensors" not in str(error):
            raise
        with torch.device("cpu"):
            return make()
