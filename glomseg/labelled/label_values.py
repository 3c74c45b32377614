"""What the numbers in a mask mean: black and white, or a number an object or class; by content and what the file says.

A file is looked at whole, block by block (`LabelCensus`), and then it is decided once how its values are read
(`LabelReading`). What follows from the file:

- A palette that shows black and white alone is a picture: the shown colour counts. Any other palette (as QuPath writes
  them) only colours the numbers: the index counts.
- Values that are flat in each region, and not between two others along borders, are numbers, also those of 128 and
  more; a few steps between two flat values are the soft edge of a black and white mask; JPEG keeps no numbers.
- Where a TIFF says that its smallest value is white, writers disagree on whether objects or background are white: the
  background is what fills most of the image and most of its edge.

What could be meant in two ways is refused with the way out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import LabelError
from glomseg.labelled.label_census import LabelCensus
from glomseg.labelled.min_is_white import MIN_IS_WHITE, WAY_OUT, flipped_at
from glomseg.listing import first_names

HALF = 128
"""Black and white are told apart here where 8 bits hold them; JPEG and soft edges blur both."""
COLOUR = 48
"""Channels of a mask are alike; those of a picture differ by more than this. JPEG blurs a little."""
MOSTLY = 0.5
_GREY = (0.125, 0.875)  # neither black nor white, as parts of white; JPEG's ringing allowed for
_GATHERED_IN, _GATHERED = 6, 0.6  # in a sixth of the greys lie most of them
_PLATEAU = 0.1  # of all that is not black
_MOST_GREYS = 2**16
_DARK = 0.05  # of all that is not black
_DARK_FLAT = 0.75  # of the pixels of one value lie in flat regions; of what coding leaves around white, half at most
_FEW_GREY = 300  # pixels; a sliver at the edge of a tile may be all edge
_FEW = 8
INTERPOLATED = (
    "has numbers between the numbers of neighbours along their borders, as smoothing leaves them: was it resized so? "
    "each line would count as an object; resize to the nearest pixel, without interpolation, and write one number for "
    "an object, its border included"
)
TURNED = "to be shown turned or mirrored by its header and read as it is stored, as QuPath reads images"
_LEVELS = tuple({round(k * 255 / n) + d for k in range(1, n) for d in (0, -1, 1)} | {255} for n in (2, 3, 4))


class LabelKind(StrEnum):
    """What the values of a mask are."""

    EMPTY = "empty"
    BLACK_AND_WHITE = "black and white"
    ZERO_ONE = "0 and 1"
    NUMBERED = "numbered"


@dataclass(frozen=True, kw_only=True)
class SaidOfValues:
    """What a file says of its values: their type, whether it keeps them exactly, and how they are shown.

    `palette` holds the (red, green, blue) of each index, None without one. `numbers` are those that a file beside the
    mask gives a meaning: then every value must be one of them. `turned` says that other programs show it turned or
    mirrored, by the tag of EXIF and TIFF.
    """

    dtype: np.dtype[Any]
    lossy: bool = False
    min_is_white: bool = False
    palette: tuple[tuple[int, int, int], ...] | None = None
    numbers: frozenset[int] | None = None
    turned: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelReading:
    """How the values of a mask are read, decided once for a file; `numbers_of` applies it to any part of it.

    `share` of the pixels and `edge_share` of those at the image's edge are marked; `note` says what was guessed,
    `min_is_white` that the file says so of its values.
    """

    kind: LabelKind
    shown: tuple[int, ...] | None = None
    flipped_at: int | None = None
    cut: int | None = None
    share: float = 0.0
    edge_share: float = 0.0
    min_is_white: bool = False
    note: str = ""

    def numbers_of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Turn stored values into numbers: 0 for background, 1 for white, else the number as it stands."""
        if self.shown is not None:
            values = np.asarray(self.shown, np.uint8)[values]
        if values.dtype == np.bool_:
            values = values.view(np.uint8)
        if self.flipped_at is not None:
            values = np.asarray(self.flipped_at - values, values.dtype)
        if self.cut is not None:
            values = (values >= self.cut).view(np.uint8)
        return values

    @property
    def is_mostly_marked(self) -> bool:
        """Tell whether most of the image and of its edge is marked, as in an inverted mask."""
        return self.share > MOSTLY and self.edge_share > MOSTLY


