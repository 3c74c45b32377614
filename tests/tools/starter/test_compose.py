"""Composed images: right kinds, decided by the seed alone, labels where the glomeruli are."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from glomseg.training.augment import stain
from tools.starter.aidpath import Tile
from tools.starter.compose import ALL_STAINS, MARGIN_PX, Composer, Recipe
from tools.starter.composed import read_data
from tools.starter.degrade import degrade


@pytest.fixture(scope="module")
def part(made_up):
    return read_data(made_up).train


def test_a_sample(part):
    composer = Composer(part, Recipe(size_px=128))
    for i in range(12):
        sample = composer.sample(np.random.default_rng(i))
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8
        assert sample.label.shape == sample.weight.shape == (128, 128)
        assert sample.label.dtype == sample.weight.dtype == np.bool_
        assert not (sample.label & ~sample.weight).any()


def test_the_seed_decides(part):
    one, two = (Composer(part).sample(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.label, two.label)
    assert not np.array_equal(one.image, Composer(part).sample(np.random.default_rng(6)).image)


def test_labels_lie_on_glomeruli(part):
    composer = Composer(part, Recipe(colour=0.0, max_decoys=0))
    darker = []
    for i in range(12):
        sample = composer.sample(np.random.default_rng(i))
        grey = sample.image.mean(axis=-1)
        if sample.label.sum() > 500:
            darker.append(grey[sample.label].mean() < grey[~sample.label & sample.weight].mean() - 20)
    assert len(darker) > 5
    assert all(darker)


def test_sizes_of_pasted_glomeruli(part):
    recipe = Recipe(max_glomeruli=1, max_decoys=0, empty_share=0.0, tissue_um_px=(1.1, 1.2), near_share=0.0)
    composer = Composer(part, recipe)
    areas = [composer.sample(np.random.default_rng(i)).label.sum() for i in range(40)]
    diameters = 2 * np.sqrt(np.array([a for a in areas if a]) / np.pi)
    assert diameters.max() <= 64 * 1.5 * 1.1
    assert 50 < np.median(diameters) < 80


def test_empty_images_have_no_label_at_foreign_scales(part):
    composer = Composer(part, Recipe(empty_share=1.0, tissue_um_px=(1.1, 1.2), near_share=0.0))
    samples = [composer.sample(np.random.default_rng(i)) for i in range(20)]
    assert any(not s.label.any() for s in samples)
    assert any(not s.weight.all() for s in samples), "a tile's own glomeruli are too large there, and left out"


def test_transfer_keeps_white_and_reaches_the_target():
    density = np.zeros((8, 8, 3), np.float32)
    density[2:6, 2:6] = (0.3, 0.8, 0.4)
    moved = stain.transfer(density, np.array([0.3, 0.8, 0.4], np.float32), np.array([0.6, 0.9, 0.5], np.float32))
    assert np.allclose(moved[3, 3], (0.6, 0.9, 0.5), atol=1e-5)
    assert np.all(moved[0, 0] == 0)


def test_density_is_inverse_of_rgb():
    image = np.random.default_rng(0).integers(1, 256, (9, 9, 3), dtype=np.uint8)
    assert np.allclose(stain.to_rgb(stain.optical_density(image)), image, atol=0.01)


@pytest.mark.parametrize("size", [(64, 64), (65, 31)])
def test_degrade_keeps_the_size(size):
    density = np.full((*size, 3), 0.5, np.float32)
    for i in range(20):
        image = degrade(np.random.default_rng(i), density)
        assert image.shape == (*size, 3)
        assert image.dtype == np.uint8


def test_all_stains_rodents_and_other_organs(part):
    organ = Tile("organ", np.full((300, 300, 3), (200, 90, 160), np.uint8), *[np.zeros((300, 300), np.bool_)] * 2)
    recipe = replace(ALL_STAINS, size_px=128, organ_share=0.3)
    composer = Composer(part, recipe, [organ])
    samples = [composer.sample(np.random.default_rng(i)) for i in range(30)]
    assert any(s.label.any() for s in samples)
    assert any(not s.label.any() and s.weight.all() for s in samples)
    assert not any((s.label & ~s.weight).any() for s in samples)
    hues = {int(np.argmax(s.image.reshape(-1, 3).mean(axis=0) - 128)) for s in samples}
    assert len(hues) > 1


def test_around_magnified_glomeruli_nothing_is_learned(part):
    recipe = Recipe(empty_share=1.0, max_decoys=0, empty_um_px=(1.1, 1.2), near_share=0.0)
    composer = Composer(part, recipe)
    margins = 0
    for i in range(20):
        sample = composer.sample(np.random.default_rng(i))
        left_out = ~sample.weight
        margins += bool(
            left_out.any() and left_out.sum() > ndimage.binary_erosion(left_out, iterations=MARGIN_PX).sum()
        )
        assert not sample.label.any()
    assert margins
