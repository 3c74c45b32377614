"""Paste glomeruli and plain tissue of some labelled images into another, in the colours of that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from glomseg.geometry import Bools
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment import paste, stain
from glomseg.training.data.examples import Labelled

SMALLEST_PX = 60
"""Pixels below which a labelled object is no glomerulus to paste, but a sliver."""
RIM = 0.2
"""How much is cut out around a glomerulus, as a share of its longer side."""
_LARGEST = 0.75
_TISSUE_SHARE = 0.02
_TRIES = 6


@dataclass(frozen=True, slots=True)
class _Source:
    """A labelled image, and the mean optical density of its tissue."""

    labelled: Labelled
    tissue: Floats


@dataclass(frozen=True, slots=True)
class _Piece:
    """A square cut out: optical density (S, S, 3) and that of the tissue it is from, the object, and what is valid."""

    density: Floats
    tissue: Floats
    mask: Bools
    valid: Bools


@dataclass(frozen=True, slots=True)
class _Object:
    """A whole glomerulus: where it lies, and its class."""

    source: _Source
    rows: slice
    columns: slice
    mask: Bools
    kind: int


def paste_between(rng: Random, host: Labelled, donors: Sequence[Labelled], *, glomeruli: int, decoys: int) -> Labelled:
    """Return `host` with up to so many glomeruli of `donors` pasted in, and plain tissue in the same shapes.

    Sizes change by 15 % at most, seams are soft, and stains move to those of the host. Plain tissue stays background,
    so that a seam is no sign of a glomerulus. What finds no place is left out; a host with hardly any tissue comes
    back as it is.
    """
    towards = _tissue(host)
    sources = [_Source(donor, tissue) for donor in donors if (tissue := _tissue(donor)) is not None]
    whole = [item for source in sources for item in _whole_objects(source)]
    if towards is None or not whole or not glomeruli + decoys:
        return host
    canvas = paste.Canvas(stain.optical_density(host.image), host.label > 0, ~host.valid)
    label = host.label.copy()
    for number in range(decoys + glomeruli):
        donor = whole[int(rng.integers(len(whole)))]
        cut = _cut(donor)
        diameter = paste.equivalent_diameter_px(donor.mask) * float(np.exp(rng.uniform(-0.14, 0.14)))
        piece = _plain(rng, cut, [*sources, _Source(host, towards)]) if number < decoys else cut
        if piece is None or diameter > _LARGEST * min(label.shape):
            continue
        moved = stain.transfer(piece.density, piece.tissue, towards)
        patch = paste.shrink(rng, moved, piece.mask, diameter, piece.valid)
        before = canvas.label.copy()
        paste.blend(rng, canvas, patch[..., :3], patch[..., 3] >= 0.5, patch[..., 4], glomerulus=number >= decoys)
        label[canvas.label & ~before] = donor.kind
    return Labelled(np.rint(stain.to_rgb(canvas.density)).astype(np.uint8), label, ~canvas.ignore)


def _tissue(labelled: Labelled) -> Floats | None:
    """Return the mean optical density of tissue around glomeruli, None where there is hardly any tissue."""
    density = stain.optical_density(labelled.image[::4, ::4])
    where = (labelled.valid & (labelled.label == 0))[::4, ::4]
    if (where & (density.mean(axis=-1) > stain.GLASS_OD)).mean() < _TISSUE_SHARE:
        return None
    return np.maximum(stain.mean_density(density, where), np.float32(0.02))


def _whole_objects(source: _Source) -> list[_Object]:
    """Return the objects of an image that none of its borders cuts."""
    objects = []
    label = source.labelled.label
    height, width = label.shape
    for kind in np.unique(label[label > 0]):
        numbers, _ = ndimage.label(label == kind)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            mask = numbers[rows, columns] == number
            inside = rows.start > 0 and columns.start > 0 and rows.stop < height and columns.stop < width
            if inside and mask.sum() >= SMALLEST_PX:
                objects.append(_Object(source, rows, columns, mask, int(kind)))
    return objects


def _cut(item: _Object) -> _Piece:
    """Cut an object out in a square, with a rim of what lies around it: valid where no other object is."""
    high, wide = item.mask.shape
    side = round(max(high, wide) * (1 + 2 * RIM)) + 2
    top, left = item.rows.start - (side - high) // 2, item.columns.start - (side - wide) // 2
    labelled = item.source.labelled
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[(side - high) // 2 :, (side - wide) // 2 :][:high, :wide] = item.mask
    rows = np.arange(top, top + side)[:, None].clip(0, labelled.label.shape[0] - 1)
    columns = np.arange(left, left + side)[None].clip(0, labelled.label.shape[1] - 1)
    outside = (rows != np.arange(top, top + side)[:, None]) | (columns != np.arange(left, left + side)[None])
    valid = labelled.valid[rows, columns] & ~outside & ((labelled.label[rows, columns] == 0) | mask)
    return _Piece(stain.optical_density(labelled.image[rows, columns]), item.source.tissue, mask, valid)


def _plain(rng: Random, piece: _Piece, sources: Sequence[_Source]) -> _Piece | None:
    """Return `piece` with plain tissue of any source in it, None where none was found."""
    side = len(piece.mask)
    for _ in range(_TRIES):
        source = sources[int(rng.integers(len(sources)))]
        height, width = source.labelled.label.shape
        if side > min(height, width):
            continue
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        where = np.s_[top : top + side, left : left + side]
        if source.labelled.label[where].any() or not source.labelled.valid[where].all():
            continue
        density = stain.optical_density(source.labelled.image[where])
        if float((density[::4, ::4].mean(axis=-1) < stain.GLASS_OD).mean()) < 0.5:
            return replace(piece, density=density, tissue=source.tissue, valid=np.ones_like(piece.mask))
    return None
