"""One model made of several that know other classes each: checked, put into one card, saved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glomseg.errors import ModelError
from glomseg.models.card import CARD_NAME, FOREIGN_WEIGHTS, Colour, ModelCard
from glomseg.models.merged import NAME, MergedPart
from glomseg.models.networks import Merged
from glomseg.models.store import find_model, load_network, read_card, save_model

AGREEING = ("mpp", "training_diameter_um", "species", "post")
"""Fields of a card that must be the same in all parts."""
COLOURS: tuple[Colour, ...] = (
    (0, 200, 0), (200, 0, 0), (0, 0, 200), (230, 159, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66),
)  # fmt: skip
"""For classes whose colour another has taken."""


@dataclass(frozen=True, kw_only=True)
class MergedModel:
    """A model that was made of others, and what of theirs it does not keep."""

    folder: Path
    card: ModelCard
    remarks: tuple[str, ...]


def merge_models(names: Sequence[str | Path], output: Path, *, name: str | None = None) -> MergedModel:
    """Make one model of several that know other classes each, as the new folder `output`.

    They read at one um per pixel. The outline of each class runs where that of its model ran; the smallest of their
    minimum areas and solidities holds for all, and everything counts that is outlined. Raises ModelError where they
    cannot be merged, or where `output` holds a model already.
    """
    if (output / CARD_NAME).exists():
        raise ModelError(f"{output} holds a model already; remove it, or choose another `output`")
    if len(names) < 2:
        raise ModelError(f"{len(names)} model is nothing to merge; name two or more, each of classes of its own")
    folders = [find_model(one) for one in names]
    cards = [read_card(folder) for folder in folders]
    _check(cards)
    nets = [load_network(folder, card) for folder, card in zip(folders, cards, strict=True)]
    parts = [_part_of(card) for card in cards]
    first = cards[0]
    card = dataclasses.replace(
        first,
        name=name or output.resolve().name,
        description=f"Made of {', '.join(one.name for one in cards)}, a pixel of the more probable class. Not measured "
        "as one. Not for diagnosis.",
        architecture=NAME,
        architecture_args={"parts": [_plain(part) for part in parts]},
        num_classes=sum(one.num_classes for one in cards),
        class_names=tuple(known for one in cards for known in one.class_names),
        class_colors=_colours(cards),
        patch_size_pixels=min(one.patch_size_pixels for one in cards),
        halo_pixels=max(one.halo_pixels for one in cards),
        mean=None,
        std=None,
        threshold=0.5,
        sureness=None,
        dials=(),
        look=None,
        minimum_area_um2=min(one.minimum_area_um2 for one in cards),
        minimum_solidity=min(one.minimum_solidity for one in cards),
        training_data=tuple(dict.fromkeys(data for one in cards for data in one.training_data)),
        scores={"parts": {one.name: dict(one.scores) for one in cards}},
    )
    output.mkdir(parents=True, exist_ok=True)
    card = save_model(output, card, Merged(list(zip(nets, parts, strict=True))))
    return MergedModel(folder=output, card=card, remarks=tuple(_remarks(cards, card)))


def _check(cards: Sequence[ModelCard]) -> None:
    """Raise ModelError, which names the card and the field, where models cannot be merged."""
    first, *others = cards
    for card in cards:
        if card.hover:
            raise ModelError(f"{card.name} has the head hover, and places in objects are of one network; leave it out")
        if card.activation == "softmax" and card.num_classes > 1:
            raise ModelError(f"{card.name} tells its classes from each other by softmax; merge models of sigmoid")
        if card.architecture == NAME or card.architecture in FOREIGN_WEIGHTS:
            raise ModelError(f"{card.name} is a network as {card.architecture}; merge the models that learned")
    for other in others:
        for field in AGREEING:
            mine, theirs = getattr(first, field), getattr(other, field)
            if not (math.isclose(mine, theirs, rel_tol=1e-3) if isinstance(mine, float) else mine == theirs):
                raise ModelError(
                    f"{first.name} and {other.name} cannot be merged: {field} is {mine} and {theirs}; train them alike"
                )
    owner: dict[str, str] = {}
    for card in cards:
        for known in card.class_names:
            if known.casefold() in owner:
                raise ModelError(
                    f"{owner[known.casefold()]} and {card.name} both know {known}; the mean of models of the same "
                    "classes is taken by giving `model` more than once"
                )
            owner[known.casefold()] = card.name


def _part_of(card: ModelCard) -> MergedPart:
    return MergedPart(
        architecture=card.architecture,
        arguments=card.architecture_args,
        classes=card.num_classes,
        threshold=card.dial(None).threshold or card.threshold,
        mean=card.mean or (),
        std=card.std or (),
    )


def _plain(part: MergedPart) -> dict[str, Any]:
    return {**dataclasses.asdict(part), "mean": list(part.mean), "std": list(part.std)}


def _colours(cards: Sequence[ModelCard]) -> tuple[Colour, ...]:
    """Give each class the colour that it had, or another where one before it has that."""
    colours: list[Colour] = []
    for colour in (colour for card in cards for colour in card.class_colors):
        free = [one for one in COLOURS if one not in colours]
        colours.append(free[0] if colour in colours and free else colour)
    return tuple(colours)


def _remarks(cards: Sequence[ModelCard], merged: ModelCard) -> list[str]:
    """Say what of the parts the merged model does not keep."""
    sure = [f"{card.name} {card.dial(None).sureness:g}" for card in cards if card.dial(None).sureness]
    remarks = (
        [f"sureness is not kept ({', '.join(sure)}): all that is outlined counts, unless a run is given one"]
        if sure
        else []
    )
    for field in ("minimum_area_um2", "minimum_solidity"):
        if len({getattr(card, field) for card in cards}) > 1:
            said = ", ".join(f"{card.name} {getattr(card, field):g}" for card in cards)
            remarks.append(f"{field} differs ({said}): {getattr(merged, field):g} holds for all")
    if own := [card.name for card in cards if card.dials]:
        remarks.append(f"values for other species and for flips (dials of {', '.join(own)}) are not kept")
    if any(card.look for card in cards):
        remarks.append("the colours that the parts have learned are not kept: no slide is doubted for its own")
    return remarks
