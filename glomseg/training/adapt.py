"""Fit a model to one laboratory in minutes, and say on images left out whether that made it better.

The images are dealt into two halves by slide. From each half a model is adapted and judged on the other half, beside
the model that one began with; a third adaptation learns from all images and is the one that is kept. Each batch holds
some of the starter's own tissue. What is kept is a mean of old and new weights: as much of the new as was best on the
images left out, and as that tissue allows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from glomseg.errors import TrainingError
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.device import resolve_device
from glomseg.models.network import Network
from glomseg.models.predict import Model
from glomseg.segment.pipeline import SegmentSettings, outline_settings
from glomseg.training.augment.augment import Augment
from glomseg.training.blend import BLENDS, blended, choose_blend, crossed
from glomseg.training.config import TrainConfig
from glomseg.training.data.examples import Example
from glomseg.training.data.find import find_examples
from glomseg.training.data.loading import augmented, collate
from glomseg.training.data.sampling import ExampleImages, ExampleSource, TrainSample
from glomseg.training.dials import ChosenDials, OutlinedImage, at_dials, choose_dials
from glomseg.training.optimise import Learner, seed_of, spread
from glomseg.training.pace import learning_rate_at
from glomseg.training.validate import outlined_of, probability_of, read_images

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
MAY_LOSE = 0.02
"""Object F1 that the starter's tissue may lose."""
REHEARSED = 0.25
"""Share of each batch that is the starter's tissue."""
REHEARSAL_MPP, REHEARSAL_SPECIES = 1.5, "human"
JUDGED = 60
"""Images of each half that are judged, at most."""
LEARNING = 0.8
"""Share of the time that is learned in; the rest is for judging."""
_TIMED, _FEWEST_STEPS, _BATCH = 3, 10, 4

StageProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Gain:
    """What the old model and the new one score on the same images, each with the dials of its card."""

    old: ChosenDials
    new: ChosenDials
    images: int

    @property
    def difference(self) -> float:
        """How much object F1 the new model gains."""
        return self.new.sure.f1 - self.old.sure.f1


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network, its threshold and sureness, how it was made, and what it gained and forgot.

    `left_out` is over images that the model judged had not learned from, its dials chosen on the others; `starter` over
    the starter's tissue, None for a model of other classes than that has. `blend` is the share of the new weights.
    """

    net: Network
    dials: ChosenDials
    steps: int
    blend: float
    left_out: Gain
    starter: Gain | None

    @property
    def is_better(self) -> bool:
        """Tell whether it is at least as good as the old one on images left out."""
        return self.left_out.difference >= 0


def adapt(
    examples: Sequence[Example],
    start: Network,
    card: ModelCard,
    config: TrainConfig,
    *,
    device: str = "cpu",
    steps: int = 0,
    tell: StageProgress = lambda stage, done, total: None,
) -> Adapted:
    """Go on from `start` and its `card`, which reads as `config` says, for `config.minutes` or so many `steps`.

    Raises TrainingError where the examples are of one slide alone, or without a glomerulus on one side.
    """
    halves = halved(examples)
    rehearsal = Rehearsal.of(card, config)
    seconds = config.minutes * 60 * LEARNING / (len(halves) + 1)
    old = Model(card, start, resolve_device(device))
    before = [_outlined(old, ExampleImages(half, config)) for half in halves]
    after: dict[float, list[list[OutlinedImage]]] = {blend: [] for blend in BLENDS}
    for number, half in enumerate(halves):
        others = [item for other in halves if other is not half for item in other]
        stage = f"learning without part {number + 1}: step"
        heard = _as_of_all(tell, number, len(halves) + 1)
        net, taken = learn(others, rehearsal, start, card, config, seconds, steps, device, stage, heard)
        steps = steps or taken
        for blend in BLENDS:
            model = Model(card, blended(start, net, blend), old.device)
            after[blend].append(_outlined(model, ExampleImages(half, config)))
    heard = _as_of_all(tell, len(halves), len(halves) + 1)
    net, steps = learn(examples, rehearsal, start, card, config, seconds, steps, device, "learning: step", heard)
    tell("judging what was gained and forgotten", 0, 0)
    mixed = {blend: blended(start, net, blend) for blend in BLENDS}
    forgot: dict[float, Gain] = {}
    if rehearsal is not None:
        images = ExampleImages(rehearsal.check, config)
        theirs = at_dials(_outlined(old, images), card.threshold, card.sureness)
        for blend, halves_after in after.items():
            dials = choose_dials(list(chain(*halves_after)), THRESHOLDS)
            now = _outlined(Model(card, mixed[blend], old.device), images)
            forgot[blend] = Gain(theirs, at_dials(now, dials.threshold, dials.sureness), len(now))
    allowed = [blend for blend in BLENDS if blend not in forgot or forgot[blend].difference >= -MAY_LOSE] or BLENDS[-1:]
    judged = {blend: after[blend] for blend in allowed}
    blend, dials = choose_blend(judged, THRESHOLDS)
    kept = at_dials(list(chain(*before)), card.threshold, card.sureness)
    gain = Gain(kept, crossed(judged, THRESHOLDS), sum(len(half) for half in before))
    return Adapted(mixed[blend], dials, steps, blend, gain, forgot.get(blend))


def _as_of_all(tell: StageProgress, number: int, stages: int) -> StageProgress:
    """Tell the steps of one of several stages as steps of all, which are equally many in each."""
    return lambda stage, done, total: tell(stage, number * total + done, stages * total)


def halved(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """Deal examples into two halves, whole slides, those with most images first; raises TrainingError."""
    slides: dict[str, list[Example]] = {}
    for item in examples:
        slides.setdefault(item.slide, []).append(item)
    if len(slides) < 2:
        raise TrainingError(
            f"all that was reviewed is of one image ({', '.join(slides)}), so that nothing is left to judge by; "
            "review a second one"
        )
    halves: tuple[list[Example], list[Example]] = ([], [])
    for items in sorted(slides.values(), key=lambda items: -sum(item.positive for item in items)):
        min(halves, key=lambda half: (sum(item.positive for item in half), len(half))).extend(items)
    if not all(any(item.positive for item in half) for half in halves):
        raise TrainingError(
            "only one of the reviewed images has a glomerulus, so that nothing is left to judge by; review another"
        )
    return halves


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The starter's own tissue: some to show again while learning, some to see what was forgotten."""

    rehearse: tuple[Example, ...]
    check: tuple[Example, ...]

    @classmethod
    def of(cls, card: ModelCard, config: TrainConfig) -> Rehearsal | None:
        """Find it at the size at which a model sees glomeruli; None for a model of other classes."""
        if len(card.class_names) > 1 or card.class_names[0].lower() != "glomerulus":
            return None
        mpp = REHEARSAL_MPP * config.diameter_um / SPECIES_DIAMETER_UM[REHEARSAL_SPECIES]
        folder = Path(str(resources.files("glomseg.training"))) / "rehearsal"
        parts = (
            find_examples([folder / name], model_mpp=config.model_mpp, tile_mpp=mpp, classes=card.class_names)
            for name in ("rehearse", "check")
        )
        return cls(*parts)