def decide(census: LabelCensus, said: SaidOfValues, name: str) -> LabelReading:
    """Decide how the values of a mask are read; `name` stands in errors. Raises LabelError for what is no mask."""
    reading = _decided(census, said, name)
    return replace(reading, note=f"{reading.note}, {TURNED}".removeprefix(", ")) if said.turned else reading


def _decided(census: LabelCensus, said: SaidOfValues, name: str) -> LabelReading:
    if said.numbers is not None and not said.lossy:
        return _told(census, said.numbers, name)
    shown, note = _shown(census, said, name)
    if shown is not None:
        census = census.seen_through(dict(enumerate(shown)))
    top = None
    if said.min_is_white:
        top, note = flipped_at(census, said.dtype, name), MIN_IS_WHITE
        if top is not None:
            census = census.seen_through({value: top - value for value in census.pixels})
    kind, cut = _kind(census, said, name)
    marked = [value for value in census.pixels if value >= (1 if cut is None else cut)]
    return LabelReading(
        kind=kind,
        shown=shown,
        flipped_at=top,
        min_is_white=said.min_is_white,
        cut=cut,
        share=census.share(marked),
        edge_share=census.edge_share(marked),
        note=note,
    )


def _told(census: LabelCensus, numbers: Collection[int], name: str) -> LabelReading:
    """Read numbers whose meaning stands in a file beside the mask."""
    if unknown := sorted(census.pixels.keys() - {0, *numbers}):
        raise LabelError(
            f"{name} has the values {first_names(unknown, 6)}, which no class has (known: "
            f"{first_names(sorted({0, *numbers}), 20)}); export the labels again"
        )
    _refuse_interpolated(census, name)
    marked = [value for value in census.pixels if value]
    kind = LabelKind.NUMBERED if marked else LabelKind.EMPTY
    return LabelReading(kind=kind, share=census.share(marked), edge_share=census.edge_share(marked))


def _shown(census: LabelCensus, said: SaidOfValues, name: str) -> tuple[tuple[int, ...] | None, str]:
    """Look indices up in a palette of black and white (or of greys that holds both); None where the index counts."""
    if said.palette is None:
        return None, ""
    missing = sorted(value for value in census.pixels if value >= len(said.palette))
    if missing:
        raise LabelError(f"{name} has the value {missing[0]}, which its palette lacks; export it again")
    colours = [said.palette[value] for value in census.pixels]
    whole = set(said.palette)
    pure = whole <= {(0, 0, 0), (255, 255, 255)} and len(whole) == 2
    pure = pure or set(colours) == {(0, 0, 0), (255, 255, 255)}
    soft = all(r == g == b for r, g, b in colours) and {(0, 0, 0), (255, 255, 255)} <= set(colours)
    if not pure and not soft:
        plain = [value for value in census.pixels if value and said.palette[value] in ((0, 0, 0), (255, 255, 255))]
        if said.palette[0] not in ((0, 0, 0), (255, 255, 255)):
            _refuse_mostly(census, plain, f"{name} shows most of the image and of its edge black or white")
        return None, ""
    shown = tuple(red if red == green == blue else 0 for red, green, blue in said.palette)
    if pure:
        white = [value for value in census.pixels if shown[value]]
        _refuse_mostly(census, white, f"{name} shows most of the image and of its edge white")
    return shown, "by the colours of a palette"


def _refuse_mostly(census: LabelCensus, marked: list[int], what: str) -> None:
    """Raise LabelError where what a palette shows as background, or may, fills most of the image as an object."""
    if census.share(marked) > MOSTLY and census.edge_share(marked) > MOSTLY:
        raise LabelError(
            f"{what} by its palette: which is background? write 0 for background and 255 for glomerulus in grey, "
            "without a palette"
        )


