"""The one dictionary of measurements: a new measurement is one column here.

Tables, their files and dictionary, the report's titles, QuPath's measurement list (columns with a `measurement`) and
the comparison of groups (`Quantity`) all come from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from glomseg.columns import Column, measurements
from glomseg.segment.columns import NAMING, PLACE
from glomseg.segment.shape import SHAPE
from glomseg.study.groups import Comparison
from glomseg.study.records import MeasuredSlide, PlacedProfile
from glomseg.study.summary import FEW_PROFILES, Animal, StudySummary


@dataclass(frozen=True)
class Quantity(Column[StudySummary]):
    """A column by which groups are compared; `per_area` where it relates to the cortex or to the tissue.

    `limits` are the least and the most that it can be.
    """

    per_area: bool = False
    limits: tuple[float, float] = (0, math.inf)


@dataclass(frozen=True)
class SlideEntry:
    """A slide with its sum, None where it was not measured: what a row of the slides' table speaks of."""

    slide: MeasuredSlide
    summary: StudySummary | None


WHERE: tuple[Column[MeasuredSlide], ...] = (
    Column("image", "", "Slide", "Name of the image in the project, or of its file", lambda s: s.image.name),
    Column("entry_id", "", "Entry id", "Id of the image in the project, or of its result in the run folder",
           lambda s: s.image.entry_id),
    Column("animal", "", "Animal", "Animal, from the sample sheet or the image's metadata in QuPath",
           lambda s: s.slide.sample.animal),
    Column("group", "", "Group", "Group of the animal", lambda s: s.slide.sample.group),
    Column("section", "", "Section", "Section of the animal", lambda s: s.slide.sample.section),
    Column("stain", "", "Stain", "Stain of the section", lambda s: s.slide.sample.stain),
    Column("source", "", "Source", "Where the outlines were read: the project as it stands, or the GeoJSON of a run",
           lambda s: s.slide.source),
)  # fmt: skip

_JUDGED: tuple[Column[PlacedProfile], ...] = (
    Column("owner", "", "Owner",
           "person: drawn, changed, locked or judged by a person; machine: as the model left it",
           lambda p: "person" if p.profile.by_person else "machine"),
    Column("reviewed", "", "Reviewed",
           "1 where the owner is a person, or the image or a region around it is marked as reviewed",
           lambda p: p.profile.reviewed),
    Column("sclerotic", "", "Sclerotic", "1 where the class is one of the globally sclerotic ones",
           lambda p: p.profile.sclerotic if p.slide.sclerosis_assessed else None),
    Column("sclerotic_probability", "", "Sclerotic probability",
           "How probable global sclerosis is to a classifier, 0 to 1; empty where none was asked",
           lambda p: p.profile.item.measurements.get("Sclerotic probability")),
    Column("suggested_sclerotic", "", "Suggested sclerotic",
           "1 where a classifier suggests global sclerosis and nobody has judged it; counted nowhere as sclerotic",
           lambda p: p.profile.suggested_sclerotic),
    Column("counted", "", "Counted",
           "1 where the centre lies in the reference region and not in an area of class Ignore*",
           lambda p: p.profile.inside, "Counted"),
    Column("cut_by", "", "Cut by",
           "Edges that cut the profile: image, region, ignored, section (glass); empty for none",
           lambda p: " ".join(p.profile.cut_by)),
    Column("whole", "", "Whole", "1 where counted and cut by nothing", lambda p: p.profile.whole, "Whole profile"),
    Column("in_means", "", "In means",
           "1 where whole, and not globally sclerotic unless that was asked for: these profiles alone enter means of "
           "size, form and stain", lambda p: p.settings.enters_means(p.profile)),
)  # fmt: skip

_PIXELS: tuple[Column[PlacedProfile], ...] = (
    Column("area_px2", "px^2", "Area (px²)", "Area of the outline, holes taken out",
           lambda p: p.profile.shape_px.area_um2),
    Column("perimeter_px", "px", "Perimeter (px)", "Length of the outline, holes included",
           lambda p: p.profile.shape_px.perimeter_um),
    Column("x_um", "um", "x (µm)", "Centre of area, from the left of the image",
           lambda p: p.slide.mpp and p.profile.item.geometry.centroid.x * p.slide.mpp[0]),
    Column("y_um", "um", "y (µm)", "Centre of area, from the top of the image",
           lambda p: p.slide.mpp and p.profile.item.geometry.centroid.y * p.slide.mpp[1]),
)  # fmt: skip

