"""The end of a training: choose the threshold on validation images, score the test images once, show the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from glomseg.models.card import ModelCard, read_card
from glomseg.models.predict import Model, load_net, save_model
from glomseg.training.outputs import METHOD, WORST_NAME, draw_worst, told
from glomseg.training.validate import Judged, Verdict

if TYPE_CHECKING:
    from glomseg.training.train import Training

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""What is tried at the end, unless the settings name one threshold, which then stands."""


def finish(training: Training) -> ModelCard:
    """Write the card of the best weights: their threshold, and what they score; return it."""
    training.fabric.barrier()
    card = read_card(training.output)
    net = load_net(training.output, card)
    model = Model(card, net, training.fabric.device)
    data = training.data
    scores: dict[str, Any] = {"measured_on": "these weights", "method": METHOD, "data": data.describe}
    threshold, judged = card.threshold, list[Judged]()
    if data.validation is not None:
        everything = range(len(data.validation))
        fixed = training.config.thresholds if len(training.config.thresholds) == 1 else None
        tried = fixed or THRESHOLDS
        sweep = training.judged(model, data.validation, everything, tried)
        best = Verdict.of(sweep, tried).best
        threshold = best.threshold
        at = tried.index(threshold)
        judged = [Judged(image.index, image.loss, (image.points[at],)) for image in sweep]
        chose = "epoch" if fixed else "epoch and threshold"
        scores["validation"] = {**told(best, len(data.validation)), "chose": chose}
    if data.test is not None and len(data.test):
        on_test = training.judged(model, data.test, range(len(data.test)), (threshold,))
        scores["test"] = told(Verdict.of(on_test, (threshold,)).best, len(data.test))
    scores["best_epoch"] = training.best_epoch
    final = training.card(threshold=threshold, scores=scores)
    if training.fabric.is_global_zero:
        final = save_model(training.output, final, net)
        if data.validation is not None:
            shown = Model(final, net, torch.device(training.fabric.device))
            draw_worst(shown, data.validation, judged, training.output / WORST_NAME)
    training.fabric.barrier()
    return final
