"""Train a network: the loop, epoch by epoch, on whatever devices Lightning Fabric finds.

Each epoch draws samples, learns from them, judges the averaged weights on whole validation images, keeps them where
they are the best so far, and writes the state. Nothing but seed, data and settings decides the result, so a training
that goes on from its state ends as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from glomseg.errors import TrainingError
from glomseg.models.card import Dial, ModelCard
from glomseg.models.predict import Model
from glomseg.models.store import load_network, read_card, save_model
from glomseg.training.augment.augment import Augment
from glomseg.training.checkpoint import TrainState, clear_training, read_state, write_state
from glomseg.training.config import TrainConfig
from glomseg.training.config_file import CONFIG_NAME, write_config
from glomseg.training.data.loading import Loader, augmented, batches_of
from glomseg.training.data.sampling import Images
from glomseg.training.data.training_data import Data
from glomseg.training.dials import SURENESSES, ChosenDials, at_dials, choose_dials
from glomseg.training.history import EpochRow, draw_curves, write_history
from glomseg.training.mining import draw_indices, mine
from glomseg.training.optimise import (
    Learner,
    Watch,
    check_finite,
    criterion_of,
    memory_for,
    read_start,
    seed_of,
    spread,
)
from glomseg.training.outputs import CURVES_NAME, HISTORY_NAME, METHOD, WORST_NAME, card_of, draw_worst, scores_of
from glomseg.training.pace import learning_rate_at
from glomseg.training.validate import Judged, Verdict, judge

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""What is tried at the end, unless the settings name one threshold, which then stands."""
FLIPPED = 50
"""Validation images on which the sureness with flips is chosen, at most: they take four times as long."""


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """What is told as it goes: the stage of an epoch, how far it is, the loss; the row of the history at its end."""

    epoch: int
    stage: str
    done: int
    total: int
    loss: float | None = None
    row: EpochRow | None = None


Report = Callable[[TrainProgress], None]


@dataclass(slots=True)
class Training:
    """A training in the making: what it learns from and how, what learns, and how far it is."""

    data: Data
    output: Path
    config: TrainConfig
    learner: Learner
    state: TrainState
    report: Report

    def card(
        self, dial: Dial | None = None, *, dials: Sequence[Dial] = (), scores: dict[str, object] | None = None
    ) -> ModelCard:
        """Return the card as far as it is known."""
        name, start = self.state.name, self.state.started_from
        return card_of(self.config, self.data, name=name, started_from=start, dial=dial, dials=dials, scores=scores)

    def model(self) -> Model:
        """Return the averaged network as it will predict."""
        self.learner.agree()
        return Model(self.card(), self.learner.averaged_net, self.learner.fabric.device)

    def tell(self, stage: str) -> Callable[[int, int], None]:
        """Return what tells how far a stage of this epoch is."""
        epoch, report = self.state.epoch, self.report
        return lambda done, total: report(TrainProgress(epoch, stage, done, total))


def prepare(
    data: Data,
    output: Path,
    config: TrainConfig,
    *,
    name: str | None = None,
    device: str = "auto",
    start: str | Path | None = None,
    resume: bool = False,
    restart: bool = False,
    report: Report = lambda progress: None,
) -> Training:
    """Make network and optimiser, or take up the state in the output folder, and write down what is trained on what.

    `restart` removes what an earlier training left there. Raises TrainingError where there is no state to go on from
    or it is of another training, ModelError, DeviceError.
    """
    net, card = (None, None) if start is None or resume else read_start(start)
    state = TrainState(name=name or output.resolve().name, started_from=card, batch_size=config.optimiser.batch_size)
    blank = card_of(config, data, name=state.name)
    if card is not None and (card.mean, card.std) != (blank.mean, blank.std):
        raise TrainingError(
            f"{start} takes colours normalised by the mean and std of its card ({card.mean}, {card.std}), the settings "
            f"say {blank.mean}, {blank.std}; set model.mean and model.std as in the card"
        )
    learner = Learner.of(config, blank, device, net, resume=resume)
    if resume:
        state, data = read_state(output, learner, config, data)
        state.name = name or state.name
    state.batch_size = state.batch_size or learner.find_batch_size(config, blank)
    settings = dataclasses.replace(config.optimiser, batch_size=state.batch_size)
    if learner.fabric.is_global_zero:
        if restart:
            clear_training(output)
        write_config(dataclasses.replace(config, optimiser=settings), output / CONFIG_NAME)
        if not resume:
            data.write(output)
            write_state(output, state, learner, config, data)  # from here on there is something to go on from
    return Training(data, output, config, learner, state, report)