_AROUND: tuple[Column[PlacedProfile], ...] = (
    Column("nearest_neighbour_um", "um", "Nearest neighbour (µm)",
           "Distance to the nearest counted profile, centre to centre",
           lambda p: p.profile.nearest_um, "Nearest neighbour µm"),
    Column("section_edge_um", "um", "Section edge (µm)",
           "Distance of the centre to the nearest glass (capsule, cut edge, large lumen)",
           lambda p: p.profile.edge_um, "Distance to section edge µm"),
    Column("pas_fraction", "", "PAS fraction",
           "PAS-positive area / area of the profile, 0 to 1, by colour deconvolution",
           lambda p: p.profile.pas_fraction, "PAS-positive fraction"),
)  # fmt: skip


def outdated_measurements(placed: PlacedProfile) -> tuple[str, ...]:
    """Name the measurements that only we give an object, and that this one has not now: one of before holds no more.

    A fraction of PAS is not looked for each time, and holds as long as the outline was not reshaped since.
    """
    looks_for_pas = placed.settings.pas is not None or _is_reshaped(placed)
    looked_for = [column for column in _AROUND if column.name != "pas_fraction" or looks_for_pas]
    return tuple(column.measurement for column in looked_for if column.value(placed) is None)


def _is_reshaped(placed: PlacedProfile) -> bool:
    """Tell whether the outline has another shape than the one of its measurements."""
    measured = placed.profile.item.measurements
    now = {} if placed.profile.shape is None else measurements(SHAPE, placed.profile.shape)
    return any(not math.isclose(value, measured.get(name, value), rel_tol=1e-4) for name, value in now.items())


GLOMERULI: tuple[Column[PlacedProfile], ...] = (
    *(column.of(lambda p: p.slide) for column in WHERE),
    *(column.of(lambda p: p.profile.item) for column in NAMING),
    *_JUDGED,
    *(column.of(lambda p: p.profile.item) for column in PLACE),
    *_PIXELS,
    *(column.of(lambda p: p.profile.shape) for column in SHAPE if column.unit),
    *(column.of(lambda p: p.profile.shape or p.profile.shape_px) for column in SHAPE if not column.unit),
    *_AROUND,
)
"""One row a profile. Ratios come from pixels where the size of a pixel is not known."""

