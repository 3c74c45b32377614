"""Named ways from probabilities to objects: ours, and those of the systems of the field as far as published.

Lengths are in um and areas in um2 for glomeruli of `diameter_um`; for others they go with the diameter and its square,
so that the same glomeruli come apart whatever the species, and whatever the um per pixel that a model reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from glomseg.errors import ModelError
from glomseg.models.card import ModelCard, PostName


@dataclass(frozen=True, kw_only=True, slots=True)
class CutProof:
    """Which cuts between pieces of a mask stay: those for which its waist and the places in it say enough together.

    Pieces are what is left where borders narrow the mask, and a waist is `piece_um` narrower than what it joins. A cut
    stays where depth / waist + `places` * likeness reaches `enough`: how deep the waist of the whole mask is against
    that by which a way splits without the head, and how much liker the places are to those of two objects than to those
    of one, from -1 to 1.
    """

    piece_um: float
    places: float
    enough: float

    def times(self, factor: float) -> CutProof:
        """Return the same for objects that are larger by a factor."""
        return replace(self, piece_um=self.piece_um * factor)


@dataclass(frozen=True, kw_only=True, slots=True)
class HoverSplit:
    """How objects come apart by the head `hover`: borders, then markers in what lies deep between them, then a flood.

    The slope of the places is taken with the derivative of a Gaussian of `sigma_um`. A border is where, from the
    flattest to the steepest of an object, less the steepest way down, it falls by the share `fall` (`scaled`), or where
    places fall by `fall` (objects that touch: by 2, from 1 to -1). It is widened by `widen_um`, and a marker lies
    `deep_um` away from borders and background. With `proof` what borders cut are only pieces, which are joined again.
    """

    sigma_um: float
    fall: float
    scaled: bool
    widen_um: float
    deep_um: float = 0.0
    proof: CutProof | None = None

    def times(self, factor: float) -> HoverSplit:
        """Return the same for objects that are larger by a factor."""
        return HoverSplit(
            sigma_um=self.sigma_um * factor,
            fall=self.fall,
            scaled=self.scaled,
            widen_um=self.widen_um * factor,
            deep_um=self.deep_um * factor,
            proof=self.proof.times(factor) if self.proof else None,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Post:
    """One way. An area or solidity of None is the card's.

    `holes`: which are filled, those `below` the smallest area of an object, `all` or `none`. `split`: `none`; by the
    `waist` that is narrower than the lobes by `waist_um`, and where the model has the head `hover` by its places too;
    or by the places of that head alone.
    """

    diameter_um: float
    minimum_area_um2: float | None = None
    minimum_solidity: float | None = None
    holes: Literal["below", "all", "none"] = "below"
    split: Literal["none", "waist", "hover"] = "waist"
    waist_um: float = 0.0
    hover: HoverSplit | None = None


_20X_UM = 0.5
"""The um per pixel in which GLOMNET's constants are given."""

POSTS: dict[PostName, Post] = {
    "glomseg": Post(
        diameter_um=200,
        waist_um=12,
        hover=HoverSplit(
            sigma_um=7,
            fall=0.05,
            scaled=False,
            widen_um=4,
            proof=CutProof(piece_um=6, places=1.5, enough=0.15),
        ),
    ),
    # Moreau et al. 2024 (ISBI) and their code. Sobel of 21 px: the derivative of a Gaussian of sqrt(21 - 1) / 2 px.
    # Borders from 0.7 after min-max, dilated by 20 px; markers 50 px deep. For the KPIs challenge's mice objects below
    # 10,000 px of 40X (0.2395 um) were dropped, which for the 200 um of their human biopsies is 4,079 um2.
    "glomnet": Post(
        diameter_um=200,
        minimum_area_um2=10_000 * 0.2395**2 * (200 / 75) ** 2,
        minimum_solidity=0,
        holes="none",
        split="hover",
        hover=HoverSplit(
            sigma_um=math.sqrt(20) / 2 * _20X_UM, fall=0.7, scaled=True, widen_um=10 * _20X_UM, deep_um=50 * _20X_UM
        ),
    ),
    # Cap 2025: argmax of the summed windows and nothing more.
    "cap": Post(diameter_um=75, minimum_area_um2=0, minimum_solidity=0, holes="none", split="none"),
    # The KPIs challenge's best object F1: small objects dropped, holes filled, neighbours split. How they are split is
    # not published: by the waist here, as `glomseg` does.
    "salt-fish": Post(diameter_um=75, minimum_area_um2=1150, minimum_solidity=0, holes="all", waist_um=4.5),
}
"""Names that a card or `post` may give -> what they do."""


def post_named(name: str | None) -> PostName:
    """Return the name of a way as a run keeps it, None for ours; raise ModelError for one that is not known."""
    for known in POSTS:
        if (name or "glomseg") == known:
            return known
    raise ModelError(f"no post-processing is called {name!r}; give `post` as one of {', '.join(POSTS)}")


def post_of(card: ModelCard, name: PostName | None) -> Post:
    """Return the way that is asked for, or the card's; raise ModelError where it needs a head that is not there."""
    asked = post_named(name or card.post)
    post = POSTS[asked]
    if post.split == "hover" and not card.hover:
        others = ", ".join(other for other, one in POSTS.items() if one.split != "hover")
        raise ModelError(
            f"{card.name} has no head hover, by which post-processing {asked} tells objects apart; give `post` as one "
            f"of {others}, or a model with that head"
        )
    return post
