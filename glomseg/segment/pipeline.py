"""From a slide to the outlines of its glomeruli: the whole story on one page.

A slide is read in the model's own resolution, tile by tile, only where there is tissue. Each tile is read with a
halo and owns its core; what the network says of the cores lies side by side in one map of probabilities, and the
outlines are traced there, so that a glomerulus across a border is found once and whole.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glomseg.errors import ModelError, SlideError
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard, PostName
from glomseg.models.predict import Model
from glomseg.progress import ProgressCount
from glomseg.segment.contours import OutlineSettings
from glomseg.segment.outlines import Glomerulus, find_glomeruli
from glomseg.segment.post import post_of
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.region import Region
from glomseg.segment.stitch import MeanOfWindows, plan_windows
from glomseg.segment.stream import Pace, pace_for, predict_tiles
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile, plan_tiles
from glomseg.segment.tissue import find_tissue
from glomseg.slides.slide import Slide

COARSEST = 4.0  # times the pixels that the model reads: what is coarser shows no glomeruli, and needs a huge canvas
Stitch = Literal["own", "mean"]
MOST_OVERLAP = 0.9


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """How to segment; None leaves the choice to the model's card, or to the device for `batch_size`.

    `threshold` is a probability (0..1), on the outline; `sureness` the mean probability (0..1) from which an object
    counts, `species` a key of SPECIES_DIAMETER_UM, `tta` averages over flips;
    `scales` over images enlarged by these factors too; `post` names how probabilities become objects;
    `tile_px` and `halo_px` are in reading pixels. `stitch` is `own` (a pixel is decided by the tile that it is the core
    of) or `mean` (by all windows of `tile_px` that show it, which share `overlap` of their side, half by default).
    Raises ModelError for a value that makes no sense.
    """

    threshold: float | None = None
    sureness: float | None = None
    species: str | None = None
    tta: bool = False
    scales: tuple[float, ...] = ()
    post: PostName | None = None
    tile_px: int | None = None
    halo_px: int | None = None
    batch_size: int | None = None
    stitch: Stitch = "own"
    overlap: float | None = None

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if self.overlap is not None and self.stitch != "mean":
            raise ModelError("`overlap` is of windows that are averaged; give `stitch` as mean, or leave it out")
        if self.overlap is not None and not 0 <= self.overlap <= MOST_OVERLAP:
            raise ModelError(f"`overlap` is {self.overlap:g}; give a share from 0 to {MOST_OVERLAP:g}, such as 0.5")
        if not all(0.25 <= scale <= 4 for scale in self.scales):
            raise ModelError(f"`tta_scales` is {', '.join(map(str, self.scales))}; give factors from 0.25 to 4")


@dataclass(frozen=True, kw_only=True)
class SlideResult:
    """What segmenting one slide gave; outlines in level-0 pixels. `candidates` are not sure enough to count."""

    glomeruli: list[Glomerulus]
    candidates: list[Glomerulus]
    reading_mpp: float
    tissue_area_um2: float
    network_passes: float
    """Pixels that the network saw per pixel of tissue."""
    seconds: dict[str, float]
    """Wall time: `tissue`, `read` (waited for pixels), `network`, `polygons`, `total`."""


def segment_slide(
    slide: Slide,
    model: Model,
    settings: SegmentSettings,
    *,
    region: Region | None = None,
    scratch: Path | None = None,
    probability: Path | None = None,
    pace: Pace | None = None,
    progress: ProgressCount = lambda done, total: None,
) -> SlideResult:
    """Find the glomeruli of a slide, inside `region` where one is given.

    The probabilities of the slide lie in a temporary file in `scratch` while it works, and are kept as a pyramidal
    OME-TIFF at `probability` where that is given. `pace` is how the device is kept busy, where another than its own is
    wanted. Raises SlideError, MissingMppError, RunError, and what
    `Model.predict` raises.
    """
    clock = _Clock()
    mpp = reading_mpp(model.card, settings.species)
    if slide.mpp > COARSEST * mpp:
        raise SlideError(
            f"{slide.path} has {slide.mpp:g} um per pixel, too coarse for a model that reads {mpp:g}; give `mpp` if "
            "that is wrong, or a larger scan"
        )
    frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, mpp)
    wanted = find_tissue(slide).blocks(frame)
    if region is not None:
        wanted &= region.blocks(frame, margin_um=model.card.training_diameter_um * _scale(model.card, settings.species))
    tiles = _tiles(wanted, model, settings)
    clock.lap("tissue")
    with _memory_for(slide), ProbabilityMap(frame, model.card.num_classes, scratch, model.extras) as values:
        _fill(values, slide, model, settings, tiles, wanted, pace, clock, progress)
        if wanted.any() and not np.ptp(values.peaks[wanted]):
            model.check_sight()  # such as no glomerulus at all, of a network that sees none anywhere
        glomeruli, candidates = outline_map(values, model.card, settings)
        if region is not None:
            glomeruli = [one for one in glomeruli if region.holds(one.geometry)]
            candidates = [one for one in candidates if region.holds(one.geometry)]
        if probability is not None:
            values.save(probability, model.card.class_names)
        clock.lap("polygons")
    tissue_px = int(wanted.sum()) * BLOCK**2
    return SlideResult(
        glomeruli=glomeruli,
        candidates=candidates,
        reading_mpp=mpp,
        tissue_area_um2=tissue_px * mpp**2,
        network_passes=_read_px(tiles) / tissue_px if tissue_px else 0.0,
        seconds=clock.laps(),
    )


def _tiles(wanted: NDArray[np.bool_], model: Model, settings: SegmentSettings) -> list[Tile]:
    """Plan what the network sees of the `wanted` blocks."""
    side = settings.tile_px or model.card.patch_size_pixels
    if settings.stitch == "mean":
        overlap = 0.5 if settings.overlap is None else settings.overlap
        return plan_windows(wanted, window_px=side, overlap=overlap, stride=model.stride)
    halo = model.card.halo_pixels if settings.halo_px is None else settings.halo_px
    return plan_tiles(wanted, tile_px=side, halo_px=halo, stride=model.stride)


@contextmanager
def _memory_for(slide: Slide) -> Iterator[None]:
    """Raise SlideError where this machine has no memory left inside; what a device says of its own is its model's."""
    try:
        yield
    except MemoryError as error:
        raise SlideError(
            f"no memory left for {slide.path} on this machine; close other programs, or take a larger machine"
        ) from error


