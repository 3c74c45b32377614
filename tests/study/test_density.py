import numpy as np
import pytest

from glomseg.segment.tissue import TissueMask
from glomseg.study.density import density_map


def test_an_even_field_is_flat_and_a_cluster_stands_out() -> None:
    mask = np.zeros((200, 300), bool)
    mask[20:180, 20:280] = True
    tissue = TissueMask(mask, 32, 32)  # 16 um a pixel at 0.5 um
    even = [(x, y) for x in range(700, 8900, 200) for y in range(700, 5700, 200)]  # one in 0.01 mm^2
    found = density_map(tissue, even, (0.5, 0.5))
    assert found.shape == (100, 150)  # every second pixel
    assert np.isnan(found[~mask[1::2, 1::2]]).all()
    assert found[30:70, 30:120].mean() == pytest.approx(100, rel=0.03)
    assert np.nanmean(found) == pytest.approx(100, rel=0.1)
    cluster = density_map(tissue, [(4800.0, 3200.0)] * 10, (0.5, 0.5))
    assert np.unravel_index(np.nanargmax(cluster), cluster.shape) in ((49, 74), (50, 75))
    assert np.nanmin(cluster) < 0.01 * np.nanmax(cluster)
