"""Measure a trained model as its card shall say, and publish it as the starter model.

    python -m tools.starter.publish MODEL SETS.toml --pictures PICTURES --output models/pas-starter [--composed DATA]
        [--before OLD=FOLDER]

MODEL is a folder as `train.py` leaves it, its thresholds chosen and its `look` written (looks.py). SETS.toml names the
pictures, with a path in PICTURES (its own folder, where that is not given); `sets.toml` is that of the shipped card:

    description = "Starter model: finds ..."
    measured_on = "these weights"
    chose = "What chose what: ..."      # which pictures chose weights, threshold and sureness, in words

    [[set]]                             # as `glomseg evaluate --model` reads them; none of them trained on
    name = "somebody/pictures, 25 PAS fields, human"
    data = "pictures/pas"
    mpp = 0.5                           # where the files do not say it
    species = "human"

    [[set.part]]                        # what some of them were used for, measured by itself
    name = "pictures_that_chose_nothing"
    data = "rest"                       # a folder in the set's

    [[organs]]                          # tissue without a glomerulus
    name = "skin H&E (CMU-1)"
    slides = ["CMU-1.svs"]
    mpp = 0.5

With `--composed` (the AIDPATH folder) fields composed of its test part are measured too, in each stain, as human tissue
and as rodents'; a model that learned from that part is flattered by them, which belongs into `chose`. Without it
those that MODEL's own card has stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from glomseg.errors import GlomsegError
from glomseg.evaluation.evaluate_model import EvaluateOptions, EvaluationResult, evaluate_model
from glomseg.models.card import SPECIES_DIAMETER_UM, ModelCard
from glomseg.models.predict import Model, load_model
from glomseg.models.store import load_network, read_card, save_model
from glomseg.runs.segment_slides import segment_slides
from glomseg.runs.segmenter import SegmentOptions
from glomseg.settings import limited, parse_toml, read_record, read_text
from glomseg.training.augment import recolour
from glomseg.training.dials import at_dials
from glomseg.training.validate import outlined_of, probability_of
from tools.starter.compose import ALL_STAINS, Composer, Recipe
from tools.starter.composed import labelled, read_data

NAME = "pas-starter"
METHOD = (
    "As `glomseg evaluate --model` outlines and scores, at this card's threshold, sureness and smallest area: objects "
    "matched one to one at IoU 0.5, counts and areas added up over pictures; 95 % intervals over whole pictures, none "
    "where fewer than 15 or equal ones carry none, the lowest and the highest picture in their place. Every picture "
    "of a set counts, those without a glomerulus too. Older weights at their own. other_organs: tissue without a "
    "glomerulus, what counts there and what is set aside."
)
METHOD_COMPOSED = "composed: fields made up of the test part of AIDPATH's tiles and crops."
COMPOSED_SEED = 9_000_000
FIELDS = 64


@dataclass(frozen=True, kw_only=True)
class PicturePart:
    """Pictures of a set that were used alike: `data` is their folder in it, `name` says what for."""

    name: str = limited(pattern=r"\w{1,100}", what="a name of letters, digits and _")
    data: str


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """Pictures with their truth: `data` as `evaluate` reads it."""

    name: str = limited(pattern=r"(?s).{1,300}", what="a text of 1 to 300 characters")
    data: Path
    mpp: float | None = limited(None, above=0, high=100)
    species: str | None = limited(None, among=SPECIES_DIAMETER_UM)
    parts: tuple[PicturePart, ...] = limited((), key="part")


@dataclass(frozen=True, kw_only=True)
class OtherOrgan:
    """Slides on which there is no glomerulus."""

    name: str = limited(pattern=r"(?s).{1,300}", what="a text of 1 to 300 characters")
    slides: tuple[Path, ...]
    mpp: float | None = limited(None, above=0, high=100)


@dataclass(frozen=True, kw_only=True)
class Sets:
    """What a card is measured on, and what it says in words."""

    description: str = limited(pattern=r"(?s).{1,10000}", what="a text of 1 to 10,000 characters")
    measured_on: str = limited("these weights", pattern=r"(?s).{1,2000}", what="a text of 1 to 2,000 characters")
    chose: str = limited("", pattern=r"(?s).{0,5000}", what="a text of at most 5,000 characters")
    pictures: tuple[PictureSet, ...] = limited((), key="set")
    organs: tuple[OtherOrgan, ...] = ()


def read_sets(path: Path, pictures: Path | None = None) -> Sets:
    """Read what to measure on, with paths in `pictures` or beside the file; raises GlomsegError."""
    text = read_text(path, what="a TOML file of sets")
    sets = read_record(Sets, parse_toml(text, origin=str(path)), origin=str(path))
    root = pictures or path.parent
    return replace(
        sets,
        pictures=tuple(replace(item, data=root / item.data) for item in sets.pictures),
        organs=tuple(replace(item, slides=tuple(_slides(root, item))) for item in sets.organs),
    )


def _slides(root: Path, item: OtherOrgan) -> Iterator[Path]:
    """Yield the files of an organ; a folder stands for all that are in it. Raises GlomsegError where it is empty."""
    for slide in item.slides:
        files = sorted((root / slide).iterdir()) if (root / slide).is_dir() else [root / slide]
        if not files:
            raise GlomsegError(f"{item.name}: {root / slide} is empty; fill it or leave the organ out")
        yield from files


def measure_pictures(model: Path, item: PictureSet, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the figures of a model on a set, by "" for all of it and by the names of its parts."""
    mpp = None if item.mpp is None else (item.mpp, item.mpp)
    options = EvaluateOptions(model=model, mpp=mpp, pictures=False, segment=SegmentOptions(species=item.species))
    measured = {"": figures(evaluate_model(item.data, folder / "all", options))}
    for part in item.parts:
        measured[part.name] = figures(evaluate_model(item.data / part.data, folder / part.data, options))
    return measured


