"""Look at every example before the training starts: what is wrong is said once, all of it, and not after an hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from glomseg.errors import EvaluationError, SlideError, TrainingError
from glomseg.readers import BROKEN, reason
from glomseg.training.examples import Example, classes_of, is_lossy, read_label, unlike

SHOWN = 20
WORKERS = 4
Progress = Callable[[int, int], None]


def survey(
    examples: Sequence[Example], problems: Sequence[str] = (), *, progress: Progress | None = None
) -> tuple[Example, ...]:
    """Open every image and label, and return the examples with what they hold; raises TrainingError.

    `problems` are those that were found before; they stand first in the error.
    """
    found: list[Example] = []
    wrong = list(problems)
    with ThreadPoolExecutor(WORKERS) as pool:
        for number, result in enumerate(pool.map(_look, examples), 1):
            if isinstance(result, Example):
                found.append(result)
            else:
                wrong.append(result)
            if progress is not None:
                progress(number, len(examples))
    if not wrong and found and not any(example.positive for example in found):
        wrong.append(f"no glomerulus in any of {len(found)} masks; are they the masks, and is the class named right?")
    if wrong:
        raise TrainingError(report(wrong))
    return tuple(found)


def report(problems: Sequence[str]) -> str:
    """List problems one a line, the first of them, and count the others."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return "\n".join([*problems[:SHOWN], *more])


def _look(example: Example) -> Example | str:
    try:
        return _seen(example)
    except (TrainingError, EvaluationError, SlideError) as error:
        return str(error)


def _seen(example: Example) -> Example:
    size = _decode(example.image)
    if example.label is None:
        return example
    raw = read_label(example.label)
    if raw.shape != size[::-1]:
        raise TrainingError(unlike(example, size, (raw.shape[1], raw.shape[0])))
    classes = classes_of(raw, example.values, lossy=is_lossy(example.label))
    return replace(example, positive=bool(np.any(classes)))


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
