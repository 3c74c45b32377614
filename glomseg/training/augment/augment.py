"""Change batches at random, on the device that holds them: shape, stain, light, sharpness, JPEG and noise.

kornia does what it has; the jitter of stains is ours. One resampling does rotation, scale and elastic together, so
that nothing is softened twice. The seed decides everything, and no global random state is read or changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from kornia.enhance import jpeg_codec_differentiable
from kornia.filters import gaussian_blur2d
from kornia.geometry import create_meshgrid, get_affine_matrix2d, remap, rescale, resize
from torch import Tensor

from glomseg.errors import TrainingError
from glomseg.study.pas import STANDARD

Range = tuple[float, float]
Batch = tuple[Tensor, Tensor, Tensor]
StainSet = Literal["H-E-DAB", "H-PAS", "none"]

RUIFROK = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))
"""Optical densities of haematoxylin, eosin and DAB in red, green and blue: Ruifrok and Johnston 2001 (Anal Quant Cytol
Histol 23:291), as in scikit-image's `rgb_from_hed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How much is changed. Lengths in px of the batch; a `_share` is the share of images that something happens to.

    rotation_deg: turned by up to this to either side; `flip` mirrors half the images, each way. `scale`: how much
    larger things get. `elastic_px`: the usual shift of a point, of a field with a knot every `elastic_grid_px`.
    `stain_strength`: the standard deviation of the logarithm of each stain's amount; a third of it for what no stain
    explains. `brightness` and `contrast`: up to this share more or less. `soften`: read coarser by this factor and
    enlarged again. `blur`: sigma. `jpeg`: quality, 1..100. `noise`: standard deviation, of 0..1.
    """

    flip: bool = True
    rotation_deg: float = 180.0
    scale: Range = (0.8, 1.25)
    elastic_px: float = 3.0
    elastic_grid_px: int = 48
    stain: StainSet = "H-PAS"
    stain_strength: float = 0.2
    brightness: float = 0.1
    contrast: float = 0.15
    blur: Range = (0.3, 1.5)
    blur_share: float = 0.3
    soften: Range = (1.2, 2.5)
    soften_share: float = 0.2
    jpeg: Range = (30.0, 95.0)
    jpeg_share: float = 0.4
    noise: Range = (0.005, 0.025)
    noise_share: float = 0.3

    @classmethod
    def none(cls) -> AugmentConfig:
        """Return the settings that change nothing."""
        return cls(
            flip=False, rotation_deg=0.0, scale=(1.0, 1.0), elastic_px=0.0, stain="none", brightness=0.0,
            contrast=0.0, blur_share=0.0, soften_share=0.0, jpeg_share=0.0, noise_share=0.0,
        )  # fmt: skip


class Augment:
    """Change batches as the config says."""

    def __init__(self, config: AugmentConfig) -> None:
        """Check the config; raises TrainingError for a value that makes no sense."""
        _check(config)
        self.config = config
        self._stains = _stain_matrix(config.stain)

    def __call__(self, images: Tensor, labels: Tensor, weights: Tensor, *, seed: int) -> Batch:
        """Return changed images (N, 3, H, W) of 0..1, labels (N, K, H, W) and weights (N, 1, H, W) of 0 or 1.

        What comes from outside of an image is mirrored tissue of weight 0.
        """
        return self.with_objects(images, labels, weights, None, seed=seed)[0]

    def with_objects(
        self, images: Tensor, labels: Tensor, weights: Tensor, objects: Tensor | None, *, seed: int
    ) -> tuple[Batch, Tensor | None]:
        """Change numbered objects (N, H + 2R, W + 2R) in the same way, which show R more of what lies around."""
        config = self.config
        draw = _Draw(seed, len(images), images.device)
        if config.flip:
            images, labels, weights, objects = _flipped(draw, (images, labels, weights), objects)
        if config.rotation_deg or config.elastic_px or tuple(config.scale) != (1.0, 1.0):
            (images, labels, weights), objects = self._warped(draw, (images, labels, weights), objects)
        if self._stains is not None and config.stain_strength:
            images = self._stained(draw, images)
        if config.brightness or config.contrast:
            images = self._lit(draw, images)
        for share, change in (
            (config.soften_share, self._softened),
            (config.blur_share, self._blurred),
            (config.noise_share, self._noisy),
            (config.jpeg_share, self._encoded),
        ):
            indices = draw.choose(share)
            if len(indices):
                images = images.index_copy(0, indices, change(draw, images[indices]))
        return (images, labels, weights), objects

    def _warped(self, draw: _Draw, batch: Batch, objects: Tensor | None) -> tuple[Batch, Tensor | None]:
        """Turn, scale and bend in one resampling; labels, weights and objects take the nearest pixel."""
        images, labels, weights = batch
        count, _, height, width = images.shape
        config = self.config
        angle = draw.uniform(-config.rotation_deg, config.rotation_deg)
        scale = 1 / draw.log_uniform(*config.scale)
        centre = torch.tensor([[(width - 1) / 2, (height - 1) / 2]], device=images.device).expand(count, 2)
        matrix = get_affine_matrix2d(torch.zeros_like(centre), centre, torch.stack([scale, scale], 1), angle)
        source = _moved(matrix, height, width)
        bend = None
        if config.elastic_px:
            knots = [max(2, round(side / config.elastic_grid_px) + 1) for side in (height, width)]
            bend = _smooth(draw.normal(2, *knots) * config.elastic_px, (height, width))
            source = source + bend.permute(0, 2, 3, 1)
        x, y = source[..., 0].contiguous(), source[..., 1].contiguous()
        images = remap(images, x, y, "bilinear", "reflection", align_corners=True)
        hard = remap(torch.cat([labels, weights], 1), x, y, "nearest", "zeros", align_corners=True)
        if objects is not None:
            reach = (objects.shape[1] - height) // 2
            around = _moved(matrix, height, width, reach)
            if bend is not None:
                around = around + F.pad(bend, (reach,) * 4, mode="replicate").permute(0, 2, 3, 1)
            x, y = (around[..., axis].contiguous() for axis in (0, 1))
            objects = remap(objects.float()[:, None], x, y, "nearest", "zeros", align_corners=True)[:, 0]
        return (images.clamp(0, 1), hard[:, :-1], hard[:, -1:]), objects

    def _stained(self, draw: _Draw, images: Tensor) -> Tensor:
        """Change the amount of each stain in optical density; white, which has none, stays white."""
        assert self._stains is not None
        stains = self._stains.to(images.device)
        spread = torch.full((len(stains),), self.config.stain_strength, device=images.device)
        if self.config.stain == "H-PAS":
            spread[2] /= 3
        gains = torch.exp(draw.normal(3) * spread)
        mix = torch.linalg.inv(stains) @ (gains[:, :, None] * stains)
        density = -torch.log(images.clamp(min=1 / 255))
        changed = torch.einsum("nchw,ncd->ndhw", density, mix)
        return torch.exp(-changed.clamp(min=0))

    def _lit(self, draw: _Draw, images: Tensor) -> Tensor:
        """Change contrast around each image's mean, then brightness."""
        contrast = 1 + draw.uniform(-self.config.contrast, self.config.contrast)[:, None, None, None]
        brightness = 1 + draw.uniform(-self.config.brightness, self.config.brightness)[:, None, None, None]
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        return ((mean + (images - mean) * contrast) * brightness).clamp(0, 1)

    def _softened(self, draw: _Draw, images: Tensor) -> Tensor:
        size = (images.shape[2], images.shape[3])
        factors = draw.log_uniform(*self.config.soften, count=len(images)).tolist()
        small = [rescale(one[None], 1 / f, "bilinear", antialias=True) for one, f in zip(images, factors, strict=True)]
        return torch.cat([resize(one, size, "bicubic") for one in small]).clamp(0, 1)

    def _blurred(self, draw: _Draw, images: Tensor) -> Tensor:
        sigma = draw.uniform(*self.config.blur, count=len(images))
        side = 2 * round(3 * self.config.blur[1]) + 1
        return gaussian_blur2d(images, side, torch.stack([sigma, sigma], 1))

    def _noisy(self, draw: _Draw, images: Tensor) -> Tensor:
        spread = draw.uniform(*self.config.noise, count=len(images))[:, None, None, None]
        return (images + spread * draw.field(images.shape)).clamp(0, 1)

    def _encoded(self, draw: _Draw, images: Tensor) -> Tensor:
        return jpeg_codec_differentiable(images, draw.uniform(*self.config.jpeg, count=len(images))).clamp(0, 1)


