"""Do touching glomeruli come apart: connected components, the waist, and the head `hover`, on composed tissue.

    python benchmarks/instances.py [--data FOLDER] [--steps 700] [--seed 0] [--images 180] [--part test] [--folder DIR]

Cuts real glomeruli (CC BY, see ../shared/data/kidney) out of biopsies and pastes them into plain tissue, trains a small
VariableUNet with the head `hover` on some biopsies (it begins with the mask of pas-starter), and outlines images
composed of others: single glomeruli, those that barely touch, and those that lie against each other. The mask is the
same for each way; only the split differs. PQ, F1 and the counts are over all images; differences of PQ to the waist
alone are of the same images. 95 % intervals are over biopsies. Constants are chosen with `--part validation`, whose
biopsies, tissue and composed images are others than those of `test`. One thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1]))

from glomseg.evaluation.intervals import Interval, Scale, intervals
from glomseg.evaluation.matching import match, merges, overlaps, splits
from glomseg.evaluation.metrics import ObjectScore, object_score
from glomseg.geometry import geometries
from glomseg.labelled.masks import outline
from glomseg.models.card import ModelCard
from glomseg.models.predict import Model
from glomseg.models.store import find_model, load_network, read_card, save_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.segment.contours import OutlineSettings
from glomseg.segment.outlines import find_glomeruli
from glomseg.segment.pipeline import SegmentSettings, outline_settings
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import ReadingFrame, Tile
from glomseg.training.augment import paste, stain
from glomseg.training.augment.augment import Augment, AugmentConfig
from glomseg.training.config_file import read_config
from glomseg.training.data.loading import augmented
from glomseg.training.losses import BCEDiceLoss, HoverLoss
from tools.starter.aidpath import TILE_UM_PX, Part
from tools.starter.compose import slide_densities, tissue_density
from tools.starter.composed import read_data
from tools.starter.degrade import degrade

DIAMETER_PX, SIZE, REACH = 32.0, 96, 16
MPP = 200 / DIAMETER_PX
Share = tuple[float, float] | None
SCENES: dict[str, Share] = {"single": None, "barely touching": (0.0, 0.02), "touching": (0.01, 0.3)}
"""The share of a glomerulus that others hide where it comes to lie against them; None: it stays 4 to 8 px off."""
SEEDS = {"single": 1, "barely touching": 2, "touching": 0}
PARTS = {"validation": 8, "test": 9}
WAIST = "waist (glomseg)"
WAYS = ("components", WAIST, "hover (glomnet)", "waist and places (glomseg, with the head)")
BATCH, SLOPE, POOL = 8, 5.0, 400


@dataclass(frozen=True)
class Row:
    """What each image of one kind of scene gave by one way, and the biopsy that it is of."""

    scores: list[ObjectScore] = field(default_factory=list)
    merges: list[int] = field(default_factory=list)
    splits: list[int] = field(default_factory=list)
    biopsies: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Composed:
    """An image (S, S, 3) with its numbered objects, which show REACH more on each side; the biopsy that they are of."""

    image: NDArray[np.uint8]
    objects: NDArray[np.int32]
    biopsy: str


class Composing:
    """Composes plain tissue with a few glomeruli of one biopsy, which touch or do not."""

    def __init__(self, part: Part) -> None:
        self._tiles, self._tissue, self._densities = part.tiles, tissue_density(part.tiles), slide_densities(part.crops)
        self._crops = {name: [crop for crop in part.crops if crop.slide == name] for name in sorted(self._densities)}

    def compose(self, rng: np.random.Generator, count: int, shared: Share) -> Composed:
        side = SIZE + 2 * REACH
        biopsy = list(self._crops)[int(rng.integers(len(self._crops)))]
        target = self._densities[biopsy] * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        density = stain.transfer(stain.optical_density(self._plain(rng, side)), self._tissue, target)
        objects = np.zeros((side, side), np.int32)
        angle = float(rng.uniform(0, 2 * np.pi))
        for number in range(1, count + 1):
            crop = self._crops[biopsy][int(rng.integers(len(self._crops[biopsy])))]
            diameter = DIAMETER_PX * float(np.exp(rng.uniform(-0.25, 0.25)))
            patch = paste.shrink(rng, stain.optical_density(crop.image), crop.mask, diameter)
            place = self._place(rng, objects, patch[..., 3] >= 0.5, angle + 2.1 * number, shared)
            if place is not None:
                density = _pasted(rng, density, objects, patch, place, number)
        inner = slice(REACH, -REACH)
        return Composed(degrade(rng, density[inner, inner], 0.5), objects, biopsy)

    def _plain(self, rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
        """Cut a square of tissue without a glomerulus out of a tile, at any scale, and bring it to a size."""
        for _ in range(50):
            tile = self._tiles[int(rng.integers(len(self._tiles)))]
            taken = min(
                *tile.label.shape, round(side * float(np.exp(rng.uniform(np.log(1.5), np.log(4.6)))) / TILE_UM_PX)
            )
            top, left = (int(rng.integers(length - taken + 1)) for length in tile.label.shape)
            where = np.s_[top : top + taken, left : left + taken]
            if not tile.label[where].any() and not tile.ignore[where].any():
                break
        return np.asarray(Image.fromarray(tile.image[where]).resize((side, side), Image.Resampling.BOX))

    def _place(
        self,
        rng: np.random.Generator,
        objects: NDArray[np.int32],
        mask: NDArray[np.bool_],
        angle: float,
        share: Share,
    ) -> tuple[int, int] | None:
        """Find the corner (top, left) for a mask: it comes from far away until it presses into others by a bit."""
        side, (high, wide) = len(objects), mask.shape
        if not objects.any():
            middle = side / 2 + rng.uniform(-8, 8, 2)
            return int(middle[0] - high / 2), int(middle[1] - wide / 2)
        middle = ndimage.center_of_mass(objects > 0)
        others, shared, last = objects > 0, 1, None
        if share is None:
            others = ndimage.binary_dilation(others, iterations=int(rng.integers(4, 9)))
        else:
            shared = max(1, int(rng.uniform(*share) * mask.sum()))
        for away in range(side, 0, -1):
            top = round(middle[0] + away * np.sin(angle) - high / 2)
            left = round(middle[1] + away * np.cos(angle) - wide / 2)
            if min(top, left) < 0 or top + high > side or left + wide > side:
                continue
            if (others[top : top + high, left : left + wide] & mask).sum() >= shared:
                return last if share is None else (top, left)
            last = top, left
        return None


def _pasted(rng, density, objects, patch, place, number):
    """Blend a patch in at a place, with a soft rim of its own tissue, but not over the glomeruli that are there."""
    (top, left), (high, wide) = place, patch.shape[:2]
    view = np.s_[top : top + high, left : left + wide]
    mask, valid = patch[..., 3] >= 0.5, np.clip(patch[..., 4], 0, 1)
    mine = mask & (objects[view] == 0)
    reach = ndimage.binary_dilation(mine, iterations=int(rng.integers(1, 5))) & (objects[view] == 0)
    alpha = ndimage.gaussian_filter((reach & ((valid > 0.99) | mask)).astype(np.float32), rng.uniform(0.5, 1.2)) * valid
    density[view] += alpha[..., None] * (patch[..., :3] - density[view])
    objects[view][mine] = number
    return density


def samples(part: Part, seed: int) -> Iterator[Composed]:
    """Compose without end: most touch, some are single, some show nothing."""
    composer = Composing(part)
    for index in range(10**9):
        rng = np.random.default_rng([seed, index])
        kind = rng.random()
        count = 0 if kind < 0.1 else int(rng.integers(1, 4))
        yield composer.compose(rng, count, SCENES["touching" if kind < 0.7 else "single"])


def network() -> VariableUNet:
    """The mask of pas-starter, and a second decoder that knows nothing yet."""
    folder = find_model("pas-starter")
    net = VariableUNet(512, hover=True)
    net.load_state_dict(load_network(folder, read_card(folder)).state_dict(), strict=False)
    return net


def card() -> ModelCard:
    return ModelCard(
        name="instances", description="Of benchmarks/instances.py: not for slides.", heads=("mask", "hover"),
        post="glomnet", mpp=MPP, minimum_area_um2=6000, species="human", training_diameter_um=200,
    )  # fmt: skip


def train(part: Part, steps: int, seed: int) -> VariableUNet:
    torch.manual_seed(seed)
    config = read_config(words=('model.heads=["mask","hover"]', "data.margin_px=0"))
    augment = Augment(replace(AugmentConfig.none(), flip=True, rotation_deg=180, scale=(0.85, 1.15)))
    net, made = network().train(), samples(part, 1 + 100 * seed)
    pool, rng = [next(made) for _ in range(min(POOL, BATCH * steps))], np.random.default_rng(seed)
    print(f"composed {len(pool)} images", file=sys.stderr, flush=True)
    loss_of = HoverLoss(BCEDiceLoss(a=0.8, pos_weight=1.0), classes=1, mse=2, slope=SLOPE)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.1)
    began = time.monotonic()
    for step in range(steps):
        batch = [pool[int(index)] for index in rng.integers(len(pool), size=BATCH)]
        images = torch.from_numpy(np.stack([one.image.transpose(2, 0, 1) for one in batch]))
        objects = torch.from_numpy(np.stack([one.objects for one in batch]))
        labels = (objects[:, REACH:-REACH, REACH:-REACH] > 0).to(torch.uint8)
        given = images, labels, torch.ones_like(labels)
        pixels, targets, weights = augmented(given, config, augment, seed=step + 100_000 * seed, objects=objects)
        loss = loss_of(net(pixels), targets, weights)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 20 == 19:
            print(
                f"step {step + 1}: loss {loss.item():.3f}, {time.monotonic() - began:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return net.eval()


def outlined(model: Model, image: NDArray[np.uint8], settings: dict[str, OutlineSettings]) -> dict[str, list]:
    planes = model.predict_planes(image[None])[0]
    with ProbabilityMap(ReadingFrame(MPP, 1, 1, SIZE, SIZE), extras=model.extras) as values:
        values.write(Tile(0, 0, SIZE, SIZE, 0), planes)
        return {way: [one.geometry for one in find_glomeruli(values, how)] for way, how in settings.items()}


def ways(made: ModelCard) -> dict[str, OutlineSettings]:
    """The same mask, the same smallest object, and four ways to tell objects apart."""
    both = outline_settings(made, SegmentSettings(post="glomseg"))
    waist, glomnet = replace(both, hover=None), outline_settings(made, SegmentSettings(post="glomnet")).hover
    alone = replace(both, split_depth_um=None)
    return dict(zip(WAYS, (replace(alone, hover=None), waist, replace(alone, hover=glomnet), both), strict=True))


def true_outlines(objects: NDArray[np.int32]):
    shown = objects[REACH:-REACH, REACH:-REACH]
    apart = [max(outline(shown == number)[0], key=shapely.area) for number in np.unique(shown[shown > 0])]
    return geometries([one for one in apart if one.area * MPP**2 >= 6000])


def scenes(composer: Composing, part: str, what: str, images: int) -> Iterator[Composed]:
    """Compose the images of a part that are looked at."""
    for index in range(images):
        rng = np.random.default_rng([PARTS[part], index, SEEDS[what]])
        yield composer.compose(rng, 2 + index % 2, SCENES[what])


def evaluate(model: Model, composer: Composing, part: str, images: int) -> dict[tuple[str, str], Row]:
    """Score each way on each kind of scene."""
    settings, rows = ways(model.card), {}
    for what in SCENES:
        for made in scenes(composer, part, what, images):
            true = true_outlines(made.objects)
            for way, items in outlined(model, made.image, settings).items():
                met = overlaps(geometries(items), true)
                row = rows.setdefault((what, way), Row())
                row.scores.append(object_score(met, match(met)))
                row.merges.append(len(merges(met)))
                row.splits.append(len(splits(met)))
                row.biopsies.append(made.biopsy)
    return rows


def cell(one: Interval, times: int, digits: int) -> str:
    value = f"{times * one.value:.{digits}f}"
    if one.low is None or one.high is None:
        return value
    return f"{value} ({times * one.low:.{digits}f} to {times * one.high:.{digits}f})"


def pq(scores: Sequence[ObjectScore], chosen: NDArray[np.intp]) -> float:
    return sum((scores[i] for i in chosen), ObjectScore()).pq


def table(rows: dict[tuple[str, str], Row]) -> list[str]:
    lines = [
        "| glomeruli | told apart by | PQ | more than by the waist | object F1 | merges per 100 | splits per 100 |",
        "|---|---|---|---|---|---|---|",
    ]
    for (what, way), row in rows.items():
        waist = rows[what, WAIST].scores

        def statistic(chosen, row=row, waist=waist):
            total = sum((row.scores[i] for i in chosen), ObjectScore())
            counts = (sum(values[i] for i in chosen) / max(total.true, 1) for values in (row.merges, row.splits))
            return np.array([total.pq, total.pq - pq(waist, chosen), total.f1, *counts])

        scales = (Scale.SHARE, Scale.DIFFERENCE, *(Scale.SHARE,) * 3)
        ours, more, f1, *counts = intervals(statistic, row.biopsies, scales, enough=3)
        cells = [cell(ours, 1, 3), "" if way == WAIST else cell(more, 1, 3), cell(f1, 1, 3)]
        lines.append(f"| {what} | {way} | {' | '.join([*cells, *(cell(one, 100, 1) for one in counts)])} |")
    counts = [f"{sum(score.true for score in rows[what, WAIST].scores)} {what}" for what in SCENES]
    biopsies = {name for row in rows.values() for name in row.biopsies}
    return [*lines, f"\n{', '.join(counts)}: glomeruli of {len(biopsies)} biopsies"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[1] / "../shared/data/kidney")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--seed", type=int, default=0, help="of the training and of the images composed for it")
    parser.add_argument("--images", type=int, default=180, help="of each kind of scene")
    parser.add_argument("--part", choices=tuple(PARTS), default="test", help="whose biopsies: constants by validation")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-instances", help="keeps the model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = read_data(options.data)
    if not (options.folder / "card.json").is_file():
        save_model(options.folder, card(), train(data.train, options.steps, options.seed))
    made = read_card(options.folder)
    model = Model(made, load_network(options.folder, made), torch.device("cpu"))
    composer = Composing(data.test if options.part == "test" else data.validation)
    print("\n".join(table(evaluate(model, composer, options.part, options.images))))


if __name__ == "__main__":
    main()
