"""Made-up data in the layout of the KPIs 2024 challenge."""

from pathlib import Path

import numpy as np
from PIL import Image

MPP_40X = 0.2395
PINK, PURPLE = (225, 170, 205), (120, 60, 140)
RADIUS_UM = 5.0


def write_kpis_patches(
    root: Path, *, groups: tuple[str, ...] = ("56Nx", "DN", "NEP25"), patches: int = 4, size: int = 256, seed: int = 0
) -> Path:
    """Write JPEG patches with discs of 5 um radius: 2 cases a group to train, 1 each to validate and to test.

    Every fourth patch is empty. The first training patch of each case is padded with white at its right quarter. Cases
    are spelled with `_` or `-`, and the validation folder says `56NX`.
    """
    rng = np.random.default_rng(seed)
    number = 0
    for part, count in (("train", 2), ("validation", 1), ("test", 1)):
        for group in groups:
            for _ in range(count):
                number += 1
                case = f"{12 + number}{'-_'[number % 2]}{100 + number}"
                spelled = "56NX" if (part, group) == ("validation", "56Nx") else group
                folder = root / "Task1_patch_level" / part / spelled / case
                (folder / "img").mkdir(parents=True)
                (folder / "mask").mkdir()
                for index in range(patches):
                    image, mask = _patch(rng, size, RADIUS_UM / MPP_40X, 0 if index % 4 == 3 else 1 + index % 2)
                    if part == "train" and index == 0:
                        image[:, 3 * size // 4 :] = 255
                        mask[:, 3 * size // 4 :] = 255
                    name = f"{case}_{index}_{1024 * index}_{2048 * number}"
                    Image.fromarray(image).save(folder / "img" / f"{name}_img.jpg", quality=90)
                    Image.fromarray(mask).save(folder / "mask" / f"{name}_mask.jpg", quality=75)
    return root


def _patch(rng: np.random.Generator, size: int, radius: float, discs: int) -> tuple[np.ndarray, np.ndarray]:
    """Paint tissue with discs that lie whole in the left three quarters: an image and a mask of 0 and 255."""
    y, x = np.mgrid[:size, :size] + 0.5
    inside = np.zeros((size, size), np.bool_)
    for _ in range(discs):
        cx = rng.uniform(radius + 2, 0.7 * size - radius - 2) if radius < 0.34 * size else 0.35 * size
        inside |= (x - cx) ** 2 + (y - rng.uniform(radius + 2, size - radius - 2)) ** 2 < radius**2
    image = np.where(inside[..., None], PURPLE, PINK) + rng.normal(0, 8, (size, size, 3))
    return np.clip(image, 0, 255).astype(np.uint8), inside.astype(np.uint8) * 255
