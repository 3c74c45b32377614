"""Recolouring: glass stays glass, each family has its colour, and what is unmixed was there."""

import numpy as np
import pytest

from glomseg.study.pas import STANDARD
from glomseg.training.augment import stain
from glomseg.training.augment.recolour import FAMILIES, amounts, recolour, whiten_spaces


@pytest.fixture
def tissue() -> tuple[np.ndarray, np.ndarray]:
    """Glass above; below it cytoplasm, a nucleus and a basement membrane; the right half is a tuft."""
    nuclei, pas = np.zeros((64, 64)), np.zeros((64, 64))
    pas[16:] = 0.25
    nuclei[30:40, 8:18], pas[30:40, 8:18] = 0.9, 0.0
    pas[48:54] = 1.0
    density = nuclei[..., None] * np.array(STANDARD.haematoxylin) + pas[..., None] * np.array(STANDARD.pas)
    tuft = np.zeros((64, 64), np.bool_)
    tuft[16:, 32:] = True
    return density.astype(np.float32), tuft


def test_what_is_unmixed_was_there(tissue):
    part = amounts(tissue[0])
    assert part.nuclei[34, 12] > 0.9
    assert part.pas[34, 12] < 0.02
    assert part.pas[50, 40] > 0.9
    assert part.nuclei[50, 40] < 0.02
    assert part.pas[25, 40] == pytest.approx(0.25 * part.pas[50, 40], rel=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_glass_stays_glass_and_the_seed_decides(tissue, family):
    for seed in range(10):
        made = recolour(np.random.default_rng(seed), *tissue, family)
        again = recolour(np.random.default_rng(seed), *tissue, family)
        assert np.array_equal(made, again)
        assert made.dtype == np.float32
        assert made.shape == tissue[0].shape
        assert np.isfinite(made).all()
        assert (made >= 0).all()
        assert made[:12].max() < 0.15
        assert made[48:54].mean() > made[:12].mean() + 0.1


def test_silver_is_black_where_pas_was_strong(tissue):
    greys = []
    for seed in range(20):
        made = recolour(np.random.default_rng(seed), *tissue, "silver")
        membrane = stain.to_rgb(made)[50, 10]
        greys.append(np.ptp(membrane) / 255)
    assert np.median(greys) < 0.25


def test_trichrome_has_two_colours_and_eosin_one(tissue):
    def contrast(family: str) -> float:
        shifts = []
        for seed in range(20):
            made = recolour(np.random.default_rng(seed), *tissue, family)
            colours = [made[row, 10] / np.linalg.norm(made[row, 10]) for row in (50, 25)]
            shifts.append(np.linalg.norm(colours[0] - colours[1]))
        return float(np.median(shifts))

    assert contrast("trichrome") > 5 * contrast("H&E")


def test_spaces_inside_glomeruli_are_whitened_and_nothing_else(tissue):
    density, tuft = tissue
    density = density.copy()
    density[40:46, 40:60] = 0.05
    made = whiten_spaces(np.random.default_rng(0), density, tuft)
    assert made[43, 50].mean() < 0.8 * density[43, 50].mean()
    assert np.allclose(made[:, :28], density[:, :28])
    assert whiten_spaces(np.random.default_rng(0), density, np.zeros_like(tuft)) is density
