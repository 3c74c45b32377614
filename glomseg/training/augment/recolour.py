"""Show PAS tissue in the stains of other laboratories: nuclei and PAS unmixed, and put together with other colours.

What a stain marks is only approximated: PAS tells basement membranes and mesangium (its strong half) from cytoplasm
(its weak half), which H&E shows alike, trichrome in two colours, and silver as black on a pale counterstain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from glomseg.geometry import Bools
from glomseg.study.pas import STANDARD
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment import stain

StainFamily = Literal["PAS", "H&E", "trichrome", "silver"]
FAMILIES: tuple[StainFamily, ...] = get_args(StainFamily)

Dye = tuple[float, float, float]
_EOSIN: tuple[Dye, ...] = ((0.07, 0.99, 0.11), (0.12, 0.88, 0.46), (0.25, 0.93, 0.27))
_COLLAGEN: tuple[Dye, ...] = ((0.80, 0.59, 0.11), (0.86, 0.28, 0.42), (0.90, 0.42, 0.15))
_FUCHSIN: tuple[Dye, ...] = ((0.10, 0.74, 0.67), (0.15, 0.93, 0.33), (0.30, 0.85, 0.43))
_COUNTERSTAIN: tuple[Dye, ...] = ((0.12, 0.88, 0.46), (0.86, 0.28, 0.42), (0.35, 0.58, 0.73), (0.45, 0.65, 0.61))
_SILVER: tuple[Dye, ...] = ((0.57, 0.58, 0.58), (0.50, 0.58, 0.64))
_HAEMATOXYLIN: tuple[Dye, ...] = ((0.65, 0.70, 0.29), (0.55, 0.76, 0.34), (0.74, 0.64, 0.21))
_DARK: tuple[Dye, ...] = ((0.62, 0.64, 0.45), (0.55, 0.66, 0.51))
_PAS: tuple[Dye, ...] = ((0.175, 0.972, 0.155), (0.12, 0.90, 0.41), (0.32, 0.92, 0.23))
"""Colours as optical densities in red, green and blue, of which one is drawn and shifted: Ruifrok and Johnston 2001 for
haematoxylin and eosin, ImageJ's Colour Deconvolution (Landini) for PAS and Masson's methyl blue and ponceau-fuchsin;
the others are estimates of what is seen with light green, orange eosin, toned silver and iron haematoxylin."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much lies where (H, W), 1 being what strong nuclei and strong PAS have: nuclei, and what PAS stains."""

    nuclei: Floats
    pas: Floats


def amounts(density: Floats) -> Amounts:
    """Unmix an optical density (H, W, 3) of PAS-stained tissue; what neither stain explains is left out."""
    rows = np.array([STANDARD.haematoxylin, STANDARD.pas])
    rows = np.vstack([rows, np.cross(rows[0], rows[1])])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    unmixed = np.maximum(density @ np.linalg.inv(rows).astype(np.float32), 0)
    tissue = density.mean(axis=-1) > stain.GLASS_OD
    nuclei, pas = (_scaled(unmixed[..., index], tissue) for index in (0, 1))
    return Amounts(nuclei, pas)