def _kind(census: LabelCensus, said: SaidOfValues, name: str) -> tuple[LabelKind, int | None]:
    """Tell what the values are, and from which on they are white (None for numbers)."""
    values = sorted(census.pixels)
    marked = [value for value in values if value]
    if values and values[0] < 0:
        raise LabelError(f"{name} has values below 0 ({values[0]}); write 0 for background and 1, 2, ... up")
    if not marked:
        return LabelKind.EMPTY, None
    white = _white(said.dtype, said.palette)
    if said.lossy or census.coloured:
        return LabelKind.BLACK_AND_WHITE, _cut(census, white, name, said)
    if len(marked) == 1:
        kinds = {1: LabelKind.ZERO_ONE, white: LabelKind.BLACK_AND_WHITE}
        if marked[0] == 1 == white:
            return LabelKind.BLACK_AND_WHITE, 1
        kind = kinds.get(marked[0], LabelKind.NUMBERED)
        return kind, None if kind is LabelKind.NUMBERED else marked[0]
    if not census.is_soft():
        _refuse_interpolated(census, name)
        _refuse_ambiguous(values, name)
        return LabelKind.NUMBERED, None
    return LabelKind.BLACK_AND_WHITE, _cut(census, white, name, said)


def _white(dtype: np.dtype[Any], palette: object) -> int:
    if dtype.kind == "b":
        return 1 if palette is None else 255
    return int(np.iinfo(dtype).max) if dtype.itemsize <= 2 else 255


def _cut(census: LabelCensus, white: int, name: str, said: SaidOfValues) -> int:
    """Give the value from which on a black and white mask with blurred edges is white; raises LabelError."""
    top, total = max(census.pixels), sum(census.pixels.values())
    middle = (white + 1) // 2
    if top < middle:
        what = "is a JPEG with values" if said.lossy else "has values in steps"
        what = "has channels that differ, with values" if census.coloured and not said.lossy else what
        raise LabelError(
            f"{name} {what} up to {top}, black to the eye, and they cannot be told from noise; "
            f"write 0 and {white}, or numbers, as PNG or TIFF without loss and without smoothing"
        )
    low, high = (round(part * white) for part in _GREY)
    grey = sum(count for value, count in census.pixels.items() if low <= value < high)
    inked = sum(count for value, count in census.pixels.items() if value >= low)
    dark = max((value for value in census.flat if 0 < value < low), key=census.flat.__getitem__, default=0)
    if dark and census.flat[dark] > max(_DARK * inked, _DARK_FLAT * census.pixels[dark]):
        raise LabelError(
            f"{name} has regions of {dark}, black to the eye, beside white ones with soft edges: are they objects too? "
            f"write numbers (1, 2, ...), or 0 and {white} alone, without smoothing"
        )
    few = 0.005 * total if said.lossy or census.coloured else min(0.001 * total, _FEW_GREY)
    if grey > max(0.5 * inked, few):
        raise LabelError(
            f"{name} is mostly grey and no mask (a soft one, or a picture); write 0 for background and {white} for "
            "glomerulus"
        )
    if inked and (plateau := _plateau(census, low, high, inked)) is not None:
        raise LabelError(
            f"{name} has regions of grey, about {plateau}, beside white ones, blurred as by JPEG: a class of its own? "
            f"write numbers (1, 2, ...), or 0 and {white} alone, as PNG or TIFF without loss"
        )
    return middle


