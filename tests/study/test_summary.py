"""Sums by slide, animal and group against worked examples and a made-up cohort."""

import math
from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import Point

from glomseg.columns import row
from glomseg.labelled.sample_sheet import Sample
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import stamp
from glomseg.study.columns import GROUPS, QUANTITIES, SUMMARY
from glomseg.study.groups import (
    Comparison,
    choose_reference,
    group_mean,
    hedges_g,
    mean_difference,
    mean_interval,
)
from glomseg.study.measuring import measure_slide
from glomseg.study.records import MeasuredSlide, MeasureSettings, RunFinding, Study, StudySlide
from glomseg.study.summary import StudySummary, mean_volume_um3, numerical_density_per_mm3
from glomseg.study.tables import comparisons, tables

SETTINGS = MeasureSettings()


def test_weibel_and_gomez_by_hand() -> None:
    """Profiles of 4,000 um^2, 5 of them in a mm^2: 1.38 / 1.01 * 4000^1.5 = 345,662 um^3; Na 5, Vv 0.02."""
    assert mean_volume_um3(4000, 1.38, 1.01) == pytest.approx(345_662, rel=1e-5)
    assert numerical_density_per_mm3(5, 0.02, 1.38, 1.01) == pytest.approx(1.01 / 1.38 * 5**1.5 / 0.02**0.5)
    assert numerical_density_per_mm3(5, 0.02, 1.38, 1.01) == pytest.approx(57.86, abs=0.01)
    # number times volume is the volume fraction, with the same coefficients
    fraction = 57.86 * 345_662 / 1e9
    assert fraction == pytest.approx(0.02, rel=1e-3)


def make_slide(
    radii, *, key="1", sclerotic=0, area_um2=1e6, cut=(), machine=False, run=None, **sample
) -> MeasuredSlide:
    objects = [
        PathObject(
            geometry=Point(300 * index + 200, 500).buffer(radius, 16),
            class_name="Glomerulus: Sclerotic" if index < sclerotic else "Glomerulus",
            measurements={"Touches edge": float(index in cut)},
        )
        for index, radius in enumerate(radii)
    ]
    objects = [stamp(item, run="r", model="m") for item in objects] if machine else objects
    image = AnnotatedImage(entry_id=key, name=key, mpp=(1, 1), size_px=(10**6, 1000), objects=tuple(objects))
    measured = measure_slide(StudySlide(image=image, sample=Sample(**sample), run=run), SETTINGS)
    return MeasuredSlide(**{**vars(measured), "reference": "tissue", "reference_area_um2": area_um2})


def summed_up(*slides: MeasuredSlide, settings: MeasureSettings = SETTINGS) -> dict[str, object]:
    summary = StudySummary.of(slides, settings)
    assert summary is not None
    return row(SUMMARY, summary)


def test_a_slide_summed_up() -> None:
    """The cut one and the sclerotic one are counted, and out of the means."""
    row = summed_up(make_slide([40, 50, 60, 100], sclerotic=1, cut=(3,)))
    mean_area = math.pi * (50**2 + 60**2) / 2
    assert row["in_means"] == 2
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
    asked = summed_up(
        make_slide([40, 50, 60, 100], sclerotic=1, cut=(3,)), settings=MeasureSettings(sclerotic_in_means=True)
    )
    assert asked["mean_area_um2"] == pytest.approx(math.pi * (40**2 + 50**2 + 60**2) / 3, rel=1e-2)
    assert asked["in_means"] == 3


@pytest.mark.parametrize("in_means", [True, False])
def test_volume_and_number_speak_of_the_same_profiles(in_means: bool) -> None:
    """Their product is the volume fraction of just these: number per area times mean area, cut profiles or not."""
    row = summed_up(
        make_slide([40, 50, 60, 100, 30], sclerotic=2, cut=(3,)), settings=MeasureSettings(sclerotic_in_means=in_means)
    )
    counted = row["counted"] if in_means else row["non_sclerotic"]
    fraction = counted * row["mean_area_um2"] / 1e6
    assert row["mean_volume_um3"] * row["numerical_density_per_mm3"] / 1e9 == pytest.approx(fraction, rel=1e-9)


def test_sclerosis_that_nobody_assessed() -> None:
    """No percentage, no count, no density of non-sclerotic ones; the slide where a person looked stands alone."""
    slide = make_slide([50, 50], machine=True)
    row = summed_up(slide)
    assert slide.sclerosis_judged_by == ""
    assert [row[name] for name in ("sclerotic", "non_sclerotic", "sclerotic_percent", "reviewed_percent")] == [
        None, None, None, 0.0,
    ]  # fmt: skip
    assert row["non_sclerotic_density_per_mm2"] is None
    assert row["density_per_mm2"] == pytest.approx(2)
    both = summed_up(slide, make_slide([50, 50, 50, 50], key="2", sclerotic=1))
    assert (both["counted"], both["sclerotic"], both["non_sclerotic"]) == (6, 1, 3)
    assert both["sclerotic_percent"] == 25
    assert both["non_sclerotic_density_per_mm2"] == pytest.approx(3)


