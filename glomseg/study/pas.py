"""The PAS-positive part of a glomerulus, by colour deconvolution into haematoxylin and PAS.

Beer and Lambert: optical density is linear in the amounts of the stains (Ruifrok and Johnston 2001, Anal Quant Cytol
Histol 23:291). Optical density is -log10(I / 255) here; stain vectors have length 1, so that an amount is an optical
density along its vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from glomseg.errors import MeasureError
from glomseg.geometry import Box, paint
from glomseg.slides.readers import Pixels
from glomseg.slides.slide import Slide

Vector = tuple[float, float, float]
Density = NDArray[np.float32]

COARSEST_MPP = 1.0
ESTIMATED = "estimated on the slide (Macenko)"
STAINED = 0.12  # optical density, mean of the channels, below which a pixel says nothing about the stains
SAMPLED = 24  # glomeruli and their surroundings from which a slide's stains are estimated
THREADS = 4
TILE_PX = 1024  # read at once: 3 MB a thread, whatever the outline


@dataclass(frozen=True)
class Stains:
    """Optical density of haematoxylin and PAS in red, green and blue, each of length 1; `origin` says whence."""

    haematoxylin: Vector
    pas: Vector
    origin: str

    def describe(self) -> str:
        """Write down both vectors and where they come from."""
        h, p = (",".join(f"{x:.3f}" for x in vector) for vector in (self.haematoxylin, self.pas))
        return f"{h}; {p} ({self.origin})"


STANDARD = Stains(  # "H PAS" of Landini's Colour Deconvolution plugin (ImageJ)
    (0.644211, 0.716556, 0.266844), (0.175411, 0.972178, 0.154589), "standard H PAS vectors (Landini, ImageJ)"
)


@dataclass(frozen=True, kw_only=True)
class PasSettings:
    """`threshold` is the optical density along the PAS vector from which a pixel is positive.

    `stains` None estimates them: once for all slides of a study, so that slides can be compared, or with `per_slide`
    on each. `mpp` is the resolution in um per pixel, 1 at most.
    """

    threshold: float = 0.3
    stains: Stains | None = None
    per_slide: bool = False
    mpp: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what is no density and no resolution; raises MeasureError."""
        if not (0 < self.threshold <= 3 and 0 < self.mpp <= COARSEST_MPP):
            raise MeasureError(
                f"a PAS density of {self.threshold:g} at {self.mpp:g} um per pixel cannot be measured; give above 0, "
                f"at most 3 and {COARSEST_MPP:g}"
            )


def parse_stains(text: str) -> Stains | None:
    """Read `estimate` or `per-slide` (None), `standard`, or `r,g,b;r,g,b` for haematoxylin and PAS.

    Raises MeasureError.
    """
    if text in ("estimate", "per-slide", "standard"):
        return STANDARD if text == "standard" else None
    try:
        first, second = ([float(number) for number in part.split(",")] for part in text.split(";"))
        h, p = _unit(first), _unit(second)
    except (TypeError, ValueError):
        h, p = None, None
    if h is None or p is None or abs(float(np.dot(h, p))) > 0.995:
        raise MeasureError(f"stain vectors {text!r}: give estimate, per-slide, standard, or two different r,g,b;r,g,b")
    return Stains(h, p, "given")


def optical_density(image: Pixels) -> Density:
    """Return -log10(I / 255) of each channel (H, W, 3), never infinite."""
    table = -np.log10(np.maximum(np.arange(256), 1) / 255).astype(np.float32)
    return np.asarray(table[image])


def amounts(image: Pixels, stains: Stains) -> Density:
    """Return the amounts of haematoxylin, PAS and the rest for an image (H, W, 3): (H, W, 3)."""
    h, p = np.array(stains.haematoxylin), np.array(stains.pas)
    rest = np.cross(h, p)
    matrix = np.stack([h, p, rest / np.linalg.norm(rest)])
    return np.asarray(optical_density(image) @ np.linalg.inv(matrix).astype(np.float32))


def estimate_stains(pixels: Pixels) -> Stains:
    """Estimate both stains from pixels (N, 3) by the extreme directions of their optical density.

    Macenko et al. 2009 (ISBI, 1107), 1st and 99th percentile. Of the two, haematoxylin takes more of the red light.
    The standard vectors where too little is stained, or only one stain shows.
    """
    density = optical_density(pixels).reshape(-1, 3)
    density = density[density.mean(axis=1) > STAINED]
    if len(density) < 500:
        return _fallback("too few stained pixels")
    _, vectors = np.linalg.eigh(np.cov(density.T))
    plane = vectors[:, [2, 1]]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)
    angles = np.arctan2(*(density @ plane).T[::-1])
    low, high = (plane @ (math.cos(angle), math.sin(angle)) for angle in np.percentile(angles, [1, 99]))
    first, second = sorted((_unit(low), _unit(high)), key=lambda vector: -vector[0])
    if min(*first, *second) < -0.15 or float(np.dot(first, second)) > 0.985:
        return _fallback("the stains could not be told apart")
    return Stains(first, second, ESTIMATED)