def reading_mpp(card: ModelCard, species: str | None) -> float:
    """Tell at how many um per pixel a model reads a species: the size at which it sees glomeruli as in training."""
    return card.mpp * _scale(card, species)


def outline_map(
    values: ProbabilityMap, card: ModelCard, settings: SegmentSettings
) -> tuple[list[Glomerulus], list[Glomerulus]]:
    """Outline a map of probabilities as a model's card and the settings say: what counts, and the candidates."""
    sureness = sureness_of(card, settings)
    glomeruli = find_glomeruli(values, outline_settings(card, settings))
    counted = [glomerulus for glomerulus in glomeruli if glomerulus.confidence >= sureness]
    return counted, [glomerulus for glomerulus in glomeruli if glomerulus.confidence < sureness]


def sureness_of(card: ModelCard, settings: SegmentSettings) -> float:
    """Tell the mean probability from which an object counts; 0 where neither card nor settings ask for any."""
    sureness = settings.sureness
    if sureness is None:
        sureness = card.dial(settings.species, tta=settings.tta).sureness
    if sureness is None:
        return 0.0
    if not 0 <= sureness <= 1:
        raise ModelError(f"sureness {sureness} is not from 0 to 1; give `sureness` as a number such as 0.9")
    return sureness


def threshold_of(card: ModelCard, settings: SegmentSettings) -> float:
    """Tell the probability on the outline: what the settings ask for, or the card's for this species and reading."""
    threshold = settings.threshold
    if threshold is None:
        threshold = card.dial(settings.species, tta=settings.tta).threshold or card.threshold
    if not 0 < threshold < 1:
        raise ModelError(f"threshold {threshold} is not between 0 and 1; give `threshold` as a number such as 0.5")
    return threshold


def outline_settings(card: ModelCard, settings: SegmentSettings) -> OutlineSettings:
    """Fit the post-processing to the species: lengths go with the diameter, areas with its square."""
    scale, post = _scale(card, settings.species), post_of(card, settings.post)
    larger = scale * card.training_diameter_um / post.diameter_um
    area = card.minimum_area_um2 * scale**2 if post.minimum_area_um2 is None else post.minimum_area_um2 * larger**2
    solidity = card.minimum_solidity if post.minimum_solidity is None else post.minimum_solidity
    return OutlineSettings(
        threshold=threshold_of(card, settings),
        minimum_area_um2=area,
        minimum_solidity=solidity,
        split_depth_um=post.waist_um * larger if post.split == "waist" else None,
        tolerance_um=0.25 * card.mpp * scale,
        exclusive=card.activation == "softmax",
        hover=post.hover.times(larger) if post.hover and card.hover else None,
        holes_um2={"below": None, "all": math.inf, "none": 0.0}[post.holes],
    )


def _scale(card: ModelCard, species: str | None) -> float:
    """Tell how much larger a species' glomeruli are than those that the model learned."""
    return 1.0 if species is None else SPECIES_DIAMETER_UM[species] / card.training_diameter_um


def _fill(
    values: ProbabilityMap,
    slide: Slide,
    model: Model,
    settings: SegmentSettings,
    tiles: list[Tile],
    wanted: NDArray[np.bool_],
    pace: Pace | None,
    clock: _Clock,
    progress: ProgressCount,
) -> None:
    """Put the network's answer for every tile into the map; blocks that nobody wanted stay zero."""
    done = 0
    progress(done, len(tiles))
    windows = None
    if settings.stitch == "mean":
        windows = MeanOfWindows(values, wanted, model.card.num_classes + len(model.extras))
    stream = predict_tiles(
        slide,
        model,
        values.frame,
        tiles,
        pace=pace or pace_for(model, settings.batch_size),
        tta=settings.tta,
        scales=settings.scales,
        waited=lambda: clock.lap("read"),
    )
    for batch, planes in stream:
        for tile, read in zip(batch, planes, strict=True):
            if windows is not None:
                windows.add(tile, read)
                continue
            rows = slice(tile.y // BLOCK, (tile.y + tile.height) // BLOCK)
            mine = wanted[rows, tile.x // BLOCK : (tile.x + tile.width) // BLOCK]
            core = tile.core(read)[:, : mine.shape[0] * BLOCK, : mine.shape[1] * BLOCK]
            values.write(tile, core if mine.all() else core * mine.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1))
        clock.lap("network")
        done += len(batch)
        progress(done, len(tiles))
    if windows is not None:
        windows.finish()


def _read_px(tiles: list[Tile]) -> int:
    return sum((tile.width + 2 * tile.halo) * (tile.height + 2 * tile.halo) for tile in tiles)


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps = dict.fromkeys(("tissue", "read", "network", "polygons"), 0.0)

    def lap(self, stage: str) -> None:
        """Count the time since the last lap to `stage`."""
        now = time.perf_counter()
        self._laps[stage] += now - self._last
        self._last = now

    def laps(self) -> dict[str, float]:
        """Return the seconds of each stage and of all."""
        return {key: round(value, 3) for key, value in (*self._laps.items(), ("total", self._last - self._start))}