def test_a_model_with_a_class_for_it_assesses_sclerosis() -> None:
    run = RunFinding(run_id="r", found=2, classes=("Glomerulus", "Glomerulus: Sclerotic"))
    slide = make_slide([50, 50], machine=True, run=run)
    assert slide.sclerosis_judged_by == "model"
    assert summed_up(slide)["sclerotic_percent"] == 0


def test_an_animal_is_its_sections_together() -> None:
    """Densities are sums over sums: a section with little tissue does not weigh as much as one with a lot."""
    slides = (
        make_slide([50] * 9, area_um2=3e6, animal="a", group="g"),
        make_slide([50], key="2", area_um2=1e6, animal="a", group="g"),
        make_slide([50], key="3", area_um2=1e6),
    )
    (row,) = tables(Study(name="s", settings=SETTINGS, slides=slides))["animals"]
    assert (row["animal"], row["slides"], row["counted"]) == ("a", 2, 10)
    assert row["density_per_mm2"] == pytest.approx(10 / 4)
    assert row["few_profiles"] is False


def test_areas_of_two_kinds_are_not_added() -> None:
    cortex = MeasuredSlide(**{**vars(make_slide([50], key="2")), "reference": "cortex"})
    row = summed_up(make_slide([50]), cortex)
    assert row["reference"] == "mixed"
    assert row["density_per_mm2"] is None
    assert row["mean_area_um2"] is not None


def test_what_was_not_measured_is_not_zero() -> None:
    """A slide that nobody looked at changes no number of its animal, and its row holds none."""
    empty = measure_slide(
        StudySlide(image=AnnotatedImage(entry_id="9", name="9", mpp=(1, 1)), sample=Sample(animal="a", group="g")),
        SETTINGS,
    )
    assert "no run has finished it" in empty.not_measured
    unseen = MeasuredSlide(**{**vars(empty), "reference": "tissue", "reference_area_um2": 1e6, "profile_area_um2": 0})
    other = StudySlide(image=empty.image, sample=Sample(animal="b", group="g"))
    lone = MeasuredSlide(**{**vars(unseen), "slide": other})
    seen = make_slide([50] * 4, animal="a", group="g")
    rows = tables(Study(name="s", settings=SETTINGS, slides=(seen, unseen, lone)))
    assert [row["measured"] for row in rows["slides"]] == [True, False, False]
    assert {rows["slides"][1][column.name] for column in SUMMARY} == {None}
    assert [(row["animal"], row["slides"], row["density_per_mm2"]) for row in rows["animals"]] == [
        ("a", 1, pytest.approx(4)), ("b", 0, None),
    ]  # fmt: skip
    assert {row["animals"] for row in rows["groups"]} == {1}
    reviewed = AnnotatedImage(entry_id="9", name="9", metadata={"glomseg.reviewed": "AB"})
    assert measure_slide(StudySlide(image=reviewed), SETTINGS).measured  # a person's word makes it a true zero


@pytest.mark.slow
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
        study = Study(name="s", settings=SETTINGS, slides=tuple(slides), reference_group="control")
        rows = tables(study)["groups"]
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


def test_no_spread_is_no_yardstick() -> None:
    """Rounding alone must not make an effect of 10^15, nor an interval of width zero."""
    a, b = [0.1 + 0.2, 0.3, 0.3], [0.7, 0.7, 0.6 + 0.1]
    for interval in (hedges_g(a, b), mean_difference(a, b), mean_interval(a)):
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)
    assert math.isnan(hedges_g(a, b).value)
    assert mean_difference(a, b).value == pytest.approx(-0.4)
    assert mean_difference([0, 0, 0], [1, 2, 3]).low < -2 < mean_difference([0, 0, 0], [1, 2, 3]).high
    slides = [make_slide([50] * 3, key=key, animal=key, group=key[0]) for key in ("a1", "a2", "a3", "b1", "b2", "b3")]
    study = Study(name="s", settings=SETTINGS, slides=tuple(slides), reference_group="a")
    (row,) = [r for r in tables(study)["groups"] if (r["quantity"], r["group"]) == ("mean_area_um2", "b")]
    assert math.isnan(row["hedges_g"])
    assert "no spread" in row["remarks"]


