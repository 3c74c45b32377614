"""Augmented batches: labels follow their images, colours change as stains do, and the seed decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glomseg.errors import TrainingError
from glomseg.training.augment.augment import Augment, AugmentConfig

NONE = AugmentConfig.none()
PINK, PURPLE = (0.88, 0.67, 0.80), (0.35, 0.15, 0.55)
SHAPE = replace(NONE, flip=True, rotation_deg=180.0, scale=(0.8, 1.25), elastic_px=3.0)
ONLY = {
    "flip": replace(NONE, flip=True),
    "shape": SHAPE,
    "H-PAS": replace(NONE, stain="H-PAS"),
    "H-E-DAB": replace(NONE, stain="H-E-DAB"),
    "light": replace(NONE, brightness=0.2, contrast=0.2),
    "blur": replace(NONE, blur_share=1.0),
    "soften": replace(NONE, soften_share=1.0),
    "jpeg": replace(NONE, jpeg_share=1.0),
    "noise": replace(NONE, noise_share=1.0),
    "all": AugmentConfig(),
}


def batch(count=4, height=96, width=96, classes=1):
    """Purple discs off the centre on pink, slightly grainy; class k is the k-th sector of the disc."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    disc = (x - 0.6 * width) ** 2 + (y - 0.45 * height) ** 2 < (0.22 * height) ** 2
    images = torch.where(disc, torch.tensor(PURPLE)[:, None, None], torch.tensor(PINK)[:, None, None])
    images = images + 0.02 * torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    sector = (torch.atan2(y - 0.45 * height, x - 0.6 * width) / (2 * torch.pi) + 0.5) * classes
    labels = torch.stack([disc & (sector >= k) & (sector <= k + 1) for k in range(classes)]).float()
    return images.clamp(0, 1), labels.repeat(count, 1, 1, 1), torch.ones(count, 1, height, width)


def test_nothing_is_nothing():
    given = batch()
    for before, after in zip(given, Augment(NONE)(*given, seed=3), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("config", ONLY.values(), ids=ONLY.keys())
def test_the_seed_decides_and_nothing_else(config):
    given = batch(height=80, width=112, classes=2)
    copies = [part.clone() for part in given]
    augment = Augment(config)
    torch.manual_seed(11)
    state = torch.get_rng_state()
    one = augment(*given, seed=5)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    torch.manual_seed(12)
    two, other = augment(*given, seed=5), augment(*given, seed=6)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one[0], other[0])
    assert all(torch.equal(part, copy) for part, copy in zip(given, copies, strict=True)), "the input was changed"
    for part, before in zip(one, given, strict=True):
        assert part.shape == before.shape
        assert part.dtype == before.dtype
    assert one[0].min() >= 0
    assert one[0].max() <= 1
    assert set(one[1].unique().tolist()) <= {0, 1}
    assert set(one[2].unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("seed", range(6))
def test_labels_follow_their_images(seed):
    images, labels, weights = Augment(SHAPE)(*batch(height=96, width=128), seed=seed)
    purple = images[:, :1] < (PINK[0] + PURPLE[0]) / 2
    inside = weights > 0
    true, seen = (labels > 0) & inside, purple & inside
    dice = 2 * (true & seen).sum((1, 2, 3)) / (true.sum((1, 2, 3)) + seen.sum((1, 2, 3)))
    assert dice.min() > 0.97


def test_classes_stay_apart_and_together():
    _, labels, weights = Augment(SHAPE)(*batch(classes=3), seed=2)
    assert labels.shape[1] == 3
    assert ((labels.sum(1, keepdim=True) == 0) | (weights > 0)).all()
    areas = labels.sum((2, 3)) / labels.sum((1, 2, 3))[:, None]
    assert (areas > 0.1).all(), "every sector is still there"


def test_scale_is_how_much_larger_things_get():
    given = batch()
    for factor in (0.8, 1.5):
        _, labels, _ = Augment(replace(NONE, scale=(factor, factor)))(*given, seed=0)
        assert labels.sum() / given[1].sum() == pytest.approx(factor**2, rel=0.05)


def test_what_comes_from_outside_weighs_nothing():
    images, labels, weights = batch()
    small = Augment(replace(NONE, scale=(0.5, 0.5)))(images, labels, weights, seed=0)[2]
    assert small.mean() == pytest.approx(0.25, abs=0.02)
    assert small[..., 30:66, 30:66].all()
    assert not small[..., :20, :].any()
    weights[..., :48] = 0
    kept = Augment(replace(NONE, scale=(2.0, 2.0)))(images, labels, weights, seed=0)[2]
    assert not kept[..., :46].any(), "what was hidden stays hidden"
    assert kept[..., 50:].all()


@pytest.mark.parametrize("stain", ["H-PAS", "H-E-DAB"])
def test_stain_jitter_keeps_white_and_moves_colours(stain):
    images = torch.ones(8, 3, 16, 16)
    images[..., :8, :] = torch.tensor(PURPLE)[:, None, None]
    blank = torch.zeros(8, 1, 16, 16)
    changed = Augment(replace(NONE, stain=stain, stain_strength=0.3))(images, blank, blank, seed=4)[0]
    assert torch.equal(changed[..., 8:, :], torch.ones(8, 3, 8, 16))
    colours = changed[:, :, 0, 0]
    assert (colours.std(dim=0) > 0.02).all()
    assert (changed[..., :8, :] == colours[..., None, None]).all(), "one colour stays one colour"


def test_more_pas_is_more_optical_density_along_its_vector():
    pas = torch.tensor([0.175411, 0.972178, 0.154589])
    image = torch.exp(-0.5 * pas)[None, :, None, None].expand(16, 3, 8, 8)
    blank = torch.zeros(16, 1, 8, 8)
    changed = Augment(replace(NONE, stain="H-PAS"))(image, blank, blank, seed=0)[0]
    ratio = -torch.log(changed[:, :, 0, 0]) / (0.5 * pas)
    assert torch.allclose(ratio, ratio[:, :1].expand(-1, 3), atol=1e-3), "pure PAS stays pure"
    assert ratio.min() < 0.95 < 1.05 < ratio.max()


@pytest.mark.parametrize("name", ["H-PAS", "light", "blur", "soften", "jpeg", "noise"])
def test_colours_change_and_labels_do_not(name):
    given = batch(height=80, width=90)
    images, labels, weights = Augment(ONLY[name])(*given, seed=1)
    changed = (images - given[0]).abs()
    assert (changed.amax((1, 2, 3)) > 1 / 255).all()
    assert changed.mean() < 0.15
    assert torch.equal(labels, given[1])
    assert torch.equal(weights, given[2])


def test_a_share_is_a_share():
    images, labels, weights = batch(count=200, height=16, width=16)
    changed = Augment(replace(NONE, noise_share=0.3))(images, labels, weights, seed=0)[0]
    assert 0.2 < (changed != images).any(1).any(1).any(1).float().mean() < 0.4


@pytest.mark.parametrize(
    "wrong",
    [{"scale": (1.2, 0.8)}, {"jpeg": (0.0, 90.0)}, {"noise_share": 1.5}, {"stain": "PAS"}, {"elastic_px": 40.0},
     {"brightness": np.nan}, {"blur": (0.0, 1.0)}],
)  # fmt: skip
def test_senseless_settings(wrong):
    with pytest.raises(TrainingError, match=f"{next(iter(wrong))}.*give"):
        Augment(AugmentConfig(**wrong))
