import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from shapely.geometry import Point, box
from support.oracle import oracle_net, save_oracle
from support.slides import DISC, TISSUE, Disc, disc_slide

from glomseg.errors import MissingMppError, ModelError, SlideError
from glomseg.models.predict import Model, load_model
from glomseg.models.store import find_model, load_network, read_card
from glomseg.segment.pipeline import SegmentSettings, SlideResult, segment_slide
from glomseg.segment.region import Region
from glomseg.slides.slide import open_slide


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(save_oracle(tmp_path_factory.mktemp("oracle")))


def found_on(path: Path, model: Model, region: Region | None = None, **settings: object) -> SlideResult:
    with open_slide(path) as slide:
        return segment_slide(slide, model, SegmentSettings(**settings), region=region)


@pytest.mark.parametrize("kind", ["tiff", "ome"])
@pytest.mark.parametrize("mpp", [0.5, 0.2395])
def test_count_area_and_place_of_discs(tmp_path: Path, oracle: Model, kind: str, mpp: float) -> None:
    truth = disc_slide(tmp_path / "slide.tif", mpp=mpp, kind=kind, size=(1600, 1200), count=8, radius_um=22)
    result = found_on(truth.path, oracle)
    assert len(result.glomeruli) == len(truth.discs)
    for disc in truth.discs:
        centre = Point(disc.x, disc.y)
        (match,) = [item for item in result.glomeruli if item.geometry.contains(centre)]
        assert match.geometry.area == pytest.approx(disc.area, rel=0.02)
        assert match.geometry.centroid.distance(centre) < 1
        assert match.confidence > 0.9
        assert not match.touches_edge


