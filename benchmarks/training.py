"""How many samples a training sees per second, and where the time goes.

    python benchmarks/training.py [--recipe glomseg] [--device cpu] [--steps 30] [--workers N] [--set KEY=VALUE]

Makes tissue up (squares of noise with discs, as PNG tiles), or takes `--data FOLDER --tile-mpp UM`, and prints: samples
per second that the loader alone makes, those that the network alone learns from, and both together; and the shares of
augmentation, forward and backward pass in a step. The loader keeps up where both together are as fast as the network.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

TILE_PX = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="glomseg")
    parser.add_argument("--data", type=Path, help="a folder that glomseg train takes, instead of made-up tissue")
    parser.add_argument("--tile-mpp", type=float, help="um per pixel of the data, where the files do not say it")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    from glomseg.training.config_file import read_config
    from glomseg.training.data.loading import Loader
    from glomseg.training.data.training_data import read_data
    from glomseg.training.train import prepare

    words = ["optimiser.batch_size=16", "data.mining_every=0", *options.set, f"data.workers={options.workers}"]
    config = read_config(recipe=options.recipe, words=words)
    mpp = options.tile_mpp or (None if options.data else config.model_mpp / 3)
    data = read_data([options.data or make_tiles(folder / "tiles", config.model_mpp / 3)], config, tile_mpp=mpp)
    training = prepare(data, folder / "model", config, device=options.device)
    loader = Loader(data.source, config, training.learner.fabric.device)
    draws = data.source.draws(0, ())
    size = config.optimiser.batch_size
    draws = (draws * (1 + (options.steps + 3) * size // len(draws)))[: (options.steps + 3) * size]
    batches = iter(loader.batches(draws, size))
    first = next(batches)  # starts the processes
    loaded, made = rate(lambda: next(batches), options.steps, size, training)
    print(f"loader alone        {loaded:8.1f} samples/s (batches of {made[0].shape[0]})")
    parts = dict.fromkeys(("augment", "forward", "backward"), 0.0)
    step(training, first, parts)
    parts = dict.fromkeys(parts, 0.0)
    learned, _ = rate(lambda: step(training, first, parts), options.steps, size, training)
    whole = sum(parts.values())
    print(f"network alone       {learned:8.1f} samples/s")
    print(", ".join(f"{name} {seconds / whole:.0%}" for name, seconds in parts.items()))
    batches = iter(loader.batches(draws, size))
    step(training, next(batches), parts)
    both, _ = rate(lambda: step(training, next(batches), parts), options.steps, size, training)
    print(f"both together       {both:8.1f} samples/s: {both / learned:.0%} of the network alone")


def rate(work: Callable, steps: int, size: int, training) -> tuple[float, object]:
    result = None
    began = time.perf_counter()
    for _ in range(steps):
        result = work()
    synchronised(training)
    return steps * size / (time.perf_counter() - began), result


def step(training, batch, parts: dict[str, float]) -> None:
    """One step as the training takes it, each part timed."""
    from glomseg.training.augment.augment import Augment
    from glomseg.training.data.loading import augmented

    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        synchronised(training)
        parts[name] += time.perf_counter() - clock
        clock = time.perf_counter()

    learner = training.learner
    on_device = tuple(part.to(learner.fabric.device) for part in batch[:3])
    pixels, targets, weights = augmented(on_device, training.config, Augment(training.config.augment), seed=0)
    lap("augment")
    learner.net.train()
    loss = learner.criterion(learner.net(pixels), targets, weights)
    lap("forward")
    learner.optimizer.zero_grad()
    learner.fabric.backward(loss)
    learner.optimizer.step()
    learner.average.update_parameters(learner.net.module)
    lap("backward")


def synchronised(training) -> None:
    import torch

    if training.learner.fabric.device.type == "cuda":
        torch.cuda.synchronize()


def make_tiles(folder: Path, mpp: float, *, slides: int = 6, tiles: int = 8) -> Path:
    """Write tiles of noise with discs of 200 um, named as QuPath names its own."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    y, x = np.mgrid[:TILE_PX, :TILE_PX]
    for slide in range(slides):
        for tile in range(tiles):
            cx, cy = rng.uniform(200, TILE_PX - 200, 2)
            mask = (x - cx) ** 2 + (y - cy) ** 2 < (100 / mpp) ** 2
            image = np.where(mask[..., None], (130, 70, 150), (225, 170, 205)) + rng.normal(0, 12, (*mask.shape, 3))
            name = f"slide {slide} [x={tile * TILE_PX},y=0,w={TILE_PX},h={TILE_PX}].png"
            Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / "images" / name)
            Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "masks" / name)
    return folder


if __name__ == "__main__":
    main()
