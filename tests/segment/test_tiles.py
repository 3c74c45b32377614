import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glomseg.segment.tiles import BLOCK, ReadingFrame, plan_tiles


@settings(deadline=None, max_examples=60)
@given(
    wanted=arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    tile_px=st.sampled_from([16, 64, 160, 512]),
    halo_px=st.sampled_from([0, 16, 40]),
)
def test_every_wanted_block_has_one_owner(wanted: np.ndarray, tile_px: int, halo_px: int) -> None:
    owners = np.zeros(wanted.shape, int)
    for tile in plan_tiles(wanted, tile_px=tile_px, halo_px=halo_px):
        assert tile.halo >= halo_px
        assert max(tile.width, tile.height) <= tile_px
        assert not any(value % BLOCK for value in (tile.x, tile.y, tile.width, tile.height, tile.halo))
        rows = slice(tile.y // BLOCK, (tile.y + tile.height) // BLOCK)
        owners[rows, tile.x // BLOCK : (tile.x + tile.width) // BLOCK] += 1
    assert owners.max(initial=0) <= 1
    assert (owners[wanted] == 1).all()


def test_sparse_tissue_is_read_sparsely() -> None:
    """Two far corners of a cell cost two small tiles and not the cell."""
    wanted = np.zeros((64, 64), bool)
    wanted[:8, :8] = wanted[-8:, -8:] = True
    tiles = plan_tiles(wanted, tile_px=1024, halo_px=64)
    assert sum((tile.width + 128) * (tile.height + 128) for tile in tiles) == 2 * 256**2
    assert plan_tiles(np.zeros((64, 64), bool), tile_px=1024, halo_px=64) == []


def test_disc_of_tissue_costs_few_passes_per_pixel() -> None:
    rows, columns = np.mgrid[:300, :300]
    wanted = (rows - 150) ** 2 + (columns - 150) ** 2 < 120**2
    tiles = plan_tiles(wanted, tile_px=1024, halo_px=64)
    read = sum((tile.width + 2 * tile.halo) * (tile.height + 2 * tile.halo) for tile in tiles)
    assert read / (wanted.sum() * BLOCK**2) < 1.5


@pytest.mark.parametrize(("mpp_x", "mpp_y"), [(0.5, 0.5), (0.25, 0.5), (0.2395, 0.2395)])
def test_frame_covers_the_slide(mpp_x: float, mpp_y: float) -> None:
    frame = ReadingFrame.of(1000, 700, mpp_x, mpp_y, mpp=1.0)
    assert frame.width - 1 < 1000 * mpp_x <= frame.width
    assert frame.height - 1 < 700 * mpp_y <= frame.height
    box = frame.box(10, 20, 30, 40)
    assert (box.x, box.y) == pytest.approx((10 / mpp_x, 20 / mpp_y))
    assert (box.width, box.height) == pytest.approx((30 / mpp_x, 40 / mpp_y))