def test_same_result_for_any_tile_batch_and_reading_order(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif", count=12, size=(900, 700), radius_um=18)
    reference = found_on(truth.path, oracle)
    assert len(reference.glomeruli) == 12
    for tile, batch in itertools.product((64, 176, 512), (1, 3)):
        other = found_on(truth.path, oracle, tile_px=tile, batch_size=batch)
        assert [item.geometry.wkb for item in other.glomeruli] == [item.geometry.wkb for item in reference.glomeruli]
        assert [item.confidence for item in other.glomeruli] == [item.confidence for item in reference.glomeruli]


def test_a_disc_on_every_tile_border_is_found_once_and_whole(tmp_path: Path, oracle: Model) -> None:
    discs = [Disc(128.0 * column, 128.0 * row, 55, 55) for row in range(1, 5) for column in range(1, 5)]
    truth = disc_slide(tmp_path / "slide.tif", size=(680, 680), discs=discs, tissue=(20, 20, 640, 640))
    result = found_on(truth.path, oracle, tile_px=64)
    assert len(result.glomeruli) == 16
    for item in result.glomeruli:
        assert item.geometry.area == pytest.approx(discs[0].area, rel=0.02)


def test_species_sets_the_scale(tmp_path: Path, oracle: Model) -> None:
    """A rat's glomeruli are read coarser, and what is too small for a rat's is dropped."""
    truth = disc_slide(tmp_path / "slide.tif", discs=[Disc(500, 500, 24, 24), Disc(900, 700, 120, 120)])
    assert len(found_on(truth.path, oracle).glomeruli) == 2
    result = found_on(truth.path, oracle, species="rat")
    assert result.reading_mpp == pytest.approx(120 / 80)
    (only,) = result.glomeruli
    assert only.geometry.area == pytest.approx(truth.discs[1].area, rel=0.02)


def test_region_and_ignored_areas(tmp_path: Path, oracle: Model) -> None:
    discs = [Disc(x, y, 60, 60) for x in (300, 600, 900, 1200) for y in (400, 800)]
    truth = disc_slide(tmp_path / "slide.tif", discs=discs)
    area = box(200, 300, 910, 900)  # its right edge runs through two discs, just right of their centres
    result = found_on(truth.path, oracle, Region(area, box(590, 700, 700, 900)))
    centres = sorted((round(item.geometry.centroid.x), round(item.geometry.centroid.y)) for item in result.glomeruli)
    assert centres == [(300, 400), (300, 800), (600, 400), (900, 400), (900, 800)]
    for item in result.glomeruli:
        assert item.geometry.area == pytest.approx(discs[0].area, rel=0.02)


def test_reads_no_more_than_the_region(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    whole, part = (
        found_on(truth.path, oracle),
        found_on(truth.path, oracle, Region(box(200, 200, 300, 300), box(0, 0, 0, 0))),
    )
    assert part.tissue_area_um2 < whole.tissue_area_um2 / 4
    assert whole.tissue_area_um2 == pytest.approx(truth.tissue[2] * truth.tissue[3] * 0.25, rel=0.2)


def test_empty_glass_and_slides_smaller_than_a_tile(tmp_path: Path, oracle: Model) -> None:
    empty = disc_slide(tmp_path / "empty.tif", discs=[], tissue=(0, 0, 0, 0))
    result = found_on(empty.path, oracle)
    assert result.glomeruli == []
    assert result.tissue_area_um2 == 0
    small = disc_slide(tmp_path / "small.tif", size=(150, 120), discs=[Disc(75, 60, 40, 40)], tissue=(0, 0, 150, 120))
    (found,) = found_on(small.path, oracle).glomeruli
    assert found.geometry.area == pytest.approx(small.discs[0].area, rel=0.02)


@pytest.mark.parametrize("logit", [-50.0, 0.0, 50.0])
def test_a_network_that_answers_the_same_everywhere_is_no_answer(tmp_path: Path, logit: float) -> None:
    slide = disc_slide(tmp_path / "slide.tif", count=3, size=(600, 500), radius_um=18)
    shipped = find_model("pas-starter")
    net = load_network(shipped, read_card(shipped))
    with torch.no_grad():
        net.final.weight.zero_()
        net.final.bias.fill_(logit)
    blind = Model(dataclasses.replace(read_card(shipped), name="blind"), net, torch.device("cpu"))
    with pytest.raises(
        ModelError,
        match=r"blind answers .* everywhere, whatever it sees: it has learned nothing, or its weights are spoilt",
    ):
        found_on(slide.path, blind)


def test_tissue_without_a_glomerulus_is_a_true_zero(tmp_path: Path, oracle: Model) -> None:
    empty = disc_slide(tmp_path / "empty.tif", discs=[], size=(600, 500))
    for model in (oracle, load_model("pas-starter")):
        assert found_on(empty.path, model).glomeruli == []


def test_bad_settings_and_missing_mpp(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif", mpp=None)
    with pytest.raises(MissingMppError, match="`mpp`"):
        found_on(truth.path, oracle)
    named = disc_slide(tmp_path / "named.tif")
    with pytest.raises(ModelError, match="threshold"):
        found_on(named.path, oracle, threshold=1.5)


def test_memory_that_is_full_ends_in_one_line(tmp_path: Path, oracle: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = disc_slide(tmp_path / "slide.tif")

    def greedy(*_: object) -> None:
        np.zeros(2**60, np.uint8)

    monkeypatch.setattr("glomseg.segment.pipeline.find_glomeruli", greedy)
    with pytest.raises(SlideError, match=r"no memory left for .*slide\.tif") as error:
        found_on(truth.path, oracle)
    assert "\n" not in str(error.value)


def test_progress_counts_every_tile(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif", size=(1000, 800), count=3)
    heard: list[tuple[int, int]] = []
    with open_slide(truth.path) as slide:
        segment_slide(
            slide, oracle, SegmentSettings(tile_px=256), progress=lambda done, total: heard.append((done, total))
        )
    total = heard[0][1]
    assert heard == [(done, total) for done in range(total + 1)]


def test_keeps_the_probability_when_asked(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif")
    path = tmp_path / "kept" / "probability.tif"
    with open_slide(truth.path) as slide:
        segment_slide(slide, oracle, SegmentSettings(), probability=path)
    with open_slide(path) as kept:
        assert kept.mpp == pytest.approx(1.0)
        assert len(kept.levels) > 1
        pixels = kept.overview(kept.width)
    inside = sum(disc.area for disc in truth.discs) * 0.25
    assert (pixels[..., 0] > 127).sum() == pytest.approx(inside, rel=0.03)
    assert np.isin([path.name for path in tmp_path.rglob(".probability*")], []).all()


def test_what_is_less_sure_than_asked_is_a_candidate_and_does_not_count(tmp_path: Path, oracle: Model) -> None:
    """Discs whose colour is but a little more disc than tissue: outlined, and of a lower mean."""
    pale = tuple(round(0.54 * disc + 0.46 * tissue) for disc, tissue in zip(DISC, TISSUE, strict=True))
    discs = [Disc(300, 300, 60, 60), Disc(700, 300, 60, 60, colour=pale), Disc(1100, 300, 60, 60)]
    truth = disc_slide(tmp_path / "slide.tif", discs=discs)
    everything = found_on(truth.path, oracle)
    assert (len(everything.glomeruli), everything.candidates) == (3, [])
    split = found_on(truth.path, oracle, sureness=0.9)
    assert [round(item.geometry.centroid.x) for item in split.glomeruli] == [300, 1100]
    (candidate,) = split.candidates
    assert candidate in everything.glomeruli
    assert candidate.confidence < 0.9
    strict = Model(dataclasses.replace(oracle.card, sureness=0.9), oracle_net(), oracle.device)
    assert found_on(truth.path, strict).candidates == split.candidates
    assert found_on(truth.path, strict, sureness=0).candidates == []
    with pytest.raises(ModelError, match="give `sureness` as a number"):
        found_on(truth.path, oracle, sureness=1.5)