class _Draw:
    """Random numbers for one batch, from its seed alone: the same on every device, but for fields of pixels."""

    def __init__(self, seed: int, count: int, device: torch.device) -> None:
        self._host = torch.Generator().manual_seed(seed)
        self._count = count
        self._device = device

    def uniform(self, low: float, high: float, *, count: int | None = None) -> Tensor:
        drawn = torch.rand(self._count if count is None else count, generator=self._host)
        return (low + (high - low) * drawn).to(self._device)

    def log_uniform(self, low: float, high: float, *, count: int | None = None) -> Tensor:
        drawn = torch.rand(self._count if count is None else count, generator=self._host)
        return (low * (high / low) ** drawn).to(self._device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self._count, *shape, generator=self._host).to(self._device)

    def choose(self, share: float) -> Tensor:
        """Return the numbers of about `share` of the images."""
        return torch.nonzero(torch.rand(self._count, generator=self._host) < share)[:, 0].to(self._device)

    def field(self, shape: torch.Size) -> Tensor:
        """Return normal noise, drawn where it is used: too large to be moved."""
        seed = int(torch.randint(2**31, (1,), generator=self._host))
        return torch.randn(shape, generator=torch.Generator(self._device).manual_seed(seed), device=self._device)


def _moved(matrix: Tensor, height: int, width: int, reach: int = 0) -> Tensor:
    """Return where each pixel (N, height + 2 reach, width + 2 reach, 2) of a changed image comes from, as (x, y).

    Both are counted from the first pixel, which lies by `reach` before that of the image.
    """
    grid = create_meshgrid(height + 2 * reach, width + 2 * reach, False, matrix.device).reshape(1, -1, 2) - reach
    source = grid @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2] + reach
    return source.reshape(len(matrix), height + 2 * reach, width + 2 * reach, 2)


