"""Train several networks side by side on one stream of composed images, for so many seconds: for a GPU and many cores.

    python -m tools.starter.stream DATA --organs ORGANS --output OUTPUT --seconds 400 ONE.toml TWO.toml
        [--start ONE=pas-starter] [--fillers 10] [--pool 24000] [--device cuda]

Each settings file is a network with its rate and batch; OUTPUT gets its averaged weights (ONE.safetensors) and its
losses (ONE.csv). Composing is dearer than learning, so that all draw from one pool, which is filled over and over.
Half of it is composed by `compose.ALL_STAINS`, half by `compose.HARDER`. The rate falls with the time that is left.
Which parts of DATA are learned from is as in `composed.py`.
"""

from __future__ import annotations

import argparse
import csv
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from glomseg.errors import GlomsegError, TrainingError
from glomseg.training.config import TrainConfig
from glomseg.training.config_file import read_config
from glomseg.training.optimise import Learner, read_start, seed_of
from glomseg.training.outputs import card_of
from glomseg.training.pace import learning_rate_at
from tools.starter.compose import ALL_STAINS, HARDER
from tools.starter.composed import ComposedSource, data_of, learned_parts
from tools.starter.pool import Pool, fill

TOLD = 100
"""Steps between two losses that are written down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What is composed by which settings, and the pool that it lies in."""

    data: Path
    organs: Path
    folder: Path
    count: int
    fillers: int
    config: TrainConfig

    def pool(self) -> Pool:
        """Map the pool."""
        return Pool.at(self.folder, count=self.count, side_px=self.config.data.crop_px, fillers=self.fillers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """One network of the stream: its settings, a model to start from, and the path of its files, less their ending."""

    config: TrainConfig
    start: str | None
    output: Path
    seconds: float
    device: str


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", type=Path, nargs="+")
    parser.add_argument("--organs", type=Path, required=True)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--start", action="append", default=[], metavar="NAME=MODEL")
    parser.add_argument("--fillers", type=int, default=10)
    parser.add_argument("--pool", type=int, default=24_000, help="images")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="where the pool lies")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        trainings = read_trainings(options)
    except GlomsegError as error:
        sys.exit(f"{error}")
    with tempfile.TemporaryDirectory(dir=options.memory) as folder:
        stream = Stream(
            data=options.data,
            organs=options.organs,
            folder=Path(folder),
            count=options.pool,
            fillers=options.fillers,
            config=trainings[0].config,
        )
        failed = run(stream, trainings)
    if failed:
        sys.exit(f"not trained to the end: {', '.join(failed)}")


def read_trainings(options: argparse.Namespace) -> list[Training]:
    """Read what to train; raises TrainingError where settings do not fit one stream or a name is not theirs."""
    starts = {name: model for name, _, model in (pair.partition("=") for pair in options.start)}
    configs = {path.stem: read_config(file=path) for path in options.settings}
    if len(configs) < len(options.settings):
        raise TrainingError("two of the settings files have one name; rename one, for their weights are called so")
    if unknown := [name for name, model in starts.items() if name not in configs or not model]:
        raise TrainingError(f"--start {unknown[0]}: give NAME=MODEL, NAME being one of {', '.join(configs)}")
    first, *others = configs.items()
    if unlike := [name for name, config in others if (config.data, config.seed) != (first[1].data, first[1].seed)]:
        raise TrainingError(f"{unlike[0]} differs from {first[0]} in [data] or seed, and all learn from one stream")
    if first[1].data.margin_px:
        raise TrainingError("data.margin_px must be 0, for nothing is cut off here; correct it")
    return [
        Training(
            config=config,
            start=starts.get(name),
            output=options.output / name,
            seconds=options.seconds,
            device=options.device,
        )
        for name, config in configs.items()
    ]


