"""The card of a model: what it is, how to feed it, what it was trained on. Needs no torch.

A card comes from anybody: every field has a type, and every number bounds, so that a wrong or a hostile one is
refused by name before anything is built or read from it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from glomseg.errors import ModelError
from glomseg.files import json_text
from glomseg.settings import limited, parse_json, read_record

FORMAT_VERSION = 1
CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
FOREIGN_WEIGHTS = {"torchscript": "model.ts", "onnx": "model.onnx"}
"""Architectures whose file holds the network itself -> that file's name."""
README_NAME = "README.md"
DEFAULT_MODEL = "pas-starter"
CARD_BYTES = 1 << 20
"""The longest card that is read."""

SPECIES_DIAMETER_UM = {"mouse": 75.0, "rat": 120.0, "human": 200.0}
"""Mean diameter of a glomerulus; a network sees all species at the one size that it was trained on."""

Colour = tuple[int, int, int]
Triple = tuple[float, float, float]
Activation = Literal["sigmoid", "softmax"]
Head = Literal["mask", "hover"]
PostName = Literal["glomseg", "glomnet", "cap", "salt-fish"]


def _text(limit: int, default: Any = dataclasses.MISSING) -> Any:
    """Return a field that is a text, or holds texts, of 1 to `limit` characters."""
    return limited(default, pattern=rf"(?s).{{1,{limit}}}", what=f"a text of 1 to {limit:,} characters")


