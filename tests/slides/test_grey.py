"""Grey is the mean of the colours, whatever lies behind them."""

from __future__ import annotations

import numpy as np
import pytest

from glomseg.slides.grey import grey


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (2, np.uint8), (3, np.uint8), (4, np.uint16)])
def test_it_is_the_mean_of_up_to_three_channels(channels: int, dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (40, 30, channels)).astype(dtype)
    assert np.allclose(grey(pixels), pixels[:, :, :3].mean(axis=2), rtol=1e-6)
    assert grey(pixels).dtype == np.float32
    assert np.array_equal(grey(pixels[3]), grey(pixels)[3])
