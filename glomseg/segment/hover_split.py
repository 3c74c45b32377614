"""Objects that touch, told apart by where in its object each pixel lies (Graham et al. 2019, HoVer-Net, in um)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from glomseg.geometry import Bools
from glomseg.segment.cuts import Piece, join_pieces, two_or_one
from glomseg.segment.post import CutProof, HoverSplit
from glomseg.segment.waist import smooth_depth, split_by_waist

Places = NDArray[np.float32]

SMALLEST_SIGMA_PX = 0.7
"""Of the smallest Sobel filter, 3 px."""


_MANY = 300
"""A mask of more pieces is no cluster of glomeruli but a failure of the model; joining them would take minutes."""


def margin_px(how: HoverSplit, mpp: float) -> int:
    """Return how many px around an object its slopes depend on."""
    return math.ceil(4 * max(how.sigma_um / mpp, SMALLEST_SIGMA_PX)) + 1


def split_by_hover(
    mask: Bools,
    places: Places,
    how: HoverSplit,
    mpp: float,
    *,
    waist_um: float | None = None,
    least_um2: float = 0.0,
) -> NDArray[np.int32]:
    """Number the objects of a mask (H, W) from 1, by the places (2, H, W) in them; what is not told apart is one.

    With `waist_um`, by which the mask alone would be split, and a proof, both must say enough together, and places say
    nothing for a piece below `least_um2`; else the places alone say. No pixel of the mask is lost: borders go to the
    object that they are nearest to.
    """
    proof = how.proof if waist_um is not None else None
    if proof is not None:
        places = _from_inside(mask, places)
    border = _borders(places, how, mpp)
    if border.any():
        border = ndimage.distance_transform_edt(~border) * mpp <= how.widen_um
    if proof is not None and waist_um is not None:
        pieces = split_by_waist(mask, proof.piece_um / mpp, border)
        return _proved(pieces, mask, places, proof, waist_um / mpp, least_um2 / mpp**2)
    distance = ndimage.distance_transform_edt(mask & ~border)
    markers, count = ndimage.label(distance * mpp >= how.deep_um)
    if count <= 1:
        return mask.astype(np.int32)
    return np.asarray(watershed(-distance, markers, mask=mask), np.int32)


def _from_inside(mask: Bools, places: Places) -> Places:
    """Give what lies outside the place nearest to it in the mask: at an edge places fall to 0, which parts nothing."""
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(places[:, *nearest])


def _proved(
    pieces: NDArray[np.int32], mask: Bools, places: Places, proof: CutProof, waist_px: float, least_px: float
) -> NDArray[np.int32]:
    """Join the pieces of a mask between which waist and places do not say enough."""
    if pieces.max() <= 1:
        return pieces
    if pieces.max() > _MANY:
        return split_by_waist(mask, waist_px)
    depth_px = smooth_depth(mask)

    def evidence(one: Piece, other: Piece, widest_px: float) -> float:
        waist = (min(one.deepest_px, other.deepest_px) - widest_px) / waist_px
        likeness = two_or_one(one, other) if min(one.size_px, other.size_px) >= least_px else -1.0
        return waist + proof.places * likeness - proof.enough

    return join_pieces(pieces, depth_px, places, evidence)


def _borders(places: Places, how: HoverSplit, mpp: float) -> Bools:
    """Mark where places fall to the right, or downwards: inside an object they rise."""
    sigma = max(how.sigma_um / mpp, SMALLEST_SIGMA_PX)
    across = ndimage.gaussian_filter(places[0], sigma, order=(0, 1), mode="nearest")
    down = ndimage.gaussian_filter(places[1], sigma, order=(1, 0), mode="nearest")
    falls = (
        (_share_of_fall(across), _share_of_fall(down)) if how.scaled else (-_step(across, sigma), -_step(down, sigma))
    )
    return np.asarray(np.maximum(*falls) >= how.fall)


def _share_of_fall(slope: Places) -> Places:
    """Return slopes from 0, the steepest rise, to 1, the steepest fall."""
    low, high = float(slope.min()), float(slope.max())
    return np.asarray((high - slope) / max(high - low, 1e-6), np.float32)


def _step(slope: Places, sigma: float) -> Places:
    """Return the height of the step that would give such a slope: its peak is height / (sigma sqrt(2 pi))."""
    return np.asarray(slope * sigma * math.sqrt(2 * math.pi), np.float32)