def run(training: Training) -> ModelCard:
    """Train to the end; return the model's card."""
    config, state, learner = training.config, training.state, training.learner
    loader = Loader(training.data.source, config, learner.fabric.device)
    augment = Augment(config.augment)
    began = time.monotonic()
    while state.epoch < config.epochs and not is_stale(state, config):
        mine_hard_negatives(training)
        with memory_for(state.batch_size, learner.fabric.device):
            loss = learn_epoch(training, loader, augment)
        check_finite(learner.net.module, training.output)
        verdict = validate_epoch(training)
        state.epoch += 1
        state.seconds, began = state.seconds + time.monotonic() - began, time.monotonic()
        keep_epoch(training, loss, verdict)
    return finish(training)


def is_stale(state: TrainState, config: TrainConfig) -> bool:
    """Tell whether nothing got better for too long; what was not judged may be better."""
    judged = bool(state.rows) and state.rows[-1].val_object_f1 is not None
    patience = config.validation.patience
    return bool(judged and patience and state.epoch - state.best_epoch >= patience)


def mine_hard_negatives(training: Training) -> None:
    """Look for false positives with the weights there are, each so many epochs."""
    settings, state, images = training.config.data, training.state, training.data.training
    if not settings.mining_every or images is None or not state.epoch or state.epoch % settings.mining_every:
        return
    indices = draw_indices(len(images), settings.mining_images, seed=training.config.seed, epoch=state.epoch)
    boxes = mine(training.model(), images, training.learner.share(indices), progress=training.tell("mining"))
    everywhere = [box for part in training.learner.gathered(boxes) for box in part]
    state.hard = sorted(everywhere, key=lambda box: (box.name, box.x, box.y))


