"""Adapt a model in one call: to a folder of its own where it is better than the one it began with, else beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glomseg.errors import TrainingError
from glomseg.files import write_json
from glomseg.models.card import CARD_NAME, Dial, ModelCard, TrainingData
from glomseg.models.store import save_model
from glomseg.training.adapt import MAY_LOSE, Adapted, StageProgress, adapt, as_read, table_of, words_of
from glomseg.training.checkpoint import clear_training
from glomseg.training.config import TrainConfig
from glomseg.training.config_file import CONFIG_NAME, keep_persons_config, write_config
from glomseg.training.data.find import find_examples
from glomseg.training.data.remarks import remarks_on_files
from glomseg.training.optimise import read_start
from glomseg.training.outputs import ADAPTATION_NAME
from glomseg.training.persons_files import refuse_persons_files

NOT_BETTER = "-not-better"
"""What is added to a folder's name for a model that is worse than the one it began with."""
FEW_SLIDES = 4
"""With fewer each half is of one slide, which chooses the sureness: F1 on a third was 0 to 1 in ten adaptations."""
METHOD = (
    "left_out: images dealt into two halves by slide; each half is judged by a model adapted to the other half, with "
    "the share of new weights, the threshold and the sureness that the other half chooses, and by the model that one "
    "began with; the model here learned from all of them, and all chose its share. starter: tissue of the rehearsal "
    "data that was not rehearsed; shares that lose too much there are not taken. Objects matched one to one at IoU "
    "0.5, tiles overlap and count twice"
)


@dataclass(frozen=True, slots=True)
class AdaptedModel:
    """Where an adapted model lies, its card, how it was made, and whether it lies where it was asked for."""

    folder: Path
    card: ModelCard
    adapted: Adapted
    is_kept: bool
    remarks: tuple[str, ...]


def adapt_model(
    folders: Sequence[Path],
    output: Path,
    start: str | Path,
    config: TrainConfig,
    *,
    name: str | None = None,
    licence: str = "unstated",
    tile_mpp: float | None = None,
    device: str = "auto",
    restart: bool = False,
    keep_anyway: bool = False,
    tell: Callable[[str], None] = lambda remark: None,
    progress: StageProgress = lambda stage, done, total: None,
) -> AdaptedModel:
    """Adapt `start` to labelled images in `config.minutes`, and write it to `output` where it is at least as good.

    A worse one is written beside, under the folder's name with `-not-better`, unless `keep_anyway` says otherwise.
    Raises TrainingError, ModelError, DeviceError, RunError.
    """
    aside = output.with_name(output.resolve().name + NOT_BETTER)
    if not keep_anyway and (aside / CARD_NAME).exists() and not (aside / ADAPTATION_NAME).exists():
        raise TrainingError(
            f"{aside} holds a model that no adaptation left there, and a worse one would be put there; name another "
            "`output`, or move it away"
        )
    if not keep_anyway:
        refuse_persons_files(aside)
    net, started = read_start(start)
    card = as_read(started, config)
    examples = find_examples(
        folders,
        model_mpp=config.model_mpp,
        tile_mpp=tile_mpp,
        classes=config.model.classes,
        label_classes=config.data.label_classes,
        hold_out=False,
    )
    done = adapt(examples, net, card, config, device=device, tell=progress)
    slides = len({item.slide for item in examples})
    remarks = [*remarks_on_files(examples, folders), *_remarks(done, started.name, slides)]
    kept = done.is_better or keep_anyway
    folder = output if kept else aside
    origins = tuple(TrainingData(place.resolve().name, licence, f"folder {place.resolve().name}") for place in folders)
    made = _card(done, card, started, name or folder.resolve().name, origins)
    remarks += keep_persons_config(folder)
    if restart and kept:
        clear_training(folder)
    elif not kept and (folder / CARD_NAME).exists():
        remarks.append(f"the model of an earlier try that was no better either, in {folder}, is replaced")
        (folder / CARD_NAME).unlink()
    write_config(replace(config, minutes=config.minutes), folder / CONFIG_NAME)
    write_json(folder / ADAPTATION_NAME, {"method": METHOD, **_scores(done)})
    made = save_model(folder, made, done.net)  # last its card: a folder that has one is whole
    if not kept:
        remarks.append(
            f"so {output} is not made: the model lies in {folder}; review more images, or give `keep_anyway` to have it"
        )
    for remark in remarks:
        tell(remark)
    return AdaptedModel(folder, made, done, kept, tuple(remarks))


def _remarks(done: Adapted, start: str, slides: int) -> list[str]:
    remarks = [words_of(done.left_out, f"on reviewed images left out, {start} and the new model")]
    if done.starter is not None:
        remarks.append(words_of(done.starter, "on the starter's own tissue, human PAS"))
        if done.starter.difference < -MAY_LOSE:
            remarks.append(
                f"it forgets more of the starter's tissue than {MAY_LOSE}: keep {start} for slides like that"
            )
    if slides < FEW_SLIDES:
        remarks.append(
            f"learned from {slides} slides only: what counts as sure was chosen on halves of them and may be far off "
            "on another slide; look at one with all candidates, or `glomseg evaluate --model` on one that is reviewed"
        )
    if done.blend < 1:
        remarks.append(f"{done.blend:.0%} of the new weights and the rest of the old ones: more was no better")
    return remarks


def _scores(done: Adapted) -> dict[str, Any]:
    scores: dict[str, Any] = {"steps": done.steps, "share_of_new_weights": done.blend}
    scores["left_out"] = table_of(done.left_out)
    if done.starter is not None:
        scores["starter"] = table_of(done.starter)
    return scores


def _card(
    done: Adapted, card: ModelCard, started: ModelCard, name: str, origins: tuple[TrainingData, ...]
) -> ModelCard:
    """Return the card of an adapted model; of another species than it learned its dials stay those it had there."""
    usual, flipped = started.dial(card.species), started.dial(card.species, tta=True)
    dials: list[Dial] = []
    if started.species != card.species and started.species in ("human", "mouse", "rat"):
        theirs = started.dial(started.species)
        dials.append(Dial(species=started.species, threshold=theirs.threshold, sureness=theirs.sureness))
    if done.dials.sureness and usual.sureness and flipped.sureness:  # flips lower the means as they did before
        shift = flipped.sureness - usual.sureness
        dials.append(Dial(tta=True, sureness=round(max(0.0, done.dials.sureness + shift), 3)))
    return replace(
        card,
        name=name,
        description=f"{started.name}, adapted with glomseg train to {', '.join(item.name for item in origins)}. "
        "Not for diagnosis.",
        threshold=done.dials.threshold,
        sureness=done.dials.sureness,
        dials=tuple(dials),
        look=None,  # the colours of before would be doubted on the very slides that it was adapted to
        training_data=tuple(dict.fromkeys((*origins, *started.training_data))),
        scores={
            "measured_on": "models adapted in the same way, see method",
            "method": METHOD,
            "adapted": _scores(done),
        },
    )