def figures(result: EvaluationResult) -> dict[str, Any]:
    """Return the figures of a set as a card has them."""
    overall = result.summary.overall
    f1 = overall.pooled["f1"]
    told: dict[str, Any] = {
        "glomeruli": overall.true_objects,
        "pictures": overall.images,
        "matched": overall.matched,
        "false": overall.predicted_objects - overall.matched,
        "object_f1": round(f1.value, 3),
        "dice": round(overall.pooled["dice"].value, 3),
    }
    if f1.low is not None and f1.high is not None:
        told["interval"] = [round(f1.low, 2), round(f1.high, 2)]
    elif f1.lowest is not None and f1.highest is not None:
        told["lowest_and_highest_picture"] = [round(f1.lowest, 2), round(f1.highest, 2)]
    if result.candidates is not None:
        told["matched_with_candidates"] = result.candidates.everything.matched
        told["shown_with_candidates"] = result.candidates.everything.predicted
    return told


def measure_organ(model: Path, item: OtherOrgan, folder: Path) -> dict[str, Any]:
    """Return what counts and what is set aside on tissue without a glomerulus, read as human's and as mouse's."""
    told: dict[str, Any] = {}
    for species in ("human", "mouse"):
        mpp = None if item.mpp is None else (item.mpp, item.mpp)
        options = SegmentOptions(model=model, species=species, mpp=mpp)
        records = segment_slides(item.slides, folder / species, options).records.values()
        if failed := [record.name for record in records if not record.is_done]:
            raise GlomsegError(f"{item.name}: {', '.join(failed)} could not be segmented; mend or leave it out")
        told[f"read_as_{species}"] = {
            "tissue_mm2": round(sum(record.tissue_area_um2 or 0 for record in records) / 1e6, 2),
            "false": sum(record.glomeruli or 0 for record in records),
            "candidates": sum(record.candidates or 0 for record in records),
        }
    return told


def measure_composed(model: Model, data: Path, fields: int = FIELDS) -> dict[str, Any]:
    """Return object F1 on fields composed of the test part, by species and stain."""
    made, told, card = Composer(read_data(data).test), {}, model.card
    for species, rodent_share in (("human", 0.0), ("rodent", 1.0)):
        for family in (None, *recolour.FAMILIES):
            made.recipe = _recipe(rodent_share, family)
            samples = [labelled(made.sample(np.random.default_rng([COMPOSED_SEED, i]))) for i in range(fields)]
            compared = [outlined_of(model, probability_of(model, one), one, (card.threshold,)) for one in samples]
            objects = at_dials(compared, card.threshold, card.sureness).sure.objects
            told[f"{species} {family or 'AIDPATH'}"] = {"glomeruli": objects.true, "object_f1": round(objects.f1, 3)}
    return told


def _recipe(rodent_share: float, family: recolour.StainFamily | None) -> Recipe:
    """Compose fields that are all of one stain; None leaves that of the data."""
    shares = tuple(float(family == one) for one in recolour.FAMILIES)
    recipe = replace(ALL_STAINS, rodent_share=rodent_share, organ_share=0.0)
    if family is None:
        return replace(recipe, recolour_share=0.0)
    return replace(recipe, recolour_share=1.0, family_shares=shares)


def publish(
    model: Path, sets: Sets, output: Path, *, composed: Path | None = None, before: Mapping[str, Path] | None = None
) -> ModelCard:
    """Measure `model` on all sets, write it with its card into `output`, and return the card; raises GlomsegError."""
    card = read_card(model)
    scores: dict[str, Any] = {
        "measured_on": sets.measured_on,
        "method": " ".join(filter(None, (METHOD, METHOD_COMPOSED if composed else "", sets.chose))),
        "pictures": {},
    }
    with TemporaryDirectory() as scratch:
        for number, item in enumerate(sets.pictures):
            measured = measure_pictures(model, item, Path(scratch, f"{number}"))
            row = {part or "these_weights": told for part, told in measured.items()}
            for name, old in (before or {}).items():
                measured = measure_pictures(old, item, Path(scratch, f"{number} {name}"))
                row |= {f"weights_before, {name}{part and f', {part}'}": told for part, told in measured.items()}
            scores["pictures"][item.name] = row
        if composed is not None:
            scores["composed"] = measure_composed(load_model(model), composed)
        elif "composed" in card.scores:
            scores["composed"] = card.scores["composed"]
        if sets.organs:
            scores["other_organs"] = {}
        for number, item in enumerate(sets.organs):
            row = measure_organ(model, item, Path(scratch, f"organ {number}"))
            for name, old in (before or {}).items():
                row[f"weights_before, {name}"] = measure_organ(old, item, Path(scratch, f"organ {number} {name}"))
            scores["other_organs"][item.name] = row
    card = replace(card, name=NAME, description=sets.description, scores=scores)
    return save_model(output, card, load_network(model, read_card(model)))


def main() -> None:
    """Measure and publish from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--pictures", type=Path, help="the folder of the pictures")
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--composed", type=Path, help="the AIDPATH folder, for composed fields")
    parser.add_argument("--before", action="append", default=[], metavar="NAME=FOLDER", help="an older model, beside")
    options = parser.parse_args()
    before = {name: Path(folder) for name, _, folder in (text.partition("=") for text in options.before)}
    try:
        sets = read_sets(options.sets, options.pictures)
        card = publish(options.model, sets, options.output, composed=options.composed, before=before)
    except GlomsegError as error:
        sys.exit(f"{error}")
    print(card.to_json())


if __name__ == "__main__":
    main()