def run(stream: Stream, trainings: Sequence[Training]) -> list[str]:
    """Fill the pool and train all networks at once; return the names of those that failed."""
    pool = stream.pool()
    context = multiprocessing.get_context("spawn")
    fillers = [context.Process(target=compose, args=(stream, index), daemon=True) for index in range(stream.fillers)]
    learners = {training.output.name: context.Process(target=learn, args=(stream, training)) for training in trainings}
    for process in (*fillers, *learners.values()):
        process.start()
    while any(process.is_alive() for process in learners.values()):
        if any(process.exitcode is not None for process in fillers):  # its share would be waited for, or grow stale
            print("a process that composes has ended; nothing is trained on", file=sys.stderr)
            for process in learners.values():
                process.kill()
        time.sleep(0.5)
    for process in learners.values():
        process.join()
    print(f"{pool.written.sum()} images composed", flush=True)
    for process in fillers:
        process.kill()
    return [name for name, process in learners.items() if process.exitcode]


def compose(stream: Stream, index: int) -> None:
    """Fill a share of the pool without end."""
    torch.set_num_threads(1)
    recipe = HARDER if index % 2 else ALL_STAINS
    source = ComposedSource(stream.data, learned_parts(stream.config), stream.config, stream.organs, recipe)
    fill(stream.pool(), index, source, seed=stream.config.seed)


def learn(stream: Stream, training: Training) -> None:
    """Train one network until the time is over; write its weights and losses, or exit with what is wrong."""
    try:
        learn_from(stream.pool(), stream, training)
    except GlomsegError as error:
        sys.exit(f"{training.output.name}: {error}")


def learn_from(pool: Pool, stream: Stream, training: Training) -> None:
    """Train one network; raises TrainingError where its loss is no number any more, GlomsegError."""
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    config, output = training.config, training.output
    data = data_of(stream.data, config, organs=stream.organs)
    begun = read_start(training.start)[0] if training.start else None
    learner = Learner.of(config, card_of(config, data, name=output.name), training.device, begun)
    rng = np.random.default_rng(seed_of(config.seed, 1))
    while pool.written.min() < 1:
        time.sleep(0.2)
    losses: list[tuple[float, int, float]] = []
    began, step, loss = time.monotonic(), 0, torch.tensor(math.nan)
    learner.net.train()
    while (spent := time.monotonic() - began) < training.seconds:
        batch = drawn(pool, rng, config.optimiser.batch_size, learner.fabric.device)
        rate = learning_rate_at(spent / training.seconds, config)
        loss = learner.learn(*batch, rate=rate, clip_norm=config.optimiser.clip_norm)
        step += 1
        if step % TOLD == 0:
            losses.append((spent, step, checked(loss, step)))
    losses.append((spent, step, checked(loss, step)))
    state = {key: value.detach().cpu().contiguous() for key, value in learner.averaged_net.state_dict().items()}
    save_file(state, output.with_suffix(".safetensors"))
    with output.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("seconds", "step", "loss"), *losses])
    print(f"{output.name}: {step} steps of {config.optimiser.batch_size} in {training.seconds:.0f} s", flush=True)


def checked(loss: Tensor, step: int) -> float:
    """Return a loss; raises TrainingError where it is no number."""
    if not math.isfinite(value := float(loss)):
        raise TrainingError(f"the loss is {value} at step {step}; lower optimiser.learning_rate, or give more time")
    return value


def drawn(pool: Pool, rng: np.random.Generator, count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a batch from the pool, mirrored and turned as a whole: images, labels and weights on the device."""
    places = pool.draw(rng, count)
    parts = [torch.from_numpy(part[places]).to(device) for part in (pool.images, pool.labels, pool.valid)]
    pixels = parts[0].permute(0, 3, 1, 2).float().div_(255)
    targets, weights = (part[:, None].float() for part in parts[1:])
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))

    def turned(part: Tensor) -> Tensor:
        part = torch.rot90(part, turns, (2, 3))
        return part.flip(3) if mirror else part

    pixels, targets, weights = turned(pixels), turned(targets), turned(weights)
    return pixels.contiguous(memory_format=torch.channels_last), targets, weights


if __name__ == "__main__":
    main()
