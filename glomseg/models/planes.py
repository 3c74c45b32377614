"""What a model gives of a pixel beside the probabilities of the classes, and how eight bits hold it. Needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glomseg.geometry import Bytes, Numbers
from glomseg.models.card import ModelCard

HOVER = ("hover_x", "hover_y")
"""The planes of the head `hover`: how far right, and how far down in its object a pixel lies, -1..1 as 1..255."""
SPREAD = "spread"
"""The plane of several models: by how much their probabilities differ, 0..1 as 0..255."""


def extras_of(card: ModelCard) -> tuple[str, ...]:
    """Name the planes that a model gives beside the classes."""
    return HOVER if card.hover else ()


def hover_of(planes: Bytes) -> NDArray[np.float32]:
    """Return places in objects, -1..1, of the planes of `HOVER`; 0 where nothing was predicted."""
    return np.where(planes > 0, (planes.astype(np.float32) - 128) / 127, np.float32(0))


def places_along(ruler: Numbers) -> Numbers:
    """Return the places of an object's pixels along one axis, of where these lie on it: `places.places_in` for one."""
    offset = ruler - ruler.mean()
    first, last = max(-float(offset.min()), 0.5), max(float(offset.max()), 0.5)
    return np.asarray(np.where(offset < 0, offset / first, offset / last), np.float64)
