"""Read the settings of a training: a recipe's, those of a TOML file, and `key=value` words, one over the other."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import shutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

from glomseg.errors import TrainingError
from glomseg.files import replacing, write_text
from glomseg.listing import first_names
from glomseg.settings import parse_toml, read_record, read_text
from glomseg.training.config import ARCHITECTURE, TrainConfig, setting_names

DEFAULT_RECIPE = "glomseg"
STARTER = "pas-starter"
CONFIG_NAME = "config.toml"
OLD_NAMES = {
    **{
        name: f"data.{name}"
        for name in (
            "sample", "crop_px", "margin_px", "samples_per_epoch", "positive_share", "hard_share", "balance",
            "paste_share", "mining_every", "mining_images", "split_by", "validation_share", "test_share", "workers",
            "cache_mb",
        )
    },
    **{name: f"model.{name}" for name in ("classes", "species", "diameter_px", "tile_px", "halo_px")},
    "patch_size": "model.arguments.patch_size",
    "spacing_um_px": "model.mpp",
    "loss": "loss.kind",
    "loss_a": "loss.a",
    "loss_pos_weight": "loss.pos_weight",
    "loss_gamma": "loss.gamma",
    "optimizer": "optimiser.kind",
    **{
        name: f"optimiser.{name}"
        for name in (
            "learning_rate", "weight_decay", "schedule", "warm_up", "clip_norm", "ema_decay", "batch_size",
            "batch_limit", "precision",
        )
    },
    "validate_every": "validation.every",
    "validation_limit": "validation.limit",
    **{
        name: f"validation.{name}"
        for name in ("thresholds", "patience", "minimum_area_um2", "minimum_solidity")
    },
}  # fmt: skip
"""Names of settings before they stood in tables -> their names now."""

Tell = Callable[[str], None]


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
    over: Mapping[str, Any] | None = None,
    default: str = DEFAULT_RECIPE,
    tell: Tell = lambda remark: None,
) -> TrainConfig:
    """Put settings together: a recipe's, over them `under`, a TOML file's, `key=value` words, and `over`.

    `under` and `over` are by dotted names, such as `model.species`; what is None in `over` is left out. A file may name
    its own `recipe`; where nobody names one it is `default`. Names from before there were tables are taken, and `tell`
    says so. Raises TrainingError, which names the key and what is allowed.
    """
    given: dict[str, Any] = {}
    if file is not None:
        text = read_text(file, what="a TOML file of settings", error=TrainingError)
        given = parse_toml(text, origin=str(file), error=TrainingError)
    named = given.pop("recipe", None)
    layers = [_nested(name, value) for name, value in (under or {}).items()]
    layers.append(_renamed(given, str(file), tell))
    layers += [_assigned(word, tell) for word in words]
    layers += [_nested(name, value) for name, value in (over or {}).items() if value is not None]
    made = _recipe(str(recipe or named or default))
    if note := made.pop("note", ""):
        tell(str(note))
    network = _architecture(made)
    for layer in layers:
        if _architecture(layer, network) != network:  # the arguments so far are those of another network
            network = _architecture(layer)
            made["model"] = {**made.get("model", {}), "arguments": {}}
        _merge(made, layer)
    return _config(made)


def _architecture(table: Mapping[str, Any], default: str = ARCHITECTURE) -> str:
    model = table.get("model")
    return str(model.get("architecture", default)) if isinstance(model, Mapping) else default


def parse_config(text: str) -> TrainConfig:
    """Read what `to_toml` wrote, or wrote before there were tables; raises TrainingError."""
    return _config(_renamed(parse_toml(text, origin="settings", error=TrainingError), "settings", lambda remark: None))


def write_config(config: TrainConfig, path: Path) -> None:
    """Write the settings as TOML, whole or not at all."""
    write_text(path, config.to_toml())


def keep_persons_config(folder: Path) -> tuple[str, ...]:
    """Copy settings in a folder that a person wrote, in whose place ours are about to be written; say where."""
    path = folder / CONFIG_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError):
        text = ""
    with suppress(TrainingError):
        if parse_config(text).to_toml() == text:  # as a training left them
            return ()
    numbers = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(1))
    kept = next(place for place in numbers if not place.exists() or place.read_bytes() == path.read_bytes())
    with replacing(kept) as temporary:
        shutil.copyfile(path, temporary)
    return (f"{path} held settings that a person wrote; they are in {kept} now, and all that were used in {path.name}",)


def _config(table: dict[str, Any]) -> TrainConfig:
    optimiser = table.get("optimiser")
    if isinstance(optimiser, dict) and optimiser.get("batch_size") == "auto":
        optimiser["batch_size"] = 0
    return read_record(TrainConfig, table, error=TrainingError)


def _recipe(name: str) -> dict[str, Any]:
    if name == STARTER:
        raise TrainingError(
            f"recipe {STARTER!r} made the shipped model of composed images, and lies with its code in tools/starter "
            f"of glomseg's sources; to go on from that model, use `start` {STARTER}"
        )
    if name not in recipe_names():
        raise TrainingError(f"no recipe {name!r}; there are {', '.join(recipe_names())}, or give a file with `config`")
    text = (resources.files("glomseg.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return parse_toml(text, origin=f"recipe {name}", error=TrainingError)


def _renamed(table: Mapping[str, Any], origin: str, tell: Tell) -> dict[str, Any]:
    """Put settings under their names of now."""
    result: dict[str, Any] = {}
    former = []
    for key, value in table.items():
        if key == "compose":  # the starter's, in older files
            continue
        if key in OLD_NAMES and not isinstance(value, Mapping):
            former.append(key)
            _merge(result, _nested(OLD_NAMES[key], _of_old(key, value)))
        else:
            _merge(result, {key: value})
    if former:
        said = first_names(f"{key} ({OLD_NAMES[key]} now)" for key in former)
        tell(f"{origin} has settings by their former names: {said}; read as what they are now")
    return result


def _of_old(key: str, value: Any) -> Any:
    if key == "sample" and value == "compose":
        raise TrainingError(
            "sample is 'compose', by which the shipped model was made; its code lies in tools/starter of glomseg's "
            "sources; give crop or whole"
        )
    return value


def _assigned(word: str, tell: Tell) -> dict[str, Any]:
    """Turn `augment.blur=0.5` into nested tables; a value that is not TOML is a text."""
    key, equals, text = (part.strip() for part in word.partition("="))
    if not equals or not key:
        raise TrainingError(f"{word!r} sets nothing; write key=value, such as epochs=20")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if key in OLD_NAMES and not isinstance(value, Mapping):
        tell(f"the setting {key} is {OLD_NAMES[key]} now")
        key, value = OLD_NAMES[key], _of_old(key, value)
    elif "." not in key and key not in {item.name for item in dataclasses.fields(TrainConfig)}:
        inner = {name.rpartition(".")[2]: name for name in setting_names()}
        near = difflib.get_close_matches(key, inner, 1, 0.7)
        meant = f"do you mean {inner[near[0]]}?" if near else f"there are {', '.join(setting_names())}"
        raise TrainingError(f"no setting {key}; {meant}")
    return _nested(key, value)


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
