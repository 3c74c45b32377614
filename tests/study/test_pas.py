"""Colour deconvolution of tissue that was painted with known amounts of stain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import Point, box
from support.slides import write_pyramid

from glomseg.columns import measurements
from glomseg.errors import MeasureError
from glomseg.labelled.sample_sheet import Sample
from glomseg.qupath.annotations import AnnotatedImage
from glomseg.qupath.objects import PathObject
from glomseg.slides.slide import open_slide
from glomseg.study.columns import GLOMERULI, outdated_measurements
from glomseg.study.measure_project import MeasureOptions, measure_study
from glomseg.study.pas import STANDARD, PasSettings, Stains, amounts, estimate_stains, measure_pas, parse_stains
from glomseg.study.records import MeasureSettings, PlacedProfile, StudySlide
from glomseg.study.sources import Sources
from glomseg.study.tables import placed_profiles

H, P = np.array(STANDARD.haematoxylin), np.array(STANDARD.pas)


def stained(h: np.ndarray, p: np.ndarray) -> np.ndarray:
    density = h[..., None] * H + p[..., None] * P
    return np.clip(np.round(255 * 10**-density), 0, 255).astype(np.uint8)


def paint_tissue(share: float, rng: np.random.Generator, size: int = 800) -> tuple[np.ndarray, np.ndarray]:
    """Paint pale pink tissue with blue nuclei, and `share` of it in strands strongly PAS-positive."""
    h, p = np.full((size, size), 0.05), np.full((size, size), 0.12)
    y, x = np.mgrid[:size, :size]
    positive = (x % 40) < round(40 * share)
    p[positive] = 0.6
    nuclei = np.hypot(x % 50 - 25, y % 50 - 25) < 6
    h[nuclei], p[nuclei] = 0.7, 0.05
    noise = rng.normal(0, 0.02, (2, size, size))
    return stained(np.maximum(h + noise[0], 0), np.maximum(p + noise[1], 0)), positive & ~nuclei


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("stains", [STANDARD, None], ids=["given", "estimated"])
def test_a_painted_patch_within_two_points(tmp_path: Path, share: float, stains) -> None:
    image, positive = paint_tissue(share, np.random.default_rng(1))
    path = write_pyramid(tmp_path / "s.tif", image, 0.5)
    outlines = [Point(300, 300).buffer(140), box(420, 420, 700, 700).difference(box(500, 500, 600, 600))]
    with open_slide(path) as slide:
        _, fractions = measure_pas(slide, outlines, PasSettings(stains=stains))
    y, x = np.mgrid[:800, :800]
    for outline, fraction in zip(outlines, fractions, strict=True):
        inside = np.hypot(x + 0.5 - 300, y + 0.5 - 300) < 140
        if outline is outlines[1]:
            inside = (abs(x - 559.5) < 140) & (abs(y - 559.5) < 140) & ~((abs(x - 549.5) < 50) & (abs(y - 549.5) < 50))
        assert fraction == pytest.approx(positive[inside].mean(), abs=0.02)


def test_one_yardstick_for_the_study_unless_asked(tmp_path: Path) -> None:
    """Two slides with more and less PAS have the same vectors, and with per_slide each its own."""
    slides = []
    for name, share in (("a", 0.1), ("b", 0.5)):
        path = write_pyramid(tmp_path / f"{name}.tif", paint_tissue(share, np.random.default_rng(1))[0], 0.5)
        outline = PathObject(geometry=box(200, 200, 600, 600), class_name="Glomerulus")
        image = AnnotatedImage(entry_id=name, name=name, path=path, objects=(outline,))
        slides.append(StudySlide(image=image))
    other = StudySlide(image=slides[0].image, sample=Sample(stain="H&E"))
    sources = Sources(
        name="s", folder=tmp_path, project=None, slides=(*slides, other), runs=(), remarks=(), problems=()
    )

    def stains(**values) -> list[Stains | None]:
        settings = MeasureSettings(pas=PasSettings(**values))
        return [slide.stains for slide in measure_study(sources, MeasureOptions(settings=settings)).slides]

    first, second, third = stains()
    assert first == second
    assert first.origin == "estimated on 2 slides together (Macenko)"
    assert third is None
    first, second, _ = stains(per_slide=True)
    assert first.pas != second.pas
    assert first.origin == "estimated on the slide (Macenko)"


def test_amounts_come_back() -> None:
    h, p = np.meshgrid(np.linspace(0, 0.8, 9), np.linspace(0, 0.8, 9))
    found = amounts(stained(h, p), STANDARD)
    assert found[..., 0] == pytest.approx(h, abs=0.05)
    assert found[..., 1] == pytest.approx(p, abs=0.05)


def test_estimated_vectors_are_near_the_truth() -> None:
    image, _ = paint_tissue(0.3, np.random.default_rng(2))
    found = estimate_stains(image.reshape(-1, 3))
    assert np.dot(found.haematoxylin, H) > 0.98
    assert np.dot(found.pas, P) > 0.98
    assert "Macenko" in found.origin


def test_what_cannot_be_estimated_says_so() -> None:
    assert "too few" in estimate_stains(np.full((1000, 3), 250, np.uint8)).origin
    assert "told apart" in estimate_stains(stained(np.zeros((1, 1000)), np.linspace(0.2, 0.8, 1000)[None])[0]).origin


def test_a_slide_too_coarse_is_refused(tmp_path: Path) -> None:
    image, _ = paint_tissue(0.3, np.random.default_rng(2), 400)
    with open_slide(write_pyramid(tmp_path / "s.tif", image, 2.0)) as slide, pytest.raises(MeasureError, match="finer"):
        measure_pas(slide, [box(10, 10, 90, 90)], PasSettings())


def test_vectors_as_a_user_gives_them() -> None:
    given = parse_stains("0.65,0.70,0.29;0.2,0.95,0.2")
    assert np.linalg.norm(given.pas) == pytest.approx(1)
    assert parse_stains("estimate") is parse_stains("per-slide") is None
    assert parse_stains("standard") is STANDARD
    for text in ("", "1,2,3", "0,0,0;1,1,1", "1,2,3;1,2,3", "a,b,c;1,2,3", "1,2;1,2,3"):
        with pytest.raises(MeasureError, match="stain vectors"):
            parse_stains(text)


def test_a_fraction_holds_as_long_as_the_outline(tmp_path: Path) -> None:
    """Measured again without PAS, that of an outline which was reshaped since stood in QuPath for good."""
    path = write_pyramid(tmp_path / "a.tif", paint_tissue(0.2, np.random.default_rng(1))[0], 0.5)
    first = PathObject(geometry=Point(300, 300).buffer(140), class_name="Glomerulus", object_id="1")
    options = MeasureOptions(settings=MeasureSettings(pas=None))

    def measured(item: PathObject) -> PlacedProfile:
        slide = StudySlide(image=AnnotatedImage(entry_id="1", name="a", path=path, objects=(item,)))
        sources = Sources(name="s", folder=tmp_path, project=None, slides=(slide,), runs=(), remarks=(), problems=())
        study = measure_study(sources, options)
        return placed_profiles(study, study.slides[0])[0]

    values = {**measurements(GLOMERULI, measured(first)), "PAS-positive fraction": 0.25}
    assert "PAS-positive fraction" not in outdated_measurements(measured(replace(first, measurements=values)))
    reshaped = replace(first, measurements=values, geometry=Point(300, 300).buffer(120))
    assert "PAS-positive fraction" in outdated_measurements(measured(reshaped))
