"""What decides a training but its data: a table of settings, read from a recipe, a TOML file and `key=value` words."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import tomli_w

from glomseg.errors import ModelError, TrainingError
from glomseg.files import write_text
from glomseg.models.card import SPECIES_DIAMETER_UM
from glomseg.models.variable_unet import base_width
from glomseg.training.augment.augment import AugmentConfig

DEFAULT_RECIPE = "glomseg"
STARTER = "pas-starter"
HARDWARE = ("workers", "cache_mb", "batch_size", "batch_limit")
"""Settings that a training may go on with others of: they fit it to a machine."""


def _of(default: Any, *, low: float | None = None, high: float | None = None, among: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "among": tuple(among)})


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """All settings of a training; the recipes say why theirs are as they are. Sizes in px are reading pixels.

    What is learned from: `sample` is `crop` (squares of `crop_px` out of the images; `margin_px` more is cut on each
    side, augmented, and cut off again) or `whole` (each image once an epoch, resized to `crop_px`). A `spacing_um_px`
    of 0 is that at which a glomerulus of `species` measures `diameter_px`; `samples_per_epoch` of 0 is the number of
    training images.
    A share `positive_share` of the crops lies on a glomerulus, `hard_share` on hard negatives if there are any, the
    rest anywhere; `balance` draws slides, cases or groups equally often. Into `paste_share` of the crops glomeruli of
    other slides are pasted.

    How: `batch_size` 0 is what memory holds, at most `batch_limit`; `warm_up` is a share of the training;
    `ema_decay` 0 and `clip_norm` 0 switch averaging and clipping off. `mining_every` epochs, `mining_images` training
    images are searched for false positives (0: never).

    How it is judged: on `validation_limit` (0: all) whole validation images each `validate_every` epochs; it stops
    after `patience` (0: never) epochs without a better object F1. `minimum_area_um2` of 0 is a fifth of a
    glomerulus.
    """

    classes: tuple[str, ...] = ("Glomerulus",)
    species: str = _of("human", among=tuple(SPECIES_DIAMETER_UM))
    sample: str = _of("crop", among=("crop", "whole"))
    spacing_um_px: float = _of(0.0, low=0)
    diameter_px: float = _of(80.0, low=16)
    crop_px: int = _of(256, low=32)
    margin_px: int = _of(32, low=0)
    samples_per_epoch: int = _of(0, low=0)
    positive_share: float = _of(0.5, low=0, high=1)
    hard_share: float = _of(0.2, low=0, high=1)
    balance: str = _of("slide", among=("slide", "case", "group", "none"))
    paste_share: float = _of(0.0, low=0, high=1)

    patch_size: int = _of(512, low=256)
    loss: str = _of("bce-dice", among=("bce-dice", "dice-focal"))
    loss_a: float = _of(0.6, low=0, high=1)
    loss_pos_weight: float = _of(1.5, low=0)
    loss_gamma: float = _of(2.0, low=0)
    optimizer: str = _of("adamw", among=("adam", "adamw"))
    learning_rate: float = _of(2e-3, low=1e-9)
    weight_decay: float = _of(1e-3, low=0)
    schedule: str = _of("cosine", among=("cosine", "constant"))
    warm_up: float = _of(0.04, low=0, high=0.9)
    clip_norm: float = _of(1.0, low=0)
    ema_decay: float = _of(0.997, low=0, high=0.99999)
    epochs: int = _of(40, low=1)
    batch_size: int = _of(0, low=0)
    batch_limit: int = _of(16, low=2, high=64)
    seed: int = _of(0, low=0)
    precision: str = _of("auto", among=("auto", "32-true", "bf16-mixed", "16-mixed"))
    workers: int = _of(-1, low=-1)
    cache_mb: int = _of(512, low=0)

    split_by: str = _of("slide", among=("slide", "case"))
    validation_share: float = _of(0.15, low=0, high=0.9)
    test_share: float = _of(0.15, low=0, high=0.9)
    validate_every: int = _of(1, low=1)
    validation_limit: int = _of(0, low=0)
    thresholds: tuple[float, ...] = (0.3, 0.5, 0.7, 0.85)
    patience: int = _of(12, low=0)
    minimum_area_um2: float = _of(0.0, low=0)
    minimum_solidity: float = _of(0.8, low=0, high=1)
    mining_every: int = _of(0, low=0)
    mining_images: int = _of(100, low=1)
    tile_px: int = _of(512, low=64)
    halo_px: int = _of(48, low=0)

    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def __post_init__(self) -> None:
        """Check what holds between settings."""
        if len(self.classes) != 1:
            raise TrainingError(f"classes is {list(self.classes)}: this glomseg runs models of one class; name one")
        if self.crop_px % 16 or self.margin_px % 16:
            raise TrainingError(f"crop_px {self.crop_px} and margin_px {self.margin_px} must be multiples of 16")
        if self.batch_size == 1:
            raise TrainingError("batch_size is 1, which BatchNorm cannot learn from; give 2 or more, or 0 for auto")
        if self.positive_share + self.hard_share > 1:
            raise TrainingError(
                f"positive_share {self.positive_share} and hard_share {self.hard_share} are more than 1; lower one"
            )
        if not self.thresholds or not all(0 < value < 1 for value in self.thresholds):
            raise TrainingError(f"thresholds is {list(self.thresholds)}, not numbers between 0 and 1; correct them")
        try:
            base_width(self.patch_size)
        except ModelError as error:
            raise TrainingError(f"patch_size: {error}") from error

    @property
    def diameter_um(self) -> float:
        """The diameter of a glomerulus of the species."""
        return SPECIES_DIAMETER_UM[self.species]

    @property
    def reading_um_px(self) -> float:
        """The spacing at which images are read."""
        return self.spacing_um_px or round(self.diameter_um / self.diameter_px, 4)

    @property
    def area_um2(self) -> float:
        """The smallest area of an object."""
        return self.minimum_area_um2 or round(0.2 * math.pi / 4 * self.diameter_um**2, 1)

    def to_toml(self) -> str:
        """Return all settings as TOML."""
        return tomli_w.dumps(_plain(dataclasses.asdict(self)))

    def differences(self, other: TrainConfig) -> list[str]:
        """Name the settings, those of `HARDWARE` left out, in which two configurations differ."""
        names = [item.name for item in dataclasses.fields(self) if item.name not in HARDWARE]
        return [name for name in names if getattr(self, name) != getattr(other, name)]


def recipe_names() -> list[str]:
    """List the recipes that come with glomseg."""
    folder = resources.files("glomseg.training") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def read_config(
    *,
    recipe: str | None = None,
    file: Path | None = None,
    words: Sequence[str] = (),
    under: Mapping[str, Any] | None = None,
    default: str = DEFAULT_RECIPE,
    **given: Any,
) -> TrainConfig:
    """Put settings together: a recipe's, over them those of a TOML file, over them `key=value` words, then `given`.

    `under` lies between the recipe and the file. A file may name its own `recipe`; where nobody names one it is
    `default`. Keys of `given` that are None are left out. Raises TrainingError, which names the key and what is
    allowed.
    """
    table = {} if file is None else _parsed(_text_of(file), str(file))
    named = table.pop("recipe", None)
    base = _recipe(str(recipe or named or default))
    for word in words:
        _merge(table, _assigned(word))
    _merge(base, under or {})
    _merge(base, table)
    _merge(base, {key: value for key, value in given.items() if value is not None})
    made: TrainConfig = _made(TrainConfig, base, "")
    return made


def parse_config(text: str) -> TrainConfig:
    """Read what `to_toml` wrote; raises TrainingError."""
    made: TrainConfig = _made(TrainConfig, _parsed(text, "settings"), "")
    return made


def write_config(config: TrainConfig, path: Path) -> None:
    """Write the settings as TOML, whole or not at all."""
    write_text(path, config.to_toml())


def _recipe(name: str) -> dict[str, Any]:
    if name == STARTER:
        raise TrainingError(
            f"recipe {STARTER!r} made the shipped model of composed images, and lies with its code in tools/starter "
            f"of glomseg's sources; to go on from that model, use --start {STARTER}"
        )
    if name not in recipe_names():
        raise TrainingError(f"no recipe {name!r}; there are {', '.join(recipe_names())}, or give a file with --config")
    text = (resources.files("glomseg.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return _parsed(text, f"recipe {name}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); give a TOML file of settings") from error


def _parsed(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{origin}: not TOML ({error}); correct it") from error


def _assigned(word: str) -> dict[str, Any]:
    """Turn `augment.blur=0.5` into nested tables; a value that is not TOML is a text."""
    key, equals, text = word.partition("=")
    if not equals or not key.strip():
        raise TrainingError(f"{word!r} sets nothing; write key=value, such as epochs=20")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return dict(value)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _made(kind: Any, table: Mapping[str, Any], prefix: str) -> Any:
    """Make a dataclass of a table, each key and type checked."""
    if kind is TrainConfig:
        table = {key: value for key, value in table.items() if key != "compose"}  # of the starter, in older files
    hints, fields = get_type_hints(kind), {item.name: item for item in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1)
            meant = f"do you mean {prefix}{near[0]}?" if near else f"there are {', '.join(fields)}"
            raise TrainingError(f"no setting {prefix}{key}; {meant}")
        name = prefix + key
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, Mapping):
                raise TrainingError(f"{name} is {value!r}, not a table; write {name}.key=value")
            values[key] = _made(hints[key], value, f"{name}.")
            continue
        values[key] = _checked(name, 0 if key == "batch_size" and value == "auto" else value, hints[key])
        _check_range(name, values[key], fields[key].metadata)
    return kind(**values)


_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _checked(name: str, value: Any, kind: Any) -> Any:
    """Return `value` as `kind`; raise TrainingError, which names the setting and what it takes."""
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        open_end = len(inner) == 2 and inner[1] is Ellipsis
        if not isinstance(value, list | tuple) or (not open_end and len(value) != len(inner)):
            count = "" if open_end else f"{len(inner)} "
            raise TrainingError(f"{name} is {value!r}, not a list of {count}{_WORDS[inner[0]].removeprefix('a ')}s")
        return tuple(_checked(name, item, inner[0] if open_end else inner[i]) for i, item in enumerate(value))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise TrainingError(f"{name} is {value!r}; it is one of {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TrainingError(f"{name} is {value!r}, not {_WORDS[kind]}")
    if kind is float and not math.isfinite(value):
        raise TrainingError(f"{name} is {value!r}, not a finite number")
    return value


def _check_range(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    low, high, among = limits.get("low"), limits.get("high"), limits.get("among")
    if among and value not in among:
        raise TrainingError(f"{name} is {value!r}; it is one of {', '.join(among)}")
    if (low is not None and value < low) or (high is not None and value > high):
        bound = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
        raise TrainingError(f"{name} is {value!r}; give {bound}")


def _plain(table: Any) -> Any:
    """Turn tuples into lists, all the way down."""
    if isinstance(table, Mapping):
        return {key: _plain(value) for key, value in table.items()}
    return [_plain(item) for item in table] if isinstance(table, tuple | list) else table
