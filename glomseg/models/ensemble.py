"""Several models as one: the mean of what they say of a pixel, and by how much they differ there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from glomseg.errors import ModelError
from glomseg.geometry import Bytes
from glomseg.models.card import ModelCard
from glomseg.models.machine import BackendChoice
from glomseg.models.pixels import PixelBatch
from glomseg.models.planes import SPREAD
from glomseg.models.predict import Model, load_model

AGREEING = ("mpp", "training_diameter_um", "class_names", "activation", "heads")
"""Fields of a card that must be the same in all, in the order in which they are looked at."""


class Ensemble(Model):
    """Models that read at one scale and know the same classes; it stands wherever one model does.

    The card is that of the first, which says how to outline, under the names of all.
    """

    def __init__(self, members: Sequence[Model]) -> None:
        """Take the models; raises ModelError, which names what they do not agree on."""
        first, *others = members
        for other in others:
            _check(first.card, other.card)
        self.members = tuple(members)
        self.card = dataclasses.replace(
            first.card,
            name=" + ".join(member.card.name for member in members)[:200],
            halo_pixels=max(member.card.halo_pixels for member in members),
        )
        self.device, self.dtype, self.backend = first.device, first.dtype, first.backend
        self.stride = math.lcm(*(member.stride for member in members))

    @property
    def computed_by(self) -> str:
        """Name what computes the models, in their order, each once."""
        return ", ".join(dict.fromkeys(member.computed_by for member in self.members))

    @property
    def extras(self) -> tuple[str, ...]:
        """Name the planes beside the classes: those of the models, and how much they differ."""
        return (*self.members[0].extras, SPREAD)

    def room_px(self) -> int:
        """Return how many pixels a batch may have for the device's memory, whichever model needs most."""
        return min(member.room_px() for member in self.members) // len(self.members)

    def begin(
        self, images: Bytes | PixelBatch, *, tta: bool = False, scales: Sequence[float] = ()
    ) -> Callable[[], Bytes]:
        """Begin with all models; what comes is their mean, and behind it the range of their probabilities."""
        waiting = [member.begin(images, tta=tta, scales=scales) for member in self.members]

        def finish() -> Bytes:
            classes = self.card.num_classes
            first = waiting[0]()
            total, lowest, highest = first.astype(np.uint16), first[:, :classes], first[:, :classes]
            for wait in waiting[1:]:
                planes = wait()
                total += planes
                lowest, highest = np.minimum(lowest, planes[:, :classes]), np.maximum(highest, planes[:, :classes])
            count = len(waiting)
            mean = ((total + count // 2) // count).astype(np.uint8)
            return np.concatenate([mean, (highest - lowest).max(axis=1, keepdims=True).astype(np.uint8)], axis=1)

        return finish


def load_models(
    names: Sequence[str | Path],
    device: str = "cpu",
    backend: BackendChoice = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Model:
    """Load one model, or several that predict together, as `load_model`; raises ModelError where they cannot."""
    if len(set(map(str, names))) < len(names):
        raise ModelError(f"`model` names one twice: {', '.join(map(str, names))}; name each once")
    remarks: list[str] = []
    models = [load_model(name, device, backend, remarks.append) for name in names]
    for remark in dict.fromkeys(remarks):
        say(remark)
    return models[0] if len(models) == 1 else Ensemble(models)


def members_of(model: Model) -> tuple[Model, ...]:
    """Return the models that predict together; of one model itself."""
    return model.members if isinstance(model, Ensemble) else (model,)


def _check(first: ModelCard, other: ModelCard) -> None:
    for name in AGREEING:
        mine, theirs = getattr(first, name), getattr(other, name)
        same = math.isclose(mine, theirs, rel_tol=1e-3) if isinstance(mine, float) else mine == theirs
        if not same:
            raise ModelError(
                f"{first.name} and {other.name} cannot predict together: {name} is {_said(mine)} and {_said(theirs)}; "
                "give `model` only with models that agree on that"
            )


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
