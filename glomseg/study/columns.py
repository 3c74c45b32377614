"""The columns of the tables: the data dictionary that is written beside them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column of a table; `unit` is empty for what has none."""

    name: str
    unit: str
    description: str


_WHERE = (
    Column("image", "", "Name of the image in the project, or of its file"),
    Column("image_id", "", "Id of the image in the project, or of its result in the run folder"),
)
_SAMPLE = (
    Column("animal", "", "Animal, from the sample sheet or the image's metadata in QuPath"),
    Column("group", "", "Group of the animal"),
    Column("section", "", "Section of the animal"),
    Column("stain", "", "Stain of the section"),
)
_SOURCE = Column("source", "", "Where the outlines were read: the project as it stands, or the GeoJSON of a run")

GLOMERULI = (
    *_WHERE,
    *_SAMPLE,
    _SOURCE,
    Column("object_id", "", "Id of the annotation in QuPath"),
    Column("name", "", "Name of the annotation"),
    Column("class", "", "Class of the annotation"),
    Column("owner", "", "person: drawn, changed, locked or judged by a person; machine: as the model left it"),
    Column("reviewed", "", "1 where the owner is a person, or the image or a region around it is marked as reviewed"),
    Column("sclerotic", "", "1 where the class is one of the globally sclerotic ones"),
    Column("counted", "", "1 where the centre lies in the reference region and not in an area of class Ignore*"),
    Column("cut_by", "", "Edges that cut the profile: image, region, ignored, section (glass); empty for none"),
    Column("whole", "", "1 where counted and cut by nothing: these profiles alone enter means"),
    Column("confidence", "", "The model's mean probability inside the outline, 0 to 1; empty for a person's own"),
    Column("x_px", "px", "Centre of area, from the left of the image, in full-resolution pixels"),
    Column("y_px", "px", "Centre of area, from the top of the image, in full-resolution pixels"),
    Column("area_px2", "px^2", "Area of the outline, holes taken out"),
    Column("perimeter_px", "px", "Length of the outline, holes included"),
    Column("x_um", "um", "Centre of area, from the left of the image"),
    Column("y_um", "um", "Centre of area, from the top of the image"),
    Column("area_um2", "um^2", "Area of the outline, holes taken out"),
    Column("perimeter_um", "um", "Length of the outline, holes included"),
    Column("equivalent_diameter_um", "um", "Diameter of the circle of the same area, 2 sqrt(A / pi)"),
    Column("max_feret_um", "um", "Largest distance between two parallel tangents"),
    Column("min_feret_um", "um", "Smallest distance between two parallel tangents"),
    Column("circularity", "", "4 pi A / P^2: 1 for a circle; from pixels where their size is not known"),
    Column("solidity", "", "Area / convex area; from pixels where their size is not known"),
    Column("eccentricity", "", "Of the ellipse with the same second moments: 0 for a circle"),
    Column("nearest_neighbour_um", "um", "Distance to the nearest counted profile, centre to centre"),
    Column("section_edge_um", "um", "Distance of the centre to the nearest glass (capsule, cut edge, large lumen)"),
    Column("pas_fraction", "", "PAS-positive area / area of the profile, 0 to 1, by colour deconvolution"),
)

_SUMMARY = (
    Column("profiles", "", "Outlined glomerular profiles"),
    Column("counted", "", "Profiles whose centre lies in the reference region and not in an area of class Ignore*"),
    Column("whole", "", "Counted profiles that no edge cuts: these alone enter means"),
    Column("sclerotic", "", "Counted profiles of a globally sclerotic class"),
    Column("non_sclerotic", "", "Counted profiles of any other class"),
    Column("sclerotic_percent", "%", "sclerotic / counted"),
    Column(
        "reviewed_percent", "%", "Share of the profiles that a person drew, changed or judged, or marked as reviewed"
    ),
    Column("mean_area_um2", "um^2", "Mean area of whole profiles"),
    Column("sd_area_um2", "um^2", "Standard deviation of the area of whole profiles"),
    Column("mean_equivalent_diameter_um", "um", "Mean equivalent diameter of whole profiles"),
    Column("mean_max_feret_um", "um", "Mean largest Feret diameter of whole profiles"),
    Column("mean_circularity", "", "Mean circularity of whole profiles"),
    Column("mean_solidity", "", "Mean solidity of whole profiles"),
    Column("mean_volume_um3", "um^3", "Weibel-Gomez: beta / k * (mean area)^1.5"),
    Column("mean_pas_fraction", "", "Mean PAS-positive fraction of whole profiles"),
    Column("mean_nearest_neighbour_um", "um", "Mean distance to the nearest counted profile"),
    Column("mean_confidence", "", "Mean confidence of counted profiles that the model outlined"),
    Column("reference", "", "What densities refer to: cortex (annotated), tissue (found); mixed leaves them empty"),
    Column("reference_area_mm2", "mm^2", "Area of the cortex or tissue, areas of class Ignore* taken out"),
    Column("density_per_mm2", "1/mm^2", "counted / reference area"),
    Column("non_sclerotic_density_per_mm2", "1/mm^2", "non_sclerotic / reference area"),
    Column("area_fraction_percent", "%", "Glomerular area inside the reference area / reference area"),
    Column("numerical_density_per_mm3", "1/mm^3", "Weibel-Gomez: k / beta * Na^1.5 / Vv^0.5"),
    Column("few_profiles", "", "1 where fewer than 10 whole profiles make the mean area unreliable (Hoy 2006)"),
)

SLIDES = (
    *_WHERE,
    *_SAMPLE,
    _SOURCE,
    Column("mpp_x", "um/px", "Width of a pixel"),
    Column("mpp_y", "um/px", "Height of a pixel"),
    Column("tissue_area_mm2", "mm^2", "Area of the tissue found on the slide, areas of class Ignore* taken out"),
    *_SUMMARY,
    Column("sharpness", "", "Contrast in detail below 1 um / contrast above, at glomeruli; to compare slides with"),
    Column("stain_vectors", "", "Optical density of haematoxylin; PAS in red, green, blue, and where they come from"),
    Column("remarks", "", "What could not be measured, and why"),
)

ANIMALS = (
    Column("animal", "", "Animal: all its slides together, densities as sums over sums"),
    Column("group", "", "Group of the animal"),
    Column("slides", "", "Number of its slides"),
    *_SUMMARY,
)

GROUPS = (
    Column("quantity", "", "A column of the animals' table"),
    Column("unit", "", "Unit of the quantity and of all values but hedges_g"),
    Column("group", "", "Group"),
    Column("animals", "", "Number of animals with a value: each counts once"),
    Column("mean", "", "Mean of the animals' values"),
    Column("sd", "", "Standard deviation of the animals' values"),
    Column("mean_low", "", "Lower limit of the mean's 95 % interval (Student)"),
    Column("mean_high", "", "Upper limit of the mean's 95 % interval"),
    Column("reference_group", "", "The group that is compared with"),
    Column("difference", "", "Mean of the group less mean of the reference group"),
    Column("difference_low", "", "Lower limit of the difference's 95 % interval (Welch)"),
    Column("difference_high", "", "Upper limit of the difference's 95 % interval"),
    Column("hedges_g", "", "Standardised difference of the means (Hedges), corrected for few animals"),
    Column("hedges_g_low", "", "Lower limit of its 95 % interval (noncentral t)"),
    Column("hedges_g_high", "", "Upper limit of its 95 % interval"),
)

TABLES = {"glomeruli": GLOMERULI, "slides": SLIDES, "animals": ANIMALS, "groups": GROUPS}