def test_the_primary_outcome_comes_first() -> None:
    slides = [make_slide([50, 60 + n], key=f"a{n}", animal=f"a{n}", group="g") for n in range(3)]
    study = Study(name="s", settings=SETTINGS, slides=tuple(slides), primary="density_per_mm2")
    rows = [row(GROUPS, comparison) for comparison in comparisons(study)]
    assert [(r["quantity"], r["primary"], r["per"]) for r in rows[:2]] == [
        ("density_per_mm2", True, "tissue"), ("mean_area_um2", False, ""),
    ]  # fmt: skip
    assert len(rows) <= len(QUANTITIES)


def test_the_reference_group() -> None:
    assert choose_reference(["5/6Nx", "Control", ""], None) == "Control"
    assert choose_reference(["b", "a"], None) == "a"
    assert choose_reference(["b", "a"], "b") == "b"
    assert choose_reference(["a", ""], None) is None


@pytest.mark.parametrize("size", [3, 5, 10])
def test_intervals_cover_what_they_say(size: int) -> None:
    """Of 95 % intervals 93 to 97 of 100 hold the truth, from three animals a group on, also with unlike spreads."""
    rng = np.random.default_rng(size)
    hits: dict[str, list[bool]] = {"mean": [], "difference": [], "unlike": []}
    for _ in range(2000):
        a, b, wide = (list(rng.normal(centre, spread, size)) for centre, spread in ((1, 1), (0, 1), (0, 2)))
        for name, interval in (
            ("mean", mean_interval(a)),
            ("difference", mean_difference(a, b)),
            ("unlike", mean_difference(a, wide)),
        ):
            hits[name].append(interval.low <= 1 <= interval.high)
    assert {name: round(float(np.mean(covered)), 3) for name, covered in hits.items()} == {
        name: pytest.approx(0.95, abs=0.021) for name in hits
    }


def test_animals_at_an_end_of_what_can_be_carry_no_interval() -> None:
    """Shares of sclerotic profiles, many of them 0: Student's interval of all draws holds 90 of 100."""
    rng = np.random.default_rng(1)
    every, given = [], []
    for _ in range(1500):
        values = list(100 * rng.binomial(60, rng.beta(1, 19, 5)) / 60)
        plain, mean = mean_interval(values), group_mean(values, (0, 100))
        every.append(plain.low <= 5 <= plain.high)
        if not math.isnan(mean.low):
            assert 0 <= mean.low <= mean.value <= mean.high <= 100
            given.append(mean.low <= 5 <= mean.high)
    assert np.mean(every) < 0.92
    assert 0.92 < np.mean(given) < 0.97
    assert 100 < len(given) < len(every)
    row = Comparison(quantity="q", unit="%", title="Q", group="b", values=(1, 0, 4), limits=(0, 100),
                     reference_group="a", reference_values=(1, 2, 3))  # fmt: skip
    assert math.isnan(row.mean.low)
    assert math.isnan(row.difference.low)
    assert math.isnan(row.effect.low)
    assert (row.difference.value, row.remark) == (pytest.approx(-1 / 3), "animals at 0: no intervals")


def test_two_animals_carry_no_interval_of_a_difference() -> None:
    """Welch's of two against five, of unlike spread, held it 89 times in 100."""
    row = Comparison(quantity="q", unit="", title="Q", group="b", values=(1, 2), reference_group="a",
                     reference_values=(1, 2, 3, 4, 5))  # fmt: skip
    assert math.isnan(row.mean.low)
    assert math.isnan(row.difference.low)
    assert math.isnan(row.effect.value)
    assert "fewer than 3 animals" in row.remark
    absent = Comparison(quantity="q", unit="", title="Q", group="b", values=(1, 2, 4), reference_group="a")
    assert absent.difference is None
    assert absent.remark == "no value in a: no difference"


@pytest.mark.parametrize("size", [3, 10])
def test_effect_sizes_have_an_interval_however_large_they_are(size: int) -> None:
    """The distribution was not to be computed far from its middle: one large effect in twenty had no interval."""
    rng = np.random.default_rng(size)
    covered = []
    for _ in range(300):
        effect = hedges_g(list(rng.normal(1, 1, size)), list(rng.normal(0, 1, size)))
        covered.append(effect.low <= 1 <= effect.high)
        large = hedges_g(list(rng.normal(3, 1, size)), list(rng.normal(0, 1, size)))
        assert large.low < large.value < large.high
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)


def test_a_suggestion_that_nobody_reviewed_is_counted_as_that_alone() -> None:
    """It is no sclerotic profile, and a slide with suggestions alone was not assessed."""
    slide = make_slide([50, 50, 50], machine=True)
    profiles = (replace(slide.profiles[0], suggested_sclerotic=True), *slide.profiles[1:])
    row = summed_up(replace(slide, profiles=profiles))
    assert row["suggested_sclerotic"] == 1
    assert row["sclerotic"] is None
    assert row["sclerotic_percent"] is None
