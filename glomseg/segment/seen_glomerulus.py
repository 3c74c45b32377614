"""Whether a model sees a glomerulus at a place, were the pixels of a given size: asked to confirm a scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from skimage.measure import label, regionprops

from glomseg.geometry import Box
from glomseg.models.card import SPECIES_DIAMETER_UM
from glomseg.models.predict import Model
from glomseg.segment.pipeline import SegmentSettings, outline_settings, reading_mpp
from glomseg.slides.slide import Slide

_FIELD_PX = 640  # of a field at the scale of the model, at most
_CORE = 0.85  # probability on the outline of what is looked at here, whatever a card draws
_FIELD_UM = 1500.0  # around a patch, in which a glomerulus is looked for
_OFF = (0.71, 1.41)  # factors of the scale at which a glomerulus is still one
_SAME_SIZE = 1.3
_SURE = 0.972  # mean probability within that; what was seen on tissue without glomeruli had 0.970 at most
_GLOMERULUS = (0.5, 1.5)  # of the species' mean diameter


def box_around(slide: Slide, x: float, y: float, width: float, height: float) -> Box:
    """Give the box of a size around a place, moved into the slide where it fits."""
    left = max(0.0, min(x - width / 2, slide.width - width))
    top = max(0.0, min(y - height / 2, slide.height - height))
    return Box(round(left), round(top), width, height)


def shows_glomerulus(slide: Slide, x: float, y: float, mpp: float, model: Model, species: str | None) -> bool:
    """Tell whether the model sees a glomerulus near a place, were the pixels of `mpp` um.

    It must be sure of it, find it of its size, and find the same thing where the scale is a little off: what a model
    takes other tissue for changes with the scale.
    """
    diameter = SPECIES_DIAMETER_UM.get(species or model.card.species, model.card.training_diameter_um)
    low, high = (share * diameter / mpp for share in _GLOMERULUS)
    objects = [_objects(slide, x, y, mpp * factor, mpp, model, species) for factor in (1.0, *_OFF)]
    return any(
        item.sureness >= _SURE and low <= item.diameter_px <= high and any(item.is_like(other) for other in others)
        for item in objects[0]
        for others in objects[1:]
    )


@dataclass(frozen=True)
class _SeenThing:
    """Something that the model takes for a glomerulus: its centre and diameter in level-0 pixels, its mean value."""

    x: float
    y: float
    diameter_px: float
    sureness: float

    def is_like(self, other: _SeenThing) -> bool:
        """Tell whether another is of the same place and size."""
        apart = math.hypot(self.x - other.x, self.y - other.y)
        ratio = self.diameter_px / other.diameter_px
        return apart < 0.3 * self.diameter_px and 1 / _SAME_SIZE <= ratio <= _SAME_SIZE


def _objects(
    slide: Slide, x: float, y: float, mpp: float, field_mpp: float, model: Model, species: str | None
) -> list[_SeenThing]:
    """List what the model finds around a place, in a field whose size follows from `field_mpp`."""
    step = reading_mpp(model.card, species) / mpp
    outline = outline_settings(model.card, SegmentSettings(species=species, threshold=_CORE))
    field_um = min(_FIELD_UM, _FIELD_PX * reading_mpp(model.card, species))
    width, height = (min(field_um / field_mpp, float(size)) for size in (slide.width, slide.height))
    box = box_around(slide, x, y, width, height)
    pixels = slide.read_downsampled(box, step, step)
    tall, wide = (-(-size // model.stride) * model.stride for size in pixels.shape[:2])
    padded = np.full((1, tall, wide, 3), 255, np.uint8)
    padded[0, : pixels.shape[0], : pixels.shape[1]] = pixels
    values = model.predict(padded)[0].max(axis=0)[: pixels.shape[0], : pixels.shape[1]]
    smallest = outline.minimum_area_um2 / reading_mpp(model.card, species) ** 2
    return [
        _SeenThing(
            box.x + part.centroid[1] * step,
            box.y + part.centroid[0] * step,
            part.equivalent_diameter_area * step,
            float(part.intensity_mean) / 255,
        )
        for part in regionprops(label(values >= outline.threshold * 255), values)
        if part.area >= smallest and part.solidity >= outline.minimum_solidity
    ]
