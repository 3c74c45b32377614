"""Models on disk: where they lie, how a name finds one, reading, checking and saving them.

Nothing of torch is loaded but by what loads or saves a network.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from glomseg.errors import ModelError, in_words
from glomseg.files import replacing
from glomseg.models.card import CARD_BYTES, CARD_NAME, FOREIGN_WEIGHTS, ModelCard

if TYPE_CHECKING:
    from glomseg.models.network import Network

PACK_SUFFIX = ".glomseg"
SEARCH_VARIABLE = "GLOMSEG_MODELS"
"""Folders of models, separated as in PATH, that are searched before the user's own and the shipped ones."""


def read_card(folder: Path) -> ModelCard:
    """Read `folder/card.json`; raise ModelError where it is not there or not right."""
    path = folder / CARD_NAME
    try:
        with path.open("rb") as file:
            data = file.read(CARD_BYTES + 1)
        text = data.decode("utf-8")
    except FileNotFoundError as error:
        raise ModelError(f"{folder}: no {CARD_NAME} in it; give a model's folder or name") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({in_words(error)}); fetch the model again") from error
    if len(data) > CARD_BYTES:
        raise ModelError(f"{path}: longer than {CARD_BYTES:,} bytes, which no card is; fetch the model again")
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
        return Path(__file__).resolve().parents[2] / "models"


def user_models_folder() -> Path:
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
    models: dict[str, Path] = {}
    for folder in _search_folders():
        with suppress(OSError):  # not there, or not ours to read
            for path in sorted(folder.iterdir()):
                if not path.name.startswith(".") and (path / CARD_NAME).is_file():
                    models.setdefault(path.name, path)
    return dict(sorted(models.items()))


def find_model(name: str | Path) -> Path:
    """Return the folder of a model given as a path or by name; raise ModelError, which lists what there is."""
    path = Path(name)
    if (path / CARD_NAME).is_file():
        return path
    if path.suffix == PACK_SUFFIX and path.is_file():
        raise ModelError(f"{path} is a packed model; run `glomseg models unpack {path}` once, then give its name")
    models = list_models()
    if str(name) in models:
        return models[str(name)]
    listed = ", ".join(models) or "none"
    raise ModelError(
        f"no model {str(name)!r}: known are {listed}; give one of them, a model's folder, or set {SEARCH_VARIABLE}"
    )


def checked_weights(folder: Path, card: ModelCard) -> Path:
    """Return the file of a model's weights, whose bytes are those that its card names; raise ModelError if not."""
    path = folder / card.weights_name
    digest = _digest(path)
    if digest != card.weights_sha256:
        raise ModelError(
            f"{path}: sha256 is {digest[:12]}…, the card says {card.weights_sha256[:12]}…; "
            "the file is damaged or of another model: fetch it again"
        )
    return path


def _digest(path: Path) -> str:
    if path.exists() and not path.is_file():  # a device or a pipe may have no end
        raise ModelError(f"{path}: no file; fetch the model again")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); fetch the model again") from error


def load_network(folder: Path, card: ModelCard) -> Network:
    """Load the network of `folder` and its `card`; raise ModelError where the weights are others or do not fit."""
    from glomseg.models.networks import build_network

    net = build_network(card)
    net.read_weights(checked_weights(folder, card))
    return net.eval()


def verify_model(name: str | Path) -> ModelCard:
    """Check a model's card, digest and weights, and return the card; raise ModelError for what is wrong."""
    folder = find_model(name)
    card = read_card(folder)
    load_network(folder, card)
    return card


def save_model(folder: Path, card: ModelCard, net: Network) -> ModelCard:
    """Write the weights, then the card with their sha256, each whole or not at all; return that card."""
    from safetensors.torch import save

    if card.architecture in FOREIGN_WEIGHTS:
        raise ModelError(f"{card.name}: a network of {card.architecture} is not glomseg's to save; copy its folder")
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    with replacing(folder / card.weights_name) as path:
        path.write_bytes(save(state))  # save_file would make a file that nobody else can read
    card = dataclasses.replace(card, weights_sha256=_digest(folder / card.weights_name))
    write_card(folder, card)
    return card
