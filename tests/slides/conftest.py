"""A picture of tissue with discs, and a pyramid of it."""

from __future__ import annotations

import numpy as np
import pytest
from support.slides import draw, strew, write_pyramid


@pytest.fixture(scope="session")
def picture():
    noise = np.random.default_rng(0).integers(0, 60, (610, 803, 3), dtype=np.uint8)
    return draw((803, 610), (60, 40, 700, 500), strew((60, 40, 700, 500), 8, 45, seed=1)) - noise


@pytest.fixture(scope="session")
def pyramid(picture, tmp_path_factory):
    """Three levels, lossless, of a size that neither tiles nor levels divide."""
    return write_pyramid(tmp_path_factory.mktemp("pyramid") / "slide.tif", picture, 0.25, tile=128)
