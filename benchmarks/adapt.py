"""How many corrections it takes to fit a model to another stain: a learning curve on tissue recoloured from PAS.

    PYTHONPATH=. python benchmarks/adapt.py DATA OUTPUT.csv [--stain H&E] [--steps 40] [--seeds 3]

DATA holds AIDPATH's `tiles` and `crops` (CC BY 4.0). Fields are composed of them as for the starter, unmixed into
haematoxylin and PAS, and put together with the colours of another stain. Corrections are fields of the training's part
of the split; what is scored are fields composed of the other parts' crops, and the other parts' tiles. The starter has
seen these tiles and crops in PAS, so the curve says how fast a stain is learned, not how well an unknown tissue is.
Each adaptation is what `glomseg train --from-project` does, with a fixed number of steps; it runs on one thread.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from glomseg.models.predict import Model
from glomseg.study.pas import STANDARD
from glomseg.training.adapt import adapt, as_read
from glomseg.training.augment.stain import GLASS_OD, optical_density, to_rgb
from glomseg.training.config_file import read_config
from glomseg.training.data.find import find_examples
from glomseg.training.data.sampling import ExampleImages
from glomseg.training.dials import at_dials
from glomseg.training.optimise import read_start
from glomseg.training.validate import outlined_of, probability_of
from tools.starter.aidpath import joined
from tools.starter.compose import Composer, Recipe
from tools.starter.composed import read_data, tile_at

MPP = 3.0
FIELD_PX = 256
SCORED_FIELDS = 16
COLUMNS = (
    "stain", "corrections", "seed", "steps", "blend", "threshold", "sureness", "f1_before", "f1", "dice_before", "dice",
    "recall_with_candidates", "told_before", "told", "starter_before", "starter", "seconds",
)  # fmt: skip
STAINS = {
    "PAS": ((0.644, 0.717, 0.267), (0.175, 0.972, 0.155)),
    "H&E": ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)),
    "trichrome": ((0.62, 0.64, 0.45), (0.80, 0.59, 0.11)),
    "silver": ((0.65, 0.70, 0.29), (0.57, 0.58, 0.58)),
}
"""Optical density of nuclei, and of what PAS marks (Ruifrok and Johnston 2001; Landini for methyl blue)."""
POWER = {"H&E": 0.6, "silver": 1.8}
"""Eosin marks cytoplasm nearly as strongly as membranes, silver little but membranes."""


def recoloured(image: np.ndarray, family: str) -> np.ndarray:
    """Return an image (H, W, 3) in the colours of a stain."""
    density = optical_density(image)
    rows = np.array([STANDARD.haematoxylin, STANDARD.pas])
    rows = np.vstack([rows, np.cross(rows[0], rows[1])])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    amounts = np.maximum(density @ np.linalg.inv(rows), 0)[..., :2]
    tissue = density.mean(axis=-1) > GLASS_OD
    strong = np.percentile(amounts[tissue], 97, axis=0) if tissue.any() else np.ones(2)
    nuclei, pas = np.moveaxis(amounts / np.maximum(strong, 0.05), -1, 0)
    pas = pas ** POWER.get(family, 1.0)
    first, second = (np.array(vector) / np.linalg.norm(vector) for vector in STAINS[family])
    made = nuclei[..., None] * first * 0.9 + pas[..., None] * second * 0.9
    return to_rgb(made.astype(np.float32)).round().clip(0, 255).astype(np.uint8)


def write_field(folder: Path, name: str, image: np.ndarray, label: np.ndarray, family: str) -> None:
    """Write one field and its mask."""
    for place in ("images", "masks"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    Image.fromarray(recoloured(image, family)).save(folder / "images" / f"{name}.png")
    Image.fromarray(label.astype(np.uint8) * 255).save(folder / "masks" / f"{name}.png")


def fields(composer: Composer, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compose fields without end, with or without glomeruli."""
    rng = np.random.default_rng(seed)
    while True:
        sample = composer.sample(rng)
        yield sample.image, sample.label


def main() -> None:
    """Print and write the curve, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", default="pas-starter")
    parser.add_argument("--stain", choices=tuple(STAINS), default="H&E")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--corrections", type=int, nargs="+", default=[5, 10, 20, 40])
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = read_data(options.data)
    recipe = Recipe(size_px=FIELD_PX)
    net, shipped = read_start(options.model)
    with tempfile.TemporaryDirectory() as scratch, options.output.open("w", newline="") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        scored = Path(scratch) / "scored"
        others = joined(parts.validation, parts.test)
        made = fields(Composer(others, recipe), 99)
        for number in range(SCORED_FIELDS):
            write_field(scored, f"field {number}", *next(made), options.stain)
        for tile in others.tiles:
            at = tile_at(tile, MPP)
            write_field(scored, f"tile {tile.name}", at.image, at.label > 0, options.stain)
        learnt = Composer(parts.train, recipe)
        for seed in range(options.seeds):
            for corrections in options.corrections:
                folder = Path(scratch) / f"{seed}-{corrections}"
                count, holding, made = 0, 0, fields(learnt, seed)
                for number, (image, label) in enumerate(made):
                    write_field(folder, f"field {number}", image, label, options.stain)
                    here = ndimage.label(label)[1]
                    count, holding = count + here, holding + (here > 0)
                    if count >= corrections and holding > 1:
                        break
                row = one(folder, scored, net, shipped, seed, options)
                rows.writerow({"stain": options.stain, "corrections": count, "seed": seed, **row})
                file.flush()
                print(options.stain, count, seed, row, flush=True)


def one(folder: Path, scored: Path, net, shipped, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Adapt to the fields of a folder and score both models on those of another."""
    words = [
        f"seed={seed}",
        f"model.mpp={MPP}",
        "model.arguments.patch_size=512",
        "optimiser.batch_size=4",
        *options.set,
    ]
    config = read_config(recipe="retrain", words=words)
    card = as_read(shipped, config)
    learnt, judged = (find_examples([path], model_mpp=MPP, tile_mpp=MPP) for path in (folder, scored))
    began = time.perf_counter()
    done = adapt(learnt, net, card, config, steps=options.steps)
    seconds = time.perf_counter() - began
    images = ExampleImages(judged, config)
    dials = done.dials

    def scored_by(net, threshold: float, sureness: float | None):
        model = Model(card, net, torch.device("cpu"))
        read = map(images.read, range(len(images)))
        objects = [outlined_of(model, probability_of(model, item), item, (threshold,)) for item in read]
        return at_dials(objects, threshold, sureness)

    after = scored_by(done.net, dials.threshold, dials.sureness)
    before = scored_by(net, card.threshold, card.sureness)
    assert done.starter is not None
    return {
        "steps": done.steps,
        "blend": done.blend,
        "threshold": dials.threshold,
        "sureness": dials.sureness or 0,
        "f1_before": round(before.sure.f1, 3),
        "f1": round(after.sure.f1, 3),
        "dice_before": round(before.sure.dice, 3),
        "dice": round(after.sure.dice, 3),
        "recall_with_candidates": round(after.with_candidates.objects.recall, 3),
        "told_before": round(done.left_out.old.sure.f1, 3),
        "told": round(done.left_out.new.sure.f1, 3),
        "starter_before": round(done.starter.old.sure.f1, 3),
        "starter": round(done.starter.new.sure.f1, 3),
        "seconds": round(seconds),
    }


if __name__ == "__main__":
    main()
