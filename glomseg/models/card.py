"""The card of a model: what it is, how to feed it, what it was trained on; and where models lie. Needs no torch."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from glomseg.errors import ModelError
from glomseg.files import replacing

FORMAT_VERSION = 1
CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
README_NAME = "README.md"
PACK_SUFFIX = ".glomseg"
SEARCH_VARIABLE = "GLOMSEG_MODELS"
"""Folders of models, separated as in PATH, that are searched before the user's own and the shipped ones."""

SPECIES_DIAMETER_UM = {"mouse": 75.0, "rat": 120.0, "human": 200.0}
"""Mean diameter of a glomerulus; a network sees all species at the one size that it was trained on."""

Colour = tuple[int, int, int]
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A data set that a model has seen, its licence, and where it comes from."""

    name: str
    licence: str
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Everything about a model but its weights; field names follow WSInfer's config.json where the meaning is the same.

    `patch_size_pixels` is the box that a tile owns and `halo_pixels` the margin read around it, both at
    `spacing_um_px`. That spacing and `minimum_area_um2` hold for glomeruli of `training_diameter_um`: for another
    species they go with the diameter and with its square. `mean` and `std` apply to RGB in 0..1, if not None.
    """

    name: str
    description: str
    architecture: str = "variable-unet"
    architecture_args: Mapping[str, Any] = field(default_factory=lambda: {"patch_size": 512})
    num_classes: int = 1
    class_names: tuple[str, ...] = ("Glomerulus",)
    class_colors: tuple[Colour, ...] = ((0, 200, 0),)
    patch_size_pixels: int = 512
    halo_pixels: int = 48
    spacing_um_px: float
    mean: Triple | None = None
    std: Triple | None = None
    threshold: float = 0.5
    minimum_area_um2: float
    minimum_solidity: float = 0.0
    species: str
    training_diameter_um: float
    training_data: tuple[TrainingData, ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Return the text of card.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = CARD_NAME) -> ModelCard:
        """Read a card; raise ModelError, which names `origin`, for anything that is missing, wrong or too new."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f"{origin}: not JSON ({error}); fetch or save the model again") from error
        if not isinstance(data, dict):
            raise ModelError(f"{origin}: not a JSON object; fetch or save the model again")
        version = data.get("format_version")
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise ModelError(
                f"{origin}: format_version {version!r}, but this glomseg reads {FORMAT_VERSION}; "
                "update glomseg, or export the model again"
            )
        missing = [name for name in _READERS if name not in data]
        if missing:
            raise ModelError(f"{origin}: no {', '.join(missing)}; add what is missing to the card")
        values = {}
        for name, reader in _READERS.items():
            try:
                values[name] = reader(data[name])
            except ValueError as error:
                raise ModelError(f"{origin}: {name} is {data[name]!r}, not {error}; correct the card") from error
        card = cls(**values)
        _check_whole(card, origin)
        return card


def _check_whole(card: ModelCard, origin: str) -> None:
    """Check what holds between fields."""
    if not len(card.class_names) == len(card.class_colors) == card.num_classes:
        raise ModelError(
            f"{origin}: num_classes is {card.num_classes}, but there are {len(card.class_names)} class_names and "
            f"{len(card.class_colors)} class_colors; make them agree"
        )
    if card.num_classes != 1:
        raise ModelError(f"{origin}: num_classes is {card.num_classes}; this glomseg runs models of one class")
    if (card.mean is None) != (card.std is None):
        raise ModelError(f"{origin}: mean and std must both be there or both be null; correct the card")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a text")
    return value


def _whole(low: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise ValueError(f"a whole number of at least {low}")
        return value

    return read


def _number(low: float, high: float = float("inf"), *, above: bool = False) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not good or (above and value == low) or value == float("inf"):
            raise ValueError(
                f"a number {'above' if above else 'from'} {low:g}" + (f" to {high:g}" if high < 1e9 else "")
            )
        return float(value)

    return read


def _items(reader: Callable[[Any], Any], length: int | None = None) -> Callable[[Any], tuple[Any, ...]]:
    def read(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            raise ValueError("a list" if length is None else f"a list of {length}")
        return tuple(reader(item) for item in value)

    return read


def _optional(reader: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else reader(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a JSON object")
    return value


def _colour_value(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise ValueError("colours of 0 to 255")
    return value


def _data_set(value: Any) -> TrainingData:
    if not isinstance(value, dict) or set(value) != {"name", "licence", "source"}:
        raise ValueError("a list of objects with name, licence and source")
    return TrainingData(**{key: _text(item) for key, item in value.items()})


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError("a sha256 of 64 hexadecimal digits")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "format_version": _whole(1),
    "name": _text,
    "description": _text,
    "architecture": _text,
    "architecture_args": _object,
    "num_classes": _whole(1),
    "class_names": _items(_text),
    "class_colors": _items(_items(_colour_value, 3)),
    "patch_size_pixels": _whole(16),
    "halo_pixels": _whole(0),
    "spacing_um_px": _number(0, above=True),
    "mean": _optional(_items(_number(0, 1), 3)),
    "std": _optional(_items(_number(0, above=True), 3)),
    "threshold": _number(0, 1),
    "minimum_area_um2": _number(0),
    "minimum_solidity": _number(0, 1),
    "species": _text,
    "training_diameter_um": _number(0, above=True),
    "training_data": _items(_data_set),
    "scores": _object,
    "weights_sha256": _sha256,
}


def read_card(folder: Path) -> ModelCard:
    """Read `folder/card.json`; raise ModelError where it is not there or not right."""
    path = folder / CARD_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: no {CARD_NAME} in it; give a model's folder or name") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); fetch the model again") from error
    return ModelCard.from_json(text, str(path))


def write_card(folder: Path, card: ModelCard) -> None:
    """Write `folder/card.json` whole or not at all."""
    with replacing(folder / CARD_NAME) as path:
        path.write_text(card.to_json(), encoding="utf-8")


def shipped_folder() -> Path:
    """Return the folder of the models that come with glomseg: installed, or beside the package in a checkout."""
    try:
        return Path(str(resources.files("glomseg_models")))
    except ModuleNotFoundError:
        return Path(__file__).resolve().parents[1] / "models"


def user_folder() -> Path:
    """Return the folder for the models that this user adds: the first of GLOMSEG_MODELS, or one at home."""
    own = _search_folders()[:-1]
    if not own:
        raise ModelError(f"this user has no home folder for models; give a folder, or set {SEARCH_VARIABLE}")
    return own[0]


def _search_folders() -> list[Path]:
    folders = [Path(part) for part in os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep) if part]
    with suppress(RuntimeError):  # a user without a home
        folders.append(Path.home() / ".glomseg" / "models")
    return [*folders, shipped_folder()]


def list_models() -> dict[str, Path]:
    """Return name -> folder of every model that a name finds, sorted; nothing is read but the names."""
    found: dict[str, Path] = {}
    for folder in _search_folders():
        with suppress(OSError):  # not there, or not ours to read
            for path in sorted(folder.iterdir()):
                if not path.name.startswith(".") and (path / CARD_NAME).is_file():
                    found.setdefault(path.name, path)
    return dict(sorted(found.items()))


def find_model(name: str | Path) -> Path:
    """Return the folder of a model given as a path or by name; raise ModelError, which lists what there is."""
    path = Path(name)
    if (path / CARD_NAME).is_file():
        return path
    if path.suffix == PACK_SUFFIX and path.is_file():
        raise ModelError(f"{path} is a packed model; run `glomseg models unpack {path}` once, then give its name")
    known = list_models()
    if str(name) in known:
        return known[str(name)]
    listed = ", ".join(known) or "none"
    raise ModelError(
        f"no model {str(name)!r}: known are {listed}; give one of them, a model's folder, or set {SEARCH_VARIABLE}"
    )
