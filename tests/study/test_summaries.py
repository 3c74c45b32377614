"""Sums by slide, animal and group against worked examples and a made-up cohort."""

import math

import numpy as np
import pytest
from shapely.geometry import Point

from glomseg.labelled.sample_sheet import Sample
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.study.groups import hedges_g, mean_difference, mean_interval
from glomseg.study.measuring import measure_slide
from glomseg.study.records import MeasuredSlide, MeasureSettings, Study, StudySlide
from glomseg.study.summaries import (
    animal_rows,
    choose_reference,
    group_rows,
    mean_volume_um3,
    numerical_density_per_mm3,
    summarise,
)

SETTINGS = MeasureSettings()


def test_weibel_and_gomez_by_hand() -> None:
    """Profiles of 4,000 um^2, 5 of them in a mm^2: 1.38 / 1.01 * 4000^1.5 = 345,662 um^3; Na 5, Vv 0.02."""
    assert mean_volume_um3(4000, 1.38, 1.01) == pytest.approx(345_662, rel=1e-5)
    assert numerical_density_per_mm3(5, 0.02, 1.38, 1.01) == pytest.approx(1.01 / 1.38 * 5**1.5 / 0.02**0.5)
    assert numerical_density_per_mm3(5, 0.02, 1.38, 1.01) == pytest.approx(57.86, abs=0.01)
    # number times volume is the volume fraction, with the same coefficients
    fraction = 57.86 * 345_662 / 1e9
    assert fraction == pytest.approx(0.02, rel=1e-3)


def make_slide(radii, *, key="1", sclerotic=0, area_um2=1e6, cut=(), **sample) -> MeasuredSlide:
    objects = [
        PathObject(
            geometry=Point(300 * index + 200, 500).buffer(radius, 16),
            class_name="Glomerulus: Sclerotic" if index < sclerotic else "Glomerulus",
            measurements={"Touches edge": float(index in cut)},
        )
        for index, radius in enumerate(radii)
    ]
    image = AnnotatedImage(entry_id=key, name=key, mpp=(1, 1), size_px=(10**6, 1000), objects=tuple(objects))
    measured = measure_slide(StudySlide(image=image, sample=Sample(**sample)), SETTINGS)
    return MeasuredSlide(**{**vars(measured), "reference": "tissue", "reference_area_um2": area_um2})


def test_a_slide_summed_up() -> None:
    row = summarise([make_slide([40, 50, 60, 100], sclerotic=1, cut=(3,))], SETTINGS)
    mean_area = math.pi * (40**2 + 50**2 + 60**2) / 3
    assert (row["profiles"], row["counted"], row["whole"], row["sclerotic"]) == (4, 4, 3, 1)
    assert row["sclerotic_percent"] == 25
    assert row["mean_area_um2"] == pytest.approx(mean_area, rel=1e-2)
    assert row["density_per_mm2"] == pytest.approx(4)
    assert row["non_sclerotic_density_per_mm2"] == pytest.approx(3)
    assert row["area_fraction_percent"] == pytest.approx(
        100 * math.pi * (40**2 + 50**2 + 60**2 + 100**2) / 1e6, rel=1e-2
    )
    assert row["mean_volume_um3"] == pytest.approx(1.38 / 1.01 * mean_area**1.5, rel=1e-2)
    assert row["few_profiles"] is True


def test_an_animal_is_its_sections_together() -> None:
    """Densities are sums over sums: a section with little tissue does not weigh as much as one with a lot."""
    slides = (
        make_slide([50] * 9, area_um2=3e6, animal="a", group="g"),
        make_slide([50], key="2", area_um2=1e6, animal="a", group="g"),
        make_slide([50], key="3", area_um2=1e6),
    )
    (row,) = animal_rows(Study(name="s", settings=SETTINGS, slides=slides))
    assert (row["animal"], row["slides"], row["counted"]) == ("a", 2, 10)
    assert row["density_per_mm2"] == pytest.approx(10 / 4)
    assert row["few_profiles"] is False


def test_areas_of_two_kinds_are_not_added() -> None:
    cortex = MeasuredSlide(**{**vars(make_slide([50], key="2")), "reference": "cortex"})
    row = summarise([make_slide([50]), cortex], SETTINGS)
    assert row["reference"] == "mixed"
    assert row["density_per_mm2"] is None
    assert row["mean_area_um2"] is not None


def test_nothing_measured() -> None:
    row = summarise([], SETTINGS)
    assert row["counted"] == 0
    assert row["mean_area_um2"] is None
    assert row["density_per_mm2"] is None


def test_a_made_up_cohort_comes_back_within_its_intervals() -> None:
    """Animals vary, and glomeruli within them: the group's truth lies in the 95 % interval about 95 times in 100."""
    rng = np.random.default_rng(7)
    covered = []
    for _ in range(20):
        slides = []
        for group, true_radius in (("control", 40.0), ("disease", 46.0)):
            for number in range(6):
                animal = rng.normal(true_radius, 2)
                radii = rng.normal(animal, 4, 12)
                slides.append(make_slide(radii, key=f"{group}{number}", animal=f"{group}{number}", group=group))
        study = Study(name="s", settings=SETTINGS, slides=tuple(slides))
        rows = group_rows(animal_rows(study), "control")
        (row,) = [r for r in rows if r["quantity"] == "mean_equivalent_diameter_um" and r["group"] == "disease"]
        assert row["animals"] == 6
        covered.append(row["difference_low"] <= 12 <= row["difference_high"])
    assert sum(covered) >= 17


def test_intervals_against_published_formulas() -> None:
    a, b = [5.0, 6.0, 7.0, 8.0], [3.0, 4.0, 5.0, 6.0]
    mean = mean_interval(a)
    assert (mean.low, mean.high) == pytest.approx(
        (6.5 - 3.18245 * math.sqrt(5 / 12), 6.5 + 3.18245 * math.sqrt(5 / 12))
    )
    difference = mean_difference(a, b)
    assert difference.value == 2
    assert difference.high - 2 == pytest.approx(2.44691 * math.sqrt(5 / 6), rel=1e-4)
    effect = hedges_g(a, b)
    d = 2 / math.sqrt(5 / 3)
    assert effect.value == pytest.approx(d * (1 - 3 / (4 * 6 - 1)), rel=0.01)
    assert effect.low < 0 < effect.value < effect.high
    assert math.isnan(mean_interval([1.0]).low)
    assert math.isnan(hedges_g([1.0], b).value)
    assert math.isnan(hedges_g([1.0, 1.0], [1.0, 1.0]).value)
    assert math.isnan(mean_difference([], b).value)


def test_the_reference_group() -> None:
    assert choose_reference(["5/6Nx", "Control", ""], None) == "Control"
    assert choose_reference(["b", "a"], None) == "a"
    assert choose_reference(["b", "a"], "b") == "b"
    assert choose_reference(["a", ""], None) is None
