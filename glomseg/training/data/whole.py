"""Images that are learned from whole, resized to one size: read, told the scale of, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.errors import TrainingError
from glomseg.geometry import Bytes
from glomseg.slides.slide import open_slide
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Example, Labelled, read_example

ALIKE = 1.1
"""Images are resized whole where the scales of them all differ by less than this."""
_PATCHES_ALONE = (
    "data.sample is whole, which takes square patches of one size and no slides; give such patches (Task 1 of KPIs), "
    "set data.sample=crop, or take another recipe, such as kpis"
)


def read_whole(example: Example, config: TrainConfig) -> Labelled:
    """Read an image and its label, both resized to `data.crop_px`."""
    labelled, size = read_example(example, example.mpp), (config.data.crop_px, config.data.crop_px)
    label = np.zeros(size, np.uint8)
    for kind in np.unique(labelled.label[labelled.label > 0]):
        label[_resized(np.where(labelled.label == kind, 255, 0), size, Image.Resampling.BOX) >= 128] = kind
    valid = _resized(np.where(labelled.valid, 255, 0), size, Image.Resampling.BOX) >= 128
    return Labelled(_resized(labelled.image, size, Image.Resampling.BILINEAR), label, valid)


def whole_mpp(examples: Sequence[Example], config: TrainConfig) -> float:
    """Tell at how many um per px whole images are read: the median of a few."""
    return round(float(np.median([max(scale) for scale in _whole_scales(examples, config, 8)])), 4)


def check_whole(examples: Sequence[Example], config: TrainConfig) -> None:
    """Raise TrainingError where images cannot be resized whole, each to the same scale: slides, or of other sizes.

    The header of each image is looked at.
    """
    cut = next((item for item in examples if item.box is not None), None)
    if cut is not None:
        raise TrainingError(f"{cut.image} is a slide, and {_PATCHES_ALONE}")
    scales = _whole_scales(examples, config, len(examples))
    sides = [(side, item.image.name) for item, scale in zip(examples, scales, strict=True) for side in scale]
    (finest, fine), (coarsest, coarse) = min(sides), max(sides)
    if coarsest > ALIKE * finest:
        raise TrainingError(
            f"resized whole to {config.data.crop_px} px, images would be read at {finest:.3g} ({fine}) to "
            f"{coarsest:.3g} ({coarse}) um per pixel, and {_PATCHES_ALONE}"
        )


def _whole_scales(examples: Sequence[Example], config: TrainConfig, count: int) -> list[tuple[float, float]]:
    """Tell the um per px, across and down, at which some images are read whole."""
    scales = []
    for example in examples[:: max(1, len(examples) // count)]:
        with open_slide(example.image, mpp=example.mpp) as slide:
            scales.append(
                (example.mpp * slide.width / config.data.crop_px, example.mpp * slide.height / config.data.crop_px)
            )
    return scales


def _resized(pixels: NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> Bytes:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels, np.uint8)).resize(size, how))