def _flipped(draw: _Draw, batch: Batch, objects: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    for axis in (2, 3):
        which = draw.choose(0.5)
        if len(which):
            images, labels, weights = (part.index_copy(0, which, part[which].flip(axis)) for part in batch)
            batch = images, labels, weights
            if objects is not None:
                objects = objects.index_copy(0, which, objects[which].flip(axis - 1))
    return *batch, objects


def _smooth(knots: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a smooth field through `knots` (N, 2, h, w): cubic to a quarter of the size, which saves time."""
    quarter = (max(2, size[0] // 4), max(2, size[1] // 4))
    cubic = resize(knots, quarter, "bicubic", align_corners=True)
    return resize(cubic, size, "bilinear", align_corners=True)


def _stain_matrix(name: StainSet) -> Tensor | None:
    """Return stains as rows of length 1; the third of H-PAS stands upright on the two."""
    if name == "none":
        return None
    if name == "H-E-DAB":
        rows = torch.tensor(RUIFROK)
    else:
        stains = torch.tensor([STANDARD.haematoxylin, STANDARD.pas])
        rows = torch.cat([stains, torch.linalg.cross(stains[0], stains[1])[None]])
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return unit


def _check(config: AugmentConfig) -> None:
    """Raise TrainingError for the first value out of its range."""
    limits: dict[str, Range] = {
        "rotation_deg": (0, 360), "elastic_px": (0, config.elastic_grid_px / 3), "elastic_grid_px": (4, math.inf),
        "stain_strength": (0, 1), "brightness": (0, 0.9), "contrast": (0, 0.9), "blur_share": (0, 1),
        "soften_share": (0, 1), "jpeg_share": (0, 1), "noise_share": (0, 1),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        if not low <= value <= high:
            raise TrainingError(f"augmentation: {name} is {value:g}; give a number from {low:g} to {high:g}")
    pairs: dict[str, Range] = {
        "scale": (0.1, 10),
        "blur": (0.1, 20),
        "soften": (1, 20),
        "jpeg": (1, 100),
        "noise": (0, 1),
    }
    for name, (low, high) in pairs.items():
        first, last = getattr(config, name)
        if not low <= first <= last <= high:
            given = f"augmentation: {name} is ({first:g}, {last:g})"
            raise TrainingError(f"{given}; give two numbers, low to high, from {low:g} to {high:g}")
    if config.stain not in ("H-E-DAB", "H-PAS", "none"):
        raise TrainingError(f"augmentation: stain is {config.stain!r}; give H-E-DAB, H-PAS or none")
