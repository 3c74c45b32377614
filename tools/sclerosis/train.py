"""Fit the classifier of global sclerosis to the crops of AIDPATH, measure it, and publish it.

Run as `python -m tools.sclerosis.train DATA_DIR --output models/pas-sclerosis`; a quarter of an hour on one core. The
encoder is that of the shipped model; the logistic regression is fitted to each crop as it is and to changed copies:
other resolution, other strength and tint of the stain, turned, outlined wider or tighter.

Two ways of leaving out: eight parts of whole slides, and each laboratory (SAS, SESCAM, VUHSK) in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from glomseg.geometry import Bools, Bytes
from glomseg.models.card import TrainingData
from glomseg.models.crop_classifier import CROP_PX, ClassifierCard, CropNetwork, save_classifier, tensors
from glomseg.models.store import find_model, load_network, read_card
from tools.starter.aidpath import slide_of
from tools.starter.composed import AIDPATH

COPIES = 5
STRENGTH = 0.03
"""C of the logistic regression; tried 0.001 to 0.1 by laboratory left out, which is therefore not untouched."""
RESAMPLED = 2000

Features = NDArray[np.float32]


def read_crops(data: Path) -> Iterator[tuple[str, bool, Image.Image, Bools]]:
    """Yield name, sclerotic or not, picture and mask (CROP_PX, CROP_PX) of each crop."""
    for path in sorted((data / "crops" / "images").glob("*/*.jpg")):
        with Image.open(path) as image, Image.open(data / "crops" / "masks" / f"{path.stem}.png") as mask:
            inside = np.asarray(mask.convert("L").resize((CROP_PX, CROP_PX), Image.Resampling.BOX)) >= 128
            yield path.stem, path.parent.name == "sclerotic", image.convert("RGB"), inside


def changed(
    image: Image.Image, inside: Bools, random: np.random.Generator, *, outline_px: int = 5
) -> tuple[Bytes, Bools]:
    """Return a crop as another scanner or stain would show it, its outline wider or tighter by up to `outline_px`."""
    side = int(random.integers(48, 200))
    small = image.resize((side, side), Image.Resampling.BOX).resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC)
    density = -np.log((np.asarray(small, np.float32) + 1) / 246)
    density *= random.uniform(0.7, 1.35) * random.uniform(0.85, 1.15, 3)
    pixels = (np.exp(-density) * 246 - 1).clip(0, 255).astype(np.uint8)
    grown = int(random.integers(-outline_px, outline_px + 1))
    if grown > 0:
        inside = ndimage.binary_dilation(inside, iterations=grown)
    elif grown < 0:
        inside = ndimage.binary_erosion(inside, iterations=-grown)
    turn = int(random.integers(4))
    return np.rot90(pixels, turn).copy(), np.rot90(inside, turn).copy()


def features_of(net: CropNetwork, data: Path) -> tuple[Features, NDArray[np.bool_], list[str]]:
    """Return the features (crops, COPIES, F), the first of a crop unchanged, its label, and its slide."""
    features, labels, slides = [], [], []
    for number, (name, sclerotic, image, inside) in enumerate(read_crops(data)):
        random = np.random.default_rng(number)
        plain = np.asarray(image.resize((CROP_PX, CROP_PX), Image.Resampling.BOX))
        crops = [(plain, inside), *(changed(image, inside, random) for _ in range(COPIES - 1))]
        with torch.inference_mode():
            features.append(net.features(*tensors(crops)).numpy())
        labels.append(sclerotic)
        slides.append(slide_of(name))
    return np.stack(features), np.array(labels), slides


def fit(features: Features, labels: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Return weights and bias of the logistic regression on features (crops, COPIES, F), unscaled."""
    flat = features.reshape(-1, features.shape[-1])
    scaler = StandardScaler().fit(flat)
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2000)
    model.fit(scaler.transform(flat), np.repeat(labels, features.shape[1]))
    weights = model.coef_[0] / scaler.scale_
    return weights, float(model.intercept_[0] - weights @ scaler.mean_)


def left_out(
    features: Features, labels: NDArray[np.bool_], parts: list[NDArray[np.bool_]], copy: int
) -> NDArray[np.float64]:
    """Return the logit of each crop, in its copy number `copy`, from a fit to the parts that it is not in."""
    logits = np.zeros(len(labels))
    for part in parts:
        weights, bias = fit(features[~part], labels[~part])
        logits[part] = features[part, copy] @ weights + bias
    return logits


