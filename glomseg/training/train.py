"""Train a VariableUNet on composed images; run as `python -m glomseg.training.train DATA_DIR --output models/NAME`."""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from scipy import ndimage
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from glomseg.errors import TrainingError
from glomseg.files import replacing
from glomseg.training.aidpath import Part, Split, joined, read_crops, read_tiles, split
from glomseg.training.compose import Composer, Recipe, Sample
from glomseg.training.losses import BCEDiceLoss
from glomseg.training.score import Score, objects_of, score
from glomseg.unet import VariableUNet

log = logging.getLogger(__name__)

VALIDATION_SEED = 7_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Everything that decides a training but the data. It ends after `steps`, or after `minutes` if they are given."""

    steps: int = 3000
    minutes: float | None = None
    batch_size: int = 6
    image_px: int = 192
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    warm_up: float = 0.04
    clip_norm: float = 1.0
    ema_decay: float = 0.997
    loss_a: float = 0.6
    loss_pos_weight: float = 1.5
    patch_size: int = 512
    seed: int = 0
    workers: int = 1
    evaluate_every: int = 400
    validation_images: int = 48
    threshold: float = 0.5
    minimum_area_px: float = 300.0
    minimum_solidity: float = 0.8


@dataclass(frozen=True, slots=True)
class Progress:
    """What is told after every step; `score` is there after an evaluation."""

    step: int
    share: float
    loss: float
    score: Score | None = None


class _Composed(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Item i is the image that seed and i decide, in whichever worker it is made."""

    def __init__(self, composer: Composer, seed: int, length: int) -> None:
        self._composer, self._seed, self._length = composer, seed, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        return _to_tensors(self._composer.sample(np.random.default_rng([self._seed, index])))


def _to_tensors(sample: Sample) -> tuple[Tensor, Tensor, Tensor]:
    image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))
    return image, torch.from_numpy(sample.label.copy())[None], torch.from_numpy(sample.weight.copy())[None]


def _batches(composer: Composer, config: TrainConfig) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    length = 1_000_000 if config.minutes else config.steps * config.batch_size
    generator = torch.Generator().manual_seed(config.seed)  # or the loader draws from the global one
    loader = DataLoader(
        _Composed(composer, config.seed, length),
        batch_size=config.batch_size,
        num_workers=config.workers,
        prefetch_factor=6 if config.workers else None,
        generator=generator,
    )
    return iter(loader)


def learning_rate_at(share: float, config: TrainConfig) -> float:
    """Return the learning rate at `share` (0..1) of the training: a linear warm-up, then half a cosine."""
    if share < config.warm_up:
        return config.learning_rate * (0.02 + 0.98 * share / config.warm_up)
    x = (share - config.warm_up) / (1 - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(x, 1.0))))


