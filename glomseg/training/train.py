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
from typing import Any

import torch
from torch import Tensor

from glomseg.errors import TrainingError
from glomseg.models.card import ModelCard
from glomseg.models.device import resolve_device
from glomseg.models.network import Network
from glomseg.models.predict import Model
from glomseg.models.store import load_network, read_card, save_model
from glomseg.training.augment.augment import Augment
from glomseg.training.batching import largest_batch
from glomseg.training.checkpoint import averaged, check_same, read_state, write_state
from glomseg.training.config import TrainConfig, write_config
from glomseg.training.curves import draw_curves
from glomseg.training.data.loading import Loader, augmented, batches_of
from glomseg.training.data.sampling import HardBox
from glomseg.training.data.training_data import Data
from glomseg.training.mining import chosen, mine
from glomseg.training.optimise import (
    Watch,
    check_finite,
    criterion_of,
    fabric_for,
    is_whole,
    learning_rate_at,
    measured,
    memory_for,
    network_of,
    seed_of,
    spread,
)
from glomseg.training.outputs import (
    CURVES_NAME,
    HISTORY_NAME,
    METHOD,
    WORST_NAME,
    card_of,
    draw_worst,
    told,
    write_history,
)
from glomseg.training.validate import Judged, Verdict, judge

CONFIG_NAME = "config.toml"
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""What is tried at the end, unless the settings name one threshold, which then stands."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is told as it goes: the stage of an epoch, how far it is, the loss; a row of the history at its end."""

    epoch: int
    stage: str
    done: int
    total: int
    loss: float | None = None
    row: dict[str, Any] | None = None


Report = Callable[[Progress], None]


