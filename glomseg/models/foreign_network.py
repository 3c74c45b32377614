"""A network that came as a program of its own, TorchScript or ONNX, with a card beside it: no code of ours knows it.

The file is a program. It is opened only where its sha256 is that of the card, and no pickle is ever read; still, take
one only from people whom you would let run a program here.
"""

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.models.card import Activation, Head, ModelCard
from glomseg.models.network import HOVER_PLANES, Network
from glomseg.settings import limited, read_record

_TOLERANCE = 1e-3
_SMALLEST = 1e-6  # a probability of 0 has no logit
_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


@dataclass(frozen=True, kw_only=True)
class ForeignArguments:
    """The `architecture_args` of such a card.

    The network takes heights and widths that are multiples of `stride`. It may give a `background` as its first
    channel, before the classes of the card, and `probabilities` in place of logits. What the head `hover` gives comes
    last, as more channels or, of ONNX, as a second output.
    """

    stride: int = limited(32, low=1, high=1024)
    background: bool = False
    probabilities: bool = False


class ForeignNetwork(Network):
    """What holds for each of them: padding to the stride, the background left out, its answer looked at."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})
    trainable = False
    comes = "a file that comes as it is"
    single_precision = True

    def __init__(self, given: ForeignArguments, classes: int, activation: Activation, *, hover: bool = False) -> None:
        """Take what the card says of the network, which `read_weights` then opens."""
        super().__init__()
        self.stride = given.stride
        self.given, self.classes, self.activation = given, classes, activation
        self.hover_planes = HOVER_PLANES if hover else 0

    @classmethod
    def of(cls, card: ModelCard) -> Self:
        """Return a network that is yet to be opened."""
        origin = f"{card.name}: architecture_args"
        given = read_record(ForeignArguments, card.architecture_args, origin=origin, error=ModelError)
        return cls(given, card.num_classes, card.activation, hover=card.hover)

    def read_weights(self, path: Path) -> None:
        """Open the file and look at its answer to a small picture; raise ModelError where the card says otherwise."""
        self.open(path)
        side = -(-64 // self.stride) * self.stride
        try:
            with torch.inference_mode():
                answer = self._checked(torch.full((1, 3, side, side), 0.5))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{path}: the network fails on a picture of {side} x {side} px: {reason}") from error
        if not bool(torch.isfinite(answer).all()):
            raise ModelError(f"{path}: the network gives values that are not finite; fetch the model again")
        classes = answer[:, : answer.shape[1] - self.hover_planes]
        if self.given.probabilities and (classes.min() < -_TOLERANCE or classes.max() > 1 + _TOLERANCE):
            raise ModelError(f"{path}: what it gives is not in 0..1; set probabilities to false in architecture_args")

    @abstractmethod
    def open(self, path: Path) -> None:
        """Open the file of the network; raise ModelError where that cannot be."""

    @abstractmethod
    def raw(self, x: Tensor) -> Tensor:
        """Return what the network itself gives for pixels whose height and width are multiples of the stride."""

    def folded(self) -> nn.Module:
        """Return the network itself: it is as fast as it came."""
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) to logits (N, classes, H, W), and the planes of the head `hover` after them."""
        height, width = x.shape[-2:]
        pad_y, pad_x = -height % self.stride, -width % self.stride
        values = self._checked(F.pad(x, (0, pad_x, 0, pad_y), mode="replicate") if pad_y or pad_x else x)
        if not self.hover_planes:
            return self._logits(values)[..., :height, :width]
        answer, places = values[:, : -self.hover_planes], values[:, -self.hover_planes :]
        return torch.cat([self._logits(answer), places], dim=1)[..., :height, :width]

    def _logits(self, values: Tensor) -> Tensor:
        """Return the logits of the classes alone, such that the background's would be 0."""
        exclusive = self.activation == "softmax"
        if self.given.probabilities:
            if exclusive and not self.given.background:
                values = torch.cat([1 - values.sum(dim=1, keepdim=True), values], dim=1)
            values = values.clamp(_SMALLEST, 1).log() if exclusive else values.logit(_SMALLEST)
        elif not self.given.background:
            return values
        if exclusive:
            return values[:, 1:] - values[:, :1]
        return values[:, int(self.given.background) :]

    def _checked(self, x: Tensor) -> Tensor:
        """Return what the network gives; raise ModelError where it is of another shape than the card says."""
        values = self.raw(x)
        expected = (len(x), self.classes + self.given.background + self.hover_planes, *x.shape[2:])
        if tuple(values.shape) != expected:
            raise ModelError(
                f"the network gives {tuple(values.shape)} and not {expected} (images, channels, height, width); "
                "correct num_classes, or stride and background in architecture_args of its card"
            )
        return values


class TorchScriptNetwork(ForeignNetwork):
    """A network as TorchScript."""

    def open(self, path: Path) -> None:
        """Load the program onto the CPU."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TorchScript is no longer developed, which its user cannot change
                self.script = torch.jit.load(path, map_location="cpu").eval()
        except (RuntimeError, ValueError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{path}: not a TorchScript file ({reason}); fetch the model again") from error
        broken = [key for key, value in self.script.state_dict().items() if not torch.isfinite(value).all()]
        if broken:
            raise ModelError(f"{path}: {broken[0]} holds values that are not finite; fetch the model again")

    def raw(self, x: Tensor) -> Tensor:
        """Run the program."""
        values: Any = self.script(x)
        if not isinstance(values, Tensor):
            raise ModelError(f"the network gives a {type(values).__name__}, not a tensor; export it with one output")
        return values


def session_options(onnxruntime: Any) -> Any:
    """Return the options of a session of onnxruntime that takes as many cores as torch may."""
    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    return options


class OnnxNetwork(ForeignNetwork):
    """A network as ONNX, run by onnxruntime: on the CPU, or on CUDA where onnxruntime has that."""

    computed_by = "onnxruntime"

    def open(self, path: Path) -> None:
        """Start a session; its one input has three channels and a free height and width."""
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(f"{path} needs onnxruntime, which is not installed; pip install 'glomseg[onnx]'") from None
        providers = [name for name in onnxruntime.get_available_providers() if name in _PROVIDERS]
        try:
            self.session = onnxruntime.InferenceSession(path, session_options(onnxruntime), providers=providers)
        except Exception as error:  # onnxruntime's own errors have no base but this
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{path}: not an ONNX file that can be run ({reason}); fetch the model again") from error
        inputs = self.session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3 or isinstance(shape[2], int) or isinstance(shape[3], int):
            given = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ModelError(
                f"{path} takes {given}, not one input [batch, 3, height, width]; export it with these sizes free"
            )
        self.input, self.one_by_one = inputs[0].name, shape[0] == 1

    def raw(self, x: Tensor) -> Tensor:
        """Run the session, image by image where it takes one at a time."""
        parts = x.split(1) if self.one_by_one else (x,)
        try:
            given = [self.session.run(None, {self.input: part.float().cpu().numpy()}) for part in parts]
        except Exception as error:  # as above
            raise RuntimeError(str(error)) from error
        wanted = 2 if self.hover_planes else 1  # of two outputs the second is that of the head `hover`
        answers = [torch.cat([torch.from_numpy(one) for one in some[:wanted]], dim=1) for some in given]
        return torch.cat(answers).to(x.device)
