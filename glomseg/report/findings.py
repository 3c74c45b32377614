"""What a reader of the report must know: warnings, how complete the review is, and the methods in words."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glomseg import __version__
from glomseg.study.records import MeasuredSlide, Study
from glomseg.study.summaries import FEW_PROFILES, animals, group_of

LOW_CONFIDENCE = 0.7
BLURRED = 0.6
"""A slide whose sharpness is below this part of the study's median is named as blurred."""

QUPATH = "Bankhead P, et al. QuPath: open source software for digital pathology image analysis. Sci Rep 2017;7:16878."
FEW = (
    "Hoy WE, et al. How many glomerular profiles must be measured to obtain reliable estimates of mean glomerular "
    "areas in human renal biopsies? J Am Soc Nephrol 2006;17:556–563."
)
VOLUME = (
    "Weibel ER, Gomez DM. A principle for counting tissue structures on random sections. J Appl Physiol "
    "1962;17:343–348."
)
DIFFERENCES = (
    "Hedges LV. Distribution theory for Glass’s estimator of effect size and related estimators. J Educ Stat "
    "1981;6:107–128.",
    "Welch BL. The generalization of “Student’s” problem when several different population variances are involved. "
    "Biometrika 1947;34:28–35.",
)
STAINS = (
    "Macenko M, et al. A method for normalizing histology slides for quantitative analysis. ISBI 2009:1107–1110.",
    "Ruifrok AC, Johnston DA. Quantification of histochemical staining by color deconvolution. Anal Quant Cytol "
    "Histol 2001;23:291–299.",
)


@dataclass(frozen=True)
class Remark:
    """Something that bears on what the numbers are worth; `where` names slides or animals."""

    what: str
    where: str


def warnings(study: Study) -> list[Remark]:
    """List what limits the numbers, the gravest first."""
    slides = study.slides
    sharp = [slide.sharpness for slide in slides if slide.sharpness is not None]
    limit = BLURRED * statistics.median(sharp) if len(sharp) > 2 else 0.0
    few = [name for name, own in animals(study).items() if sum(p.whole for s in own for p in s.profiles) < FEW_PROFILES]
    found = {
        "No pixel size, so nothing in µm": [slide for slide in slides if slide.mpp is None],
        "Not reviewed: no outline was changed, judged or marked as reviewed by a person": [
            slide for slide in slides if slide.profiles and not any(p.reviewed for p in slide.profiles)
        ],
        f"Mean confidence of the model below {LOW_CONFIDENCE}": [s for s in slides if _mean(s) < LOW_CONFIDENCE],
        "Less sharp than the other slides": [s for s in slides if s.sharpness is not None and s.sharpness < limit],
        "No glomerulus outlined": [slide for slide in slides if not slide.profiles],
    }
    listed = [Remark(what, ", ".join(s.image.name for s in which)) for what, which in found.items() if which]
    if few:
        text = f"Fewer than {FEW_PROFILES} whole profiles, so the mean area is not reliable (Hoy 2006)"
        listed.insert(1, Remark(text, ", ".join(few)))
    listed += [Remark(remark, "") for remark in study.remarks]
    listed += [Remark(remark, slide.image.name) for slide in slides for remark in slide.remarks]
    return [item for item in listed if not item.what.startswith("no pixel size")]


def used_runs(study: Study) -> list[Mapping[str, Any]]:
    """List the runs that the measured outlines come from."""
    used = {profile.item.metadata.get("glomseg.run", "") for slide in study.slides for profile in slide.profiles}
    used |= {slide.slide.source.removeprefix("run ") for slide in study.slides}
    return [run for run in study.runs if run["run_id"] in used]


def references(study: Study) -> list[str]:
    """List the works that the report rests on, by author."""
    compared = DIFFERENCES if study.reference_group else ()
    return sorted((QUPATH, FEW, VOLUME, *compared, *(STAINS if study.settings.pas else ())))


def methods(study: Study) -> str:
    """Write the methods paragraph with the numbers of this study."""
    slides = [slide for slide in study.slides if slide.profiles]
    if not slides:
        return "No glomerulus is outlined yet."
    return " ".join([*_outlining(study, slides), *_morphometry(study, slides), *_statistics(study)])


