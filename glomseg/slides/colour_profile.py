"""The ICC profile of a slide: its name, how far its colours are from sRGB, and pixels with it applied.

A profile says which light the numbers of a scanner stand for. Applying it turns them into sRGB, which screens show and
most models were trained on without it; either may be what one wants, so that neither happens in silence.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from glomseg.geometry import Bytes

LEAST_SHIFT = 2.0
"""Colours that move less than this, of 255 and on average, look the same to a person and to a network."""
_GRID = 9
_MODES = {"RGB": "RGB", "GRAY": "L"}


@dataclass(frozen=True, slots=True, eq=False)
class ColourProfile:
    """A profile that can be applied; `shift` is how far it moves colours on average, in grey levels of 255."""

    name: str
    shift: float
    _transform: Any
    _mode: str

    def __str__(self) -> str:
        """Name it, and say how far it moves colours."""
        return f"{self.name}, {self.shift:.0f} of 255 grey levels from sRGB on average"

    @property
    def differs(self) -> bool:
        """Tell whether its colours are noticeably others than those of sRGB."""
        return self.shift >= LEAST_SHIFT

    def applied(self, pixels: Bytes) -> Bytes:
        """Return pixels (H, W, 3) in sRGB; safe from many threads."""
        stored = pixels if self._mode == "RGB" else np.ascontiguousarray(pixels[:, :, 0])
        return np.asarray(ImageCms.applyTransform(Image.fromarray(stored), self._transform))


def read_colour_profile(content: bytes) -> ColourProfile:
    """Read an ICC profile, to be applied with the intent that it names; raises ValueError for one that cannot be."""
    try:
        return _read(content)
    except (ImageCms.PyCMSError, OSError) as error:
        raise ValueError(" ".join(str(error).split()) or "it is damaged") from error


@lru_cache(maxsize=16)
def _read(content: bytes) -> ColourProfile:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
    space = profile.profile.xcolor_space.strip()
    if space not in _MODES:
        raise ValueError(f"it is for {space or 'unknown'} colours")
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        _MODES[space],
        "RGB",
        renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
    )
    name = " ".join(ImageCms.getProfileDescription(profile).split()) or "without a name"
    unmeasured = ColourProfile(name, 0.0, transform, _MODES[space])
    return ColourProfile(name, _shift(unmeasured), transform, _MODES[space])


def _shift(profile: ColourProfile) -> float:
    """Return by how much colours on an even grid change in the channel that changes most, on average."""
    steps = np.linspace(0, 255, _GRID).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(_GRID, -1, 3)
    if profile._mode == "L":
        grid = np.repeat(steps[None, :, None], 3, axis=2)
    change = np.abs(profile.applied(np.ascontiguousarray(grid)).astype(np.int16) - grid)
    return float(change.max(axis=2).mean())