def as_read(card: ModelCard, config: TrainConfig) -> ModelCard:
    """Return a card as the model reads the species of `config`: its scale, its smallest area, its dials."""
    species = config.model.species
    dial = card.dial(species)
    area = outline_settings(card, SegmentSettings(species=species)).minimum_area_um2
    return replace(
        card,
        mpp=config.model_mpp,
        training_diameter_um=config.diameter_um,
        species=species,
        minimum_area_um2=area,
        threshold=dial.threshold or card.threshold,
        sureness=dial.sureness,
        dials=(),
    )


def learn(
    examples: Sequence[Example],
    rehearsal: Rehearsal | None,
    start: Network,
    card: ModelCard,
    config: TrainConfig,
    seconds: float,
    steps: int,
    device: str,
    stage: str,
    tell: StageProgress,
) -> tuple[Network, int]:
    """Learn from examples for so many steps, or as many as fit into `seconds`; return the averaged network, and steps.

    How many fit is told from the first steps, so that the same number of steps gives the same network.
    """
    learner = Learner.of(config, card, device, start)
    augment, size = Augment(config.augment), config.optimiser.batch_size or _BATCH
    ours = _samples(examples, config)
    shown = max(1, round(size * REHEARSED)) if rehearsal else 0
    theirs = _samples(rehearsal.rehearse, config) if rehearsal else iter(())
    learner.net.train()
    began, step, total = time.perf_counter(), 0, steps
    while step < (total or _TIMED + 1):
        batch = [*itertools.islice(ours, size - shown), *itertools.islice(theirs, shown)]
        *parts, _ = collate(batch)
        images, labels, valid, objects = (part.to(learner.fabric.device) for part in parts)
        seed = seed_of(config.seed, step)
        pixels, targets, weights = augmented((images, labels, valid), config, augment, seed=seed, objects=objects)
        torch.manual_seed(seed)  # what a network draws itself
        share = step / total if total else 0.0
        learner.learn(
            pixels, targets, weights, rate=learning_rate_at(share, config), clip_norm=config.optimiser.clip_norm
        )
        step += 1
        if step == 1:  # the first one warms caches up
            began = time.perf_counter()
        elif not total and step == _TIMED + 1:
            total = max(_FEWEST_STEPS, int(seconds / ((time.perf_counter() - began) / _TIMED)))
        if total:
            tell(stage, step, total)
    return learner.averaged_net.eval(), step


def _samples(examples: Sequence[Example], config: TrainConfig) -> Iterator[TrainSample]:
    """Yield samples without end."""
    source = ExampleSource(examples, config)
    for epoch in itertools.count():
        for draw in source.draws(epoch, ()):
            yield source.sample(draw)


def _outlined(model: Model, images: ExampleImages) -> list[OutlinedImage]:
    """Outline images, all or some evenly spread, at each of THRESHOLDS and the card's, and compare with the truth."""
    tried = tuple(dict.fromkeys((*THRESHOLDS, model.card.threshold)))
    return [
        outlined_of(model, probability_of(model, labelled), labelled, tried)
        for _, labelled in read_images(images, spread(len(images), JUDGED))
    ]


def words_of(gain: Gain, what: str) -> str:
    """Say what was gained or lost on some images."""
    old, new = gain.old.sure, gain.new.sure
    said = "gained" if gain.difference > 0 else "lost" if gain.difference < 0 else "unchanged"
    return (
        f"{what}: object F1 {old.f1:.2f} before, {new.f1:.2f} now ({said}; found {old.objects.matched} and "
        f"{new.objects.matched} of {new.objects.true}, false {old.objects.predicted - old.objects.matched} and "
        f"{new.objects.predicted - new.objects.matched}), counted on each of {gain.images} tiles"
    )


def table_of(gain: Gain) -> dict[str, Any]:
    """Return what a card says of it."""
    table: dict[str, Any] = {"images": gain.images}
    for name, one in (("before", gain.old), ("now", gain.new)):
        objects = one.sure.objects
        table[name] = {
            "object_f1": round(one.sure.f1, 4),
            "precision": round(objects.precision, 4),
            "recall": round(objects.recall, 4),
            "recall_with_candidates": round(one.with_candidates.objects.recall, 4),
            "dice": round(one.sure.dice, 4),
            "true_objects": objects.true,
            "predicted_objects": objects.predicted,
            "matched": objects.matched,
        }
    return table
