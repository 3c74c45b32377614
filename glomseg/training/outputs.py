"""What a training leaves behind but its weights: the card, and pictures of what it saw and where it errs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glomseg.evaluation.metrics import ObjectScore
from glomseg.geometry import Bytes
from glomseg.models.card import Colour, Dial, ModelCard
from glomseg.models.predict import Model
from glomseg.training.augment.augment import Augment
from glomseg.training.config import TrainConfig
from glomseg.training.data.loading import augmented, collate
from glomseg.training.data.sampling import Images
from glomseg.training.data.training_data import Data
from glomseg.training.dials import ChosenDials
from glomseg.training.sheets import contact_sheet
from glomseg.training.validate import Judged, classes_at, probability_of

HISTORY_NAME, CURVES_NAME, WORST_NAME, PREVIEW_NAME = "history.csv", "curves.png", "worst.png", "preview.png"
ADAPTATION_NAME = "adaptation.json"
"""What an adaptation gained and forgot; of a model without it something else made the folder."""
SHOWN = 24
WORST = 12
COLOURS: tuple[Colour, ...] = (
    (0, 200, 0), (200, 0, 0), (0, 0, 200), (230, 159, 0), (204, 121, 167), (86, 180, 233), (240, 228, 66),
)  # fmt: skip
"""Of the classes, in their order."""
METHOD = (
    "objects matched one to one at IoU 0.5 and pixels added up over whole images, outlined as on a slide with the "
    "card's threshold, minimum area and solidity"
)


def card_of(
    config: TrainConfig,
    data: Data,
    *,
    name: str,
    dial: Dial | None = None,
    dials: Sequence[Dial] = (),
    scores: Mapping[str, Any] | None = None,
    started_from: ModelCard | None = None,
) -> ModelCard:
    """Return the card of a training's network; its digest is filled in when it is saved.

    `dial` has the threshold, 0.5 where it names none, and the sureness; `dials` others for species or flips.
    """
    dial = dial or Dial()
    origins = (*data.origins, *(started_from.training_data if started_from else ()))
    begun = f" It started from {started_from.name}." if started_from else ""
    model = config.model
    return ModelCard(
        name=name,
        description=f"Trained with glomseg train on {', '.join(item.name for item in data.origins)}.{begun} "
        "Not for diagnosis.",
        architecture=model.architecture,
        architecture_args=dict(model.arguments),
        heads=model.heads,
        post=model.post,
        num_classes=len(model.classes),
        class_names=model.classes,
        class_colors=_colours(model.classes, started_from),
        patch_size_pixels=model.tile_px,
        halo_pixels=model.halo_px,
        mpp=data.model_mpp,
        mean=(model.mean[0], model.mean[1], model.mean[2]) if model.mean else None,
        std=(model.std[0], model.std[1], model.std[2]) if model.std else None,
        threshold=dial.threshold or 0.5,
        sureness=dial.sureness,
        dials=tuple(dials),
        minimum_area_um2=config.minimum_area_um2,
        minimum_solidity=config.validation.minimum_solidity,
        species=model.species,
        training_diameter_um=config.diameter_um,
        training_data=tuple(dict.fromkeys(origins)),
        scores=scores or {},
    )


def _colours(classes: Sequence[str], started_from: ModelCard | None) -> tuple[Colour, ...]:
    """Give each class a colour, that of the model that was begun with where it had the class."""
    colours = dict(zip(started_from.class_names, started_from.class_colors, strict=True)) if started_from else {}
    return tuple(colours.get(name) or COLOURS[index % len(COLOURS)] for index, name in enumerate(classes))


def scores_of(chosen: ChosenDials, images: int, class_names: Sequence[str]) -> dict[str, Any]:
    """Put counts into the words of a card; of several classes F1 and Dice are means, and each stands for itself too.

    All is of what is sure but what says otherwise.
    """
    point, everything = chosen.sure, chosen.with_candidates.objects
    scores: dict[str, Any] = {"images": images, **_scores(point.f1, point.dice, point.objects)}
    if chosen.sureness is not None:
        scores["candidates"] = everything.predicted - point.objects.predicted
        scores["recall_with_candidates"] = round(everything.recall, 4)
    if len(class_names) > 1:
        scores["classes"] = {
            name: _scores(score.objects.f1, score.pixels.dice, score.objects)
            for name, score in zip(class_names, point.classes, strict=True)
        }
    return scores


def _scores(f1: float, dice: float, objects: ObjectScore) -> dict[str, float]:
    values = {
        "object_f1": f1,
        "precision": objects.precision,
        "recall": objects.recall,
        "dice": dice,
        "true_objects": objects.true,
        "predicted_objects": objects.predicted,
        "matched": objects.matched,
    }
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in values.items()}


def draw_preview(data: Data, config: TrainConfig, path: Path) -> None:
    """Draw the first samples of the first epoch as the network would see them, with their labels."""
    draws = data.source.draws(0, ())[:SHOWN]
    images, labels, valid, _, names = collate([data.source.sample(draw) for draw in draws])
    shown, marked, weights = augmented((images, labels, valid), config, Augment(config.augment), seed=0)
    pixels = (shown.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy()
    masks = (marked.amax(1) > 0.5) * (marked.argmax(1) + 1)
    contact_sheet(
        list(pixels),
        list(masks.byte().numpy()),
        path,
        captions=[name[-40:] for name in names],
        columns=6,
        weights=list(weights[:, 0].numpy()),
        title="What the network would see. Pale: not learned from (off the image, padding, ignored)",
    )


def draw_worst(model: Model, images: Images, judged: Sequence[Judged], path: Path) -> None:
    """Draw the images on which the model does worst, each where it errs most; green is true, the other predicted."""
    cells: list[tuple[Bytes, Bytes, Bytes, str]] = []
    for image in sorted(judged, key=lambda image: (*image.points[0].rank, image.index))[:WORST]:
        labelled = images.read(image.index)
        seen = classes_at(probability_of(model, labelled)[: model.card.num_classes], model.card.threshold)
        wrong = np.argwhere(seen != labelled.label)
        y, x = wrong[len(wrong) // 2] if len(wrong) else np.array(seen.shape) // 2
        side = model.card.patch_size_pixels
        height, width = seen.shape
        top = int(np.clip(y - side // 2, 0, max(0, height - side)))
        left = int(np.clip(x - side // 2, 0, max(0, width - side)))
        here = np.s_[top : top + side, left : left + side]
        objects = image.points[0].objects
        caption = (
            f"{images.name(image.index)[-36:]}\nfound {objects.matched} of {objects.true}, "
            f"{objects.predicted - objects.matched} false"
        )
        cells.append((labelled.image[here], labelled.label[here], seen[here], caption))
    if cells:
        pictures, labels, predicted, captions = zip(*cells, strict=True)
        contact_sheet(pictures, labels, path, captions=captions, columns=4, predicted=predicted)
