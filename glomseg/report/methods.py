"""The methods of a study in words, with its numbers, and the works that are cited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from glomseg import __version__
from glomseg.segment.tissue import MASK_MPP, TISSUE_DENSITY
from glomseg.study.columns import QUANTITIES
from glomseg.study.edges import ALONG_GLASS
from glomseg.study.groups import LEAST_ANIMALS
from glomseg.study.records import MeasuredSlide, RunDescription, Study
from glomseg.study.summary import animals
from glomseg.study.tables import comparisons

WORKS = {
    "Bankhead 2017": "Bankhead P, et al. QuPath: open source software for digital pathology image analysis. Sci Rep "
    "2017;7:16878.",
    "Hoy 2006": "Hoy WE, et al. How many glomerular profiles must be measured to obtain reliable estimates of mean "
    "glomerular areas in human renal biopsies? J Am Soc Nephrol 2006;17:556–563.",
    "Weibel and Gomez 1962": "Weibel ER, Gomez DM. A principle for counting tissue structures on random sections. J "
    "Appl Physiol 1962;17:343–348.",
    "Hedges 1981": "Hedges LV. Distribution theory for Glass’s estimator of effect size and related estimators. J Educ "
    "Stat 1981;6:107–128.",
    "Welch 1947": "Welch BL. The generalization of “Student’s” problem when several different population variances are "
    "involved. Biometrika 1947;34:28–35.",
    "Macenko 2009": "Macenko M, et al. A method for normalizing histology slides for quantitative analysis. ISBI "
    "2009:1107–1110.",
    "Ruifrok and Johnston 2001": "Ruifrok AC, Johnston DA. Quantification of histochemical staining by color "
    "deconvolution. Anal Quant Cytol Histol 2001;23:291–299.",
}
"""What may be cited, by how it is cited."""


def references(texts: Iterable[str]) -> list[str]:
    """List the works that some texts cite, by author."""
    text = " ".join(texts)
    return sorted(work for cited, work in WORKS.items() if cited in text)


def used_runs(study: Study) -> list[RunDescription]:
    """List the runs that the measured outlines come from."""
    used = {profile.item.metadata.get("glomseg.run", "") for slide in study.slides for profile in slide.profiles}
    used |= {slide.slide.source.removeprefix("run ") for slide in study.slides}
    return [run for run in study.runs if run.run_id in used]


def methods(study: Study) -> str:
    """Write the methods paragraph with the numbers of this study."""
    slides = [slide for slide in study.slides if slide.measured]
    if not any(slide.profiles for slide in slides):
        return "No glomerulus is outlined yet."
    parts = (_outlining(study, slides), _morphometry(study, slides), _stain(study, slides), _statistics(study))
    return " ".join(sentence for part in parts for sentence in part)


def _outlining(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    profiles = [profile for slide in slides for profile in slide.profiles]
    reviewed = sum(profile.reviewed for profile in profiles)
    named = [animal for animal in animals(study) if animal.measured]
    of = f" of {_count(len(named), 'animal')}" if named else ""
    images = f"Glomeruli were outlined on {_count(len(slides), 'whole-slide image')}{of}"
    runs = [run for run in used_runs(study) if run.model]
    if not runs:
        yield f"{images} in QuPath (Bankhead 2017)."
    else:
        yield f"{images} with glomseg {__version__} ({'; '.join(sorted({_model(run) for run in runs}))})."
        if reviewed:
            yield (
                f"Outlines were reviewed in QuPath (Bankhead 2017): of {_count(len(profiles), 'glomerular profile')}, "
                f"{reviewed} ({100 * reviewed / len(profiles):.0f} %) were drawn, corrected or confirmed by an "
                "observer; the others are as the model left them or were not changed."
            )
        else:
            yield "No outline was corrected or confirmed by an observer."
    if left_out := len(study.slides) - len(slides):
        yield (
            f"{_count(left_out, 'image')} on which neither a run nor an observer had looked for all glomeruli "
            f"{'was' if left_out == 1 else 'were'} left out."
        )


def _model(run: RunDescription) -> str:
    parts = [f"model {run.model}, SHA-256 {run.model_sha256[:12]}"]
    for other in run.with_models:
        name, _, digest = other.rpartition(" ")
        parts.append(f"averaged with {name}, SHA-256 {digest[:12]}")
    if run.reading_mpp:
        read = " to ".join(dict.fromkeys(f"{mpp:.3g}" for mpp in (run.reading_mpp[0], run.reading_mpp[-1])))
        parts.append(f"read at {read} µm per pixel" + (f", the scale of {run.species}" if run.species else ""))
    if run.icc:
        parts.append("in sRGB by the ICC profile of each file that has one")
    if run.region:
        parts.append(f"inside {run.region} only")
    parts += _averages(run)
    if run.threshold is not None:
        parts.append(f"outlines at a probability of {run.threshold:g}")
    if run.post:
        parts.append(f"told apart as {run.post} does")
    if run.sureness:
        parts.append(f"objects counted from a mean probability of {run.sureness:g}")
    smallest = "the smallest area in its card" if run.minimum_area_um2 is None else f"{run.minimum_area_um2:,.0f} µm²"
    parts.append(f"objects below {smallest} dropped")
    if run.minimum_solidity:
        parts.append(f"and those of a solidity below {run.minimum_solidity:g}")
    if run.sclerosis == "classify":
        parts.append("global sclerosis classified by a second network")
    return ", ".join(parts)


def _averages(run: RunDescription) -> Iterable[str]:
    """Say over what the probabilities are means."""
    if run.tta:
        yield "averaged over flips"
    if run.tta_scales:
        yield f"averaged over enlargements of {', '.join(f'{scale:g}' for scale in run.tta_scales)}"
    if run.stitch == "mean":
        yield f"averaged over windows that share {run.overlap or 0.5:g} of a side"


def _morphometry(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    settings = study.settings
    inside = [profile for slide in slides for profile in slide.inside]
    cut = sum(not profile.whole for profile in inside)
    sizes = sorted(mpp for slide in slides for mpp in slide.mpp or ())
    ends = dict.fromkeys(f"{mpp:.4g}" for mpp in sizes[:1] + sizes[-1:])
    size = f" (pixel size {' to '.join(ends)} µm)" if sizes else ""
    yield (
        f"Area, perimeter, Feret diameters and circularity (4πA/P²) were computed from the outlines of class "
        f"{settings.class_name}{size}."
    )
    yield (
        "Profiles were counted where their centre lay in the reference area, and left out of means where an edge cut "
        f"them ({cut:,} of {len(inside):,} counted): the edge of the image, of the reference or an excluded area, or "
        f"of the section, along which {100 * ALONG_GLASS:.0f} % or more of the outline lay; tissue is where at least "
        f"{100 * (1 - 10**-TISSUE_DENSITY):.0f} % of the light is absorbed, seen at {MASK_MPP:g} µm per pixel. No "
        "unbiased counting frame was used, so that large profiles, which are cut more often, are underrepresented in "
        "means."
    )
    yield from _sclerosis(study, slides)
    references = sorted({slide.reference for slide in slides} - {""})
    if references:
        named = " or ".join(
            "the annotated cortex" if name == "cortex" else "all tissue of the section" for name in references
        )
        yield f"Densities refer to the area of {named}."
    yield (
        "Mean glomerular volume was estimated from the mean profile area A as V = β/k · A^1.5, and numerical density "
        "as Nv = k/β · Na^1.5 / Vv^0.5 with Vv = Na · A, Na being the number per area of the same kind of profiles, "
        f"with β = {settings.beta:g} and k = {settings.k:g} (Weibel and Gomez 1962); both are model-based and no "
        "design-based stereology."
    )


def _sclerosis(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    assessed = [slide for slide in slides if slide.sclerosis_assessed]
    if not assessed:
        yield "Global sclerosis was not assessed."
        return
    where = "" if len(assessed) == len(slides) else f", on the {_count(len(assessed), 'slide')} where it was assessed"
    yield f"Global sclerosis is given as the share of globally sclerotic profiles among all counted{where}."
    enter = "entered" if study.settings.sclerotic_in_means else "were left out of"
    yield f"Globally sclerotic profiles {enter} means of size, form and stain."


def _stain(study: Study, slides: Sequence[MeasuredSlide]) -> Iterable[str]:
    pas = study.settings.pas
    if pas is None:
        return
    origins = sorted({slide.stains.origin for slide in slides if slide.stains})
    vectors = "; ".join(origins) or "none"
    yield (
        "The PAS-positive fraction is the part of a profile's area whose optical density along the PAS vector was "
        f"{pas.threshold:g} or more after colour deconvolution (Ruifrok and Johnston 2001) at {pas.mpp:g} µm per pixel "
        f"or the slide's own, if coarser; stain vectors: {vectors.replace('(Macenko)', '(Macenko 2009)')}."
    )


def _statistics(study: Study) -> Iterable[str]:
    sizes: dict[str, int] = {}
    for animal in animals(study):
        if animal.group and animal.measured:
            sizes[animal.group] = sizes.get(animal.group, 0) + 1
    if not sizes:
        return
    listed = ", ".join(f"{name} (n = {size})" for name, size in sorted(sizes.items()))
    yield (
        "The animal is the unit of analysis: values of an animal's sections were combined first, and groups are means "
        f"of animals: {listed}; means are given with 95 % intervals from Student's t distribution, which take the "
        f"animals' values to be normally distributed: none for fewer than {LEAST_ANIMALS} animals, nor where some lie "
        "at an end of what is possible, such as 0 %."
    )
    primary = next((quantity for quantity in QUANTITIES if quantity.name == study.primary), None)
    compared = len({row.quantity for row in comparisons(study)})
    yield (
        f"{compared} {'quantity is' if compared == 1 else 'quantities are'} compared and no primary outcome was named."
        if primary is None
        else f"The primary outcome is: {primary.title}; the other quantities are secondary."
    )
    if study.reference_group and len(sizes) > 1:
        yield (
            f"Differences from {study.reference_group} are given with 95 % intervals (Welch 1947), and as Hedges’ g "
            "with 95 % intervals from the noncentral t distribution (Hedges 1981); intervals are not adjusted for the "
            "number of quantities."
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
