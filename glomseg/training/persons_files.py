"""What a person keeps under a name that a training writes is not replaced."""

from __future__ import annotations

from pathlib import Path

from glomseg.errors import GlomsegError, RunError
from glomseg.models.card import CARD_NAME, WEIGHTS_NAME
from glomseg.pictures.marked import is_as_written
from glomseg.settings import parse_json
from glomseg.standing_files import refuse_other_table, refuse_own_columns
from glomseg.training.checkpoint import STATE_NAME
from glomseg.training.config_file import CONFIG_NAME
from glomseg.training.data.training_data import SPLIT_NAME, SURVEY_COLUMNS, SURVEY_NAME
from glomseg.training.history import COLUMNS
from glomseg.training.outputs import ADAPTATION_NAME, CURVES_NAME, HISTORY_NAME, WORST_NAME

SPLIT_KEYS = {"by", "seed", "train", "validation", "test"}
ADAPTATION_KEYS = {"method", "steps", "share_of_new_weights", "left_out", "starter"}


def refuse_persons_files(folder: Path) -> None:
    """Raise RunError where a training would replace a file of a person's.

    Curves beside tables of ours are ours.
    """
    for name, columns in ((SURVEY_NAME, SURVEY_COLUMNS), (HISTORY_NAME, COLUMNS)):
        refuse_other_table(folder / name, columns)
        refuse_own_columns(folder / name, columns)
    for name, keys in ((SPLIT_NAME, SPLIT_KEYS), (ADAPTATION_NAME, ADAPTATION_KEYS)):
        if (folder / name).exists() and not _has_only(folder / name, keys):
            raise _refused(folder / name)
    refuse_persons_picture(folder / WORST_NAME)
    if (folder / CURVES_NAME).exists() and not (folder / HISTORY_NAME).exists():
        raise _refused(folder / CURVES_NAME)
    beside = (STATE_NAME, CARD_NAME, CONFIG_NAME)  # one of which a training leaves wherever it stops
    if (folder / WEIGHTS_NAME).exists() and not any((folder / name).exists() for name in beside):
        raise _refused(folder / WEIGHTS_NAME)


def refuse_changed_files(folder: Path) -> None:
    """Raise RunError where a training that goes on would replace what a person drew or wrote into a file of its own."""
    refuse_persons_picture(folder / WORST_NAME)
    refuse_own_columns(folder / HISTORY_NAME, COLUMNS)


def refuse_persons_picture(path: Path) -> None:
    """Raise RunError where a picture stands at `path` that is not as glomseg wrote it."""
    if path.exists() and not is_as_written(path):
        raise _refused(path)


def _has_only(path: Path, keys: set[str]) -> bool:
    try:
        found = set(parse_json(path.read_text(encoding="utf-8"), origin=path.name))
    except (OSError, UnicodeDecodeError, GlomsegError):
        return False
    return bool(found) and found <= keys


def _refused(path: Path) -> RunError:
    return RunError(
        f"{path} is there and not as glomseg wrote it, so nothing was written; choose another `output`, or move it away"
    )