def scores(labels: NDArray[np.bool_], logits: NDArray[np.float64], groups: list[str]) -> dict[str, Any]:
    """Return AUC, F1 and balanced accuracy with 95 % intervals from resampling whole slides."""
    measures = {
        "auc": lambda y, z: roc_auc_score(y, z),
        "f1": lambda y, z: f1_score(y, z > 0),
        "balanced_accuracy": lambda y, z: balanced_accuracy_score(y, z > 0),
    }
    names = np.array(groups)
    members = [np.flatnonzero(names == name) for name in sorted(set(groups))]
    random = np.random.default_rng(0)
    draws: list[NDArray[np.intp]] = []
    while len(draws) < RESAMPLED:
        drawn = np.concatenate([members[i] for i in random.integers(len(members), size=len(members))])
        if 0 < labels[drawn].sum() < len(drawn):
            draws.append(drawn)
    told: dict[str, Any] = {"crops": len(labels), "sclerotic": int(labels.sum()), "slides": len(members)}
    for name, measure in measures.items():
        values = [measure(labels[drawn], logits[drawn]) for drawn in draws]
        low, high = np.percentile(values, [2.5, 97.5])
        told[name] = [round(float(value), 3) for value in (measure(labels, logits), low, high)]
    return told


METHOD = (
    "946 crops cut by people, 209 globally sclerosed, of 3 laboratories; each value with its 95 % interval from "
    "resampling whole slides. by_slide: eight parts, no slide in two; by_laboratory: each laboratory by a fit to the "
    "two others. changed: the same with crops at another resolution, stain and outline. The strength of the regression "
    "was tried on by_laboratory; the encoder (pas-starter) has learned to outline glomeruli on these crops, not what "
    "is sclerosed. Not measured: other stains, mouse and rat, frozen sections, segmental sclerosis."
)


def measure(features: Features, labels: NDArray[np.bool_], slides: list[str]) -> dict[str, Any]:
    """Return what the card says of the classifier."""
    laboratories = np.array([slide.split("_")[0] for slide in slides])
    by_laboratory = [laboratories == name for name in np.unique(laboratories)]
    folds = GroupKFold(8).split(features, labels, slides)
    by_slide = [np.isin(np.arange(len(labels)), held) for _, held in folds]
    told: dict[str, Any] = {"method": METHOD}
    for title, parts in (("by_slide", by_slide), ("by_laboratory", by_laboratory)):
        for copy, suffix in ((0, ""), (1, "_changed")):
            logits = left_out(features, labels, parts, copy)
            told[title + suffix] = scores(labels, logits, slides)
            if parts is by_laboratory:
                for name, part in zip(np.unique(laboratories), parts, strict=True):
                    own = [slide for slide, inside in zip(slides, part, strict=True) if inside]
                    told[f"{title}{suffix}_{name}"] = scores(labels[part], logits[part], own)
    return told


def card_of(told: dict[str, Any], data: TrainingData) -> ClassifierCard:
    """Return the card; its digest is filled in when it is saved."""
    return ClassifierCard(
        name="pas-sclerosis",
        description=(
            "Suggests which outlined glomeruli are globally sclerosed, on PAS of human biopsies. Logistic regression "
            "on what the encoder of the starter model sees inside the outline, at two scales. A suggestion: a person "
            "decides. Not for diagnosis."
        ),
        class_name="Glomerulus: Sclerotic",
        measurement="Sclerotic probability",
        species="human",
        stain="PAS",
        training_data=(data,),
        scores=told,
    )


def main() -> None:
    """Fit, measure and publish from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with crops/")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    net = CropNetwork().eval()
    starter = find_model("pas-starter")
    encoder = load_network(starter, read_card(starter)).state_dict()
    net.load_state_dict({key: encoder[key] for key in net.state_dict() if key in encoder}, strict=False)
    features, labels, slides = features_of(net, arguments.data)
    told = measure(features, labels, slides)
    weights, bias = fit(features, labels)
    with torch.no_grad():
        net.linear.weight.copy_(torch.from_numpy(weights)[None].float())
        net.linear.bias.fill_(bias)
    save_classifier(arguments.output, card_of(told, AIDPATH), net)


if __name__ == "__main__":
    main()
