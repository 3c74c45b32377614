"""Small scenes whose scores can be computed by hand."""

from pathlib import Path

import numpy as np
import shapely
import torch
from scipy import ndimage

from glomseg.evaluation.evaluate import EvaluateSettings, Evaluation, evaluate_outlines
from glomseg.geometry import Geometries, geometries
from glomseg.labelled.find_files import Source
from glomseg.labelled.label_files import Outlines
from glomseg.labelled.pairs import Pair
from glomseg.models.places import places_in


def boxes(*corners: tuple[float, float, float, float]) -> Geometries:
    """Rectangles given as (x, y, width, height)."""
    return geometries([shapely.box(x, y, x + width, y + height) for x, y, width, height in corners])


def side(*corners: tuple[float, float, float, float], confidences=None, size=(100, 100), mpp=(0.5, 0.5)) -> Outlines:
    shapes = boxes(*corners)
    known = np.full(len(shapes), np.nan) if confidences is None else np.array(confidences, dtype=float)
    return Outlines(geometries=shapes, confidences=known, size=size, mpp=mpp)


def evaluated(
    *scenes: tuple[Outlines, Outlines], names: list[str] | None = None, settings: EvaluateSettings | None = None
) -> Evaluation:
    """Score (predicted, true) scenes."""
    names = names or [f"image {number}" for number in range(len(scenes))]
    sources = [Source(path=Path(f"{name}.geojson"), stem=name) for name in names]
    pairs = [Pair(key=source.stem, predicted=source, true=source) for source in sources]
    return evaluate_outlines(
        [(pair, *scene) for pair, scene in zip(pairs, scenes, strict=True)], settings or EvaluateSettings()
    )


def places_of(labels: np.ndarray, *, blur_px: float = 0.0) -> np.ndarray:
    """The planes of the head `hover` (2, H, W) uint8 of numbered objects, softened as a network softens them."""
    places = places_in(torch.from_numpy(labels[None]))[0].numpy()
    soft = np.stack([ndimage.gaussian_filter(place, blur_px) if blur_px else place for place in places])
    return np.clip(np.rint(soft * 127 + 128), 1, 255).astype(np.uint8)
