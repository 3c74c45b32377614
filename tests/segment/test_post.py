"""Named ways from probabilities to objects, and objects that touch told apart by the places in them, at any scale."""

import numpy as np
import pytest
from support.scenes import places_of
from support.small_models import card

from glomseg.errors import ModelError
from glomseg.models.card import ModelCard
from glomseg.models.planes import HOVER
from glomseg.segment.outlines import Glomerulus, find_glomeruli
from glomseg.segment.pipeline import SegmentSettings, outline_settings
from glomseg.segment.post import POSTS
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile

TOUCHING = ((300, 300, 100), (470, 300, 90), (760, 300, 100))
"""Discs of a human kidney in um (x, y, radius): two that run into each other, and one alone."""


PRESSED = ((300, 300, 100), (390, 300, 90), (760, 300, 100))
"""Two of them lie against each other so that their outline shows hardly any waist."""
Discs = tuple[tuple[float, float, float], ...]


def scene(mpp: float, *, factor: float = 1.0, blur_um: float = 6.0, discs: Discs = TOUCHING) -> ProbabilityMap:
    """The map of a network that sees the discs, and blurs where each place is, as networks do."""
    height, width = (round(side * factor / mpp / BLOCK + 1) * BLOCK for side in (600, 1000))
    y, x = np.mgrid[:height, :width] * mpp + mpp / 2
    labels = np.zeros((height, width), np.int32)
    for number, (cx, cy, radius) in enumerate(discs, start=1):
        labels[(np.hypot(x - cx * factor, y - cy * factor) < radius * factor) & (labels == 0)] = number
    planes = np.concatenate([(labels > 0)[None] * np.uint8(230), places_of(labels, blur_px=blur_um * factor / mpp)])
    frame = ReadingFrame(mpp, 1, 1, width, height)
    probability = ProbabilityMap(frame, extras=HOVER)
    probability.write(Tile(0, 0, width, height, 0), planes)
    return probability


def outlined(probability: ProbabilityMap, made: ModelCard, post: str | None = None) -> list[Glomerulus]:
    with probability:
        return find_glomeruli(probability, outline_settings(made, SegmentSettings(post=post)))


HOVER_CARD = card(heads=("mask", "hover"), post="glomnet")


@pytest.mark.parametrize("mpp", [0.7, 1.3, 2.5, 4.0])
def test_touching_objects_come_apart_at_any_scale(mpp: float) -> None:
    made = outlined(scene(mpp), HOVER_CARD)
    assert len(made) == 3
    areas = sorted(one.geometry.area * mpp**2 for one in made)
    assert areas[0] == pytest.approx(np.pi * 90**2, rel=0.12)
    assert areas[2] == pytest.approx(np.pi * 100**2, rel=0.12)
    assert len(outlined(scene(mpp), HOVER_CARD, "cap")) == 2  # components alone


@pytest.mark.parametrize("mpp", [1.0, 2.5, 4.0])
def test_what_has_no_waist_comes_apart_by_the_places(mpp: float) -> None:
    """Our own way takes the waist, and the borders of the head where the model has it."""
    ours, plain = (card(heads=heads) for heads in (("mask", "hover"), ("mask",)))
    assert len(outlined(scene(mpp, discs=PRESSED), plain)) == 2
    assert len(outlined(scene(mpp, discs=PRESSED), ours)) == 3
    assert len(outlined(scene(mpp), ours)) == len(outlined(scene(mpp), plain)) == 3


def test_what_has_no_waist_comes_apart_in_a_mouse_too() -> None:
    """By one model, of glomeruli that are seen at one size: lengths go with the diameter."""
    human = card(heads=("mask", "hover"))
    settings = outline_settings(human, SegmentSettings(species="mouse"))
    with scene(1.0, factor=75 / 200, blur_um=6.0, discs=PRESSED) as probability:
        areas = sorted(one.geometry.area for one in find_glomeruli(probability, settings))
    assert len(areas) == 3
    assert areas[2] == pytest.approx(np.pi * 37.5**2, rel=0.12)


def test_touching_objects_of_a_mouse_come_apart_too() -> None:
    mouse = card(heads=("mask", "hover"), post="glomnet", species="mouse", training_diameter_um=75.0, mpp=1.0)
    assert len(outlined(scene(1.0, factor=75 / 200), mouse)) == 3


def test_every_pixel_of_the_mask_keeps_an_owner() -> None:
    whole = sum(one.geometry.area for one in outlined(scene(2.5), HOVER_CARD, "cap"))
    apart = sum(one.geometry.area for one in outlined(scene(2.5), HOVER_CARD))
    assert apart == pytest.approx(whole, rel=0.03)


def test_a_way_that_needs_the_head_is_refused_without_it() -> None:
    with pytest.raises(ModelError, match=r"no head hover.*`post` as one of glomseg, cap, salt-fish"):
        outline_settings(card(), SegmentSettings(post="glomnet"))


def test_an_old_card_is_read_as_ours_and_ours_is_what_it_was() -> None:
    made = outline_settings(card(), SegmentSettings())
    assert (made.minimum_area_um2, made.split_depth_um, made.filled_um2, made.hover) == (3000.0, 12.0, 3000.0, None)
    mouse = outline_settings(card(), SegmentSettings(species="mouse"))
    assert mouse.split_depth_um == pytest.approx(4.5)
    assert '"post"' not in card().to_json()
    assert ModelCard.from_json(card().to_json()).post == "glomseg"


def test_constants_of_the_systems_go_with_the_species() -> None:
    human, mouse = (
        outline_settings(card(), SegmentSettings(post="salt-fish", species=name)) for name in ("human", "mouse")
    )
    assert mouse.minimum_area_um2 == pytest.approx(1150)
    assert human.minimum_area_um2 == pytest.approx(1150 * (200 / 75) ** 2)
    winner = outline_settings(card(), SegmentSettings(post="cap"))
    assert (winner.minimum_area_um2, winner.minimum_solidity, winner.split_depth_um, winner.filled_um2) == (
        0,
        0,
        None,
        0,
    )
    assert set(POSTS) == {"glomseg", "glomnet", "cap", "salt-fish"}


@pytest.mark.parametrize(("post", "holes"), [("cap", 1), ("salt-fish", 0), ("glomseg", 0)])
def test_holes_are_filled_as_the_way_says(post: str, holes: int) -> None:
    frame = ReadingFrame(3.0, 1, 1, 160, 160)
    y, x = np.mgrid[:160, :160]
    ring = np.hypot(x - 80, y - 80)
    probability = ProbabilityMap(frame)
    probability.write(Tile(0, 0, 160, 160, 0), ((ring < 40) & (ring > 6))[None] * np.uint8(200))
    (one,) = outlined(probability, card(), post)
    assert len(one.geometry.interiors) == holes
