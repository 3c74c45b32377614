"""Measure trained weights on what they never saw, and publish them as the starter model.

Run as `python -m tools.starter.publish DATA_DIR MEASURED.safetensors --output models/pas-starter`, with
`--weights FINAL.safetensors` when the weights to ship were trained on everything afterwards: the scores on the card are
then those of the same recipe on its own split, and the card says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage

from glomseg.geometry import Box
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.predict import Model
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.slides.slide import open_slide
from glomseg.training.augment import stain
from glomseg.training.data.examples import Labelled
from glomseg.training.scores import ThresholdScore
from glomseg.training.validate import points_of, probability_of
from tools.starter.compose import Composer
from tools.starter.composed import AIDPATH, labelled, read_data, tile_at

SPACING_UM_PX = 3.0
DIAMETER_UM = 200.0
COMPOSED_SEED = 9_000_000
SLIVER_UM2 = 4000.0
"""A true object smaller than this is the sliver of a glomerulus at the border of its tile, and is not asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PostProcessing:
    """What turns probability into objects when the model is measured, and what its card recommends."""

    threshold: float = 0.85
    minimum_area_um2: float = 6000.0
    minimum_solidity: float = 0.85


def measure(model: Model, images: Sequence[Labelled], um_px: float) -> tuple[ThresholdScore, float]:
    """Return the added counts of images, outlined as the card says, and their tissue outside glomeruli in mm2."""
    threshold = model.card.threshold
    total, tissue_px = ThresholdScore(threshold), 0
    for image in images:
        asked = without_slivers(image, SLIVER_UM2 / um_px**2)
        (point,) = points_of(model, probability_of(model, asked), asked, (threshold,))
        total += point
        density = stain.optical_density(image.image).mean(axis=-1)
        tissue_px += int(((density > stain.GLASS_OD) & (image.label == 0) & image.valid).sum())
    return total, tissue_px * um_px**2 / 1e6


def without_slivers(image: Labelled, area_px: float) -> Labelled:
    """Take labelled objects of less than `area_px` out of what is asked."""
    labels, _ = ndimage.label(image.label)
    small = np.bincount(labels.ravel()) < area_px
    small[0] = False
    sliver = small[labels]
    return Labelled(image.image, np.where(sliver, np.uint8(0), image.label), image.valid & ~sliver)


def measure_all(model: Model, data: Path) -> dict[str, Any]:
    """Return the scores on the test part, as they stand on the card."""
    test = read_data(data).test
    made = Composer(test)
    composed = [labelled(made.sample(np.random.default_rng([COMPOSED_SEED, i]))) for i in range(64)]
    magnified = []
    for tile in (tile_at(tile, SPACING_UM_PX * 0.55) for tile in test.tiles):
        # A tile's own glomeruli are far too large there: only its tissue is asked about.
        around = ndimage.binary_dilation(tile.label, iterations=6)
        magnified.append(Labelled(tile.image, np.zeros_like(tile.label), tile.valid & ~around))
    trials = {
        "tiles": ([tile_at(tile, SPACING_UM_PX) for tile in test.tiles], SPACING_UM_PX),
        "tiles_soft": ([tile_at(tile, SPACING_UM_PX, soft=True) for tile in test.tiles], SPACING_UM_PX),
        "composed": (composed, SPACING_UM_PX),
        "tissue_magnified": (magnified, SPACING_UM_PX * 0.55),
    }
    return {name: _told(*measure(model, samples, um_px)) for name, (samples, um_px) in trials.items()}


def measure_unrelated(model: Model, path: Path) -> dict[str, Any]:
    """Return what is found on a slide without a glomerulus, read as human and as mouse tissue is."""
    told: dict[str, Any] = {"slide": path.name}
    with open_slide(path) as slide:
        for species in ("human", "mouse"):
            um_px = SPACING_UM_PX * SPECIES_DIAMETER_UM[species] / DIAMETER_UM
            image = slide.read(Box(0, 0, slide.width, slide.height), um_px)
            size = image.shape[:2]
            nothing = Labelled(image, np.zeros(size, np.uint8), np.ones(size, np.bool_))
            result, tissue_mm2 = measure(model, [nothing], um_px)
            told[f"read_as_{species}"] = _told(result, tissue_mm2)
    return told


