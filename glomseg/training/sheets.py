"""A sheet of tiles with the outlines of their labels, and of what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.geometry import Bytes
from glomseg.labelled.masks import outline
from glomseg.pictures.contact_sheet import CELL_PX, COLUMNS, PREDICTED_COLOR, TRUE_COLOR, draw_contact_sheet
from glomseg.pictures.overlay import draw_outline

PALE_COLOR = (140, 140, 140)
_SMOOTH = 2


def contact_sheet(
    images: Sequence[Bytes],
    labels: Sequence[NDArray[Any]],
    path: Path,
    *,
    captions: Sequence[str] = (),
    columns: int = COLUMNS,
    predicted: Sequence[NDArray[Any]] | None = None,
    weights: Sequence[NDArray[Any]] | None = None,
    title: str = "",
) -> None:
    """Write a PNG of tiles (H, W, 3) with the outlines of labels (H, W), and of predictions where there are any.

    Labels are masks, or hold a class in each pixel; what has a weight (H, W) of 0 is shown pale, which the legend
    says. A caption may have several lines. Raises RunError.
    """
    shown = [(labels, TRUE_COLOR)] + ([(predicted, PREDICTED_COLOR)] if predicted is not None else [])
    pale = images if weights is None else [_paled(*pair) for pair in zip(images, weights, strict=True)]
    cells = [_cell(image, [(masks[i], color) for masks, color in shown]) for i, image in enumerate(pale)]
    texts = [caption.splitlines() for caption in captions] or [[]] * len(cells)
    legend = [("predicted", PREDICTED_COLOR), ("true", TRUE_COLOR)][predicted is None :]
    if weights is not None and any((weight == 0).any() for weight in weights):
        legend.append(("pale: not learned from", PALE_COLOR))
    draw_contact_sheet(cells, texts, path, title=title, legend=legend, columns=columns)


def _paled(image: Bytes, weight: NDArray[Any]) -> Bytes:
    return np.where((weight > 0)[..., None], image, 255 - (255 - image) // 4).astype(np.uint8)


def _cell(image: Bytes, masks: Sequence[tuple[NDArray[Any], tuple[int, int, int]]]) -> Image.Image:
    """Draw outlines on a tile, which keeps its shape in a square cell."""
    height, width = image.shape[:2]
    scale = CELL_PX * _SMOOTH / max(height, width)
    size = (round(width * scale), round(height * scale))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    picture = Image.new("RGB", (CELL_PX * _SMOOTH,) * 2, "white")
    picture.paste(Image.fromarray(image).resize(size, how))
    for mask, color in masks:
        for kind in np.unique(mask[mask > 0]):
            for item in outline(mask == kind)[0]:
                draw_outline(picture, item, (0, 0), (scale, scale), color, 2 * _SMOOTH)
    return picture.resize((CELL_PX, CELL_PX), Image.Resampling.BOX)
