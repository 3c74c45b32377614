"""Windows that overlap and are averaged, beside tiles of which each pixel has one."""

from pathlib import Path

import numpy as np
import pytest
from support.oracle import save_oracle
from support.slides import disc_slide

from glomseg.errors import ModelError
from glomseg.models.predict import Model, load_model
from glomseg.segment.pipeline import SegmentSettings, segment_slide
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.stitch import MeanOfWindows, plan_windows
from glomseg.segment.tiles import BLOCK, ReadingFrame
from glomseg.slides.slide import open_slide


@pytest.mark.parametrize(
    ("size", "window_px", "overlap"), [((13, 21), 96, 0.5), ((13, 21), 64, 0.75), ((3, 2), 96, 0.5)]
)
def test_the_map_is_the_mean_of_all_windows_that_show_a_pixel(
    size: tuple[int, int], window_px: int, overlap: float
) -> None:
    rng = np.random.default_rng(0)
    wanted = rng.random(size) < 0.6
    wanted[5 % size[0]] = False  # a row of blocks that nobody wants
    windows = plan_windows(wanted, window_px=window_px, overlap=overlap)
    height, width = (max(side * BLOCK, window_px) for side in size)
    total, counts = np.zeros((2, height, width), np.int64), np.zeros((height, width), np.int64)
    with ProbabilityMap(ReadingFrame(1.0, 1, 1, size[1] * BLOCK, size[0] * BLOCK), extras=("hover_x",)) as values:
        mean = MeanOfWindows(values, wanted, 2)
        for window in windows:
            planes = rng.integers(0, 256, (2, window.height, window.width)).astype(np.uint8)
            mean.add(window, planes)
            where = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
            total[(slice(None), *where)] += planes
            counts[where] += 1
        mean.finish()
        rows, columns = (side * BLOCK for side in size)
        there = wanted.repeat(BLOCK, 0).repeat(BLOCK, 1)
        assert counts[:rows, :columns][there].min() >= 1
        expected = np.rint(total / np.maximum(counts, 1))[:, :rows, :columns] * there
        assert np.abs(values.read(0, 0, columns, rows)[0].astype(int) - expected[0]).max() <= 1
        assert np.abs(values.read_extras(("hover_x",), 0, 0, columns, rows)[0].astype(int) - expected[1]).max() <= 1


def test_windows_share_what_is_asked_for_and_cover_all() -> None:
    wanted = np.ones((20, 30), np.bool_)
    windows = plan_windows(wanted, window_px=128, overlap=0.5)
    assert {window.x for window in windows} == {0, 64, 128, 192, 256, 320, 352}
    assert max(window.y + window.height for window in windows) == 320
    assert len(plan_windows(wanted, window_px=128, overlap=0)) == 4 * 3


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(save_oracle(tmp_path_factory.mktemp("oracle")))


def test_a_slide_is_found_whole_either_way_and_ours_is_the_usual(tmp_path: Path, oracle: Model) -> None:
    truth = disc_slide(tmp_path / "slide.tif", count=8, size=(900, 700), radius_um=18)
    with open_slide(truth.path) as slide:
        usual, own, mean = (
            segment_slide(slide, oracle, SegmentSettings(tile_px=128, **settings))
            for settings in ({}, {"stitch": "own"}, {"stitch": "mean", "overlap": 0.5})
        )
    assert [one.geometry.wkb for one in usual.glomeruli] == [one.geometry.wkb for one in own.glomeruli]
    assert len(mean.glomeruli) == len(own.glomeruli) == 8
    assert mean.network_passes > 1.5 * own.network_passes
    for one, other in zip(mean.glomeruli, own.glomeruli, strict=True):
        assert one.geometry.area == pytest.approx(other.geometry.area, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"overlap": 0.5}, "`stitch` as mean"),
        ({"stitch": "mean", "overlap": 1.0}, "from 0 to 0.9"),
        ({"scales": (9.0,)}, "0.25 to 4"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        SegmentSettings(**settings)