_COUNTS: tuple[Column[StudySummary], ...] = (
    Column("profiles", "", "Profiles", "Outlined glomerular profiles", lambda s: len(s.profiles)),
    Column("counted", "", "Counted",
           "Profiles whose centre lies in the reference region and not in an area of class Ignore*",
           lambda s: len(s.inside)),
    Column("whole", "", "Whole", "Counted profiles that no edge cuts", lambda s: sum(p.whole for p in s.inside)),
    Column("in_means", "", "In means",
           "Whole profiles that enter means of size, form and stain: those that are not globally sclerotic, unless "
           "asked for", lambda s: len(s.in_means)),
    Column("sclerotic", "", "Sclerotic",
           "Counted profiles of a globally sclerotic class; empty where nobody assessed sclerosis: no person reviewed "
           "the slide, and the model has no class for it", lambda s: s.sclerotic),
    Column("non_sclerotic", "", "Non-sclerotic",
           "Counted profiles of any other class, on slides where sclerosis was assessed", lambda s: s.non_sclerotic),
    Column("suggested_sclerotic", "", "Suggested sclerotic, not judged",
           "Counted profiles that a classifier takes for globally sclerosed and nobody has judged; no part of "
           "sclerotic", lambda s: s.suggested_sclerotic),
    Column("reviewed_percent", "%", "Reviewed (%)",
           "Share of the profiles that a person drew, changed or judged, or marked as reviewed",
           lambda s: s.reviewed_percent),
)  # fmt: skip

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("mean_area_um2", "um^2", "Mean profile area (µm²)", "Mean area of the profiles in means",
             lambda s: s.mean_area_um2),
    Quantity("mean_equivalent_diameter_um", "um", "Mean diameter (µm)",
             "Mean equivalent diameter of the profiles in means",
             lambda s: s.mean_of(lambda p: None if p.shape is None else p.shape.equivalent_diameter_um, s.in_means)),
    Quantity("mean_circularity", "", "Mean circularity", "Mean circularity of the profiles in means",
             lambda s: s.mean_of(lambda p: p.shape_px.circularity if p.shape is None else p.shape.circularity,
                                 s.in_means), limits=(0, 1)),
    Quantity("density_per_mm2", "1/mm^2", "Profiles per mm²", "counted / reference area",
             lambda s: s.density_per_mm2, per_area=True),
    Quantity("non_sclerotic_density_per_mm2", "1/mm^2", "Non-sclerotic profiles per mm²",
             "non_sclerotic / reference area, of slides where sclerosis was assessed",
             lambda s: s.non_sclerotic_density_per_mm2, per_area=True),
    Quantity("sclerotic_percent", "%", "Globally sclerotic (%)",
             "sclerotic / counted, of slides where sclerosis was assessed", lambda s: s.sclerotic_percent,
             limits=(0, 100)),
    Quantity("area_fraction_percent", "%", "Glomerular area fraction (%)",
             "Area of all outlines inside the reference area / reference area",
             lambda s: None if s.area_fraction is None else 100 * s.area_fraction, per_area=True, limits=(0, 100)),
    Quantity("mean_volume_um3", "um^3", "Mean volume (µm³, Weibel-Gomez)",
             "Model-based, Weibel-Gomez: beta / k * A^1.5, A the mean area of the profiles in means",
             lambda s: s.mean_volume_um3),
    Quantity("numerical_density_per_mm3", "1/mm^3", "Glomeruli per mm³ (Weibel-Gomez)",
             "Model-based, Weibel-Gomez: k / beta * Na^1.5 / Vv^0.5 of glomeruli as in means (globally sclerotic ones "
             "only if asked for): Na their counted profiles per mm^2, Vv = Na * A; no design-based stereology",
             lambda s: s.numerical_density_per_mm3, per_area=True),
    Quantity("mean_pas_fraction", "", "PAS-positive fraction", "Mean PAS-positive fraction of the profiles in means",
             lambda s: s.mean_of(lambda p: p.pas_fraction, s.in_means), limits=(0, 1)),
    Quantity("mean_nearest_neighbour_um", "um", "Nearest neighbour (µm)",
             "Mean distance of counted profiles to the nearest one",
             lambda s: s.mean_of(lambda p: p.nearest_um, s.inside)),
)  # fmt: skip
"""By what groups of animals are compared."""

_OTHERS: tuple[Column[StudySummary], ...] = (
    Column("sd_area_um2", "um^2", "SD of the area (µm²)", "Standard deviation of the area of the profiles in means",
           lambda s: s.sd_area_um2),
    Column("mean_max_feret_um", "um", "Mean max Feret (µm)", "Mean largest Feret diameter of the profiles in means",
           lambda s: s.mean_of(lambda p: None if p.shape is None else p.shape.max_feret_um, s.in_means)),
    Column("mean_solidity", "", "Mean solidity", "Mean solidity of the profiles in means",
           lambda s: s.mean_of(lambda p: p.shape_px.solidity if p.shape is None else p.shape.solidity, s.in_means)),
    Column("mean_confidence", "", "Confidence", "Mean confidence of counted profiles that the model outlined",
           lambda s: s.mean_of(lambda p: p.confidence, s.inside)),
    Column("reference", "", "Reference",
           "What densities refer to: cortex (annotated), tissue (found); mixed leaves them empty",
           lambda s: s.reference),
    Column("reference_area_mm2", "mm^2", "Reference area (mm²)",
           "Area of the cortex or tissue, areas of class Ignore* taken out",
           lambda s: None if s.reference_area_um2 is None else s.reference_area_um2 / 1e6),
    Column("few_profiles", "", "Few profiles",
           f"1 where fewer than {FEW_PROFILES} profiles in means make the mean area unreliable (Hoy 2006)",
           lambda s: len(s.in_means) < FEW_PROFILES),
)  # fmt: skip

SUMMARY: tuple[Column[StudySummary], ...] = (*_COUNTS, *QUANTITIES, *_OTHERS)

