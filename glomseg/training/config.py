"""What decides a training but its data: tables of settings. `config_file` reads them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import tomli_w

from glomseg.errors import TrainingError
from glomseg.models.card import SPECIES_DIAMETER_UM, Head, PostName
from glomseg.settings import limited, plain
from glomseg.training.augment.augment import AugmentConfig

ARCHITECTURE = "variable-unet"
MAX_CLASSES = 64
HARDWARE = ("data.workers", "data.cache_mb", "model.pretrained", "optimiser.batch_size", "optimiser.batch_limit")
"""Settings that a training may go on with others of: they fit it to a machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What is learned from, and how it is split. Sizes in px are those that the network reads.

    `sample` is `crop` (squares of `crop_px` out of the images; `margin_px` more is cut on each side, augmented, and cut
    off again) or `whole` (each image once an epoch, resized to `crop_px`). `samples_per_epoch` of 0 is the number of
    training images.

    A share `positive_share` of the crops lies on a glomerulus, `hard_share` on hard negatives if there are any, the
    rest anywhere; `balance` draws slides, cases or groups equally often. Into `paste_share` of the crops glomeruli of
    other slides are pasted. Each `mining_every` epochs `mining_images` training images are searched for false positives
    (0: never).

    `label_classes` are the classes that the labels tell apart, where those are more than `model.classes`: what is of
    one of the others is background, a class derived from one of the model's too.

    `workers` are the processes that make samples (-1: the cores but one), each keeps up to `cache_mb` of images.
    """

    sample: Literal["crop", "whole"] = "crop"
    crop_px: int = limited(256, low=32)
    margin_px: int = limited(32, low=0)
    samples_per_epoch: int = limited(0, low=0)
    positive_share: float = limited(0.5, low=0, high=1)
    hard_share: float = limited(0.2, low=0, high=1)
    balance: Literal["slide", "case", "group", "none"] = "slide"
    paste_share: float = limited(0.0, low=0, high=1)
    mining_every: int = limited(0, low=0)
    mining_images: int = limited(100, low=1)
    split_by: Literal["slide", "case"] = "slide"
    validation_share: float = limited(0.15, low=0, high=0.9)
    test_share: float = limited(0.15, low=0, high=0.9)
    workers: int = limited(-1, low=-1)
    cache_mb: int = limited(512, low=0)
    label_classes: tuple[str, ...] = limited((), pattern=r"\S(.*\S)?", what="the name of a class")

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if self.crop_px % 16 or self.margin_px % 16:
            raise TrainingError(
                f"data.crop_px {self.crop_px} and data.margin_px {self.margin_px} must be multiples of 16; correct them"
            )
        if self.positive_share + self.hard_share > 1:
            raise TrainingError(
                f"data.positive_share {self.positive_share} and data.hard_share {self.hard_share} are more than 1; "
                "lower one"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The network, and what its card says of it.

    `arguments` are those of the architecture: `patch_size` decides the width of variable-unet. It reads at `mpp` um per
    pixel; 0 is that at which a glomerulus of `species` measures `diameter_px`. On slides it is run on tiles of
    `tile_px` with a margin of `halo_px`. `heads` are mask, and hover to tell objects apart that touch; `post` names how
    probabilities become objects.

    `pretrained` is a folder or file of safetensors with weights of the network's encoder, which nothing downloads;
    colours are brought to `mean` and `std` (of RGB in 0..1, three each, or none), as such weights expect.
    """

    architecture: str = ARCHITECTURE
    arguments: Mapping[str, Any] = limited({"patch_size": 512})
    classes: tuple[str, ...] = limited(("Glomerulus",), pattern=r"\S(.*\S)?", what="the name of a class")
    species: str = limited("human", among=SPECIES_DIAMETER_UM)
    mpp: float = limited(0.0, low=0)
    diameter_px: float = limited(80.0, low=16)
    tile_px: int = limited(512, low=64)
    halo_px: int = limited(48, low=0)
    heads: tuple[Head, ...] = ("mask",)
    post: PostName = "glomseg"
    pretrained: str = ""
    mean: tuple[float, ...] = limited((), low=0, high=1)
    std: tuple[float, ...] = limited((), low=1e-3, high=10)

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if (len(self.mean), len(self.std)) not in ((0, 0), (3, 3)):
            raise TrainingError(
                f"model.mean is {list(self.mean)} and model.std {list(self.std)}; give three each, or none"
            )
        if not 0 < len(set(self.classes)) == len(self.classes) <= MAX_CLASSES:
            raise TrainingError(f"model.classes is {list(self.classes)}; name 1 to {MAX_CLASSES} classes, each once")

    @property
    def hover(self) -> bool:
        """Tell whether objects that touch are to come apart by a head of the network."""
        return "hover" in self.heads


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """The loss: `a` is the share of the cross entropy (the rest is Dice), `pos_weight` how much a positive counts.

    `pos_weight` is one number, or a list of one a class. `gamma` is the focus of `dice-focal`; `eps` smooths Dice.
    With the head `hover` the squared error of the places counts `hover_mse`, that of their slopes in objects, by a
    Sobel filter of 5 px, `hover_slope`.
    """

    kind: Literal["bce-dice", "dice-focal"] = "bce-dice"
    a: float = limited(0.6, low=0, high=1)
    pos_weight: float | tuple[float, ...] = limited(1.5, above=0)
    gamma: float = limited(2.0, low=0)
    eps: float = limited(1e-6, above=0)
    hover_mse: float = limited(2.0, low=0)
    hover_slope: float = limited(1.0, low=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiserConfig:
    """How it learns: `batch_size` 0 is what memory holds, at most `batch_limit`; `warm_up` is a share of the training.

    After it the rate falls as `schedule` says: half a cosine, `linear` to 0, `poly` (power 0.9) to 0, or not. The
    network's backbone moves at `backbone_rate` times the rate. Without `decay_norms` the weight decay leaves out what
    has one dimension (norms, biases) and embeddings. `ema_decay` 0 and `clip_norm` 0 switch averaging and clipping off.
    """

    kind: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = limited(2e-3, low=1e-9)
    weight_decay: float = limited(1e-3, low=0)
    decay_norms: bool = True
    backbone_rate: float = limited(1.0, above=0, high=1)
    schedule: Literal["cosine", "linear", "poly", "constant"] = "cosine"
    warm_up: float = limited(0.04, low=0, high=0.9)
    clip_norm: float = limited(1.0, low=0)
    ema_decay: float = limited(0.997, low=0, high=0.99999)
    batch_size: int = limited(0, low=0)
    batch_limit: int = limited(16, low=2, high=64)
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if self.batch_size == 1:
            raise TrainingError(
                "optimiser.batch_size is 1, which BatchNorm cannot learn from; give 2 or more, or 0 for auto"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig:
    """How it is judged: on `limit` (0: all) whole validation images each `every` epochs.

    It stops after `patience` (0: never) epochs without a better object F1. `minimum_area_um2` of 0 is a fifth of a
    glomerulus. With a single threshold that one stands; of several the best is kept.
    """

    every: int = limited(1, low=1)
    limit: int = limited(0, low=0)
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85)
    patience: int = limited(12, low=0)
    minimum_area_um2: float = limited(0.0, low=0)
    minimum_solidity: float = limited(0.8, low=0, high=1)

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if not self.thresholds or not all(0 < value < 1 for value in self.thresholds):
            raise TrainingError(
                f"validation.thresholds is {list(self.thresholds)}, not numbers between 0 and 1; correct them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """All settings of a training; the recipes say why theirs are as they are.

    With `minutes` a model is adapted in about that time, judging included; 0 trains for so many `epochs`.
    """

    epochs: int = limited(40, low=1)
    seed: int = limited(0, low=0)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    minutes: float = limited(0.0, low=0, high=600)

    def __post_init__(self) -> None:
        """Check what holds between tables."""
        unknown = [name for name in self.model.classes if name not in self.data.label_classes]
        if self.data.label_classes and unknown:
            raise TrainingError(
                f"data.label_classes is {list(self.data.label_classes)}, without {', '.join(unknown)} of "
                "model.classes; name all classes that the labels tell apart, or none"
            )

    @property
    def diameter_um(self) -> float:
        """The diameter of a glomerulus of the species."""
        return SPECIES_DIAMETER_UM[self.model.species]

    @property
    def model_mpp(self) -> float:
        """The um per pixel at which the network reads."""
        return self.model.mpp or round(self.diameter_um / self.model.diameter_px, 4)

    @property
    def minimum_area_um2(self) -> float:
        """The smallest area of an object."""
        return self.validation.minimum_area_um2 or round(0.2 * math.pi / 4 * self.diameter_um**2, 1)

    def to_toml(self) -> str:
        """Return all settings as TOML."""
        return tomli_w.dumps(plain(self))

    def differences(self, other: TrainConfig) -> list[tuple[str, Any, Any]]:
        """Return name, own and other value of each setting, those of `HARDWARE` left out, in which two differ."""
        mine, theirs = dict(_leaves(self)), dict(_leaves(other))
        names = [name for name in {**mine, **theirs} if name not in HARDWARE]
        return [(name, mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)]


def _leaves(record: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each setting with its dotted name."""
    fields = dataclasses.fields(record) if dataclasses.is_dataclass(record) else ()
    items = {item.name: getattr(record, item.name) for item in fields} if fields else dict(record)
    for name, value in items.items():
        if dataclasses.is_dataclass(value) or isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def setting_names() -> list[str]:
    """List the dotted names of all settings."""
    return [name for name, _ in _leaves(TrainConfig())]
