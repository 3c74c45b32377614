"""Images that are learned from whole, resized to one size: read, told the scale of, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.errors import TrainingError
from glomseg.slides.slide import open_slide
from glomseg.training.arrays import Pixels8
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Example, Labelled, read_example

CHECKED = 64
ALIKE = 1.1
"""Images are resized whole where the scales of so many of them differ by less than this."""


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
    """Raise TrainingError where images cannot be resized whole, each to the same scale: slides, or of other sizes."""
    cut = next((item for item in examples if item.box is not None), None)
    if cut is not None:
        raise TrainingError(
            f"{cut.image} is a slide, and data.sample is whole, which resizes whole patches; give patches (Task 1 of "
            "KPIs), or another recipe, such as kpis"
        )
    scales = [side for scale in _whole_scales(examples, config, CHECKED) for side in scale]
    if max(scales) > ALIKE * min(scales):
        raise TrainingError(
            f"images resized whole to {config.data.crop_px} px would be read at {min(scales):.3g} to "
            f"{max(scales):.3g} um per pixel; give square images of one size, or set data.sample=crop"
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


def _resized(pixels: NDArray[Any], size: tuple[int, int], how: Image.Resampling) -> Pixels8:
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels, np.uint8)).resize(size, how))
