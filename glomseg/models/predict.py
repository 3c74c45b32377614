"""A model in memory: a network on a device that turns pixels into probabilities."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.geometry import Bytes
from glomseg.models.card import ModelCard
from glomseg.models.device import device_with, dtype_for, free_bytes, keep_memory, memory_guard, wider_dtype
from glomseg.models.engine import Engine, open_engine
from glomseg.models.machine import Backend, BackendChoice, fastest_way
from glomseg.models.network import Network, activated
from glomseg.models.pixels import PixelBatch
from glomseg.models.planes import extras_of
from glomseg.models.store import find_model, load_network, read_card

_SMALL_PX = 512
_SIGHT_PX = 256
_SHARE_OF_MEMORY = 0.4  # of a GPU's that a batch may take: what it needs grows a little faster than its pixels
FLIPS: tuple[list[int], ...] = ([], [2], [3], [2, 3])


class Model:
    """A network on a device, with the card that says how to feed it."""

    def __init__(
        self,
        card: ModelCard,
        net: Network,
        device: torch.device,
        dtype: torch.dtype | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        """Prepare a copy of `net` for prediction on `device`, in the type that is fastest there unless one is given.

        An `engine` computes in its place, in float32.
        """
        self.card = card
        self.device = device
        fitting = torch.float32 if net.single_precision or engine is not None else dtype_for(device)
        self.dtype = dtype or fitting
        self.backend: Backend = net.computed_by if engine is None else engine.backend
        keep_memory()
        self.stride = net.stride
        self._bytes_a_pixel: float | None = None
        self._source = net if dtype is None and self.dtype is torch.float16 else None
        self._net: nn.Module = self._prepared(net) if engine is None else engine

    def _prepared(self, net: Network) -> nn.Module:
        folded = net.folded().to(device=self.device, dtype=self.dtype)
        prepared: nn.Module = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return prepared

    @property
    def computed_by(self) -> str:
        """Name what computes, and the type that it computes with, such as `torch bfloat16`."""
        return f"{self.backend} {str(self.dtype).removeprefix('torch.')}"

    @property
    def extras(self) -> tuple[str, ...]:
        """Name the planes that `predict_planes` gives beside the classes."""
        return extras_of(self.card)

    def room_px(self) -> int:
        """Return how many pixels a batch may have for its device's memory, judged by what a small picture takes."""
        if self.device.type != "cuda":
            return sys.maxsize
        if self._bytes_a_pixel is None:
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self.predict_planes(np.zeros((1, _SMALL_PX, _SMALL_PX, 3), np.uint8))
            self._bytes_a_pixel = max(1, torch.cuda.max_memory_allocated(self.device) - before) / _SMALL_PX**2
        return int(_SHARE_OF_MEMORY * free_bytes(self.device) / self._bytes_a_pixel)

    def predict(self, images: Bytes, *, tta: bool = False, scales: Sequence[float] = ()) -> Bytes:
        """Return the probabilities 0..255 (N, classes, H, W) uint8 of RGB `images` (N, H, W, 3) uint8.

        They are read at the card's mpp, in any N, H and W; an image's result does not depend on the rest of its
        batch. `tta` averages over four flips, `scales` over images enlarged by these factors too.
        Raises DeviceError where memory is full, ModelError where the network gives what is no number.
        """
        return self.predict_planes(images, tta=tta, scales=scales)[:, : self.card.num_classes]

    def predict_planes(self, images: Bytes, *, tta: bool = False, scales: Sequence[float] = ()) -> Bytes:
        """Return the probabilities and after them the `extras` (N, planes, H, W), as `predict` does.

        A place in an object, -1..1, stands as 1..255, see `planes.hover_of`.
        """
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"predict takes (N, H, W, 3) uint8, not {images.shape} {images.dtype}")
        if images.size == 0:
            planes = self.card.num_classes + len(self.extras)
            return np.zeros((len(images), planes, *images.shape[1:3]), dtype=np.uint8)
        return self.begin(images, tta=tta, scales=scales)()

    def unrounded(self, images: Bytes) -> NDArray[np.float32]:
        """Return what `predict_planes` gives before eight bits hold it: 0..1, and places in objects -1..1."""
        with torch.inference_mode():
            return np.asarray(self._values(self._uploaded(images), False, ()).cpu().numpy(), np.float32)

    def check_sight(self) -> None:
        """Raise ModelError where the network answers the same whatever it sees, which finds nothing, or everything.

        It is shown noise and glass. No network that has learned anything gives exactly the same of both everywhere.
        """
        noise = np.random.default_rng(0).integers(0, 256, (_SIGHT_PX, _SIGHT_PX, 3), np.uint8)
        shown = np.stack([noise, np.full_like(noise, 255)])
        with memory_guard(self.device, "a look at what the model sees"):
            values = self.unrounded(shown)[:, : self.card.num_classes]
        if not np.ptp(values, axis=(0, 2, 3)).any():
            answers = ", ".join(f"{value:.2g}" for value in values[0, :, 0, 0])
            raise ModelError(
                f"{self.card.name} answers {answers} everywhere, whatever it sees: it has learned nothing, or its "
                "weights are spoilt; train or fetch the model again"
            )

    def begin(
        self, images: Bytes | PixelBatch, *, tta: bool = False, scales: Sequence[float] = ()
    ) -> Callable[[], Bytes]:
        """Begin what `predict_planes` does, and return what waits for its result; a GPU works on meanwhile.

        Raises what `predict` raises, here or there.
        """
        with memory_guard(self.device, "a batch"), torch.inference_mode():
            pixels = images.on_device() if isinstance(images, PixelBatch) else self._uploaded(images)
        size, dtype = " x ".join(map(str, pixels.shape[:3])), self.dtype
        with memory_guard(self.device, f"{size} px"), torch.inference_mode():
            values = self._values(pixels, tta, scales)
            finite = torch.isfinite(values).all()
            if self.card.hover:
                places = values[:, self.card.num_classes :]
                places.clamp_(-1, 1).mul_(127 / 255).add_(128 / 255)
            planes, finite, arrived = _downloading(values.mul_(255).round_().to(torch.uint8), finite)

        def finish() -> Bytes:
            with memory_guard(self.device, f"{size} px"):
                arrived()
            if not bool(finite):
                if self._source is not None or dtype is not self.dtype:
                    self._widen()
                    return self.begin(images, tta=tta, scales=scales)()
                way_out = "train or fetch the model again" if self.device.type == "cpu" else "give `device` as cpu"
                raise ModelError(f"{self.card.name} gives values that are not finite; {way_out}")
            return np.asarray(planes.numpy(), np.uint8)

        return finish

    def _widen(self) -> None:
        """Compute from now on with a type that holds larger numbers than float16."""
        source, self._source = self._source, None
        if source is not None:
            self.dtype = wider_dtype(self.device)
            self._net = self._prepared(source)

    def _uploaded(self, images: Bytes) -> Tensor:
        return torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)

    def _values(self, pixels: Tensor, tta: bool, scales: Sequence[float]) -> Tensor:
        """Return probabilities and places (N, planes, H, W), on the device; their mean over what is asked for."""
        x = self._normalised(pixels.permute(0, 3, 1, 2))  # a view of (N, H, W, 3) is channels-last already
        if not tta and not scales:
            return self._activated(x)
        maps = []
        for scale in (1.0, *scales):
            scaled = x if scale == 1 else self._scaled(x, scale)
            for turn in FLIPS if tta else FLIPS[:1]:
                flipped = self._activated(scaled.flip(turn)).flip(turn)
                if self.card.hover:  # what lay to the right lies to the left
                    for axis, plane in ((3, self.card.num_classes), (2, self.card.num_classes + 1)):
                        if axis in turn:
                            flipped[:, plane].neg_()
                maps.append(flipped if scale == 1 else _resized(flipped, (x.shape[2], x.shape[3])))
        return torch.stack(maps).mean(dim=0)

    def _scaled(self, x: Tensor, scale: float) -> Tensor:
        """Enlarge pixels by a factor, to the nearest size of the network's stride."""
        return _resized(x, tuple(max(1, round(side * scale / self.stride)) * self.stride for side in x.shape[2:]))

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Scale (N, 3, H, W) uint8 to 0..1, and by the card's mean and std if it has them."""
        x = pixels.to(self.dtype) / 255
        if self.card.mean is None or self.card.std is None:
            return x
        mean, std = (torch.tensor(v, dtype=self.dtype, device=self.device) for v in (self.card.mean, self.card.std))
        return (x - mean[:, None, None]) / std[:, None, None]

    def _activated(self, x: Tensor) -> Tensor:
        """Return the probabilities, and places in objects (N, planes, H, W), of normalised pixels, in float32."""
        values = self._net(x).float()
        if self.dtype is torch.float16:  # what is too large for it must not look like a sure answer
            values.masked_fill_(~values.isfinite(), torch.nan)
        if not self.card.hover:
            return activated(values, self.card.activation)
        classes = self.card.num_classes
        return torch.cat([activated(values[:, :classes], self.card.activation), values[:, classes:]], dim=1)


