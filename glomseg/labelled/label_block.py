"""A mask file as parts of stored values, and what is done to any part: one channel out of several, pasting."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import LabelError
from glomseg.labelled.label_values import COLOUR, SaidOfValues
from glomseg.slides.pixel_size import Mpp


@dataclass(frozen=True, slots=True)
class LabelBlock:
    """A part of a mask: stored `values` (H, W), its corner, and whether its channels differed a little (JPEG)."""

    values: NDArray[Any]
    x: int
    y: int
    coloured: bool = False


class LabelPixels(Protocol):
    """An open mask file; `size` is (width, height)."""

    size: tuple[int, int]
    mpp: Mpp
    said: SaidOfValues

    def blocks(self) -> Iterator[LabelBlock]:
        """Give the parts of the file; those that it does not store are left out, and are 0."""

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        """Give the stored values of a part (H, W), 0 off the image."""

    def close(self) -> None:
        """Close the file."""


class WholeLabel:
    """A mask that was decoded at once."""

    def __init__(self, values: NDArray[Any], mpp: Mpp, said: SaidOfValues, coloured: bool) -> None:
        """Keep the values (H, W), and whether their channels differed a little."""
        self._values, self._coloured = values, coloured
        self.size = (int(values.shape[1]), int(values.shape[0]))
        self.mpp = mpp
        self.said = said

    def blocks(self) -> Iterator[LabelBlock]:
        """Give the whole as one part."""
        yield LabelBlock(self._values, 0, 0, self._coloured)

    def read(self, x: int, y: int, width: int, height: int) -> NDArray[Any]:
        """Give a part (H, W), 0 off the image."""
        stored = np.zeros((height, width), self._values.dtype)
        paste(stored, self._values, x, y, 0, 0)
        return stored

    def close(self) -> None:
        """Let the values go."""
        self._values = np.zeros((0, 0), self._values.dtype)


def grey_of(values: NDArray[Any], path: Path, *, alpha: bool, exact: bool) -> tuple[NDArray[Any], bool]:
    """Take the one channel of (H, W, C), the last of which may be `alpha`; tell whether the channels differed."""
    colour = values[..., :-1] if alpha else values
    first = colour[..., 0]
    apart = 0
    for channel in range(1, colour.shape[2]):
        other = colour[..., channel]
        apart = max(apart, int(np.where(first > other, first - other, other - first).max(initial=0)))
    if apart and (colour.shape[2] == 2 or apart > COLOUR):
        raise LabelError(f"{path} is a colour picture and no mask; export labels in grey, 0 for background")
    if alpha:
        _check_alpha(first, values[..., -1], path)
    return first, bool(apart) and not exact


def _check_alpha(grey: NDArray[Any], opacity: NDArray[Any], path: Path) -> None:
    """Raise LabelError where transparency says something else than the grey beneath it."""
    full = 1 if opacity.dtype == np.bool_ else np.iinfo(opacity.dtype).max
    hidden = opacity != full
    if not hidden.any() or (not grey[hidden].any() and grey.any()):
        return
    raise LabelError(
        f"{path} is transparent in part, where it is not black: is the mask the colour or the transparency? write it "
        "in grey, 0 for background and 255 for glomerulus, without an alpha channel"
    )


def paste(into: NDArray[Any], values: NDArray[Any], x: int, y: int, left: int, top: int) -> None:
    """Copy what `values`, whose corner lies at (left, top), shares with `into`, whose corner lies at (x, y)."""
    x0, y0 = max(x, left), max(y, top)
    x1, y1 = min(x + into.shape[1], left + values.shape[1]), min(y + into.shape[0], top + values.shape[0])
    if x0 < x1 and y0 < y1:
        into[y0 - y : y1 - y, x0 - x : x1 - x] = values[y0 - top : y1 - top, x0 - left : x1 - left]
