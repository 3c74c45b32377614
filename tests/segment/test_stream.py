"""Tiles on their way through a model: any pace gives the same, and memory that is full makes smaller batches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.oracle import oracle_card, oracle_net
from support.slides import disc_slide

from glomseg.errors import DeviceError
from glomseg.geometry import Box
from glomseg.models.pixels import averaged
from glomseg.models.predict import Model
from glomseg.segment.pipeline import SegmentSettings, segment_slide
from glomseg.segment.stream import Pace, predict_tiles
from glomseg.segment.tiles import ReadingFrame, Tile
from glomseg.slides.slide import open_slide


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(oracle_card(), oracle_net(), torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At 0.23 um/px, so that no pixel of 1 um is a whole number of pixels of any level."""
    return disc_slide(
        tmp_path_factory.mktemp("stream") / "slide.tif", mpp=0.23, size=(1500, 1100), count=8, radius_um=14
    ).path


TILES = [Tile(x, y, 96, 96, 16) for y in (0, 96, 192) for x in (0, 96, 192)]


def planes(path: Path, model: Model, pace: Pace) -> list[np.ndarray]:
    with open_slide(path) as slide:
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, 1.0)
        batches = list(predict_tiles(slide, model, frame, TILES, pace=pace))
    assert [tile for batch, _ in batches for tile in batch] == TILES
    return [values for _, read in batches for values in read]


@pytest.mark.parametrize(
    "pace",
    [
        Pace(readers=5, parts_ahead=9, part_px=100),
        Pace(batch=4, in_flight=2),
        Pace(batch=None, batch_px=60_000, in_flight=1),
    ],
)
def test_any_pace_gives_the_same(path: Path, model: Model, pace: Pace) -> None:
    assert np.array_equal(planes(path, model, pace), planes(path, model, Pace()))


def test_averages_on_the_device_are_those_of_the_cpu_to_rounding(path: Path, model: Model) -> None:
    with open_slide(path) as slide:
        for mpp in (0.2, 0.23, 0.46, 1.0, 3.0):
            for part in slide.parts(Box(-40, -30, 900, 700), mpp, 300):
                source = slide.read_source(part)
                if source is not None:
                    ours = averaged(torch.from_numpy(source), part.rows, part.columns).numpy().astype(int)
                    assert np.abs(ours - slide.read_part(part)).max() <= 1
                    assert (ours != slide.read_part(part)).mean() < 0.01
    there = planes(path, model, Pace(averages=True, part_px=200, readers=3, batch=3, in_flight=2))
    here = planes(path, model, Pace())
    assert np.abs(np.array(there).astype(int) - here).max() <= 12  # a step of one grey is 8 of the oracle's 255


def test_parts_are_what_is_read_at_once(path: Path) -> None:
    box = Box(-100, 200, 1300, 1000)
    with open_slide(path) as slide:
        whole = slide.read(box, 1.0)
        pieces = np.zeros_like(whole)
        parts = slide.parts(box, 1.0, 150)
        assert len(parts) > 4
        for part in parts:
            height, width = part.shape
            pieces[part.top : part.top + height, part.left : part.left + width] = slide.read_part(part)
        assert np.array_equal(pieces, whole)


def test_a_batch_for_which_memory_is_full_is_done_in_halves(path: Path, model: Model, monkeypatch) -> None:
    begin, sizes = Model.begin, []

    def with_room_for_two(self, pixels, **how):
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise DeviceError("cpu has no memory left")
        return begin(self, pixels, **how)

    expected = planes(path, model, Pace())
    monkeypatch.setattr(Model, "begin", with_room_for_two)
    assert np.array_equal(planes(path, model, Pace(batch=5, in_flight=1)), expected)
    assert max(sizes) == 5
    monkeypatch.setattr(Model, "begin", lambda *_, **how: (_ for _ in ()).throw(DeviceError("cpu has no memory left")))
    with pytest.raises(DeviceError, match="no memory left"):
        planes(path, model, Pace(batch=3))


def test_a_slide_that_is_read_from_many_threads_decodes_each_block_once(path: Path, monkeypatch) -> None:
    with open_slide(path) as slide:
        read, blocks = slide._reader.block, []

        def counted(*place: int) -> np.ndarray | None:
            blocks.append(place)
            return read(*place)

        monkeypatch.setattr(slide._reader, "block", counted)
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, 1.0)
        model = Model(oracle_card(), oracle_net(), torch.device("cpu"))
        for _ in predict_tiles(slide, model, frame, TILES, pace=Pace(readers=8, parts_ahead=16, part_px=100)):
            pass
    assert len(blocks) == len(set(blocks))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_segments_as_a_cpu_does(path: Path, model: Model) -> None:
    there = Model(oracle_card(), oracle_net(), torch.device("cuda"))
    with open_slide(path) as slide:
        ours, theirs = (segment_slide(slide, one, SegmentSettings()) for one in (model, there))
    assert len(ours.glomeruli) == len(theirs.glomeruli) > 5  # of eight, one is under the smallest area
    for one, other in zip(ours.glomeruli, theirs.glomeruli, strict=True):
        assert one.geometry.intersection(other.geometry).area > 0.99 * one.geometry.union(other.geometry).area
