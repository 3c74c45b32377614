"""Which way of computing a model is the fastest on this machine's CPU, measured on real tissue, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from glomseg.errors import ModelError
from glomseg.geometry import Box, Bytes
from glomseg.models.card import ModelCard
from glomseg.models.device import dtype_for
from glomseg.models.engine import TOLERANCE, open_engine
from glomseg.models.machine import FastestWay, Way, processor_name
from glomseg.models.network import Network
from glomseg.models.predict import Model
from glomseg.models.store import find_model, load_network, read_card
from glomseg.slides.slide import open_slide

PLAIN = Way()
"""Torch in float32, to which all others are compared."""
WAYS = (PLAIN, Way(dtype="bfloat16"), Way(backend="openvino"), Way(backend="onnxruntime"))
WORTH_IT = 0.95
"""Another way than the usual one is taken from this share of its time on: less is lost at the start and in noise."""
SECONDS = 20.0
Clock = Callable[[], float]
ROUNDS = (3, 15)


@dataclass(frozen=True, kw_only=True)
class MeasuredWay:
    """What a way costs: `ratio` of its time to that of torch in float32, and `opening_seconds` to begin.

    `difference` is the greatest of its probabilities from those. `problem` says why it was not measured, or is not to
    be used.
    """

    way: Way
    ratio: float | None = None
    difference: float | None = None
    opening_seconds: float | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineMeasurement:
    """The ways of computing a model on this machine's CPU; `usual` is the one without a measurement."""

    model: str
    architecture: str
    processor: str
    threads: int
    tile_px: int
    rounds: int
    ways: tuple[MeasuredWay, ...]
    usual: Way
    fastest: Way

    @property
    def times_faster(self) -> float:
        """Tell how much faster than the usual way the fastest one is."""
        ratios = {one.way: one.ratio for one in self.ways}
        return (ratios.get(self.usual) or 1.0) / (ratios.get(self.fastest) or 1.0)

    def to_remember(self) -> FastestWay:
        """Return what is kept of it."""
        return FastestWay(
            way=self.fastest,
            times_faster=round(self.times_faster, 3),
            model=self.model,
            threads=self.threads,
            measured=date.today().isoformat(),
        )


def measure_machine(
    name: str | Path,
    *,
    progress: Callable[[str], None] = lambda text: None,
    seconds: float = SECONDS,
    tile_px: int | None = None,
    clock: Clock = time.perf_counter,
) -> MachineMeasurement:
    """Measure the ways of computing a model on this machine's CPU, one after the other on one tile, many times.

    A tile is as large as the model's own with its halo where `tile_px` does not say otherwise, of the tissue that comes
    with glomseg. It takes about `seconds` beside opening each; `progress` hears what is done. A `clock` of CPU time
    bears other work on the machine, and is right for one thread. Raises ModelError.
    """
    folder = find_model(name)
    card = read_card(folder)
    net = load_network(folder, card)
    if net.computed_by != "torch":
        raise ModelError(f"{card.name} is computed by {net.computed_by} alone; there is nothing to compare")
    tile = _tile(card, tile_px or card.patch_size_pixels + 2 * card.halo_pixels)
    usual = Way() if net.single_precision or dtype_for(torch.device("cpu")) is torch.float32 else WAYS[1]
    opened: dict[Way, Model] = {}
    told: dict[Way, MeasuredWay] = {}
    for way in WAYS:
        progress(f"opening {way}")
        begun = time.perf_counter()
        try:
            opened[way] = _open(card, net, way, usual)
            _seconds_of(opened[way], tile, clock)
            told[way] = MeasuredWay(way=way, opening_seconds=time.perf_counter() - begun)
        except ModelError as error:
            told[way] = MeasuredWay(way=way, problem=str(error).removeprefix("`backend` ").removesuffix("; give torch"))
    ratios, rounds = _ratios(opened, tile, seconds, clock, progress)
    ways = tuple(_judged(told[way], opened, ratios, (tile, _odd(tile))) for way in WAYS)
    return MachineMeasurement(
        model=card.name,
        architecture=card.architecture,
        processor=processor_name(),
        threads=torch.get_num_threads(),
        tile_px=tile.shape[1],
        rounds=rounds,
        ways=ways,
        usual=usual,
        fastest=choose_way(ways, usual),
    )


def choose_way(ways: tuple[MeasuredWay, ...], usual: Way) -> Way:
    """Return the fastest of the ways that can be used, but the usual one where that is not clearly slower."""
    ratios = {one.way: one.ratio for one in ways if one.ratio is not None and not one.problem}
    fastest = min(ratios, key=lambda way: ratios[way], default=usual)
    return usual if ratios.get(usual, 0.0) * WORTH_IT < ratios.get(fastest, 1.0) else fastest


def _open(card: ModelCard, net: Network, way: Way, usual: Way) -> Model:
    cpu = torch.device("cpu")
    if way.backend != "torch":
        return Model(card, net, cpu, engine=open_engine(card, net, way.backend))
    if way.dtype == "bfloat16" and usual.dtype != "bfloat16":
        why = "this network needs float32" if net.single_precision else "this processor has no instructions for it"
        raise ModelError(why)
    return Model(card, net, cpu, getattr(torch, way.dtype))


def _ratios(
    opened: dict[Way, Model], tile: Bytes, seconds: float, clock: Clock, progress: Callable[[str], None]
) -> tuple[dict[Way, float], int]:
    """Compute the tile by each in turn; return the median of each round's times over that of torch in float32."""
    once = sum(_seconds_of(model, tile, clock) for model in opened.values())
    rounds = int(np.clip(seconds / once, *ROUNDS))
    ratios: dict[Way, list[float]] = {way: [] for way in opened}
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        took = {way: _seconds_of(model, tile, clock) for way, model in opened.items()}
        for way, taken in took.items():
            ratios[way].append(taken / took[PLAIN])
    return {way: statistics.median(values) for way, values in ratios.items()}, rounds


def _judged(
    measured: MeasuredWay, opened: dict[Way, Model], ratios: dict[Way, float], tiles: tuple[Bytes, ...]
) -> MeasuredWay:
    """Add how fast a way was, and how far its probabilities lie from those of torch in float32."""
    way = measured.way
    if way not in opened:
        return measured
    apart = max(float(np.abs(opened[way].unrounded(one) - opened[PLAIN].unrounded(one)).max()) for one in tiles)
    wrong = way.backend != "torch" and not apart <= TOLERANCE
    return MeasuredWay(
        way=way,
        ratio=ratios[way],
        difference=apart,
        opening_seconds=measured.opening_seconds,
        problem=f"its values lie more than {TOLERANCE:g} from those of torch" if wrong else "",
    )


def _seconds_of(model: Model, tile: Bytes, clock: Clock) -> float:
    begun = clock()
    model.predict_planes(tile)
    return clock() - begun


def _tile(card: ModelCard, side: int) -> Bytes:
    """Read a tile (1, side, side, 3) from the middle of the sample, at the model's mpp."""
    with open_slide(Path(str(resources.files("glomseg") / "sample/kidney_biopsy.tif"))) as slide:
        width, height = (side * card.mpp / mpp for mpp in slide.pixel_size)
        box = Box((slide.width - width) / 2, (slide.height - height) / 2, width, height)
        return np.ascontiguousarray(slide.read(box, card.mpp)[None, :side, :side])


def _odd(tile: Bytes) -> Bytes:
    """Cut two pictures of sides that fit no stride out of a tile."""
    height, width = (max(1, side * 2 // 5) | 1 for side in tile.shape[1:3])
    return np.concatenate([tile[:, :height, :width], tile[:, -height:, -width:]])