def _downloading(planes: Tensor, finite: Tensor) -> tuple[Tensor, Tensor, Callable[[], None]]:
    """Send results to the CPU; of a GPU they have arrived once what is returned last has returned."""
    if planes.device.type != "cuda":
        return planes.cpu(), finite.cpu(), lambda: None
    down = torch.cuda.Stream(planes.device)
    down.wait_stream(torch.cuda.current_stream(planes.device))
    with torch.cuda.stream(down):
        here = torch.empty(planes.shape, dtype=planes.dtype, pin_memory=True)
        here.copy_(planes, non_blocking=True)
        sound = torch.empty((), dtype=torch.bool, pin_memory=True)
        sound.copy_(finite, non_blocking=True)
        planes.record_stream(down)
        finite.record_stream(down)
        arrived = down.record_event()
    return here, sound, arrived.synchronize


def _resized(values: Tensor, size: tuple[int, ...]) -> Tensor:
    antialias = size[0] < values.shape[2]
    resized = F.interpolate(values.float(), size, mode="bilinear", align_corners=False, antialias=antialias)
    return resized.to(values.dtype)


def load_model(
    name: str | Path,
    device: str | torch.device = "cpu",
    backend: BackendChoice = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Model:
    """Load a model given by name or folder onto a device (a name as in `resolve_device`, or a torch device).

    On the CPU `backend` computes; auto is what `glomseg doctor --benchmark` measured to be the fastest on this
    processor, and torch where nothing was measured, or where that cannot compute this model, which `say` hears. Raises
    ModelError and DeviceError; where another `backend` is named and cannot compute the model, too.
    """
    if backend not in get_args(BackendChoice):
        raise ModelError(f"`backend` is {backend!r}; give {', '.join(get_args(BackendChoice))}")
    resolved = device_with(backend, device)
    folder = find_model(name)
    card = read_card(folder)
    net = load_network(folder, card)
    if net.computed_by != "torch":
        if backend not in ("auto", net.computed_by):
            raise ModelError(
                f"{card.name} is a network as {card.architecture}, which {net.computed_by} computes; leave `backend` "
                "out"
            )
        return Model(card, net, resolved)
    if backend == "auto":
        return _fastest(card, net, resolved, say)
    return Model(card, net, resolved, engine=None if backend == "torch" else open_engine(card, net, backend))


def _fastest(card: ModelCard, net: Network, device: torch.device, say: Callable[[str], None]) -> Model:
    """Return a model in the way that was measured to be the fastest on this machine, else as torch does it."""
    if device.type != "cpu":
        return Model(card, net, device)
    way, remark = fastest_way(card.architecture)
    if remark:
        say(remark)
    if way is None or way.backend == "torch":
        return Model(card, net, device, torch.float32 if way is not None and way.dtype == "float32" else None)
    try:
        return Model(card, net, device, engine=open_engine(card, net, way.backend))
    except ModelError as error:
        why = str(error).rpartition("; ")[0]
        say(f"{way.backend} was measured to be the fastest here and cannot be used, torch computes: {why}")
        return Model(card, net, device)
