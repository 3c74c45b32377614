"""How far the colours of a slide's tissue are from those that a model has learned, so that it can say so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glomseg.geometry import Box
from glomseg.models.card import ModelCard
from glomseg.segment.tissue_scale import tissue_places
from glomseg.slides.slide import Slide

FEATURES = 4
LOOK_MPP = 3.0
"""Um per pixel at which colours are compared, whatever the model reads at: averaging changes them."""
_FIELD_PX = 256
_GLASS_OD = 0.12
_FEWEST_PX = 200
_H_PAS = np.array([[0.644211, 0.716556, 0.266844], [0.175411, 0.972178, 0.154589]])
"""Optical densities of haematoxylin and PAS ("H PAS" of Landini's Colour Deconvolution, ImageJ)."""
_UNSURE_SHARE, _FEWEST_OBJECTS = 0.5, 5


def colours_of(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Describe the colours of the tissue in an image (H, W, 3) of `LOOK_MPP`; None where there is hardly any.

    They are the shares of red and of green in the mean optical density, the share of haematoxylin in what is unmixed
    into haematoxylin and PAS, and the share that neither explains.
    """
    density = -np.log(np.maximum(image.astype(np.float64), 1) / 255)
    tissue = density[density.mean(axis=-1) > _GLASS_OD]
    if len(tissue) < _FEWEST_PX:
        return None
    rows = np.vstack([_H_PAS, np.cross(*_H_PAS)])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unmixed = tissue @ np.linalg.inv(rows)
    haematoxylin, pas = np.maximum(unmixed[:, :2], 0).sum(axis=0)
    mean = tissue.mean(axis=0)
    share = haematoxylin / max(haematoxylin + pas, 1e-9)
    return np.array([mean[0] / mean.sum(), mean[1] / mean.sum(), share, unmixed[:, 2].mean() / mean.sum()])


def colour_distance(card: ModelCard, colours: NDArray[np.float64]) -> float:
    """Return how far colours are from those of a model's training, in standard deviations; 0 where it says none."""
    look = card.look
    if look is None:
        return 0.0
    away = colours - np.array(look.mean)
    return float(np.sqrt(away @ np.array(look.precision) @ away / FEATURES))


def slide_colours(slide: Slide) -> NDArray[np.float64] | None:
    """Describe the colours of a slide's tissue from some patches of it; None where there is hardly any tissue.

    Raises MissingMppError, and SlideError where the file is damaged.
    """
    step, described = LOOK_MPP / slide.mpp, []
    for x, y in tissue_places(slide):
        width, height = (min(_FIELD_PX * step, float(size)) for size in (slide.width, slide.height))
        left, top = (
            min(max(at - side / 2, 0.0), size - side)
            for at, side, size in ((x, width, slide.width), (y, height, slide.height))
        )
        colours = colours_of(slide.read_downsampled(Box(left, top, width, height), step, step))
        if colours is not None:
            described.append(colours)
    return np.mean(described, axis=0) if described else None


def check_colours(slide: Slide, card: ModelCard) -> str | None:
    """Say where a slide has other colours than a model has learned; fits behind the file's name. Raises as above."""
    if card.look is None:
        return None
    colours = slide_colours(slide)
    distance = 0.0 if colours is None else colour_distance(card, colours)
    if distance <= card.look.limit:
        return None
    return (
        f"has other colours than the {card.look.stain} that {card.name} has learned (distance {distance:.1f}, usual "
        f"up to {card.look.limit:.1f}): review all of it, or adapt the model with `glomseg train --from-project`"
    )


def check_candidates(sure: int, candidates: int) -> str | None:
    """Say where most of what a model saw on a slide is not sure enough to count; fits behind the file's name."""
    seen = sure + candidates
    if seen < _FEWEST_OBJECTS or candidates <= _UNSURE_SHARE * seen:
        return None
    return f"has {candidates} candidates beside {sure} that are sure: review both, or adapt the model"


def check_merged(merged_px: Sequence[int], reading_mpp: float) -> str | None:
    """Say where outlines are so large that they were traced on merged pixels; `merged_px` is that of each outline."""
    merged = [count for count in merged_px if count > 1]
    if not merged:
        return None
    return (
        f"has {len(merged)} outline(s) far larger than any glomerulus, traced on pixels of "
        f"{max(merged) * reading_mpp:g} um: is the model made for this tissue, and `mpp` right?"
    )