class Training:
    """A training in the making."""

    def __init__(
        self,
        data: Data,
        output: Path,
        config: TrainConfig,
        *,
        name: str | None = None,
        device: str = "auto",
        start: str | Path | None = None,
        report: Report = lambda progress: None,
    ) -> None:
        """Make network, optimizer and loader; raises TrainingError, ModelError, DeviceError."""
        self.data, self.output, self.config, self.report = data, output, config, report
        self.named, self.name = bool(name), name or output.resolve().name
        self.fabric = fabric_for(config, resolve_device(device))
        self.fabric.launch()
        torch.manual_seed(config.seed)
        net, self.started_from = network_of(config, start)
        net = net.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.criterion, self.judging = criterion_of(config).to(self.fabric.device), criterion_of(config)
        self.batch_size = config.batch_size
        self.ema = averaged(net, config.ema_decay)
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        self.net, self.optimizer = self.fabric.setup(net, optimizer)
        self.augment = Augment(config.augment)
        self.loader = Loader(data.source, config, self.fabric.device)
        self.epoch, self.step, self.seconds, self.began = 0, 0, 0.0, time.monotonic()
        self.best, self.best_epoch = (-1.0, -1.0), 0
        self.hard: list[HardBox] = []
        self.rows: list[dict[str, Any]] = []

    def run(self, *, resume: bool = False) -> ModelCard:
        """Train from the beginning, or from the state in the output folder, to the end; return the model's card."""
        if resume:
            self._go_on()
        else:
            self._begin()
        while self.epoch < self.config.epochs and not self._is_stale():
            self._mine()
            with memory_for(self.batch_size, self.fabric.device):
                loss = self._learn()
            check_finite(self.net.module, self.output)
            verdict = self._validate()
            self.epoch += 1
            self._keep(loss, verdict)
        return self._finish()

    def _begin(self) -> None:
        """Find the batch size, and write down what is trained on what."""
        if not self.batch_size:
            self.batch_size = self._find_batch_size()
        if self.fabric.is_global_zero:
            self.data.write(self.output)
            self._write_config()

    def _write_config(self) -> None:
        write_config(dataclasses.replace(self.config, batch_size=self.batch_size), self.output / CONFIG_NAME)

    def _find_batch_size(self) -> int:
        trial, _ = network_of(self.config, None)
        trial = trial.to(self.fabric.device).train()

        def step(images: Tensor) -> Tensor:
            with self.fabric.autocast():
                logits: Tensor = trial(images)
            return logits.float()

        limit = self.config.batch_limit
        found = largest_batch(step, self.config.crop_px, self.fabric.device, limit=limit)
        smallest: int = min(self.gathered(found))
        return smallest

    def _mine(self) -> None:
        """Look for hard negatives with the weights there are, each so many epochs."""
        config, images = self.config, self.data.training
        if not config.mining_every or images is None or not self.epoch or self.epoch % config.mining_every:
            return
        indices = chosen(len(images), config.mining_images, seed=config.seed, epoch=self.epoch)
        mine_here = indices[self.fabric.global_rank :: self.fabric.world_size]
        found = mine(self.model(), images, mine_here, progress=self._teller("mining"))
        boxes = [box for part in self.gathered(found) for box in part]
        self.hard = sorted(boxes, key=lambda box: (box.name, box.x, box.y))

    def _learn(self) -> float:
        """Learn from one epoch's samples; return the mean loss."""
        fabric, config = self.fabric, self.config
        draws = self.data.source.draws(self.epoch, self.hard)
        share = draws[fabric.global_rank :: fabric.world_size][: len(draws) // fabric.world_size]
        total = len(batches_of(share, self.batch_size, self.data.source.shards))
        if not total:
            raise TrainingError(f"{len(draws)} samples make no batch of two on each device; add data")
        watch = Watch(self.output)
        self.net.train()
        for i, (images, labels, valid, names) in enumerate(self.loader.batches(share, self.batch_size)):
            rate = learning_rate_at((self.epoch + i / total) / config.epochs, config)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            on_device = tuple(part.to(fabric.device, non_blocking=True) for part in (images, labels, valid))
            seed = seed_of(config.seed, self.epoch, i, fabric.global_rank)
            pixels, targets, weights = augmented(on_device, config, self.augment, seed=seed)  # type: ignore[arg-type]
            loss: Tensor = self.criterion(self.net(pixels), targets, weights)
            self.optimizer.zero_grad()
            fabric.backward(loss)
            if config.clip_norm:
                fabric.clip_gradients(self.net, self.optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
            self.optimizer.step()
            self.ema.update_parameters(self.net.module)
            self.step += 1
            told = watch.saw(loss.detach(), names)
            self.report(Progress(self.epoch, "learning", i + 1, total, told))
        return watch.mean()

    def _validate(self) -> Verdict | None:
        """Judge the averaged weights on the validation images; None where there are none, or not in this epoch."""
        images, config = self.data.validation, self.config
        due = (self.epoch + 1) % config.validate_every == 0 or self.epoch + 1 == config.epochs
        if images is None or not due:
            return None
        indices = spread(len(images), config.validation_limit)
        verdict = Verdict.of(self.judged(self.model(), images, indices, config.thresholds), config.thresholds)
        if not verdict.best.objects.true:
            raise TrainingError(
                f"none of the {len(indices)} validation images holds a glomerulus; raise validation_share, "
                "choose another seed, or give a --split"
            )
        return verdict

    def judged(self, model: Model, images: Any, indices: Sequence[int], thresholds: Sequence[float]) -> list[Judged]:
        """Judge images, each device its share of them."""
        here = indices[self.fabric.global_rank :: self.fabric.world_size]
        found = judge(model, images, here, self.judging, thresholds, progress=self._teller("validating"))
        return [image for part in self.gathered(found) for image in part]

    def model(self) -> Model:
        """Return the averaged network as it will predict."""
        if self.fabric.world_size > 1:  # each device saw other batches, and so other statistics
            for value in self.ema.module.state_dict().values():
                torch.distributed.broadcast(value, 0)
        net = self.ema.module
        assert isinstance(net, Network)
        return Model(self.card(), net, self.fabric.device)

    def card(self, **known: Any) -> ModelCard:
        """Return the card as far as it is known."""
        return card_of(self.config, self.data, name=self.name, started_from=self.started_from, **known)

    def gathered(self, item: Any) -> list[Any]:
        """Return the items of all devices, in their order."""
        if self.fabric.world_size == 1:
            return [item]
        items: list[Any] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(items, item)
        return items

    def _keep(self, loss: float, verdict: Verdict | None) -> None:
        """Write the weights where they are the best so far, then history and state."""
        rank = verdict.best.rank if verdict else self.best
        better = rank > self.best or self.data.validation is None
        if better:
            self.best, self.best_epoch = rank, self.epoch
        self.seconds, self.began = self.seconds + time.monotonic() - self.began, time.monotonic()
        row = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "train_loss": loss,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "best": int(better),
            **measured(verdict),
        }
        self.rows.append(row)
        if self.fabric.is_global_zero:
            if better:
                net = self.ema.module
                assert isinstance(net, Network)
                threshold = verdict.best.threshold if verdict else 0.5
                save_model(self.output, self.card(threshold=threshold), net)
            write_history(self.rows, self.output / HISTORY_NAME)
            draw_curves(self.output / HISTORY_NAME, self.output / CURVES_NAME)
            write_state(self.output, self._state())
        self.report(Progress(self.epoch, "epoch", self.epoch, self.config.epochs, loss, row))

    def _is_stale(self) -> bool:
        config = self.config
        judged = bool(self.rows) and "val_object_f1" in self.rows[-1]  # what was not judged may be better
        return bool(judged and config.patience and self.epoch - self.best_epoch >= config.patience)

    def _state(self) -> dict[str, Any]:
        return {
            "config": self.config.to_toml(),
            "data": self.data.digest,
            "batch_size": self.batch_size,
            "devices": self.fabric.world_size,
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "best": list(self.best),
            "best_epoch": self.best_epoch,
            "rows": self.rows,
            "hard": [[box.name, box.x, box.y] for box in self.hard],
            "name": self.name,
            "origins": [[item.name, item.licence, item.source] for item in self.data.origins],
            "started_from": self.started_from.to_json() if self.started_from else "",
            "random": torch.get_rng_state(),
            "net": self.net.module.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
        }

    def _go_on(self) -> None:
        """Take up the state in the output folder; raises TrainingError where it is of another training."""
        state = read_state(self.output)
        check_same(state, self.config, self.data.digest, self.fabric.world_size, self.output)
        self.batch_size = self.config.batch_size or state["batch_size"]
        self.epoch, self.step = state["epoch"], state["step"]
        if not self.named:
            self.name = state.get("name", self.name)
        self.data = self.data.with_licences(state.get("origins", ()))
        self.best, self.best_epoch = tuple(state["best"]), state["best_epoch"]
        self.seconds, self.rows = state["seconds"], list(state["rows"])
        if self.best_epoch and not is_whole(self.output):  # cut off between weights and card
            self.best, self.best_epoch = (-1.0, -1.0), 0
        self.hard = [HardBox(name, x, y) for name, x, y in state["hard"]]
        self.started_from = ModelCard.from_json(state["started_from"]) if state["started_from"] else None
        self.net.module.load_state_dict(state["net"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        if self.fabric.is_global_zero:
            self._write_config()

    def _finish(self) -> ModelCard:
        """Write the card of the best weights: their threshold, and what they score; return it."""
        self.fabric.barrier()
        card = read_card(self.output)
        net = load_network(self.output, card)
        model = Model(card, net, self.fabric.device)
        data = self.data
        scores: dict[str, Any] = {"measured_on": "these weights", "method": METHOD, "data": data.describe}
        threshold, judged = card.threshold, list[Judged]()
        if data.validation is not None:
            everything = range(len(data.validation))
            fixed = self.config.thresholds if len(self.config.thresholds) == 1 else None
            tried = fixed or THRESHOLDS
            sweep = self.judged(model, data.validation, everything, tried)
            best = Verdict.of(sweep, tried).best
            threshold = best.threshold
            at = tried.index(threshold)
            judged = [Judged(image.index, image.loss, (image.points[at],)) for image in sweep]
            chose = "epoch" if fixed else "epoch and threshold"
            scores["validation"] = {**told(best, len(data.validation)), "chose": chose}
        if data.test is not None and len(data.test):
            on_test = self.judged(model, data.test, range(len(data.test)), (threshold,))
            scores["test"] = told(Verdict.of(on_test, (threshold,)).best, len(data.test))
        scores["best_epoch"] = self.best_epoch
        final = self.card(threshold=threshold, scores=scores)
        if self.fabric.is_global_zero:
            final = save_model(self.output, final, net)
            if data.validation is not None:
                shown = Model(final, net, torch.device(self.fabric.device))
                draw_worst(shown, data.validation, judged, self.output / WORST_NAME)
        self.fabric.barrier()
        return final

    def _teller(self, stage: str) -> Callable[[int, int], None]:
        return lambda done, total: self.report(Progress(self.epoch, stage, done, total))