def estimate_study_stains(samples: Sequence[Pixels]) -> Stains:
    """Estimate the stains of a whole study from pixels (N, 3) of its slides, each of the same weight."""
    size = min(len(sample) for sample in samples)
    pooled = np.concatenate([sample[:: max(1, len(sample) // size)][:size] for sample in samples])
    stains = estimate_stains(pooled)
    if stains.origin != ESTIMATED:
        return stains
    slides = "one slide" if len(samples) == 1 else f"{len(samples)} slides together"
    return replace(stains, origin=f"estimated on {slides} (Macenko)")


def measure_pas(slide: Slide, outlines: Sequence[BaseGeometry], settings: PasSettings) -> tuple[Stains, list[float]]:
    """Return the stains of a slide and the PAS-positive fraction (0..1) of each outline (level-0 pixels).

    Read in threads, a glomerulus or a tile of it at a time, so memory is bounded. Raises MeasureError for a slide
    coarser than 1 um per pixel, MissingMppError, SlideError.
    """
    mpp = _reading_mpp(slide, settings)
    stains = settings.stains or estimate_stains(sample_pixels(slide, outlines, settings))

    def fraction(outline: BaseGeometry) -> float:
        positive = inside = 0
        for box in _boxes(slide, outline, mpp):
            image = slide.read(box, mpp)
            within = paint(outline, box, image.shape[:2])
            positive += int((amounts(image[within], stains)[:, 1] >= settings.threshold).sum())
            inside += int(within.sum())
        return positive / inside if inside else math.nan

    with ThreadPoolExecutor(THREADS) as pool:
        return stains, list(pool.map(fraction, outlines))


def _reading_mpp(slide: Slide, settings: PasSettings) -> float:
    mpp = max(settings.mpp, *slide.pixel_size)
    if mpp > COARSEST_MPP * 1.05:
        raise MeasureError(f"{slide.path.name} has {mpp:g} um per pixel; PAS is measured at {COARSEST_MPP:g} or finer")
    return mpp


def sample_pixels(slide: Slide, outlines: Sequence[BaseGeometry], settings: PasSettings) -> Pixels:
    """Read pixels of some glomeruli and what lies around them: (N, 3).

    Raises MeasureError for a slide coarser than 1 um per pixel, MissingMppError, SlideError.
    """
    mpp = _reading_mpp(slide, settings)
    some = outlines[:: max(1, len(outlines) // SAMPLED)]

    def read(outline: BaseGeometry) -> Pixels:
        left, top, right, bottom = outline.bounds
        margin = max(right - left, bottom - top) / 2
        around = next(_boxes(slide, shapely.box(left - margin, top - margin, right + margin, bottom + margin), mpp))
        return np.asarray(slide.read(around, mpp)[::3, ::3].reshape(-1, 3))

    with ThreadPoolExecutor(THREADS) as pool:
        return np.concatenate([np.empty((0, 3), np.uint8), *pool.map(read, some)])


def _boxes(slide: Slide, outline: BaseGeometry, mpp: float) -> Iterator[Box]:
    """Cut the box around an outline into boxes of whole pixels of `mpp` um, TILE_PX at most: an outline may be huge."""
    left, top, right, bottom = outline.bounds
    step_x, step_y = (mpp / side for side in slide.pixel_size)
    columns, rows = math.ceil((right - left) / step_x), math.ceil((bottom - top) / step_y)
    for row in range(0, rows, TILE_PX):
        for column in range(0, columns, TILE_PX):
            wide, high = min(TILE_PX, columns - column), min(TILE_PX, rows - row)
            yield Box(left + column * step_x, top + row * step_y, wide * step_x, high * step_y)


def _unit(vector: Sequence[float] | NDArray[np.float64]) -> Vector:
    x, y, z = (float(number) for number in vector)
    length = math.hypot(x, y, z)
    if not length or not math.isfinite(length):
        raise ValueError("no direction")
    return x / length, y / length, z / length


def _fallback(reason: str) -> Stains:
    return Stains(STANDARD.haematoxylin, STANDARD.pas, f"{STANDARD.origin}, as {reason}")