SLIDES: tuple[Column[SlideEntry], ...] = (
    *(column.of(lambda e: e.slide) for column in WHERE),
    Column("measured", "", "Measured",
           "0 where neither a run nor a person looked for glomeruli: left out of every sum and mean",
           lambda e: e.slide.measured),
    Column("mpp_x", "um/px", "µm/px", "Width of a pixel", lambda e: e.slide.mpp and e.slide.mpp[0]),
    Column("mpp_y", "um/px", "µm/px (y)", "Height of a pixel", lambda e: e.slide.mpp and e.slide.mpp[1]),
    Column("tissue_area_mm2", "mm^2", "Tissue (mm²)",
           "Area of the tissue found on the slide, areas of class Ignore* taken out",
           lambda e: None if e.slide.tissue_area_um2 is None else e.slide.tissue_area_um2 / 1e6),
    *(column.of(lambda e: e.summary) for column in SUMMARY),
    Column("sharpness", "", "Sharpness",
           "Contrast in detail below 1 um / contrast above, at glomeruli; to compare slides with",
           lambda e: e.slide.sharpness),
    Column("stain_vectors", "", "Stain vectors",
           "Optical density of haematoxylin; PAS in red, green, blue, and where they come from",
           lambda e: "" if e.slide.stains is None else e.slide.stains.describe()),
    Column("remarks", "", "Remarks", "What could not be measured, and why",
           lambda e: "; ".join((*([f"not measured: {e.slide.not_measured}"] if e.slide.not_measured else []),
                                *filter(None, [e.slide.doubt]), *e.slide.remarks,
                                *([str(e.slide.left_out)] if e.slide.left_out else [])))),
)  # fmt: skip

ANIMALS: tuple[Column[Animal], ...] = (
    Column("animal", "", "Animal", "Animal: all its slides together, densities as sums over sums", lambda a: a.name),
    Column("group", "", "Group", "Group of the animal", lambda a: a.group),
    Column("slides", "", "Slides", "Number of its slides that were measured", lambda a: a.measured),
    *(column.of(lambda a: a.summary) for column in SUMMARY),
)


GROUPS: tuple[Column[Comparison], ...] = (
    Column("quantity", "", "Quantity", "A column of the animals' table", lambda row: row.quantity),
    Column("unit", "", "Unit", "Unit of the quantity and of all values but hedges_g", lambda row: row.unit),
    Column("per", "", "Per", "What a density refers to: cortex or tissue", lambda row: row.of),
    Column("primary", "", "Primary", "1 for the primary outcome that was named before", lambda row: row.primary),
    Column("group", "", "Group", "Group", lambda row: row.group),
    Column("animals", "", "Animals", "Number of animals with a value: each counts once", lambda row: len(row.values)),
    Column("mean", "", "Mean", "Mean of the animals' values",
           lambda row: row.mean.value),
    Column("sd", "", "SD", "Standard deviation of the animals' values", lambda row: row.sd),
    Column("mean_low", "", "Mean, lower limit", "Lower limit of the mean's 95 % interval (Student)",
           lambda row: row.mean.low),
    Column("mean_high", "", "Mean, upper limit", "Upper limit of the mean's 95 % interval",
           lambda row: row.mean.high),
    Column("reference_group", "", "Reference group", "The group that is compared with",
           lambda row: row.reference_group),
    Column("difference", "", "Difference", "Mean of the group less mean of the reference group",
           lambda row: row.difference and row.difference.value),
    Column("difference_low", "", "Difference, lower limit", "Lower limit of the difference's 95 % interval (Welch)",
           lambda row: row.difference and row.difference.low),
    Column("difference_high", "", "Difference, upper limit", "Upper limit of the difference's 95 % interval",
           lambda row: row.difference and row.difference.high),
    Column("hedges_g", "", "Hedges’ g", "Standardised difference of the means (Hedges), corrected for few animals",
           lambda row: row.effect and row.effect.value),
    Column("hedges_g_low", "", "Hedges’ g, lower limit", "Lower limit of its 95 % interval (noncentral t)",
           lambda row: row.effect and row.effect.low),
    Column("hedges_g_high", "", "Hedges’ g, upper limit", "Upper limit of its 95 % interval",
           lambda row: row.effect and row.effect.high),
    Column("remarks", "", "Remarks", "Why an interval or an effect size is missing", lambda row: row.remark),
)  # fmt: skip

TABLES: dict[str, tuple[Column[Any], ...]] = {
    "glomeruli": GLOMERULI, "slides": SLIDES, "animals": ANIMALS, "groups": GROUPS,
}  # fmt: skip