def _outlining(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    profiles = [profile for slide in slides for profile in slide.profiles]
    by_person = sum(profile.reviewed for profile in profiles)
    named = animals(study)
    of = f" of {_count(len(named), 'animal')}" if named else ""
    models = {f"{run['parameters'].get('model')} (SHA-256 {str(run['parameters'].get('model_sha256'))[:12]})"
              for run in used_runs(study) if run["parameters"].get("model")}  # fmt: skip
    images = f"Glomeruli were outlined on {_count(len(slides), 'whole-slide image')}{of}"
    if not models:
        yield f"{images} in QuPath (Bankhead 2017)."
        return
    yield f"{images} with glomseg {__version__} (model {', '.join(sorted(models))})."
    if by_person:
        yield (
            f"Outlines were reviewed in QuPath (Bankhead 2017): of {_count(len(profiles), 'glomerular profile')}, "
            f"{by_person} ({100 * by_person / len(profiles):.0f} %) were drawn, corrected or confirmed by an observer; "
            "the others were left as the model outlined them."
        )
    else:
        yield f"None of the {_count(len(profiles), 'glomerular profile')} was corrected or confirmed by an observer."


def _morphometry(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    settings = study.settings
    inside = [profile for slide in slides for profile in slide.inside]
    whole = sum(profile.whole for profile in inside)
    sizes = sorted({f"{mpp:.4g}" for slide in slides for mpp in slide.mpp or ()})
    size = f" (pixel size {' to '.join(dict.fromkeys((sizes[0], sizes[-1])))} µm)" if sizes else ""
    yield (
        f"Area, perimeter, Feret diameters and circularity (4πA/P²) were computed from the outlines{size}. Profiles "
        f"cut by the edge of the image, the section, the region or an excluded area ({len(inside) - whole} of "
        f"{len(inside)} counted) were left out of means."
    )
    references = sorted({slide.reference for slide in slides} - {""})
    if references:
        named = " or ".join(
            "the annotated cortex" if name == "cortex" else "the section's tissue" for name in references
        )
        yield f"Densities refer to the area of {named}."
    if any(profile.sclerotic for profile in inside):
        yield "Global sclerosis is given as the share of globally sclerotic profiles among all counted."
    yield (
        "Mean glomerular volume was estimated from the mean profile area as V = β/k · A^1.5, and numerical density as "
        f"Nv = k/β · Na^1.5 / Vv^0.5, with β = {settings.beta:g} and k = {settings.k:g} (Weibel and Gomez 1962)."
    )
    if settings.pas:
        origins = sorted({slide.stains.origin for slide in slides if slide.stains})
        yield (
            "The PAS-positive fraction is the part of a profile's area whose optical density along the PAS vector was "
            f"{settings.pas.threshold:g} or more after colour deconvolution (Ruifrok and Johnston 2001) at "
            f"{settings.pas.mpp:g} µm per pixel or the slide's own, if coarser; stain vectors: "
            f"{'; '.join(origins) or 'none'}."
        )


def _statistics(study: Study) -> Iterable[str]:
    sizes: dict[str, int] = {}
    for own in animals(study).values():
        group = group_of(own)
        sizes[group] = sizes.get(group, 0) + 1
    sizes.pop("", None)
    if not sizes:
        return
    listed = ", ".join(f"{name} (n = {size})" for name, size in sorted(sizes.items()))
    yield (
        f"The animal is the unit of analysis: values of an animal's sections were combined first, and groups are means "
        f"of animals: {listed}."
    )
    if study.reference_group and len(sizes) > 1:
        yield (
            f"Differences from {study.reference_group} are given with 95 % intervals (Welch 1947), and as Hedges’ g "
            "with 95 % intervals from the noncentral t distribution (Hedges 1981); intervals are not adjusted for the "
            "number of quantities."
        )


def _mean(slide: MeasuredSlide) -> float:
    values = [profile.confidence for profile in slide.profiles if profile.confidence is not None]
    return statistics.fmean(values) if values else 1.0


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
