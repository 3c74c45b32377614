"""Estimate um per pixel from the tissue itself, to doubt what a file says; never to replace it.

The ruler are nuclei, whose size hardly differs between mouse, rat and human; that it is kidney, and that scale, the
model must confirm by finding a glomerulus of the right size. Where either is missing the estimate is unsure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glomseg.models.card import SPECIES_DIAMETER_UM
from glomseg.models.predict import Model
from glomseg.segment.nuclei import Nuclei, measure_nuclei
from glomseg.segment.seen_glomerulus import box_around, shows_glomerulus
from glomseg.slides.resample import axis, resample
from glomseg.slides.slide import Slide

UInt8 = NDArray[np.uint8]

CONTRADICTION = 1.5  # a factor between stated and estimated size that is said

NUCLEI = ((1.205, 1.310), (1.058, 1.366), (0.929, 1.490), (0.815, 1.578))
"""The sigma in pixels that nuclei have at so many um per pixel (see `nuclei`): measured on 24 fields of human kidney
in PAS at 0.5 um/px (Bueno et al. 2020, doi:10.17632/k7nvtgn2x6.3), the middle of the range."""

_STEP = 1.139  # between the scales that are tried
_FINEST, _COARSEST = 0.09, 1.6  # um per pixel that can be told
_REFERENCE = 0.93  # um per pixel to which a patch is brought where a scale is tried
_AROUND = 4  # scales on either side of the crossing that decide
_FIELD_PX = 640  # of a patch at the reference, at most
_PATCHES = 4
_PATCH_PX = 1536  # of level 0, at most
_FEWEST_NUCLEI = 12
_PATCHES_DIFFER = 0.25  # standard deviation of the logarithm
_QUARTERS_DIFFER = 0.105  # of a single patch
_SLOPE = 0.57  # of log sigma over log scale, about 1 um per pixel
_CLOSE = 1.3  # nuclei that look so much too large or small are still as they should be
_OVERVIEW_PX = 1024
_GLANCES = 4
_INK = 60
_FEWEST_GLOMERULI = 5
_GLANCE_PX = 400  # of a patch that is looked at to confirm a stated size


@dataclass(frozen=True, kw_only=True)
class ScaleEstimate:
    """Um per pixel as the tissue shows it, None where that is unsure; `doubt` says why."""

    mpp: float | None
    doubt: str | None = None


def estimate_scale(slide: Slide, model: Model, *, species: str | None = None) -> ScaleEstimate:
    """Estimate um per pixel of a slide from some patches of its tissue, whatever it says itself.

    Unsure unless nuclei are seen, agree, and `model` finds a glomerulus of the size of `species` at that scale.
    Raises SlideError where the file is damaged.
    """
    places = tissue_places(slide)
    side = min(_PATCH_PX, slide.width, slide.height)
    patches = [slide.read_downsampled(box_around(slide, x, y, side, side), 1, 1) for x, y in places]
    estimate = scale_of_nuclei(patches)
    if estimate.mpp is None:
        return estimate
    if not any(shows_glomerulus(slide, x, y, estimate.mpp, model, species) for x, y in places):
        return ScaleEstimate(mpp=None, doubt="no glomerulus is seen at the scale of its nuclei")
    return estimate


def check_scale(slide: Slide, model: Model, *, species: str | None = None) -> str | None:
    """Say where the tissue contradicts the pixel size of a slide by more than a factor of 1.5; None where it does not.

    Where the nuclei look as they should nothing else is asked; that costs four small patches. What it returns fits
    behind the file's name. Raises MissingMppError, and SlideError where the file is damaged.
    """
    mpp, places = slide.mpp, tissue_places(slide)
    seems = _glances(slide, places, mpp)
    if seems is None or max(seems / mpp, mpp / seems) < _CLOSE:
        return None
    if not any(shows_glomerulus(slide, x, y, seems, model, species) for x, y in places):
        return None
    estimate = estimate_scale(slide, model, species=species)
    if estimate.mpp is None or max(estimate.mpp / mpp, mpp / estimate.mpp) <= CONTRADICTION:
        return None
    return (
        f"is read with {mpp:.3g} um per pixel, but its nuclei and glomeruli look like {estimate.mpp:.2g}; "
        "if that is right, give `mpp`"
    )


def propose_mpp(slide: Slide, model: Model, *, species: str | None = None) -> str:
    """Say what pixel size the tissue of a slide without one suggests, for a person to confirm; fits behind its name.

    Raises SlideError where the file is damaged.
    """
    said = slide.stated.remark or "does not say how large its pixels are"
    estimate = estimate_scale(slide, model, species=species)
    if estimate.mpp is None:
        return f"{said}, and its tissue does not tell ({estimate.doubt}); give um per pixel with `mpp`"
    return (
        f"{said}; its nuclei and glomeruli look like {estimate.mpp:.2g} um per pixel (to about 15 %): "
        f"if you agree, give `mpp` as {estimate.mpp:.2g}"
    )


def check_species(diameters_um: Sequence[float], species: str) -> str | None:
    """Say where the glomeruli of a slide, five or more, have not the size of a species; fits behind its name."""
    expected = SPECIES_DIAMETER_UM[species]
    if len(diameters_um) < _FEWEST_GLOMERULI:
        return None
    median = float(np.median(diameters_um))
    if 1 / CONTRADICTION <= median / expected <= CONTRADICTION:
        return None
    return (
        f"has glomeruli of {median:.0f} um (median of {len(diameters_um)}), and those of {species} have about "
        f"{expected:.0f} um: is its pixel size right, and `species`?"
    )


def scale_of_nuclei(patches: Sequence[UInt8]) -> ScaleEstimate:
    """Estimate um per pixel of patches (H, W, 3) of one slide by their nuclei alone."""
    seen = [value for patch in patches if (value := _scale_of_patch(patch)) is not None]
    if not seen:
        return ScaleEstimate(mpp=None, doubt="too few nuclei are seen")
    logs = [value for value, _ in seen]
    if len(seen) > 1 and float(np.std(logs)) > _PATCHES_DIFFER:
        return ScaleEstimate(mpp=None, doubt="the nuclei of its parts differ in size")
    if len(seen) == 1 and seen[0][1] > _QUARTERS_DIFFER:
        return ScaleEstimate(mpp=None, doubt="the nuclei of its parts differ in size")
    return ScaleEstimate(mpp=float(math.exp(np.median(logs))))


def tissue_places(slide: Slide) -> list[tuple[float, float]]:
    """Choose the centres of some patches, in level-0 pixels: cells of a coarse grid that absorb most red light."""
    image = slide.overview(_OVERVIEW_PX)
    side = min(_PATCH_PX, slide.width, slide.height)
    scale = max(slide.width, slide.height) / max(image.shape[:2])
    cell = max(1, round(side / scale))
    if image.shape[0] // cell < 2 and image.shape[1] // cell < 2:
        return [(slide.width / 2, slide.height / 2)]
    rows, columns = max(1, image.shape[0] // cell), max(1, image.shape[1] // cell)
    red = 255 - image[: rows * cell, : columns * cell, 0].astype(np.float32)
    red = np.where(image[: rows * cell, : columns * cell].max(axis=2) > _INK, red, 0)
    cells = red.reshape(rows, min(cell, image.shape[0]), columns, min(cell, image.shape[1])).mean(axis=(1, 3))
    best = np.argsort(-cells, axis=None, kind="stable")[:_PATCHES]
    return [((at % columns + 0.5) * cell * scale, (at // columns + 0.5) * cell * scale) for at in map(int, best)]


def _glances(slide: Slide, places: Sequence[tuple[float, float]], mpp: float) -> float | None:
    """Follow from the stated scale what the nuclei seem to say until they agree with it; None where they never do.

    Where they agree at once that is all. Other structures seem to have another scale at whatever scale they are seen.
    """
    seen: list[float] = []
    seems = mpp
    for _ in range(_GLANCES):
        off = _glance(slide, places, seems)
        if off is None and not seen:  # far too fine or too coarse to see nuclei at the stated scale
            tried = (_off(slide, places, mpp, factor) for factor in (0.5, 2.0))
            off = next((value for value in tried if value is not None), None)
        if off is None:
            return None
        if abs(off) < math.log(_CLOSE):
            return seems
        seen.append(off)
        seems = min(max(seems * math.exp(-off), _FINEST), _COARSEST)
    return None


def _off(slide: Slide, places: Sequence[tuple[float, float]], mpp: float, factor: float) -> float | None:
    off = _glance(slide, places, mpp * factor)
    return None if off is None else off - math.log(factor)


def _glance(slide: Slide, places: Sequence[tuple[float, float]], mpp: float) -> float | None:
    """Tell from small patches, read as if the slide had `mpp`, how much too large that seems: the logarithm of
    the factor. None where too few nuclei are seen.
    """
    (reference, size), values = NUCLEI[1], []
    step = reference / mpp
    for x, y in places:
        side = min(_GLANCE_PX * step, slide.width, slide.height)
        nuclei = measure_nuclei(slide.read_downsampled(box_around(slide, x, y, side, side), step, step))
        if nuclei is not None and nuclei.count >= _FEWEST_NUCLEI:
            values.append((nuclei.log_sigma - math.log(size)) / _SLOPE)
    return float(np.median(values)) if values else None


def _scale_of_patch(patch: UInt8) -> tuple[float, float] | None:
    """Find at how many um per pixel a patch's nuclei have the size of nuclei; None where none fits.

    Gives the logarithm, and how its quarters differ in it.
    """
    scales = np.log(_FINEST) + np.log(_STEP) * np.arange(1 + round(math.log(_COARSEST / _FINEST, _STEP)))
    seen: dict[int, Nuclei | None] = {}

    def sigma(index: int) -> float:
        if index not in seen:
            seen[index] = _nuclei_at(patch, math.exp(scales[index]))
        nuclei = seen[index]
        return -math.inf if nuclei is None else nuclei.log_sigma

    middle = float(np.mean([math.log(size) for _, size in NUCLEI]))
    coarse = range(1, len(scales), 3)
    crossing = next((at for at in coarse if sigma(at) >= middle), None)
    if crossing is None:
        return None
    window = [at for at in range(crossing - _AROUND - 2, crossing + _AROUND) if 0 <= at < len(scales)]
    known = [(scales[at], sigma(at)) for at in window if math.isfinite(sigma(at))]
    if len(known) < _AROUND:
        return None
    place = np.array([at for at, _ in known])
    size = np.maximum.accumulate([value for _, value in known]) + 1e-9 * np.arange(len(known))
    wanted = [math.log(value) for _, value in NUCLEI]
    if size[0] > min(wanted) or size[-1] < max(wanted):
        return None
    tried = np.interp(wanted, size, place) - math.log(_REFERENCE)
    spread = [nuclei.spread / _SLOPE for at in window[_AROUND - 1 : _AROUND + 3] if (nuclei := seen[at]) is not None]
    return float(np.mean(tried + np.log([mpp for mpp, _ in NUCLEI]))), float(np.mean(spread)) if spread else 0.0


def _nuclei_at(patch: UInt8, mpp: float) -> Nuclei | None:
    """Measure the nuclei of a patch as if it had `mpp` um per pixel; None where there are too few."""
    step = _REFERENCE / mpp
    height, width = (max(1, min(_FIELD_PX, int(size / step))) for size in patch.shape[:2])
    top, left = ((size - count * step) / 2 for size, count in zip(patch.shape[:2], (height, width), strict=True))
    nuclei = measure_nuclei(_resampled(patch, left, top, step, width, height))
    return nuclei if nuclei is not None and nuclei.count >= _FEWEST_NUCLEI else None


def _resampled(patch: UInt8, left: float, top: float, step: float, width: int, height: int) -> UInt8:
    """Read (height, width) pixels of `step` patch pixels each; what is beyond the patch repeats its edge."""
    rows, columns = axis(top, step, height), axis(left, step, width)
    bottom, right = rows.first + rows.size, columns.first + columns.size
    over = [
        (max(0, -rows.first), max(0, bottom - patch.shape[0])),
        (max(0, -columns.first), max(0, right - patch.shape[1])),
    ]
    part = patch[max(0, rows.first) : bottom, max(0, columns.first) : right]
    return resample(np.ascontiguousarray(np.pad(part, [*over, (0, 0)], mode="edge")), rows, columns)