def _plateau(census: LabelCensus, low: int, high: int, inked: int) -> int | None:
    """Find the grey around which most pixels between black and white gather, as those of edges do not; None without."""
    if not 0 < high - low < _MOST_GREYS:
        return None
    counts = np.array([census.pixels.get(value, 0) for value in range(low, high)])
    wide = max(1, len(counts) // _GATHERED_IN)
    around = np.convolve(counts, np.ones(wide, np.int64), "same")
    at = int(around.argmax())
    gathered = around[at] > _GATHERED * counts.sum() and around[at] > _PLATEAU * inked
    return low + at if gathered else None


def _refuse_interpolated(census: LabelCensus, name: str) -> None:
    """Raise LabelError where numbers were averaged with their neighbours: each would be an object."""
    if census.is_interpolated():
        raise LabelError(f"{name} {INTERPOLATED}")


def _refuse_ambiguous(values: list[int], name: str) -> None:
    """Raise LabelError for numbers of which one may not be an object."""
    marked = [value for value in values if value]
    if len(marked) == len(values):
        raise LabelError(
            f"{name} has no background: its values are {first_names(marked, 6)}, and none is 0; write 0 where "
            "there is nothing"
        )
    levels = any(len(marked) == len(steps) // 3 + 1 and set(marked) <= steps for steps in _LEVELS)
    if levels and 255 in marked:
        raise LabelError(
            f"{name} has the grey levels {first_names(values, 6)}: are they classes, or how sure somebody was? write "
            "numbers (1, 2, ...), or 0 and 255 alone"
        )
    if marked[-1] == 255 and len(marked) > 1 and marked[-2] <= _FEW:
        raise LabelError(
            f"{name} has the numbers {first_names(marked[:-1], 6)}, and 255: is that an object, or what nobody looked "
            "at? write 0 for it, or a number of the same row"
        )


def say_readings(readings: Iterable[LabelReading]) -> str:
    """Say in one sentence how masks were read: "24 masks, black and white; 3 numbered"; "" for none."""
    items = list(readings)
    kinds = [kind for kind in LabelKind if any(item.kind is kind for item in items)]
    kinds.sort(key=lambda kind: -sum(item.kind is kind for item in items))
    parts = [f"{sum(item.kind is kind for item in items)} {kind}" for kind in kinds]
    if parts:
        number, _, what = parts[0].partition(" ")
        parts[0] = f"{number} mask{'' if number == '1' else 's'}, {what}"
    notes = sorted({item.note for item in items if item.note})
    parts += [f"{sum(item.note == note for item in items)} {note}" for note in notes]
    return "; ".join(parts)


def refuse_inverted(readings: Iterable[LabelReading], what: str) -> None:
    """Raise LabelError where every mask of a set is mostly glomerulus, at its edges too."""
    items = list(readings)
    if items and all(item.is_mostly_marked for item in items):
        share = float(np.mean([item.share for item in items]))
        raise LabelError(
            f"{'every one of the' if len(items) > 1 else 'the'} {what} is mostly glomerulus ({share:.0%} of the "
            "pixels, and of the edges); are they inverted? write 255 (or 1) for glomerulus and 0 for background"
        )


def say_mostly_marked(readings: Mapping[str, LabelReading]) -> list[str]:
    """Say which masks of a set are mostly glomerulus, at their edges too; `readings` goes by the names of the files."""
    found = [name for name, item in readings.items() if item.is_mostly_marked]
    others = "" if len(found) == len(readings) else ", and the others are not"
    return [f"mostly glomerulus, at the edges too{others}, so maybe inverted: {first_names(found)}"] if found else []


def refuse_two_ways(readings: Mapping[str, LabelReading]) -> None:
    """Raise LabelError where some masks of a set that are min-is-white have 0 for background, and others not.

    One of them is mostly glomerulus then, and reads inverted; `readings` goes by the names of the files.
    """
    said = {name: item.flipped_at is None for name, item in readings.items() if item.min_is_white}
    zero = [name for name, is_zero in said.items() if is_zero]
    largest = [name for name, is_zero in said.items() if not is_zero]
    if zero and largest:
        raise LabelError(
            f"the largest value fills {first_names(largest)} and would be background there, and 0 is in "
            f"{first_names(zero)}; all say that their smallest value is white, and one of the two reads inverted: "
            f"write them {WAY_OUT}"
        )
