"""Find hard negatives: places where a network sees a glomerulus that nobody drew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import shapely

from glomseg.evaluation.matching import overlaps
from glomseg.labelled.masks import outline
from glomseg.models.predict import Model
from glomseg.training.data.sampling import HardBox, Images
from glomseg.training.validate import outlines_at, probability_of, read_images

THRESHOLD = 0.5
"""Low, whatever the model will be cut at: what nearly was a mistake teaches as well."""
OVERLAP = 0.1
"""A prediction that shares more than this part of its area with a true object is a bad outline, no false object."""
MAX_PER_IMAGE = 5


def draw_indices(count: int, limit: int, *, seed: int, epoch: int) -> list[int]:
    """Choose `limit` of `count` images, others in every epoch."""
    return sorted(int(i) for i in np.random.default_rng([seed, epoch, 7]).permutation(count)[:limit])


def mine(
    model: Model,
    images: Images,
    indices: Sequence[int],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[HardBox]:
    """Return the false positives on some training images, the largest of each image.

    Of several classes, what is an object of another class is none.
    """
    boxes: list[HardBox] = []
    for done, (index, labelled) in enumerate(read_images(images, indices), start=1):
        ((predicted, _, _),) = outlines_at(model, probability_of(model, labelled), (THRESHOLD,))
        met = overlaps(predicted, outline(labelled.label > 0)[0])
        shared = np.bincount(met.predicted, met.shared, minlength=len(predicted))
        false = np.flatnonzero(shared <= OVERLAP * met.predicted_areas)
        largest = false[np.argsort(-met.predicted_areas[false], kind="stable")][:MAX_PER_IMAGE]
        for item in shapely.centroid(predicted[largest]):
            boxes.append(HardBox(images.name(index), round(item.x, 1), round(item.y, 1)))
        progress(done, len(indices))
    return boxes