def learn_epoch(training: Training, loader: Loader, augment: Augment) -> float:
    """Learn from one epoch's samples; return the mean loss."""
    config, state, learner, source = training.config, training.state, training.learner, training.data.source
    fabric = learner.fabric
    draws = source.draws(state.epoch, state.hard)
    share = learner.share(draws)[: len(draws) // fabric.world_size]
    total = len(batches_of(share, state.batch_size, source.shards))
    if not total:
        raise TrainingError(f"{len(draws)} samples make no batch of two on each device; add data")
    watch = Watch(training.output)
    learner.net.train()
    for i, (*parts, names) in enumerate(loader.batches(share, state.batch_size)):
        here = [part.to(fabric.device, non_blocking=True) for part in parts]
        seed = seed_of(config.seed, state.epoch, i, fabric.global_rank)
        batch, objects = (here[0], here[1], here[2]), here[3]
        pixels, targets, weights = augmented(batch, config, augment, seed=seed, objects=objects)
        torch.manual_seed(seed)  # what a network draws itself: dropout, points of a mask
        rate = learning_rate_at((state.epoch + i / total) / config.epochs, config)
        loss = learner.learn(pixels, targets, weights, rate=rate, clip_norm=config.optimiser.clip_norm)
        state.step += 1
        training.report(TrainProgress(state.epoch, "learning", i + 1, total, watch.saw(loss, names)))
    return watch.mean()


def validate_epoch(training: Training) -> Verdict | None:
    """Judge the averaged weights on the validation images; None where there are none, or not in this epoch."""
    images, settings, epoch = training.data.validation, training.config.validation, training.state.epoch + 1
    if images is None or (epoch % settings.every and epoch != training.config.epochs):
        return None
    indices = spread(len(images), settings.limit)
    verdict = Verdict.of(judge_all(training, training.model(), images, indices, settings.thresholds))
    if not verdict.best.objects.true:
        raise TrainingError(
            f"none of the {len(indices)} validation images holds a glomerulus; raise data.validation_share, "
            "choose another `seed`, or give a `split`"
        )
    return verdict


def judge_all(
    training: Training,
    model: Model,
    images: Images,
    indices: Sequence[int],
    thresholds: Sequence[float],
    *,
    tta: bool = False,
) -> list[Judged]:
    """Judge images, each device its share of them."""
    share, tell = training.learner.share(list(indices)), training.tell("validating")
    judged = judge(model, images, share, criterion_of(training.config), thresholds, tta=tta, progress=tell)
    return [image for part in training.learner.gathered(judged) for image in part]


def keep_epoch(training: Training, loss: float, verdict: Verdict | None) -> None:
    """Write the averaged weights where they are the best so far, then history and state."""
    state, learner, output = training.state, training.learner, training.output
    rank = verdict.best.rank if verdict else state.best
    better = rank > state.best or training.data.validation is None
    if better:
        state.best, state.best_epoch = rank, state.epoch
    row = EpochRow(
        epoch=state.epoch,
        step=state.step,
        seconds=state.seconds,
        train_loss=loss,
        learning_rate=learner.optimizer.param_groups[0]["lr"],
        best=int(better),
    )
    if verdict is not None:
        best, objects = verdict.best, verdict.best.objects
        row = dataclasses.replace(
            row, val_loss=verdict.loss, val_object_f1=best.f1, val_dice=best.dice, val_precision=objects.precision,
            val_recall=objects.recall,
        )  # fmt: skip
    state.rows.append(row)
    if learner.fabric.is_global_zero:
        if better:
            card = training.card(Dial(threshold=verdict.best.threshold) if verdict else None)
            save_model(output, card, learner.averaged_net)
        write_history(state.rows, output / HISTORY_NAME)
        draw_curves(output / HISTORY_NAME, output / CURVES_NAME)
        write_state(output, state, learner, training.config, training.data)
    training.report(TrainProgress(state.epoch, "epoch", state.epoch, training.config.epochs, loss, row))


def finish(training: Training) -> ModelCard:
    """Write the card of the best weights: where they outline, what counts, and what they score; return it."""
    data, learner, output = training.data, training.learner, training.output
    learner.fabric.barrier()
    card = read_card(output)
    net = load_network(output, card)
    model = Model(card, net, learner.fabric.device)
    scores: dict[str, object] = {"measured_on": "these weights", "method": METHOD, "data": data.describe}
    dial, dials, judged = Dial(threshold=card.threshold), tuple[Dial, ...](), list[Judged]()
    if data.validation is not None:
        chosen, judged, dials = choose(training, model, data.validation)
        dial = Dial(threshold=chosen.threshold, sureness=chosen.sureness)
        named = len(training.config.validation.thresholds) == 1
        chose = "epoch" if named else "epoch, threshold and sureness" if chosen.sureness else "epoch and threshold"
        scores["validation"] = {**scores_of(chosen, len(data.validation), card.class_names), "chose": chose}
    scores["best_epoch"] = training.state.best_epoch
    final = training.card(dial, dials=dials, scores=scores)
    if learner.fabric.is_global_zero:
        final = save_model(output, final, net)
        if data.validation is not None:
            draw_worst(Model(final, net, learner.fabric.device), data.validation, judged, output / WORST_NAME)
    if data.test is not None:  # opened only now that everything is chosen
        final = score_test(training, Model(final, net, learner.fabric.device), data.test)
        if learner.fabric.is_global_zero:
            final = save_model(output, final, net)
    learner.fabric.barrier()
    return final


def choose(training: Training, model: Model, images: Images) -> tuple[ChosenDials, list[Judged], tuple[Dial, ...]]:
    """Choose threshold and sureness on validation images, and the sureness with flips, whose means are lower.

    A single threshold in the settings stands, and then all counts. Also returns the images at that threshold.
    """
    named = training.config.validation.thresholds
    tried, surenesses = (named, (0.0,)) if len(named) == 1 else (THRESHOLDS, SURENESSES)
    judged = judge_all(training, model, images, range(len(images)), tried)
    chosen = choose_dials([image.outlined for image in judged], tried, surenesses=surenesses)
    at = tried.index(chosen.threshold)
    dials: tuple[Dial, ...] = ()
    if chosen.sureness:
        some = spread(len(images), FLIPPED)
        flipped = judge_all(training, model, images, some, (chosen.threshold,), tta=True)
        with_flips = choose_dials([image.outlined for image in flipped], (chosen.threshold,))
        dials = (Dial(tta=True, sureness=with_flips.sureness or 0.0),)
    return chosen, [dataclasses.replace(image, points=(image.points[at],)) for image in judged], dials


def score_test(training: Training, model: Model, images: Images) -> ModelCard:
    """Return the card with what the model scores on the test part.

    Raises TrainingError for what is wrong with that part; by then the model is whole but for this score.
    """
    card = model.card
    try:
        on_test = judge_all(training, model, images, range(len(images)), (card.threshold,))
    except TrainingError as error:
        raise TrainingError(
            f"{error}\nthe model in {training.output} is whole but for its score on the test part"
        ) from error
    if not on_test:
        return card
    reached = at_dials([image.outlined for image in on_test], card.threshold, card.sureness)
    scores = {**card.scores, "test": scores_of(reached, len(images), card.class_names)}
    return dataclasses.replace(card, scores=scores)
