"""Cut a slide and its mask into parts that can be learned from, without reading either whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import TrainingError
from glomseg.geometry import Box
from glomseg.labelled.label_pixels import open_label
from glomseg.labelled.label_values import LabelReading
from glomseg.labelled.masks import Label, look_at
from glomseg.labelled.padding import MAX_PX
from glomseg.segment.tiles import ReadingFrame
from glomseg.segment.tissue import TissueMask, find_tissue
from glomseg.slides.slide import Slide
from glomseg.training.data.examples import UNKNOWN, Example, classes_of, numbers_told, unlike

PART_PX = 1024
OVERLAP_PX = 128
"""More than most glomeruli measure at the resolution of a training, so that nearly each is whole in some part."""
FROM_AFAR_UM = 8.0
FROM_AFAR_PX = 16_000_000


def is_slide(slide: Slide) -> bool:
    """Tell whether an image is read in parts: one with levels, or one too large to be read whole each time."""
    return len(slide.levels) > 1 or slide.width * slide.height > MAX_PX


def cut_slide(example: Example, slide: Slide, model_mpp: float) -> Iterator[Example]:
    """Yield the parts of a slide that hold tissue or a glomerulus, at most `PART_PX` pixels of the training wide.

    Raises TrainingError for a mask that cannot be read in parts, or holds what no mask does.
    """
    labels = _Labels.of(example, slide)
    tissue = find_tissue(slide)
    frame = ReadingFrame.of(slide.width, slide.height, example.mpp, example.mpp, model_mpp)
    for y in _starts(frame.height):
        for x in _starts(frame.width):
            whole = frame.box(x, y, PART_PX, PART_PX)
            box = Box(
                whole.x, whole.y, min(whole.width, slide.width - whole.x), min(whole.height, slide.height - whole.y)
            )
            holds = labels.classes_in(box)
            if holds or _tissue_in(tissue, box):
                yield replace(
                    example,
                    name=f"{example.name} [x={round(box.x)},y={round(box.y)}]",
                    box=box,
                    holds=holds,
                    reading=labels.reading,
                )


def _starts(length: int) -> range:
    return range(0, max(1, length - OVERLAP_PX), PART_PX - OVERLAP_PX)


def _tissue_in(tissue: TissueMask, box: Box) -> bool:
    return bool(_part(tissue.mask, box, tissue.downsample_x, tissue.downsample_y).any())


def _part(array: NDArray[np.bool_], box: Box, across: float, down: float) -> NDArray[np.bool_]:
    rows = slice(int(box.y / down), int(np.ceil((box.y + box.height) / down)))
    return array[rows, int(box.x / across) : int(np.ceil((box.x + box.width) / across))]


@dataclass(frozen=True, slots=True)
class _Labels:
    """A slide's mask seen from afar: where each of its classes is, and how its values are read."""

    there: dict[int, NDArray[np.bool_]]
    downsample: float
    reading: LabelReading | None = None

    @classmethod
    def of(cls, example: Example, slide: Slide) -> _Labels:
        """Look at the mask of a slide; raises TrainingError."""
        if example.label is None:
            return cls({}, 1.0)
        if example.label.suffix.lower() not in (".tif", ".tiff"):
            raise TrainingError(
                f"{example.label} is the mask of a slide and is read in parts; write it as a tiled TIFF: "
                "vips tiffsave IN OUT.tif --tile --pyramid"
            )
        reading = look_at(example.label, numbers=numbers_told(example))
        with open_label(example.label) as mask:
            if mask.size != (slide.width, slide.height):
                raise TrainingError(unlike(example, (slide.width, slide.height), mask.size))
            step = max(1, int(FROM_AFAR_UM / example.mpp), round((slide.width * slide.height / FROM_AFAR_PX) ** 0.5))
            there: dict[int, NDArray[np.bool_]] = {}
            for block in mask.blocks():
                classes = classes_of(Label(numbers=reading.numbers_of(block.values), reading=reading), example.values)
                for index in np.unique(classes[(classes > 0) & (classes != UNKNOWN)]).tolist():
                    seen = there.setdefault(index, np.zeros((slide.height // step + 1, slide.width // step + 1), bool))
                    rows, columns = np.nonzero(classes == index)
                    seen[(rows + block.y) // step, (columns + block.x) // step] = True
        return cls(there, float(step), reading)

    def classes_in(self, box: Box) -> tuple[int, ...]:
        """List the classes that a part of the slide holds."""
        inside = (
            index for index, seen in self.there.items() if _part(seen, box, self.downsample, self.downsample).any()
        )
        return tuple(sorted(inside))