def averaged(net: nn.Module, decay: float) -> AveragedModel:
    """Return a moving average of `net`, BatchNorm's statistics included, that forgets its beginning quickly."""

    def mean(old: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        keep = min(decay, (1 + int(count)) / (10 + int(count)))
        return old * keep + new * (1 - keep) if old.is_floating_point() else new

    return AveragedModel(net, avg_fn=mean, use_buffers=True)


def predict(net: nn.Module, images: Tensor, device: torch.device) -> Tensor:
    """Return probabilities 0..255 (N, H, W) uint8 for images (N, 3, H, W) uint8."""
    net.eval()
    with torch.inference_mode():
        logits = net(images.to(device).float() / 255)
        return (torch.sigmoid(logits[:, 0]) * 255).round().to(torch.uint8).cpu()


def evaluate(net: nn.Module, samples: list[Sample], config: TrainConfig, device: torch.device) -> Score:
    """Add up the scores of fixed samples."""
    total = Score()
    for sample in samples:
        image = _to_tensors(sample)[0][None]
        probability = predict(net, image, device)[0].numpy()
        found = objects_of(
            probability,
            threshold=config.threshold,
            minimum_area_px=config.minimum_area_px,
            minimum_solidity=config.minimum_solidity,
        )
        true = np.asarray(ndimage.label(sample.label)[0], dtype=np.int32)
        total += score(found, true, ~sample.weight, minimum_true_px=int(config.minimum_area_px))
    return total


def train(
    data: Part,
    validation: Part | None,
    output: Path,
    config: TrainConfig,
    *,
    device: torch.device | None = None,
    start: dict[str, Tensor] | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> VariableUNet:
    """Train on `data` and return the averaged network; `output/best.safetensors` scored best on `validation`.

    Without a validation part the last network is the best. The seed decides the result of a training of `steps`; one
    of `minutes` ends when the clock says so. Raises TrainingError when the loss is not finite.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(config.seed)
    net = VariableUNet(config.patch_size).to(device)
    if start is not None:
        net.load_state_dict(start)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ema = averaged(net, config.ema_decay)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.98)
    )
    samples, recipe = _validation_samples(validation, config), Recipe(size_px=config.image_px)
    keeper, began, share = _Keeper(output), time.monotonic(), 0.0
    for step, batch in enumerate(_batches(Composer(data, recipe), config), start=1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(share, config)
        loss = _step(net, batch, optimizer, config, device)
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step}: lower the learning rate and start again")
        ema.update_parameters(net)
        share = (time.monotonic() - began) / 60 / config.minutes if config.minutes else step / config.steps
        result = None
        if step % config.evaluate_every == 0 or share >= 1:
            result = evaluate(ema, samples, config, device) if samples else None
            keeper.keep(_state(ema), result.f1 + 0.5 * result.dice if result else float(step))
        if callback:
            callback(Progress(step, min(share, 1.0), loss, result))
        if share >= 1:
            break
    final = VariableUNet(config.patch_size)
    final.load_state_dict(_state(ema))
    return final.eval()


class _Keeper:
    """Keep the last weights and the best, each file whole or not at all."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._best = -math.inf

    def keep(self, state: dict[str, Tensor], value: float) -> None:
        for name in ["last"] + (["best"] if value > self._best else []):
            with replacing(self._output / f"{name}.safetensors") as path:
                path.write_bytes(save(state))
        self._best = max(self._best, value)


def _validation_samples(part: Part | None, config: TrainConfig) -> list[Sample]:
    if part is None:
        return []
    composer = Composer(part, Recipe(size_px=config.image_px))
    return [composer.sample(np.random.default_rng([VALIDATION_SEED, i])) for i in range(config.validation_images)]


def _state(ema: AveragedModel) -> dict[str, Tensor]:
    state: dict[str, Any] = ema.module.state_dict()
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _step(
    net: nn.Module,
    batch: tuple[Tensor, Tensor, Tensor],
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    device: torch.device,
) -> float:
    """Take one optimizer step and return the loss."""
    images, labels, weights = (tensor.to(device) for tensor in batch)
    criterion = BCEDiceLoss(a=config.loss_a, pos_weight=config.loss_pos_weight).to(device)
    net.train()
    pixels = (images.float() / 255).to(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type in ("cpu", "cuda")):
        logits = net(pixels)
    loss: Tensor = criterion(logits, labels.float(), weights.float())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
    optimizer.step()
    return float(loss.detach())


def read_data(folder: Path) -> Split:
    """Read and split a data folder as `aidpath.py` describes it."""
    return split(read_tiles(folder / "tiles"), read_crops(folder / "crops"))


def main() -> None:
    """Run a training from the command line, for as long as there is no `glomseg train`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=TrainConfig().learning_rate)
    parser.add_argument("--all", action="store_true", help="train on every part, without validation")
    parser.add_argument("--start", type=Path, help="weights to start from")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parts = read_data(arguments.data)
    config = TrainConfig(minutes=arguments.minutes, seed=arguments.seed, learning_rate=arguments.learning_rate)
    train(
        joined(parts.train, parts.validation, parts.test) if arguments.all else parts.train,
        None if arguments.all else parts.validation,
        arguments.output,
        config,
        start=load_file(arguments.start) if arguments.start else None,
        callback=_log(),
    )


def _log(every: int = 50) -> Callable[[Progress], None]:
    """Return a callback that logs the mean loss of the last `every` steps, and each score."""
    losses: deque[float] = deque(maxlen=every)

    def tell(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step % every and not progress.score:
            return
        told = f"F1 {progress.score.f1:.3f} Dice {progress.score.dice:.3f} {progress.score}" if progress.score else ""
        log.info("step %d (%.0f%%) loss %.4f %s", progress.step, 100 * progress.share, np.mean(losses), told)

    return tell


if __name__ == "__main__":
    main()
