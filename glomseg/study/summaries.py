"""From profiles to slides, animals and groups.

A slide and an animal are summed up alike: an animal is all its slides together, so that its densities are all its
profiles over all its area. Groups are means of animals. Nothing treats a glomerulus as if it were an animal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

from glomseg.study.groups import hedges_g, mean_difference, mean_interval
from glomseg.study.records import MeasuredSlide, MeasureSettings, Profile, Study

Row = dict[str, object]

FEW_PROFILES = 10
"""A mean area needs about as many whole profiles (Hoy et al. 2006)."""

CONTROLS = ("control", "ctrl", "normal", "sham", "wt", "wild type", "wildtype", "vehicle", "healthy")

GROUP_QUANTITIES = {
    "mean_area_um2": "um^2",
    "mean_equivalent_diameter_um": "um",
    "mean_circularity": "",
    "density_per_mm2": "1/mm^2",
    "non_sclerotic_density_per_mm2": "1/mm^2",
    "sclerotic_percent": "%",
    "area_fraction_percent": "%",
    "mean_volume_um3": "um^3",
    "numerical_density_per_mm3": "1/mm^3",
    "mean_pas_fraction": "",
    "mean_nearest_neighbour_um": "um",
}


def mean_volume_um3(mean_area_um2: float, beta: float, k: float) -> float:
    """Return the mean volume of glomeruli from the mean area of their profiles (Weibel and Gomez 1962)."""
    return beta / k * math.pow(mean_area_um2, 1.5)


def numerical_density_per_mm3(per_mm2: float, area_fraction: float, beta: float, k: float) -> float:
    """Return the number of glomeruli in a mm^3 from profiles per mm^2 and their area fraction (Weibel and Gomez)."""
    return k / beta * math.pow(per_mm2, 1.5) / math.sqrt(area_fraction)


def summarise(slides: Sequence[MeasuredSlide], settings: MeasureSettings) -> Row:
    """Sum up the profiles of one slide, or of all slides of an animal; None stands for what cannot be known."""
    profiles = [profile for slide in slides for profile in slide.profiles]
    inside = [profile for profile in profiles if profile.inside]
    whole = [profile for profile in inside if profile.whole]
    sclerotic = sum(profile.sclerotic for profile in inside)
    shapes = [profile.shape for profile in whole if profile.shape]
    areas = [shape.area_um2 for shape in shapes]
    mean_area = _mean(areas)
    return {
        "profiles": len(profiles),
        "counted": len(inside),
        "whole": len(whole),
        "sclerotic": sclerotic,
        "non_sclerotic": len(inside) - sclerotic,
        "sclerotic_percent": 100 * sclerotic / len(inside) if inside else None,
        "reviewed_percent": 100 * sum(p.reviewed for p in profiles) / len(profiles) if profiles else None,
        "mean_area_um2": mean_area,
        "sd_area_um2": statistics.stdev(areas) if len(areas) > 1 else None,
        "mean_equivalent_diameter_um": _mean(shape.equivalent_diameter_um for shape in shapes),
        "mean_max_feret_um": _mean(shape.max_feret_um for shape in shapes),
        "mean_circularity": _mean(profile.shape_px.circularity for profile in whole),
        "mean_solidity": _mean(profile.shape_px.solidity for profile in whole),
        "mean_volume_um3": None if mean_area is None else mean_volume_um3(mean_area, settings.beta, settings.k),
        "mean_pas_fraction": _mean(_known(profile.pas_fraction for profile in whole)),
        "mean_nearest_neighbour_um": _mean(_known(profile.nearest_um for profile in inside)),
        "mean_confidence": _mean(_known(profile.confidence for profile in inside)),
        **_densities(slides, settings),
        "few_profiles": len(whole) < FEW_PROFILES,
    }


def _densities(slides: Sequence[MeasuredSlide], settings: MeasureSettings) -> Row:
    """Relate profiles to the area they were found in; only slides whose area is known take part."""
    known = [slide for slide in slides if slide.reference_area_um2 and slide.profile_area_um2 is not None]
    references = {slide.reference for slide in known}
    names = ("reference_area_mm2", "density_per_mm2", "non_sclerotic_density_per_mm2", "area_fraction_percent")
    empty: Row = dict.fromkeys((*names, "numerical_density_per_mm3"))
    if len(references) != 1:  # profiles per mm^2 of cortex and of tissue are two quantities
        return {"reference": "mixed" if references else None, **empty}
    area_mm2 = sum(slide.reference_area_um2 or 0 for slide in known) / 1e6
    inside = [profile for slide in known for profile in slide.inside]
    density = len(inside) / area_mm2
    fraction = sum(slide.profile_area_um2 or 0 for slide in known) / 1e6 / area_mm2
    return {
        "reference": references.pop(),
        "reference_area_mm2": area_mm2,
        "density_per_mm2": density,
        "non_sclerotic_density_per_mm2": sum(not profile.sclerotic for profile in inside) / area_mm2,
        "area_fraction_percent": 100 * fraction,
        "numerical_density_per_mm3": (
            numerical_density_per_mm3(density, fraction, settings.beta, settings.k) if fraction else None
        ),
    }


def animals(study: Study) -> dict[str, list[MeasuredSlide]]:
    """Gather the slides of each animal; slides of no known animal belong to none."""
    found: dict[str, list[MeasuredSlide]] = {}
    for slide in study.slides:
        if slide.slide.sample.animal:
            found.setdefault(slide.slide.sample.animal, []).append(slide)
    return dict(sorted(found.items()))


def group_of(slides: Iterable[MeasuredSlide]) -> str:
    """Return the group of an animal: the one that its slides name, if they name one."""
    groups = {slide.slide.sample.group for slide in slides} - {""}
    return groups.pop() if len(groups) == 1 else ""


def animal_rows(study: Study) -> list[Row]:
    """Sum up each animal."""
    return [
        {
            "animal": animal,
            "group": group_of(slides),
            "slides": len(slides),
            **summarise(slides, study.settings),
        }
        for animal, slides in animals(study).items()
    ]


def group_rows(rows: Sequence[Mapping[str, object]], reference: str | None) -> list[Row]:
    """Compare groups of animals, one row a quantity and group: mean, interval, and the difference to `reference`."""
    names = sorted({str(row["group"]) for row in rows} - {""})
    found: list[Row] = []
    for quantity, unit in GROUP_QUANTITIES.items():
        values = {name: _values(rows, name, quantity) for name in names}
        for name in names:
            if values[name]:
                found.append(_group_row(quantity, unit, name, values, reference))
    return found


def choose_reference(names: Iterable[str], asked: str | None) -> str | None:
    """Choose the group that the others are compared with: the one asked for, else one named as a control is."""
    groups = sorted(set(names) - {""})
    if asked is not None or len(groups) < 2:
        return asked
    return next((name for name in groups if name.strip().lower() in CONTROLS), groups[0])


def _group_row(quantity: str, unit: str, name: str, values: Mapping[str, list[float]], reference: str | None) -> Row:
    mean = mean_interval(values[name])
    row: Row = {
        "quantity": quantity,
        "unit": unit,
        "group": name,
        "animals": len(values[name]),
        "mean": mean.value,
        "sd": statistics.stdev(values[name]) if len(values[name]) > 1 else None,
        "mean_low": mean.low,
        "mean_high": mean.high,
        "reference_group": reference,
    }
    if reference is not None and name != reference and values.get(reference):
        difference = mean_difference(values[name], values[reference])
        effect = hedges_g(values[name], values[reference])
        row |= {
            "difference": difference.value,
            "difference_low": difference.low,
            "difference_high": difference.high,
            "hedges_g": effect.value,
            "hedges_g_low": effect.low,
            "hedges_g_high": effect.high,
        }
    return row


def _values(rows: Sequence[Mapping[str, object]], group: str, quantity: str) -> list[float]:
    """List the animals' values of a group; densities per cortex and per tissue are never mixed."""
    chosen = [row for row in rows if row["group"] and row.get(quantity) is not None]
    per_area = quantity in ("density_per_mm2", "non_sclerotic_density_per_mm2", "area_fraction_percent") or (
        quantity == "numerical_density_per_mm3"
    )
    if per_area and len({row.get("reference") for row in chosen}) > 1:
        return []
    return [float(str(row[quantity])) for row in chosen if row["group"] == group]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return statistics.fmean(listed) if listed else None


def whole_profiles(slides: Iterable[MeasuredSlide]) -> list[Profile]:
    """List the profiles that count in means."""
    return [profile for slide in slides for profile in slide.profiles if profile.whole]
