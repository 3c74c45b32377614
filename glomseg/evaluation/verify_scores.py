"""Whether a model scores on somebody's data as its card says: its figures measured again, beside those of the card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glomseg.evaluation.evaluate_model import EvaluateOptions, EvaluationResult, evaluate_model
from glomseg.listing import first_names
from glomseg.models.card import ModelCard
from glomseg.models.store import find_model, verify_model
from glomseg.runs.listener import Listener

FIGURES = ("images", "true_objects", "object_f1", "dice", "precision", "recall", "recall_with_candidates")
"""What is compared, all pooled: objects at IoU 0.5, precision and recall of what is sure."""
REPEATED = 0.02
"""Figures that are measured again on the same images differ by less: tiles and devices round otherwise."""
PARTS = ("test", "validation")
_SYNONYMS = {"glomeruli": "true_objects", "pictures": "images", "object_precision": "precision"}
_OTHER_WEIGHTS = "before"


@dataclass(frozen=True, kw_only=True)
class StatedFigures:
    """Figures that a card states of one set: `name` is where they stand in its scores; those it leaves out are not."""

    name: str
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class VerifiedScores:
    """The figures of a card beside the same on other data or on the same; `measured` is what came out.

    `same` names the card's set that the data are, all of it and nothing else, by the model's own split; `alike` the one
    that has as many images and glomeruli; each is "" for none. `part` is the part of the data that was scored, "" for
    all.
    """

    card: ModelCard
    stated: tuple[StatedFigures, ...]
    measured: Mapping[str, float]
    evaluation: EvaluationResult
    part: str = ""
    same: str = ""
    alike: str = ""

    @property
    def is_repeated(self) -> bool | None:
        """Tell whether the same images gave the card's figures; None for other data, where they need not."""
        stated = next((item.figures for item in self.stated if item.name == self.same), None)
        if stated is None:
            return None
        return all(abs(stated[name] - self.measured.get(name, math.nan)) <= REPEATED for name in stated
                   if name in FIGURES[2:])  # fmt: skip

    def in_words(self) -> str:
        """Say whether these are the card's data, and whether its figures come out again."""
        if not self.stated:
            return f"the card of {self.card.name} states no figures: there is nothing to repeat"
        if self.same:
            verdict = "come out again" if self.is_repeated else f"do NOT come out again (within {REPEATED:g})"
            return f"these are the images of {self.same!r} in the card, by the model's own split; its figures {verdict}"
        if self.part and (seen := self.evaluation.learned.get(self.part)):
            return (
                f"{seen} of these {self.measured['images']:.0f} images are of the model's own part {self.part!r}, but "
                "the card's figures are not of just these: that they differ does not say that the card is wrong"
            )
        if self.alike:
            return f"as many images and glomeruli as {self.alike!r} in the card, and so probably those"
        names = [item.name.removeprefix("pictures: ") for item in self.stated]
        learned = "; ".join(item.name for item in self.card.training_data) or "what it does not say"
        return (
            f"these are other data than the card's, which was measured on {first_names(names, between='; ')}: figures "
            f"that differ say how the model does here, and not that the card is wrong. It learned from {learned}: on "
            "those, figures say little"
        )


def verify_scores(
    model: str | Path,
    data: Path,
    output: Path,
    options: EvaluateOptions | None = None,
    *,
    listener: Listener | None = None,
) -> VerifiedScores:
    """Measure the figures of a model's card on labelled images, in the way of `evaluate_model`, into `output`.

    Where the data are those of the model's own training, its test part is scored, else its validation part. Raises
    ModelError for weights that are not the card's, and what `evaluate_model` raises.
    """
    card = verify_model(model)
    options = replace(options or EvaluateOptions(), model=str(find_model(model)), pictures=False)
    stated = tuple(stated_figures(card.scores))
    result, part = _evaluated(data, output, options, {item.name for item in stated}, _saying_once(listener))
    if listener is not None:
        for remark in result.remarks:
            listener.remark(remark)
    measured = measured_figures(result)
    same = next((item.name for item in stated if item.name == part and _is_same(item, result)), "")
    alike = "" if same else next((item.name for item in stated if _is_alike(item.figures, measured)), "")
    return VerifiedScores(
        card=card, stated=stated, measured=measured, evaluation=result, part=part, same=same, alike=alike
    )


def stated_figures(scores: Mapping[str, Any], name: str = "") -> Iterator[StatedFigures]:
    """List the sets of which a card's scores state an object F1, without those of other weights."""
    figures = {_SYNONYMS.get(key, key): float(value) for key, value in scores.items() if _is_number(value)}
    if "object_f1" in figures:
        yield StatedFigures(name=name, figures=_complete(figures))
    for key, value in scores.items():
        if isinstance(value, Mapping) and _OTHER_WEIGHTS not in key:
            yield from stated_figures(value, name if key == "these_weights" else f"{name}: {key}" if name else key)


def measured_figures(result: EvaluationResult) -> dict[str, float]:
    """Return the figures of an evaluation by the names that cards use."""
    overall, pooled = result.summary.overall, result.summary.overall.pooled
    figures = {
        "images": float(overall.images),
        "true_objects": float(overall.true_objects),
        "object_f1": pooled["f1"].value,
        "dice": pooled["dice"].value,
        "precision": pooled["precision"].value,
        "recall": pooled["recall"].value,
    }
    if result.candidates is not None:
        figures["recall_with_candidates"] = result.candidates.everything.recall
    return figures


def _evaluated(
    data: Path, output: Path, options: EvaluateOptions, names: set[str], listener: Listener
) -> tuple[EvaluationResult, str]:
    """Score the part of the data that the card's figures are of, or all where the model learned from none of it."""
    if options.part is not None:
        return evaluate_model(data, output, options, listener=listener), options.part
    result = evaluate_model(data, output, options, listener=listener)
    part = next((part for part in PARTS if part in names and result.learned.get(part)), "")
    if not part:
        return result, ""
    return evaluate_model(data, output, replace(options, part=part), listener=listener), part


def _complete(figures: Mapping[str, float]) -> dict[str, float]:
    """Compute precision and recall where a card counts in their place."""
    made = {name: value for name, value in figures.items() if name in FIGURES}
    matched, true = figures.get("matched"), figures.get("true_objects")
    if matched is None or not true:
        return made
    made.setdefault("recall", matched / true)
    if "false" in figures and matched + figures["false"]:
        made.setdefault("precision", matched / (matched + figures["false"]))
    if "matched_with_candidates" in figures:
        made.setdefault("recall_with_candidates", figures["matched_with_candidates"] / true)
    return made


def _is_same(stated: StatedFigures, result: EvaluationResult) -> bool:
    """Tell whether all images are of this set by the model's own split, and as many as the card counts."""
    images = result.summary.overall.images
    return result.learned.get(stated.name) == images == stated.figures.get("images", images)


def _is_alike(stated: Mapping[str, float], measured: Mapping[str, float]) -> bool:
    counts = [name for name in FIGURES[:2] if name in stated]
    return len(counts) == 2 and all(stated[name] == measured[name] for name in counts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _saying_once(listener: Listener | None) -> Listener:
    """Leave remarks out while the data may be scored twice: those of the scores that count are said afterwards."""
    return replace(listener or Listener(), remark=lambda text: None)
