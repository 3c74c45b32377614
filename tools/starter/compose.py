"""Make training images: tissue at any scale, glomeruli pasted in at their own, then everything a scanner may do.

One image is composed of (1) a mosaic of tile tissue, its stain moved to that of a slide of the crops; (2) glomerulus
crops of that slide, pasted with soft seams; (3) plain tissue pasted in the same way, so that a seam is no sign of a
glomerulus; (4) colour, blur, resampling, noise and JPEG. Each step takes a numpy Generator and nothing else is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image
from scipy import ndimage

from glomseg.geometry import Bools, Bytes
from glomseg.training.arrays import Floats, Random
from glomseg.training.augment import paste, recolour, stain
from tools.starter import shapes
from tools.starter.aidpath import CROP_PX, TILE_UM_PX, Crop, Part, Tile
from tools.starter.degrade import degrade

PYRAMID_UM_PX = (0.5, 1.0, 1.5, 2.2, 3.2)
TRUSTED_UM_PX = (2.1, 4.6)
"""Reading resolutions at which a tile's own glomeruli are near the size that the network is to find."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How images are composed. Sizes in px at the network's input.

    A tile's glomerulus of which the mosaic shows less than `sliver_share` of a whole one is not learned from. A
    sclerosed glomerulus, which is easily mistaken for other dense matter, is drawn less often than others.

    Shares that are 0 for PAS of human tissue alone: `recolour_share` of the images are shown in another stain, of the
    families of `recolour.FAMILIES` as often as `family_shares` says;
    `rodent_share` are tissue magnified to `rodent_um_px`, in which glomeruli have few and large cells; `organ_share`
    are of other organs, where the composer has any. In `gap_share` the spaces inside glomeruli are whitened.
    """

    size_px: int = 192
    diameter_px: float = 64.0
    object_scale: tuple[float, float] = (0.5, 1.5)
    tissue_um_px: tuple[float, float] = (0.8, 4.6)
    empty_um_px: tuple[float, float] = (0.7, 4.6)
    near_share: float = 0.3
    empty_share: float = 0.25
    max_glomeruli: int = 3
    max_decoys: int = 3
    colour: float = 1.0
    sliver_share: float = 0.4
    sclerotic_weight: float = 0.35
    coarse_share: float = 0.2
    recolour_share: float = 0.0
    family_shares: tuple[float, ...] = (0.2, 0.3, 0.2, 0.3)
    rodent_share: float = 0.0
    rodent_um_px: tuple[float, float] = (0.9, 1.9)
    organ_share: float = 0.0
    gap_share: float = 0.0


ALL_STAINS = Recipe(size_px=256, recolour_share=0.5, rodent_share=0.1, organ_share=0.05, gap_share=0.2)
"""For a network that is to read other stains and rodents too."""
HARDER = replace(ALL_STAINS, sclerotic_weight=1.0, recolour_share=0.7, rodent_share=0.2, gap_share=0.3)
"""The same with more of what such a network misses: sclerosed and pale tufts, other stains, rodents."""
MARGIN_PX = 6
"""Around a glomerulus that is shown too large, nothing is learned either."""


def _of_rodents(recipe: Recipe) -> Recipe:
    """Return the recipe of a field of a rodent: as often empty as not, glomeruli of few and large cells."""
    return replace(
        recipe,
        tissue_um_px=recipe.rodent_um_px,
        empty_um_px=recipe.rodent_um_px,
        near_share=0.0,
        empty_share=0.45,
        coarse_share=0.7,
        object_scale=(0.7, 1.4),
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """One training image: image (S, S, 3) uint8, label (S, S), and weight (S, S), 0 where no label is to be trusted."""

    image: Bytes
    label: Bools
    weight: Bools


@dataclass(frozen=True, slots=True)
class Level:
    """A tile at one reading resolution: pixels (H, W, 5): optical density, label and ignore as 0..1."""

    um_px: float
    pixels: Floats


def _log_uniform(rng: Random, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _resize(channel: Floats, size: tuple[int, int]) -> Floats:
    """Resample one float channel to (width, height) with antialiasing."""
    image = Image.fromarray(np.ascontiguousarray(channel), mode="F")
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _resize_all(pixels: Floats, size: tuple[int, int]) -> Floats:
    return np.stack([_resize(pixels[..., i], size) for i in range(pixels.shape[-1])], axis=-1)


def _levels(tile: Tile) -> tuple[Level, ...]:
    pixels = np.concatenate(
        [
            tile.image.astype(np.float32),
            tile.label[..., None].astype(np.float32),
            tile.ignore[..., None].astype(np.float32),
        ],
        axis=-1,
    )
    height, width = tile.label.shape
    levels = []
    for um_px in PYRAMID_UM_PX:
        scale = TILE_UM_PX / um_px
        shrunk = _resize_all(pixels, (round(width * scale), round(height * scale)))
        rgb = np.clip(shrunk[..., :3], 1, 255)
        shrunk[..., :3] = -np.log(rgb / 255.0)
        levels.append(Level(um_px, shrunk))
    return tuple(levels)


def _turned(rng: Random, pixels: Floats) -> Floats:
    pixels = np.rot90(pixels, int(rng.integers(4)))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


class Composer:
    """Compose training images from the tiles and crops of one part of a split."""

    def __init__(self, part: Part, recipe: Recipe | None = None, organs: Sequence[Tile] = ()) -> None:
        """Prepare pyramids and stain statistics once; `organs` are tissue without glomeruli, of any stain."""
        self.recipe = recipe or Recipe()
        self._organs = [_levels(tile) for tile in organs]
        self._tiles = [_levels(tile) for tile in part.tiles]
        self._slides = sorted({crop.slide for crop in part.crops})
        self._crops = {slide: [c for c in part.crops if c.slide == slide] for slide in self._slides}
        self._densities = slide_densities(part.crops)
        self._tissue = tissue_density(part.tiles)

    def sample(self, rng: Random) -> Sample:
        """Return one training image."""
        recipe = self.recipe
        kind = rng.random() if recipe.organ_share + recipe.rodent_share else 0.5
        if kind < recipe.organ_share and self._organs:
            return self._other_organ(rng)
        if kind > 1 - recipe.rodent_share:
            recipe = _of_rodents(recipe)
        empty = rng.random() < recipe.empty_share
        low, high = recipe.empty_um_px if empty else recipe.tissue_um_px
        near = rng.random() < recipe.near_share
        um_px = _log_uniform(rng, 2.4, 3.6) if near else _log_uniform(rng, low, high)
        canvas = self._mosaic(rng, recipe.size_px, um_px)
        slide = self._draw_slide(rng)
        target = self._densities[slide] * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
        follow = rng.random() < 0.75
        if follow:
            power = float(np.exp(rng.normal(0, 0.12)))
            canvas.density = stain.transfer(canvas.density, self._tissue, target, power)
        scale = _log_uniform(rng, 0.8, 1.2)
        for _ in range(int(rng.integers(recipe.max_decoys + 1))):
            self._paste_tissue(rng, canvas, um_px, target if follow else self._tissue, scale)
        if not empty:
            for _ in range(int(rng.integers(1, recipe.max_glomeruli + 1))):
                crop = self._draw_crop(rng, slide)
                self._paste_crop(rng, canvas, crop, scale, recipe, None if follow else self._tissue)
        if recipe.gap_share and rng.random() < recipe.gap_share:
            canvas.density = recolour.whiten_spaces(rng, canvas.density, canvas.label)
        if recipe.recolour_share and rng.random() < recipe.recolour_share:
            self._recolour(rng, canvas)
        if rng.random() < 0.15:
            shapes.cut_glass(rng, canvas)
        image = degrade(rng, canvas.density, recipe.colour)
        return Sample(image, canvas.label, ~canvas.ignore)

    def _recolour(self, rng: Random, canvas: paste.Canvas) -> None:
        family = recolour.FAMILIES[int(rng.choice(len(recolour.FAMILIES), p=self.recipe.family_shares))]
        canvas.density = recolour.recolour(rng, canvas.density, canvas.label, family)

    def _other_organ(self, rng: Random) -> Sample:
        """Return tissue of other organs at any magnification, some of it in other colours; nothing to find in it."""
        size = self.recipe.size_px
        canvas = self._mosaic(rng, size, _log_uniform(rng, 0.5, 2.5), self._organs)
        canvas.density = canvas.density * np.exp(rng.normal(0, 0.2)).astype(np.float32)
        if rng.random() < 0.4:
            self._recolour(rng, canvas)
        image = degrade(rng, canvas.density, self.recipe.colour)
        return Sample(image, np.zeros((size, size), np.bool_), np.ones((size, size), np.bool_))

    def _draw_slide(self, rng: Random) -> str:
        """Draw a slide; one of many glomeruli more often, but less so than their number."""
        weights = np.sqrt([sum(self._weight(crop) for crop in self._crops[slide]) for slide in self._slides])
        return str(rng.choice(self._slides, p=weights / weights.sum()))

    def _draw_crop(self, rng: Random, slide: str) -> Crop:
        crops = self._crops[slide]
        weights = np.array([self._weight(crop) for crop in crops])
        return crops[int(rng.choice(len(crops), p=weights / weights.sum()))]

    def _weight(self, crop: Crop) -> float:
        return self.recipe.sclerotic_weight if crop.sclerotic else 1.0

    def _mosaic(
        self, rng: Random, size: int, um_px: float, tiles: Sequence[tuple[Level, ...]] | None = None
    ) -> paste.Canvas:
        """Cover a square with pieces of tiles at one resolution, feathered into each other."""
        pixels = np.zeros((size, size, 5), dtype=np.float32)
        cell = int(min(size, max(48, rng.uniform(0.7, 1.0) * 1024 * TILE_UM_PX / um_px)))
        feather = int(rng.integers(1, 9))
        start_y, start_x = -rng.integers(0, cell, 2)
        for top in range(start_y, size, cell):
            for left in range(start_x, size, cell):
                piece = self._piece(rng, cell + feather, um_px, tiles or self._tiles)
                _lay(pixels, piece, top, left, feather)
        label = pixels[..., 3] >= 0.5
        ignore = pixels[..., 4] >= 0.5
        if not TRUSTED_UM_PX[0] <= um_px <= TRUSTED_UM_PX[1]:
            ignore |= ndimage.binary_dilation(label, iterations=MARGIN_PX)
            label = np.zeros_like(label)
        slivers = _smaller_than(label, self.recipe.sliver_share * np.pi / 4 * self.recipe.diameter_px**2)
        ignore, label = ignore | slivers, label & ~slivers
        return paste.Canvas(pixels[..., :3], label, ignore)

    def _piece(
        self, rng: Random, size: int, um_px: float, tiles: Sequence[tuple[Level, ...]], *, plain: bool = False
    ) -> Floats:
        """Cut a square of (size, size, 5) from a tile at about `um_px`; `plain` looks for one without glomeruli."""
        for _ in range(6):
            levels = tiles[int(rng.integers(len(tiles)))]
            level = max((lv for lv in levels if lv.um_px <= um_px), key=lambda lv: lv.um_px, default=levels[0])
            height, width = level.pixels.shape[:2]
            side = min(height, width, round(size * um_px / level.um_px))
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            cut = level.pixels[top : top + side, left : left + side]
            glass = float((cut[::4, ::4, :3].mean(axis=-1) < stain.GLASS_OD).mean())
            if (not plain or not cut[..., 3:].any()) and glass < rng.uniform(0.05, 0.9):
                break
        return _turned(rng, _resize_all(cut, (size, size)))

    def _paste_tissue(self, rng: Random, canvas: paste.Canvas, um_px: float, target: Floats, scale: float) -> None:
        """Paste plain tissue in the shape of a glomerulus; it is labelled as tissue."""
        recipe = self.recipe
        crop = self._draw_crop(rng, self._draw_slide(rng))
        diameter = recipe.diameter_px * scale * _log_uniform(rng, *recipe.object_scale)
        shape = paste.shrink(rng, np.zeros((CROP_PX, CROP_PX, 3), np.float32), crop.mask, diameter)
        low, high = (
            min(1.5, recipe.tissue_um_px[1]),
            recipe.tissue_um_px[1],
        )  # closer, cells look like a mouse's glomerulus
        own = max(low, um_px) if rng.random() < 0.5 else _log_uniform(rng, low, high)
        piece = self._piece(rng, max(shape.shape[:2]), own, self._tiles, plain=True)[: shape.shape[0], : shape.shape[1]]
        if piece[..., 3:].any():
            return
        density = stain.transfer(piece[..., :3], self._tissue, target)
        if rng.random() < 0.4:
            density = density * np.exp(rng.normal(0, 0.2, 3)).astype(np.float32)
        if rng.random() < 0.25:
            density = shapes.with_gap(rng, density, shape[..., 3] >= 0.5)
        paste.blend(rng, canvas, density, shape[..., 3] >= 0.5, shape[..., 4], glomerulus=False)

    def _paste_crop(
        self, rng: Random, canvas: paste.Canvas, crop: Crop, scale: float, recipe: Recipe, towards: Floats | None
    ) -> None:
        """Paste a glomerulus at the network's size; `towards` moves its stain to that of the tissue."""
        density, mask = stain.optical_density(crop.image), crop.mask
        if towards is not None:
            density = stain.transfer(density, self._densities[crop.slide], towards)
        if rng.random() < recipe.coarse_share:
            density, mask = shapes.coarse(rng, density, mask)
        diameter = recipe.diameter_px * np.clip(scale * _log_uniform(rng, 0.6, 1.4), *recipe.object_scale)
        patch = paste.shrink(rng, density, mask, diameter)
        paste.blend(rng, canvas, patch[..., :3], patch[..., 3] >= 0.5, patch[..., 4], glomerulus=True)


