"""One labelled image, and reading it at the resolution of the training."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as regions

from glomseg.errors import LabelError, SlideError, TrainingError
from glomseg.geometry import Box
from glomseg.labelled.label_block import LabelPixels
from glomseg.labelled.label_pixels import label_pixels
from glomseg.labelled.label_values import LabelKind, LabelReading
from glomseg.labelled.masks import Label, look_at, read_label
from glomseg.labelled.padding import WHITE, blank_lines
from glomseg.slides.readers import BROKEN, reason
from glomseg.slides.slide import Slide, open_slide

N = TypeVar("N", np.uint8, np.int32)

OPEN_SLIDES = 8
"""Slides kept open in a thread, masks among them; each keeps up to 64 MB of decoded blocks."""
UNKNOWN = 255
"""The class of pixels of which nobody said what they are."""
_FULL = 0.99  # the part of a line of padding that is white in the image and full in the mask
_JPEG_BLOCK_PX = 8  # JPEG smears the border of the padding over this much


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One labelled image, or a part of a slide, not yet read.

    `slide`, `case` (an animal or a patient) and `group` are for splits and balance; `part` is "train", "validation" or
    "test" where the folders say so. `mpp` is um per pixel of the image, 0 until that was looked at: then it is
    `said_mpp`, which goes before the image's own, or its own, or `table_mpp`. `box` is a part of a slide in its level-0
    pixels, None for the whole image.

    `values` pairs values of the label with classes, counted from 1; without them the label says what is a glomerulus
    and what not. `others` are the classes that it names and that count as background; `reading` says how its values are
    read, None before it was looked at. `holds` lists the classes in it. Pixels of the class `UNKNOWN` are not valid.
    Without a `label` there is no glomerulus. A `hard` example is drawn more often. `colour_profile` describes the ICC
    profile of the image where it would change its colours.
    """

    name: str
    image: Path
    label: Path | None
    slide: str
    case: str
    group: str
    mpp: float = 0.0
    said_mpp: float | None = None
    table_mpp: float | None = None
    part: str = ""
    box: Box | None = None
    values: tuple[tuple[int, int], ...] = ()
    others: tuple[str, ...] = ()
    reading: LabelReading | None = None
    hard: bool = False
    holds: tuple[int, ...] = ()
    colour_profile: str | None = None

    @property
    def positive(self) -> bool:
        """Tell whether it holds a glomerulus."""
        return bool(self.holds)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example that was read: `image` (H, W, 3), `label` (H, W) with the class or 0, and where both are `valid`.

    `objects` (H, W) numbers the objects where the label itself tells them apart; else each connected part is one.
    """

    image: NDArray[np.uint8]
    label: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    objects: NDArray[np.int32] | None = None


def read_example(example: Example, model_mpp: float) -> Labelled:
    """Read an example at `model_mpp`; padding of the KPIs data and what lies off a slide is not valid.

    The image is averaged over the area as a slide is, the label takes the nearest pixel (on a slide what most of the
    pixel's area is). Nothing but open slides is kept. Raises TrainingError.
    """
    try:
        if example.box is not None:
            return _read_part(example, example.box, model_mpp)
        with open_slide(example.image, mpp=example.mpp) as slide:
            size = slide.width, slide.height
            image = slide.read(Box(0, 0, *size), model_mpp)
        label = np.zeros(image.shape[:2], np.uint8)
        objects = None
        if example.label is not None:
            stored_label = label_of(example, example.label)
            height, width = stored_label.numbers.shape
            if (width, height) != size:
                raise TrainingError(unlike(example, size, (width, height)))
            label = _nearest(classes_of(stored_label, example.values), label.shape, model_mpp / example.mpp)
            if (numbers := _objects_of(stored_label, example.values)) is not None:
                objects = _nearest(numbers, label.shape, model_mpp / example.mpp)
    except (SlideError, LabelError) as error:
        raise TrainingError(str(error)) from error
    unknown = label == UNKNOWN
    label[unknown] = 0
    example_read = _without_padding(image, label, margin=_JPEG_BLOCK_PX * example.mpp / model_mpp)
    return replace(example_read, valid=example_read.valid & ~unknown, objects=objects)


def unlike(example: Example, size: tuple[int, int], other: tuple[int, int]) -> str:
    """Say that an image and its label have not one size."""
    return (
        f"{example.image} is {size[0]} x {size[1]} px, its label {example.label} {other[0]} x {other[1]} px; "
        "export both again at one size"
    )


def label_of(example: Example, path: Path) -> Label:
    """Read the label of an example whole, as every command reads it; raises LabelError for what is no label."""
    return read_label(path, numbers=numbers_told(example), reading=example.reading)


def numbers_told(example: Example) -> list[int] | None:
    """List the numbers to which the data give a class; None where the label alone says what is a glomerulus."""
    return [value for value, _ in example.values] if example.values else None


def classes_of(label: Label, values: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    """Turn a label's numbers into classes; without `values`, and in black and white, into 0 and 1."""
    if values and label.reading.kind in (LabelKind.NUMBERED, LabelKind.EMPTY):
        classes = np.zeros(label.numbers.shape, np.uint8)
        for value, index in values:
            classes[label.numbers == value] = index
        return classes
    return (label.numbers > 0).astype(np.uint8)


def _objects_of(label: Label, values: tuple[tuple[int, int], ...]) -> NDArray[np.int32] | None:
    """Number the connected parts of each number of a label; None for classes, and for black and white."""
    if values or label.reading.kind is not LabelKind.NUMBERED:
        return None
    return np.asarray(regions(label.numbers, background=0, connectivity=1), np.int32)


def _nearest(values: NDArray[N], shape: tuple[int, ...], step: float) -> NDArray[N]:
    """Take the pixel of `values` in which the centre of each of `shape`'s pixels of `step` lies."""
    rows, columns = (
        np.minimum(((np.arange(count) + 0.5) * step).astype(int), limit - 1)
        for count, limit in zip(shape, values.shape, strict=True)
    )
    return np.asarray(values[rows[:, None], columns], values.dtype)


def _without_padding(image: NDArray[np.uint8], label: NDArray[np.uint8], margin: float) -> Labelled:
    """Mark the lines at the edges that are white in the image and full in the label, and `margin` px on, not valid."""
    valid = np.ones(label.shape, np.bool_)
    if label.any():
        padded = (image.min(axis=2) >= WHITE) & (label > 0)
        more = int(np.ceil(margin))
        valid[:] = not padded.mean() >= _FULL
        for axis, lines in ((0, valid.T), (1, valid)):
            before, after = blank_lines(padded.mean(axis=axis) >= _FULL)
            lines[: before + more if before else 0] = False
            lines[len(lines) - (after + more if after else 0) :] = False
    return Labelled(image, np.where(valid, label, np.uint8(0)), valid)


def _read_part(example: Example, box: Box, model_mpp: float) -> Labelled:
    slide = shared_slide(example.image, example.mpp)
    image = slide.read(box, model_mpp)
    x = box.x + (np.arange(image.shape[1]) + 0.5) * model_mpp / example.mpp
    y = box.y + (np.arange(image.shape[0]) + 0.5) * model_mpp / example.mpp
    valid = ((y >= 0) & (y < slide.height))[:, None] & ((x >= 0) & (x < slide.width))
    label = np.zeros(valid.shape, np.uint8)
    objects = None
    if example.label is not None:
        stored_label = _label_part(example, example.label, x, y)
        label, objects = classes_of(stored_label, example.values), _objects_of(stored_label, example.values)
        valid &= label != UNKNOWN
        label[~valid] = 0
    return Labelled(image, label, valid, objects)


def _label_part(example: Example, path: Path, x: NDArray[Any], y: NDArray[Any]) -> Label:
    """Read the label of a part of a slide at the level-0 places `x` and `y`; 0 off the slide."""
    reading = example.reading or look_at(path, numbers=numbers_told(example))
    columns, rows = (np.floor(places).astype(int) for places in (x, y))
    left, top = int(columns[0]), int(rows[0])
    try:
        stored = shared_label(path).read(left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1)
    except BROKEN as error:
        raise LabelError(f"{path} cannot be read as a label ({reason(error)}); export it again") from error
    there = stored[(rows - top)[:, None], columns - left]
    return Label(numbers=reading.numbers_of(there), reading=reading)


class _Open(threading.local):
    """The slides that a thread has open."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.slides: OrderedDict[tuple[Path, float], Slide] = OrderedDict()
        self.labels: OrderedDict[Path, LabelPixels] = OrderedDict()


_open = _Open()


def shared_slide(path: Path, mpp: float) -> Slide:
    """Give a slide that this thread keeps open, the least recently used being closed; raises SlideError."""
    if _open.process != os.getpid():  # a forked worker must not read through its parent's files
        _open.__init__()  # type: ignore[misc]
    key = path, mpp
    if key not in _open.slides:
        _open.slides[key] = open_slide(path, mpp=mpp)
        if len(_open.slides) > OPEN_SLIDES:
            _open.slides.popitem(last=False)[1].close()
    _open.slides.move_to_end(key)
    return _open.slides[key]


def shared_label(path: Path) -> LabelPixels:
    """Give a label that this thread keeps open, the least recently used being closed; raises what its reader does."""
    if _open.process != os.getpid():
        _open.__init__()  # type: ignore[misc]
    if path not in _open.labels:
        _open.labels[path] = label_pixels(path)
        if len(_open.labels) > OPEN_SLIDES:
            _open.labels.popitem(last=False)[1].close()
    _open.labels.move_to_end(path)
    return _open.labels[path]
