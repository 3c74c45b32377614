"""Tell sclerosed glomeruli by networks that outline them: two outputs of one, or Li's one network a class, merged.

Run as `python -m tools.sclerosis.outlined DATA_DIR --output FOLDER`; what was predicted of each part that was left out
is kept there, so that a run that was stopped goes on. Crops, parts and intervals are those of `tools.sclerosis.train`.

Both ways begin with the shipped model and learn alike from the same crops, half of them sclerosed: the settings of the
recipe `sclerosis`, but for few steps. A pixel is of the class that is more probable there, from a half of either on; an
outline is of the class of the larger mean (Li et al. 2021 merge their two networks where they meet).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.model_selection import GroupKFold
from torch import Tensor

from glomseg.geometry import Bools, Bytes
from glomseg.models.store import find_model, load_network, read_card
from glomseg.models.variable_unet import VariableUNet, fold_batch_norm
from glomseg.training.losses import loss_of
from tools.sclerosis.train import RESAMPLED, changed, read_crops, scores
from tools.starter.aidpath import slide_of

SIDE = 96
COPIES = 3
STEPS, BATCH, RATE = 400, 16, 3e-4
SHARE_OF_ENTROPY, POSITIVE = 0.9, 1.5
WAYS: dict[str, tuple[tuple[int, ...], ...]] = {"two outputs": ((0, 1),), "one network a class": ((0,), (1,))}
"""A way -> the networks that it takes, each with the classes that it learns: 0 not sclerosed, 1 sclerosed."""


@dataclass(frozen=True, slots=True)
class Crops:
    """Crops in `COPIES` looks, the first as it is: pixels (N, C, S, S, 3), masks (N, C, S, S), label and slide."""

    pixels: Bytes
    inside: Bools
    sclerotic: Bools
    slides: list[str]


def read_all(data: Path) -> Crops:
    """Read and change the crops as the classifier learns them, but for their outlines, which are learned here."""
    pixels, inside, labels, slides = [], [], [], []
    for number, (name, sclerotic, image, mask) in enumerate(read_crops(data)):
        random = np.random.default_rng(number)
        plain = np.asarray(image.resize(mask.shape, Image.Resampling.BOX))
        looks = [(plain, mask), *(changed(image, mask, random, outline_px=0) for _ in range(COPIES - 1))]
        pixels.append(np.stack([_small(look) for look, _ in looks]))
        inside.append(np.stack([_small(mask.astype(np.uint8) * 255) >= 128 for _, mask in looks]))
        labels.append(sclerotic)
        slides.append(slide_of(name))
    return Crops(np.stack(pixels), np.stack(inside), np.array(labels), slides)


def _small(values: Bytes) -> Bytes:
    return np.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BOX))


def parts_of(crops: Crops) -> Iterator[tuple[str, int, Bools]]:
    """Yield how crops are left out, the number of the part, and which crops it holds: as for the classifier."""
    laboratories = np.array([slide.split("_")[0] for slide in crops.slides])
    for number, name in enumerate(np.unique(laboratories)):
        yield "by_laboratory", number, laboratories == name
    folds = GroupKFold(8).split(np.zeros((len(laboratories), 1)), crops.sclerotic, crops.slides)
    for number, (_, held) in enumerate(folds):
        yield "by_slide", number, np.isin(np.arange(len(laboratories)), held)


def learned(crops: Crops, known: NDArray[np.intp], classes: Sequence[int], seed: int) -> VariableUNet:
    """Teach the shipped network some classes on the crops that are known; every seed draws the same for each way."""
    folder = find_model("pas-starter")
    state = dict(load_network(folder, read_card(folder)).state_dict())
    for key in ("final.weight", "final.bias"):
        state[key] = state[key].repeat(len(classes), *[1] * (state[key].ndim - 1))
    net = VariableUNet(512, len(classes))
    net.load_state_dict(state)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss_of_class = loss_of("bce-dice", classes=len(classes), a=SHARE_OF_ENTROPY, pos_weight=POSITIVE)
    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / STEPS)
    random = np.random.default_rng(seed)
    pools = [known[crops.sclerotic[known] == kind] for kind in (False, True)]
    for _ in range(STEPS):
        drawn = np.concatenate([random.choice(pool, BATCH // 2) for pool in pools])
        look = random.integers(COPIES, size=BATCH)
        pixels, inside = crops.pixels[drawn, look], torch.from_numpy(crops.inside[drawn, look])
        of_class = torch.from_numpy(crops.sclerotic[drawn])[:, None] == torch.tensor(list(classes)).bool()
        target = (inside[:, None] & of_class[:, :, None, None]).float()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(_scaled(pixels))
        loss = loss_of_class(logits, target)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return fold_batch_norm(net)


def _scaled(pixels: Bytes) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def predicted(nets: Sequence[VariableUNet], pixels: Bytes) -> NDArray[np.float32]:
    """Return the probabilities (N, 2, S, S) of not sclerosed and sclerosed, which the networks give in this order."""
    with torch.inference_mode():
        batches = [torch.cat([net(_scaled(some)) for net in nets], dim=1) for some in np.array_split(pixels, 20)]
    return np.asarray(torch.sigmoid(torch.cat(batches)).numpy())


@dataclass(frozen=True, slots=True)
class Seen:
    """What a way says of crops: per crop, and per crop and class (N, 2).

    `given` and `own` say by how much the mean probability of sclerosed is above that of not inside the person's outline
    and inside the network's own, `iou` how the two agree; `shared` and `area` count pixels of each class for Dice.
    """

    given: NDArray[np.float64]
    own: NDArray[np.float64]
    iou: NDArray[np.float64]
    shared: NDArray[np.float64]
    area: NDArray[np.float64]


def compared(probability: NDArray[np.float32], inside: Bools, sclerotic: Bools) -> Seen:
    """Compare probabilities (N, 2, S, S) with the outlines of people and what they are."""
    rows = [_compared(*one) for one in zip(probability, inside, sclerotic, strict=True)]
    given, own, iou, shared, area = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return Seen(given, own, iou, shared, area)


def _compared(
    probability: NDArray[np.float32], inside: Bools, sclerotic: bool
) -> tuple[float, float, float, list[int], list[int]]:
    there = probability.max(axis=0) >= 0.5
    more, kind = probability[1] - probability[0], probability.argmax(axis=0)
    labels, count = ndimage.label(there, np.ones((3, 3)))
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if count else there
    iou = float((largest & inside).sum() / (largest | inside).sum())
    planes = [there & (kind == index) for index in (0, 1)]
    truth = [inside & (sclerotic == bool(index)) for index in (0, 1)]
    shared = [int((plane & true).sum()) for plane, true in zip(planes, truth, strict=True)]
    area = [int(plane.sum() + true.sum()) for plane, true in zip(planes, truth, strict=True)]
    own = float(more[largest].mean()) if count else -1.0
    return float(more[inside].mean()), own, iou, shared, area


def describe(title: str, crops: Crops, seen: Seen) -> str:
    """Say how well a way tells the crops that it never saw, with intervals from resampling whole slides."""
    told = scores(crops.sclerotic, seen.given, crops.slides)
    own = scores(crops.sclerotic, seen.own, crops.slides)
    names = np.array(crops.slides)
    members = [np.flatnonzero(names == name) for name in sorted(set(crops.slides))]
    random = np.random.default_rng(0)
    draws = [np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])
             for _ in range(RESAMPLED)]  # fmt: skip
    lines = [f"{title}: {told['crops']} crops, {told['sclerotic']} sclerosed, {told['slides']} slides"]
    for what, values in (("people's outlines", told), ("its own outlines", own)):
        said = (f"{name} {_interval(values[name])}" for name in ("auc", "f1", "balanced_accuracy"))
        lines.append(f"  {what}: {', '.join(said)}")
    for index, name in enumerate(("not sclerosed", "sclerosed")):
        with np.errstate(invalid="ignore"):
            dice = [2 * seen.shared[d, index].sum() / seen.area[d, index].sum() for d in (slice(None), *draws)]
        low, high = np.nanpercentile(dice[1:], [2.5, 97.5])
        right = (seen.iou >= 0.5) & ((seen.own > 0) == bool(index)) & (crops.sclerotic == bool(index))
        said_so = ((seen.own > 0) == bool(index)).sum()
        f1 = 2 * right.sum() / (said_so + (crops.sclerotic == bool(index)).sum())
        lines.append(f"  {name}: Dice {_interval([dice[0], low, high])}, object F1 {f1:.3f}")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def only(crops: Crops, seen: Seen, which: Bools) -> tuple[Crops, Seen]:
    """Keep some of the crops."""
    slides = [slide for slide, kept in zip(crops.slides, which, strict=True) if kept]
    kept = Crops(crops.pixels[which], crops.inside[which], crops.sclerotic[which], slides)
    return kept, Seen(*(getattr(seen, name)[which] for name in ("given", "own", "iou", "shared", "area")))


def main() -> None:
    """Teach, predict what was left out, and print a table, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with crops/")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--parts", type=int, help="leave out so many parts [all: three laboratories, eight of slides]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    crops = read_all(arguments.data)
    probability: dict[tuple[str, str], NDArray[np.float32]] = {}
    done: dict[tuple[str, str], Bools] = {}
    for left_out, number, part in islice(parts_of(crops), arguments.parts):
        for way, networks in WAYS.items():
            kept = arguments.output / f"{left_out} {number} {way}.npy"
            if not kept.exists():
                known = np.flatnonzero(~part)
                nets = []
                for classes in networks:
                    torch.manual_seed(number)
                    nets.append(learned(crops, known, classes, number))
                np.save(kept, predicted(nets, crops.pixels[part, 0]).astype(np.float16))
            key = (left_out, way)
            probability.setdefault(key, np.zeros((len(crops.slides), 2, SIDE, SIDE), np.float32))[part] = np.load(kept)
            done.setdefault(key, np.zeros(len(crops.slides), np.bool_))[part] = True
    laboratories = np.array([slide.split("_")[0] for slide in crops.slides])
    for (left_out, way), values in probability.items():
        seen = compared(values, crops.inside[:, 0], crops.sclerotic)
        print(describe(f"{left_out}, {way}", *only(crops, seen, done[left_out, way])))
        for name in np.unique(laboratories) if left_out == "by_laboratory" else ():
            if done[left_out, way][laboratories == name].all():
                print(describe(f"  of these {name}", *only(crops, seen, laboratories == name)))


if __name__ == "__main__":
    main()