def _smaller_than(mask: Bools, area_px: float) -> Bools:
    """Return the regions of `mask` of less than `area_px`: pieces of glomeruli that nobody could tell."""
    labels, _ = ndimage.label(mask)
    small = np.bincount(labels.ravel()) < area_px
    small[0] = False
    found: Bools = small[labels]
    return found


def _lay(pixels: Floats, piece: Floats, top: int, left: int, feather: int) -> None:
    """Lay `piece` on `pixels` in place, its upper and left margins faded in over what is there."""
    size = pixels.shape[0]
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + piece.shape[0], size), min(left + piece.shape[1], size)
    if y1 <= y0 or x1 <= x0:
        return
    fade_y = np.ones(piece.shape[0], np.float32)
    fade_x = np.ones(piece.shape[1], np.float32)
    ramp = (np.arange(feather, dtype=np.float32) + 1) / (feather + 1)
    if top > 0:
        fade_y[:feather] = ramp
    if left > 0:
        fade_x[:feather] = ramp
    alpha = (fade_y[:, None] * fade_x[None, :])[y0 - top : y1 - top, x0 - left : x1 - left, None]
    view = pixels[y0:y1, x0:x1]
    view += alpha * (piece[y0 - top : y1 - top, x0 - left : x1 - left] - view)


def slide_densities(crops: tuple[Crop, ...]) -> dict[str, Floats]:
    """Return slide -> mean optical density of what lies around its glomeruli, from the rims of its crops."""
    rims: dict[str, list[Floats]] = {}
    for crop in crops:
        rims.setdefault(crop.slide, []).append(stain.mean_density(stain.optical_density(crop.image), ~crop.mask))
    return {slide: np.median(np.stack(values), axis=0).astype(np.float32) for slide, values in rims.items()}


def tissue_density(tiles: tuple[Tile, ...]) -> Floats:
    """Return the mean optical density of the tissue of `tiles` outside glomeruli."""
    means = [stain.mean_density(stain.optical_density(tile.image[::4, ::4]), ~tile.label[::4, ::4]) for tile in tiles]
    mean: Floats = np.mean(means, axis=0, dtype=np.float32)
    return mean