@dataclass(frozen=True, slots=True)
class TrainingData:
    """A data set that a model has seen, its licence, and where it comes from."""

    name: str = _text(10_000)
    licence: str = _text(10_000)
    source: str = _text(10_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dial:
    """Another threshold or sureness than the card's for a species, or with or without flips; None stands for any.

    A threshold or sureness of None leaves the card's.
    """

    species: str | None = limited(None, among=SPECIES_DIAMETER_UM)
    tta: bool | None = None
    threshold: float | None = limited(None, above=0, high=0.999)
    sureness: float | None = limited(None, low=0, high=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """The colours of the tissue that a model has learned (see `segment.look`), of a `stain`.

    `mean` of four shares, `precision` the inverse of their covariance; a slide further away than `limit` is doubted.
    `method` says on what these were measured.
    """

    stain: str = _text(100)
    mean: tuple[float, float, float, float] = limited(low=-10, high=10)
    precision: tuple[tuple[float, ...], ...] = limited(low=-1e9, high=1e9)
    limit: float = limited(above=0, high=1e6)
    method: str = limited("", pattern=r"(?s).{0,10000}", what="a text of at most 10,000 characters")

    def __post_init__(self) -> None:
        """Check the size of the matrix; raises ValueError."""
        if [len(row) for row in self.precision] != [4] * 4:
            raise ValueError("precision has not four rows of four numbers; correct it")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Everything about a model but its weights; keys in the file follow WSInfer's where the meaning is the same.

    `patch_size_pixels` is the box that a tile owns and `halo_pixels` the margin read around it, both at `mpp` um per
    pixel (`spacing_um_px` in the file). `mpp` and `minimum_area_um2` hold for glomeruli of `training_diameter_um`: for
    another species they go with the diameter and with its square. `mean` and `std` apply to RGB in 0..1, if not None.

    `threshold` is where an outline runs; an object counts where its mean probability is at least `sureness` (None:
    all count), and what is less sure is a candidate, kept aside; of `dials` for a species or flips the first that fits
    goes before both. `activation` turns a pixel's logits into
    probabilities: `sigmoid` of each class by itself; `softmax` over the classes and a background of logit 0, so that
    classes exclude each other. A network with the head `hover` also gives, for each pixel of an object, how far to the
    right and how far down in it that pixel lies (-1..1), by which objects that touch come apart. `post` names how
    probabilities become objects, see `glomseg.segment.post`.
    """

    name: str = _text(200)
    description: str = _text(10_000)
    architecture: str = _text(100, "variable-unet")
    architecture_args: Mapping[str, Any] = limited({"patch_size": 512})
    activation: Activation = "sigmoid"
    heads: tuple[Head, ...] = ("mask",)
    post: PostName = "glomseg"
    num_classes: int = limited(1, low=1, high=64)
    class_names: tuple[str, ...] = _text(100, ("Glomerulus",))
    class_colors: tuple[Colour, ...] = limited(((0, 200, 0),), low=0, high=255)
    patch_size_pixels: int = limited(512, low=16, high=4096)
    halo_pixels: int = limited(48, low=0, high=512)
    mpp: float = limited(low=0.05, high=100, key="spacing_um_px")
    mean: Triple | None = limited(None, low=0, high=1)
    std: Triple | None = limited(None, low=1e-3, high=10)
    threshold: float = limited(0.5, above=0, high=0.999)
    sureness: float | None = limited(None, low=0, high=1)
    dials: tuple[Dial, ...] = ()
    look: Look | None = None
    minimum_area_um2: float = limited(low=0, high=1e8)
    minimum_solidity: float = limited(0.0, low=0, high=1)
    species: str = _text(100)
    training_diameter_um: float = limited(low=1, high=10_000)
    training_data: tuple[TrainingData, ...] = ()
    scores: Mapping[str, Any] = limited({})
    weights_sha256: str = limited("", pattern="[0-9a-f]{64}", what="a sha256 of 64 hexadecimal digits")
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check what holds between fields; raises ValueError."""
        if not len(self.class_names) == len(self.class_colors) == self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, but there are {len(self.class_names)} class_names and "
                f"{len(self.class_colors)} class_colors; make them agree"
            )
        if len(set(self.class_names)) < self.num_classes:
            raise ValueError("class_names has a name twice; give each class its own")
        if "mask" not in self.heads or len(set(self.heads)) < len(self.heads):
            raise ValueError(f"heads is {list(self.heads)}; name mask, and hover where the network has it, each once")
        for name in self.class_names:
            if name.endswith("*") or name.partition(":")[0].strip().casefold() == "candidate":
                raise ValueError(f"class_names has {name}, which counts as nothing; name the class otherwise")
        for dial in ("threshold", "sureness"):
            places = [(one.species, one.tta) for one in self.dials if getattr(one, dial) is not None]
            if len(set(places)) < len(places):
                raise ValueError(f"dials says {dial} twice for the same species and flips; leave one of them out")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std must both be there or both be null; correct the card")

    @property
    def hover(self) -> bool:
        """Tell whether the network has the head that tells objects apart which touch."""
        return "hover" in self.heads

    @property
    def weights_name(self) -> str:
        """Name of the file that holds the weights, beside the card."""
        return FOREIGN_WEIGHTS.get(self.architecture, WEIGHTS_NAME)

    def dial(self, species: str | None, *, tta: bool = False) -> Dial:
        """Return threshold and sureness for a species (None: the model's own), read with flips or without."""
        species = species or self.species
        fitting = [one for one in self.dials if one.species in (None, species) and one.tta in (None, tta)]
        threshold = next((one.threshold for one in fitting if one.threshold is not None), self.threshold)
        sureness = next((one.sureness for one in fitting if one.sureness is not None), self.sureness)
        return Dial(species=species, tta=tta, threshold=threshold, sureness=sureness)

    def to_json(self) -> str:
        """Return the text of card.json."""
        values = {_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}
        for key, usual in _OPTIONAL.items():  # a card of before stays as it is, and so does its sha256 in a run
            if values[key] == usual:
                del values[key]
        return json_text(values) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str = CARD_NAME) -> ModelCard:
        """Read a card; raise ModelError, which names `origin`, for anything that is missing, wrong or too new."""
        table = parse_json(text, origin=origin, error=ModelError)
        version = table.get("format_version")
        if version != FORMAT_VERSION or isinstance(version, bool):
            raise ModelError(
                f"{origin}: format_version {str(version)[:100]!r}, but this glomseg reads {FORMAT_VERSION}; "
                "update glomseg, or export the model again"
            )
        missing = [key for name in cls.__slots__ if (key := _KEYS.get(name, name)) not in {*table, *_OPTIONAL}]
        if missing:
            raise ModelError(f"{origin}: no {', '.join(missing)}; add what is missing to the card")
        _refuse_slips(table, [_KEYS.get(name, name) for name in cls.__slots__], origin)
        return read_record(cls, table, origin=origin, error=ModelError, unknown="leave")


def _refuse_slips(table: Mapping[str, Any], known: Sequence[str], origin: str) -> None:
    """Raise ModelError for a key that is nearly one that is known: others, such as WSInfer's, are left alone."""
    for key in table:
        near = _KEYS.get(key) or next(iter(difflib.get_close_matches(key, known, 1, cutoff=0.85)), None)
        if near is not None and key not in known and (key in _KEYS or near not in table):
            raise ModelError(f"{origin}: {key} is no key of a card; do you mean {near}?")


_KEYS = {"mpp": "spacing_um_px"}
"""Fields whose key in the file is another: WSInfer's."""
_OPTIONAL: dict[str, Any] = {
    "activation": "sigmoid",
    "heads": ("mask",),
    "post": "glomseg",
    "sureness": None,
    "dials": (),
    "look": None,
}
"""Keys that older cards lack -> what such a card means."""