def recolour(rng: Random, density: Floats, glomeruli: Bools, family: StainFamily) -> Floats:
    """Return the optical density (H, W, 3) that the tissue may have in a stain of `family`.

    `glomeruli` (H, W) says where tufts are: some are paler than the tissue around them, or hold red cells.
    """
    part = amounts(density)
    soft = ndimage.gaussian_filter(glomeruli.astype(np.float32), 1.5)
    cells = part.nuclei ** rng.uniform(0.8, 1.8)
    pale = rng.uniform(0.35, 1.0) if rng.random() < 0.5 else 1.0
    weak = np.minimum(part.pas, 1.2) ** rng.uniform(0.5, 1.0) * (1 - (1 - pale) * soft)
    strong = _above(part.pas, rng.uniform(0.4, 0.75), rng.uniform(0.05, 0.15))
    if family == "H&E":
        made = _of(rng, _HAEMATOXYLIN, cells, 0.5, 1.6) + _of(rng, _EOSIN, weak, 0.35, 1.3)
    elif family == "trichrome":
        made = _of(rng, _DARK, cells, 0.4, 1.3) + _of(rng, _COLLAGEN, strong, 0.4, 1.3)
        made = made + _of(rng, _FUCHSIN, weak * (1 - 0.7 * np.minimum(strong, 1)), 0.3, 1.2)
        if rng.random() < 0.3:  # tufts of much matrix take the collagen's colour as a whole
            made = made + _of(rng, _COLLAGEN, weak * soft, 0.2, 0.6)
    elif family == "silver":
        made = _of(rng, _SILVER, strong, 0.6, 2.4) + _of(rng, _COUNTERSTAIN, weak, 0.15, 0.8)
        made = made + _of(rng, _HAEMATOXYLIN if rng.random() < 0.5 else _DARK, cells, 0.0, 0.8)
    else:
        pas = part.pas ** rng.uniform(0.8, 1.3) * (1 - (1 - pale) * 0.5 * soft)
        made = _of(rng, _HAEMATOXYLIN, cells, 0.4, 1.3) + _of(rng, _PAS, pas, 0.5, 1.6)
    if family in ("H&E", "trichrome") and rng.random() < 0.35:
        made = made + _red_cells(rng, soft, part.pas)
    result: Floats = made.astype(np.float32)
    return result


def whiten_spaces(rng: Random, density: Floats, glomeruli: Bools) -> Floats:
    """Make what is light inside glomeruli lighter, as a wide Bowman's space is in well fixed tissue."""
    if not glomeruli.any():
        return density
    depth = ndimage.gaussian_filter(density.mean(axis=-1), 0.7)
    half = float(np.median(depth[glomeruli])) * rng.uniform(0.6, 0.9)
    light = 1 - _above(depth, half, 0.15 * half + 1e-3, top=1.0)
    inside = ndimage.gaussian_filter(glomeruli.astype(np.float32), 0.7)
    whitened: Floats = density * (1 - rng.uniform(0.4, 0.95) * light * inside)[..., None]
    return whitened


def _scaled(amount: Floats, tissue: Bools) -> Floats:
    """Divide by what a strong pixel of the tissue has."""
    strong = max(float(np.percentile(amount[tissue], 97)), 0.05) if tissue.any() else 1.0
    scaled: Floats = amount / np.float32(strong)
    return scaled


def _above(values: Floats, level: float, width: float, *, top: float = 0.0) -> Floats:
    """Return a smooth step at `level`, up to `top`, or rising with the values where there is no top."""
    step = 1 / (1 + np.exp(np.clip((level - values) / width, -30, 30)))
    risen: Floats = step if top else step * np.minimum(values, 1.5)
    return risen


def _of(rng: Random, vectors: tuple[Dye, ...], amount: Floats, low: float, high: float) -> Floats:
    """Return a drawn strength of one of the colours, a little shifted, where `amount` is."""
    vector = np.array(vectors[int(rng.integers(len(vectors)))]) * np.exp(rng.normal(0, 0.12, 3))
    vector *= rng.uniform(low, high) * 1.6 / np.linalg.norm(vector)
    layer: Floats = amount[..., None] * vector.astype(np.float32)
    return layer


def _red_cells(rng: Random, inside: Floats, pas: Floats) -> Floats:
    """Return blobs of the colour of erythrocytes, in tufts and, fewer, elsewhere where tissue lets light through."""
    grain = ndimage.gaussian_filter(rng.standard_normal(inside.shape).astype(np.float32), rng.uniform(0.8, 1.6))
    grain /= max(float(grain.std()), 1e-6)
    wanted = rng.uniform(0.6, 1.6) + 1.2 * (1 - inside) * (rng.random() < 0.7)
    where = _above(grain - wanted, 0.0, 0.2, top=1.0) * (pas > 0.05)
    return _of(rng, ((0.10, 0.80, 0.58), (0.15, 0.93, 0.33)), where.astype(np.float32), 0.3, 0.9)