def _told(result: ThresholdScore, tissue_mm2: float) -> dict[str, float]:
    objects = result.objects
    false = objects.predicted - objects.matched
    told: dict[str, float] = {
        "glomeruli": objects.true,
        "matched": objects.matched,
        "false": false,
        "tissue_mm2": round(tissue_mm2, 3),
        "false_per_mm2": round(false / tissue_mm2, 2),
    }
    if objects.true:
        told |= {"object_f1": round(objects.f1, 3), "dice": round(result.pixels.dice, 3)}
    return told


METHOD = (
    "Never trained on: 6 tiles (ids 10102, 10103, 10210, 10215, 10220, 10224) and the 204 crops of 6 slides "
    "(SAS_21908, SAS_21942, SESCAM_4, SESCAM_9, VUHSK_1622, VUHSK_1992). Objects matched one to one at IoU 0.5 "
    "after the card's threshold, minimum area and solidity; slivers under 4000 um2 at a tile's border not asked for; "
    "Dice over all pixels. tiles: read at 3 um/px; tiles_soft: the same, upsampled from 6 um/px; composed: 64 "
    "made-up fields of those tiles and crops with strong changes of colour, blur and JPEG; tissue_magnified: tissue "
    "without glomeruli, at 1.65 um/px. The ids of tiles name no slide, so a test tile may share a biopsy with a "
    "training tile. With the weights that are shipped: unrelated_tissue, skin in H&E, and what is under elsewhere."
)

DESCRIPTION = (
    "Starter model: finds glomeruli on PAS-stained kidney. VariableUNet of base width 16, trained on two CPU cores "
    "in about two hours on 24 tiles and 946 crops of human biopsies (AIDPATH). Looked at on pictures of human and "
    "mouse tissue of other laboratories, but not validated on whole slides; not for diagnosis. Review what it draws, "
    "correct it, and train on that."
)


def card_of(scores: dict[str, Any], post: PostProcessing, *, trained_on_all: bool) -> ModelCard:
    """Return the card of the starter model; its digest is filled in when it is saved."""
    shipped = (
        "an earlier stage of these weights, before the last quarter of the training: it had not seen the test part of "
        "the split; the last quarter saw all data, so that unrelated_tissue and elsewhere alone measure its result"
    )
    return ModelCard(
        name="pas-starter",
        description=DESCRIPTION,
        patch_size_pixels=2048,
        halo_pixels=64,
        mpp=SPACING_UM_PX,
        threshold=post.threshold,
        minimum_area_um2=post.minimum_area_um2,
        minimum_solidity=post.minimum_solidity,
        species="human",
        training_diameter_um=DIAMETER_UM,
        training_data=(AIDPATH,),
        scores={"measured_on": shipped if trained_on_all else "these weights", "method": METHOD, **scores},
    )


def main() -> None:
    """Measure and publish from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("measured", type=Path, help="weights trained on the training part")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--weights", type=Path, help="weights to ship, trained on everything")
    parser.add_argument("--unrelated", type=Path, help="a slide without glomeruli that was never trained on")
    parser.add_argument("--elsewhere", type=Path, help="JSON of scores on other data, with how they were measured")
    arguments = parser.parse_args()
    post = PostProcessing()
    blank = card_of({}, post, trained_on_all=False)
    measured = VariableUNet(512)
    measured.load_state_dict(load_file(arguments.measured))
    scores = measure_all(Model(blank, measured, torch.device("cpu")), arguments.data)
    if arguments.weights:
        measured.load_state_dict(load_file(arguments.weights))
    if arguments.unrelated:
        model = Model(blank, measured, torch.device("cpu"))
        scores["unrelated_tissue"] = measure_unrelated(model, arguments.unrelated)
    if arguments.elsewhere:
        scores["elsewhere"] = json.loads(arguments.elsewhere.read_text(encoding="utf-8"))
    save_model(arguments.output, card_of(scores, post, trained_on_all=bool(arguments.weights)), measured)


if __name__ == "__main__":
    main()
