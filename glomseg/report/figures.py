"""Which charts the report shows of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from glomseg.pictures.style import COLORS
from glomseg.report.charts import Dot, curve_chart, dot_chart, effect_chart
from glomseg.study.columns import QUANTITIES, Quantity
from glomseg.study.groups import Comparison, group_mean
from glomseg.study.records import MeasuredSlide, Profile, Study
from glomseg.study.summary import StudySummary, animals

CHARTED = ("mean_area_um2", "density_per_mm2", "sclerotic_percent", "mean_circularity")

_Unit = tuple[str, str, StudySummary]
"""An animal, or a slide where no animals are known: its name, its group, its sum."""


def quantity_title(quantity: Quantity, per: str) -> str:
    """Name a quantity; a density is named by what it refers to."""
    return quantity.title.replace("per mm²", f"per mm² of {per}") if quantity.per_area and per else quantity.title


def draw_charts(study: Study) -> list[str]:
    """Draw the distributions, the primary outcome first: a dot an animal, or a slide where no animal is known."""
    units, colors = _units(study), _colors(study)
    wanted = dict.fromkeys(([study.primary] if study.primary else []) + list(CHARTED))
    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    drawn = [_dots(quantities[name], units, colors, means=bool(animals(study))) for name in wanted]
    return [chart for chart in (*drawn, *_curves(study, units, colors)) if chart]


def draw_effects(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Draw the standardised differences to the reference group, empty where there are none."""
    many = len({comparison.group for comparison in comparisons}) > 2
    quantities = {quantity.name: quantity for quantity in QUANTITIES}
    drawn = []
    for comparison in comparisons:
        effect = comparison.effect
        if effect is not None and math.isfinite(effect.value + effect.low + effect.high):
            label = quantity_title(quantities[comparison.quantity], comparison.of)
            label += f": {comparison.group}" if many else ""
            drawn.append((label, effect.value, effect.low, effect.high))
    return effect_chart(f"Differences from {study.reference_group}", drawn) if drawn else ""


def _units(study: Study) -> list[_Unit]:
    entries = [(animal.name, animal.group or "no group", animal.summary) for animal in animals(study)]
    if not entries:
        entries = [
            (slide.image.name, slide.slide.sample.group or "all slides", StudySummary.of([slide], study.settings))
            for slide in study.slides
        ]
    units = [(name, group, summary) for name, group, summary in entries if summary]
    return sorted(units, key=lambda unit: (unit[1] != study.reference_group, unit[1]))


def _colors(study: Study) -> dict[str, str]:
    groups = dict.fromkeys(group for _, group, _ in _units(study))
    return {group: COLORS[index % len(COLORS)] for index, group in enumerate(groups)}


def _dots(quantity: Quantity, units: Sequence[_Unit], colors: Mapping[str, str], *, means: bool) -> str:
    """Draw one quantity, empty for fewer than two values, or densities of cortex and of tissue side by side."""
    groups: dict[str, list[Dot]] = {}
    per = set()
    for name, group, summary in units:
        value = quantity.value(summary)
        if isinstance(value, int | float):
            groups.setdefault(group, []).append(Dot(name, float(value)))
            per.add(summary.reference or "")
    if sum(map(len, groups.values())) < 2 or (quantity.per_area and len(per) > 1):
        return ""
    drawn = {name: group_mean([dot.value for dot in dots], quantity.limits) for name, dots in groups.items() if means}
    return dot_chart(quantity_title(quantity, "".join(per) if len(per) == 1 else ""), groups, colors, means=drawn)


def _curves(study: Study, units: Sequence[_Unit], colors: Mapping[str, str]) -> list[str]:
    unit = "animal" if animals(study) else "slide"

    def curves(title: str, value: Callable[[Profile], float | None]) -> str:
        groups: dict[str, list[list[float]]] = {}
        for _, group, summary in units:
            numbers = [value(profile) for profile in summary.in_means]
            groups.setdefault(group, []).append([number for number in numbers if number is not None])
        return curve_chart(title, groups, colors, unit=unit)

    return [
        curves("Area of profiles (µm²)", lambda profile: profile.shape.area_um2 if profile.shape else None),
        curves("Circularity of profiles", lambda profile: (profile.shape or profile.shape_px).circularity),
    ]


def choose_galleries(study: Study, most: int) -> dict[str, list[Profile]]:
    """Choose the glomeruli to show: largest and smallest in means, least certain and sclerotic ones, `most` of each.

    Of images that were found only: the others have no pictures.
    """
    readable = [slide for slide in study.slides if slide.image.path is not None and not slide.image.problem]
    profiles = [profile for slide in readable for profile in slide.profiles]
    in_means = sorted((p for p in profiles if study.settings.enters_means(p)), key=_size)
    unsure = sorted(
        (p for p in profiles if p.confidence is not None and not p.reviewed), key=lambda p: p.confidence or 0
    )
    sclerotic = [profile for profile in profiles if profile.sclerotic]
    return {
        "Largest": in_means[: -most - 1 : -1],
        "Smallest": in_means[:most],
        "Least certain, not reviewed": unsure[:most],
        "Globally sclerotic": sclerotic[:: max(1, len(sclerotic) // most)][:most],
    }


def _size(profile: Profile) -> float:
    return profile.shape.area_um2 if profile.shape else profile.shape_px.area_um2


def caption(slide: MeasuredSlide, profile: Profile) -> str:
    """Say of which slide a glomerulus is, how large, and how sure the model was."""
    size = f"{profile.shape.area_um2:,.0f} µm²" if profile.shape else f"{profile.shape_px.area_um2:,.0f} px²"
    sure = "" if profile.confidence is None else f", confidence {profile.confidence:.2f}"
    return f"{slide.image.name}: {size}{sure}"
