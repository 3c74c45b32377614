"""Look at every example before the training starts: what is wrong is said once, all of it, and not after an hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.errors import LabelError, MissingMppError, SlideError, TrainingError
from glomseg.labelled.label_values import LabelReading, refuse_inverted, refuse_two_ways
from glomseg.listing import first_names
from glomseg.runs.colour_profiles import profile_of
from glomseg.slides.readers import BROKEN, reason
from glomseg.slides.slide import open_slide
from glomseg.training.data.examples import UNKNOWN, Example, classes_of, label_of, read_example, unlike
from glomseg.training.data.slide_parts import cut_slide, is_slide

SHOWN = 20
WORKERS = 4
COARSEST = 2.0
"""An image with pixels this many times as large as the training's has nothing of what is to be learned."""
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_FULL = 0.99


@dataclass(frozen=True, slots=True)
class _Seen:
    """An example that is in order, and whether it is nothing but glomerulus."""

    example: Example
    full: bool = False


def survey(
    examples: Sequence[Example],
    problems: Sequence[str] = (),
    *,
    model_mpp: float,
    classes: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Example, ...]:
    """Open every image and label; return the examples with what they hold, slides cut, patches of padding left out.

    Each of the `classes` is to be in some of them. Raises one TrainingError that lists what is wrong, a line each,
    `problems` first, which were found before.
    """
    seen: list[_Seen] = []
    wrong = list(problems)
    sizeless: list[Path] = []
    with ThreadPoolExecutor(WORKERS) as pool:
        looked = pool.map(lambda example: _look(example, model_mpp), examples)
        for number, result in enumerate(looked, 1):
            if isinstance(result, MissingMppError):
                sizeless.append(examples[number - 1].image)
            elif isinstance(result, str):
                wrong.append(result)
            else:
                seen += result
            if progress is not None:
                progress(number, len(examples))
    if sizeless:
        wrong.append(
            f"nothing says how large the pixels are of {first_names(sizeless, 1)}; give um per pixel with `tile_mpp`"
        )
    if not wrong:
        wrong += _of_all(seen, classes)
    if wrong:
        raise TrainingError(listed(wrong))
    return tuple(item.example for item in seen)


def listed(problems: Sequence[str]) -> str:
    """List problems one a line, the first of them, and count the others."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "\n".join([*problems[:SHOWN], *more])


def _of_all(seen: Sequence[_Seen], classes: Sequence[str]) -> list[str]:
    """Say what is wrong with the examples together."""
    if not seen:
        return ["there is nothing to learn from: the images hold no tissue, or padding alone; give other data"]
    there = {index for item in seen for index in item.example.holds}
    if classes and not there:
        return [f"no glomerulus in any of {len(seen)} masks; are they the masks, and the classes named as in them?"]
    if all(item.full for item in seen):
        return [
            f"all {len(seen)} masks are glomerulus from edge to edge; are they inverted? add tissue around the "
            "glomeruli, or hard_negatives"
        ]
    readings = {item.example.label: reading for item in seen if (reading := _of_glomeruli(item)) is not None}
    every = {str(item.label): item.reading for item in (one.example for one in seen) if item.label and item.reading}
    try:
        refuse_two_ways(every)
        refuse_inverted(readings.values(), f"{len(readings)} masks" if len(readings) > 1 else "mask")
    except LabelError as error:
        return [str(error)]
    return [
        f"no {name} in any of {len(seen)} masks; leave the class out, or name it as in the annotations"
        for index, name in enumerate(classes, 1)
        if index not in there
    ]


def _of_glomeruli(item: _Seen) -> LabelReading | None:
    """Return how a label was read, if all that it marks is of a class: what is to be ignored, or is none, is not."""
    is_all_ours = all(0 < index < UNKNOWN for _, index in item.example.values)
    return item.example.reading if is_all_ours else None


def _look(example: Example, model_mpp: float) -> list[_Seen] | str | MissingMppError:
    try:
        example = replace(example, mpp=_mpp(example))
        if example.mpp > COARSEST * model_mpp:
            raise TrainingError(
                f"{example.image} has {example.mpp:.3g} um per pixel, too coarse to be read at {model_mpp:.3g}; "
                "leave it out, or train at a coarser resolution"
            )
        with open_slide(example.image, mpp=example.mpp) as slide:
            example = replace(example, colour_profile=profile_of(slide))
            if example.image.suffix.lower() in _PICTURES:
                return _seen(example, _decode(example.image), model_mpp)
            if is_slide(slide):
                parts = cut_slide(example, slide, model_mpp)
                return [_Seen(part) for part in parts]
            slide.overview(512)
            return _seen(example, (slide.width, slide.height), model_mpp)
    except MissingMppError as error:
        return error
    except (TrainingError, LabelError, SlideError) as error:
        return str(error)


def _mpp(example: Example) -> float:
    """Tell um per pixel: what the export says, else the file, else the user or a table; raises MissingMppError."""
    if example.said_mpp is not None:
        return example.said_mpp
    with open_slide(example.image) as slide:
        if slide.mpp_x is not None:
            return slide.mpp
    if example.table_mpp is None:
        raise MissingMppError(f"{example.image} does not say how large its pixels are")
    return example.table_mpp


def _seen(example: Example, size: tuple[int, int], model_mpp: float) -> list[_Seen]:
    """Look at the label of a whole image of a size; raises TrainingError, LabelError."""
    if example.label is None:
        return [_Seen(example)]
    label = label_of(example, example.label)
    height, width = label.numbers.shape
    if (width, height) != size:
        raise TrainingError(unlike(example, size, (width, height)))
    example = replace(example, reading=label.reading)
    labels = classes_of(label, example.values)
    labels[labels == UNKNOWN] = 0
    full = _counts(labels)[0] <= (1 - _FULL) * labels.size
    if any((line > 0).mean() >= _FULL for line in (labels[0], labels[-1], labels[:, 0], labels[:, -1])):
        read = read_example(example, model_mpp)
        if not read.valid.any():
            return []
        labels = read.label
    holds = tuple((np.flatnonzero(_counts(labels)[1:]) + 1).tolist())
    return [_Seen(replace(example, holds=holds), bool(full))]


def _counts(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels of each value from 0 to 255, many times faster than numpy does."""
    return np.array(Image.fromarray(values).histogram(), np.int64)


def _decode(path: Path) -> tuple[int, int]:
    """Decode a picture whole, a JPEG at an eighth for speed, and give its (width, height); raises TrainingError."""
    try:
        with Image.open(path) as image:
            size = image.size
            image.draft(None, (image.width // 8, image.height // 8))
            image.load()
    except BROKEN as error:
        raise TrainingError(f"{path} cannot be read ({reason(error)}); copy it again or remove it") from error
    return size
