"""The model that a project was adapted to: its name and place, remembered beside the runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glomseg.errors import GlomsegError, ModelError
from glomseg.files import write_json
from glomseg.models.card import CARD_NAME, DEFAULT_MODEL
from glomseg.models.store import read_card
from glomseg.runs.run import FOLDER
from glomseg.settings import parse_json, plain, read_record

NAME = "model.json"


@dataclass(frozen=True, kw_only=True)
class AdaptedTo:
    """A model adapted to a project, when and from which; F1 is that of objects on images left out."""

    name: str
    folder: str
    weights_sha256: str
    at: str
    started_from: str
    f1_before: float
    f1_now: float

    def __str__(self) -> str:
        """Say it, and how to use it."""
        return (
            f"{self.name} ({self.folder}), from {self.started_from} on {self.at[:10]}: object F1 {self.f1_before:.2f} "
            f"before, {self.f1_now:.2f} now on reviewed images left out"
        )


def remember_model(project_folder: Path, model: AdaptedTo) -> None:
    """Write down the model that a project was adapted to, in place of the one before; raises RunError."""
    write_json(project_folder / FOLDER / NAME, plain(model))


def remembered_model(project_folder: Path) -> AdaptedTo | None:
    """Return the model that a project was adapted to; None where there is none, or that cannot be read."""
    try:
        text = (project_folder / FOLDER / NAME).read_text(encoding="utf-8")
        return read_record(AdaptedTo, parse_json(text, origin=NAME), origin=NAME, unknown="leave")
    except (OSError, UnicodeDecodeError, GlomsegError):
        return None


def model_of_project(project_folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return the folder of the model that a project was adapted to, None where there is none, and what to say of it.

    Raises ModelError where that model is gone, or its record cannot be read: the outlines of another one would be taken
    for its own.
    """
    adapted = remembered_model(project_folder)
    if adapted is None:
        if (record := project_folder / FOLDER / NAME).exists():
            raise ModelError(
                f"{record} cannot be read, which says what model this project was adapted to; give `model`, or remove "
                "that file"
            )
        return None, ()
    folder = Path(adapted.folder)
    if not (folder / CARD_NAME).is_file():
        raise ModelError(
            f"this project was adapted to model {adapted.name}, which is not in {folder} any more; put it back, or "
            f"give `model` with its new folder, or {DEFAULT_MODEL} for the shipped one"
        )
    said = [f"this project was adapted to model {adapted}; it is used: give `model` {DEFAULT_MODEL} for the shipped"]
    if read_card(folder).weights_sha256 != adapted.weights_sha256:
        said.append(f"the weights in {folder} are others than those that the project was adapted to")
    return folder, tuple(said)
