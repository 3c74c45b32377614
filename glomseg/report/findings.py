"""What a reader of the report must know first: what limits the numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from glomseg.study.records import MeasuredSlide, Study
from glomseg.study.summary import FEW_PROFILES, animals, mean

LEFT_OUT = "not measured: "
LOW_CONFIDENCE = 0.7
BLURRED = 0.6
"""A slide whose sharpness is below this part of the study's median is named as blurred."""


@dataclass(frozen=True)
class Remark:
    """Something that bears on what the numbers are worth; `where` names slides or animals."""

    what: str
    where: str


def warnings(study: Study) -> list[Remark]:
    """List what limits the numbers, the gravest first."""
    slides = [slide for slide in study.slides if slide.measured]
    listed = [*_left_out(study), *_on_slides(slides), *_few(study)]
    listed += [Remark(remark, "") for remark in study.remarks if not remark.startswith(LEFT_OUT)]
    listed += [
        Remark(remark, slide.image.name)
        for slide in slides
        for remark in slide.remarks
        if not remark.startswith("no pixel size")
    ]
    return listed


def _left_out(study: Study) -> list[Remark]:
    """Name the images that take no part, each with its reason."""
    names = [remark.removeprefix(LEFT_OUT) for remark in study.remarks if remark.startswith(LEFT_OUT)]
    return [Remark("Not measured, so left out of every number", "; ".join(names))] if names else []


def _on_slides(slides: Sequence[MeasuredSlide]) -> list[Remark]:
    with_profiles = [slide for slide in slides if slide.profiles]
    sharp = [slide.sharpness for slide in slides if slide.sharpness is not None]
    limit = BLURRED * statistics.median(sharp) if len(sharp) > 2 else 0.0
    which = {
        "No pixel size, so nothing in µm": [slide for slide in slides if slide.mpp is None],
        "Not reviewed: no outline was changed, judged or marked as reviewed by a person": [
            slide for slide in with_profiles if not any(profile.reviewed for profile in slide.profiles)
        ],
        "Global sclerosis not assessed: nobody reviewed the slide, and the model has no class for it": [
            slide for slide in with_profiles if not slide.sclerosis_assessed
        ],
        "Densities per mm² of all tissue, medulla and capsule included: no cortex is annotated": [
            slide for slide in slides if slide.reference == "tissue"
        ],
        f"Mean confidence of the model below {LOW_CONFIDENCE}": [
            slide for slide in slides if _confidence(slide) < LOW_CONFIDENCE
        ],
        "Less sharp than the other slides": [s for s in slides if s.sharpness is not None and s.sharpness < limit],
        "Global sclerosis suggested by a classifier and not judged; no part of the sclerotic profiles": [
            slide for slide in slides if any(profile.suggested_sclerotic for profile in slide.profiles)
        ],
        "No glomerulus on it": [slide for slide in slides if not slide.profiles],
    }
    return [Remark(what, ", ".join(slide.image.name for slide in those)) for what, those in which.items() if those]


def _few(study: Study) -> list[Remark]:
    few = [
        animal.name
        for animal in animals(study)
        if animal.summary is not None and len(animal.summary.in_means) < FEW_PROFILES
    ]
    text = f"Fewer than {FEW_PROFILES} profiles in means, so the mean area is not reliable (Hoy 2006)"
    return [Remark(text, ", ".join(few))] if few else []


def _confidence(slide: MeasuredSlide) -> float:
    value = mean(profile.confidence for profile in slide.profiles if profile.confidence is not None)
    return 1.0 if value is None else value
