"""Composed images in shared memory: what is drawn was put there, and the oldest goes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glomseg.training.data.sampling import TrainSample
from tools.starter.pool import Pool


def _sample(value: int) -> TrainSample:
    flat = np.full((8, 8), value, np.uint8)
    return TrainSample(f"{value}", np.repeat(flat[..., None], 3, axis=2), flat % 2, np.ones((8, 8), np.bool_))


def test_only_what_was_put_there_is_drawn_and_the_oldest_is_replaced(tmp_path: Path) -> None:
    pool = Pool.at(tmp_path, count=9, side_px=8, fillers=2)  # four places for each
    for value in range(1, 7):
        pool.put(0, _sample(value))
    pool.put(1, _sample(100))
    same = Pool.at(tmp_path, count=9, side_px=8, fillers=2)  # as another process sees it
    places = same.draw(np.random.default_rng(0), 400)
    drawn = same.images[places, 0, 0, 0]
    assert set(drawn.tolist()) == {3, 4, 5, 6, 100}
    assert 150 < (drawn == 100).sum() < 250, "each filler is drawn from as often, however many it made"
    assert (same.labels[places, 0, 0] == drawn % 2).all()
    assert same.valid[places].all()
