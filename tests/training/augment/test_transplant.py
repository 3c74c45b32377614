"""Glomeruli of one image in another: labelled where they lie, in its colours; plain tissue stays background."""

import numpy as np
import pytest
from scipy import ndimage
from support.painted import PINK, PURPLE, WHITE, disc

from glomseg.training.augment import stain
from glomseg.training.augment.transplant import paste_between
from glomseg.training.data.examples import Labelled

BROWN, BLUE = (200, 160, 110), (90, 70, 60)


def labelled(rng, centres=(), *, size=(160, 160), tissue=PINK, tuft=PURPLE, radius=20, glass=0, kind=1):
    """Tissue of one colour with discs of another, the lower `glass` rows white."""
    image = np.empty((*size, 3))
    image[:] = tissue
    label = np.zeros(size, np.uint8)
    for x, y in centres:
        mask = disc(max(size), x, y, radius)[: size[0], : size[1]]
        image[mask], label[mask] = tuft, kind
    if glass:
        image[-glass:] = WHITE
    image = np.clip(image + rng.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    return Labelled(image, label, np.ones(size, np.bool_))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_pasted_glomeruli_are_labelled_at_their_size(rng):
    donor, host = labelled(rng, [(60, 70), (110, 120)], kind=3), labelled(rng, size=(200, 240))
    areas = []
    for _ in range(30):
        made = paste_between(rng, host, [donor], glomeruli=1, decoys=0)
        assert made.image.dtype == np.uint8
        assert made.label.shape == host.label.shape == made.image.shape[:2]
        assert set(np.unique(made.label)) <= {0, 3}
        purple = made.image[..., 1] < 115
        if made.label.any():
            assert (purple & (made.label > 0)).sum() * 2 / (purple.sum() + (made.label > 0).sum()) > 0.9
            areas.append((made.label > 0).sum())
    assert len(areas) > 25
    assert max(areas) < np.pi * 20**2 * 1.16**2 * 1.1
    assert np.median(areas) == pytest.approx(np.pi * 20**2, rel=0.25)
    assert (host.label == 0).all(), "the host itself is left alone"


def test_plain_tissue_is_background(rng):
    donor = labelled(rng, [(60, 70)], size=(200, 200))
    host = labelled(rng, [(40, 40)])
    changed = 0
    for _ in range(10):
        made = paste_between(rng, host, [donor], glomeruli=0, decoys=2)
        assert np.array_equal(made.label, host.label)
        assert (made.image[made.label == 0, 1] > 130).all(), "no glomerulus was pasted"
        changed += int((np.abs(made.image.astype(int) - host.image).sum(-1) > 3).sum() > 500)
    assert changed > 5


def test_stain_moves_to_that_of_the_host(rng):
    donor = labelled(rng, [(80, 80)], tissue=BROWN, tuft=BLUE)
    host = labelled(rng)
    made = paste_between(rng, host, [donor], glomeruli=1, decoys=0)
    assert made.label.any()
    ratio = np.log(np.array(BLUE) / 255) / np.log(np.array(BROWN) / 255)
    wanted = 255 * np.exp(ratio * np.log(np.array(PINK) / 255))
    assert made.image[made.label > 0].mean(axis=0) == pytest.approx(wanted, abs=12)
    rim = made.image[made.label == 0].astype(float).mean(axis=0)
    assert rim == pytest.approx(PINK, abs=3), "its brown rim is pink now"


def test_never_on_another_glomerulus_and_little_on_glass(rng):
    donor, host = labelled(rng, [(80, 80)]), labelled(rng, [(40, 40), (110, 50)], kind=2, glass=80)
    on_glass = 0
    for _ in range(40):
        made = paste_between(rng, host, [donor], glomeruli=3, decoys=2)
        old = host.label > 0
        assert (made.label[old] == 2).all()
        assert np.abs(made.image[old].astype(int) - host.image[old]).max() <= 14, "only the faintest of a seam"
        on_glass += int((made.label[100:] == 1).sum() > 800)
    assert on_glass < 20


def test_hidden_and_foreign_parts_do_not_come_along(rng):
    donor = labelled(rng, [(80, 80), (80, 123)])
    donor.image[103:] = np.where(donor.label[103:, :, None] > 0, (10, 10, 250), donor.image[103:])
    donor.label[103:, :] *= 2
    donor.image[:, :57] = (0, 255, 0)
    donor.valid[:, :57] = False
    host, pasted = labelled(rng), 0
    for _ in range(30):
        made = paste_between(rng, host, [donor], glomeruli=1, decoys=0)
        foreign = (made.image.max(axis=-1) > 200) & (made.image.min(axis=-1) < 90)
        assert not (foreign & ~ndimage.binary_dilation(made.label == 2, iterations=3)).any()
        pasted += int((made.label == 1).any())
    assert pasted > 8
    host.valid[:] = False
    made = paste_between(rng, host, [donor], glomeruli=1, decoys=0)
    assert made is host, "nothing is known of its tissue"


def test_what_cannot_be_pasted(rng):
    host = labelled(rng)
    cut = labelled(rng, [(5, 80)])
    huge = labelled(rng, [(80, 80)], radius=70)
    glass = labelled(rng, tissue=WHITE)
    assert paste_between(rng, host, [], glomeruli=2, decoys=2) is host
    assert paste_between(rng, host, [cut], glomeruli=2, decoys=2) is host
    assert not paste_between(rng, host, [huge], glomeruli=2, decoys=0).label.any()
    assert paste_between(rng, glass, [labelled(rng, [(80, 80)])], glomeruli=2, decoys=2) is glass


def test_the_generator_decides(rng):
    donor, host = labelled(rng, [(60, 70)]), labelled(rng)
    one, two = (paste_between(np.random.default_rng(7), host, [donor], glomeruli=2, decoys=1) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.label, two.label)
    assert stain.to_rgb(stain.optical_density(host.image)).round() == pytest.approx(host.image)
