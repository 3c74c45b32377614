"""Made-up tissue: discs are glomeruli; small dots and long streaks of their colour are not, nor is glass."""

from pathlib import Path

import numpy as np
from PIL import Image

UM_PX = 4.0
PINK, PURPLE, WHITE = (225, 170, 205), (130, 70, 150), (245, 245, 245)


def field_of(rng, size=192, discs=2):
    """Paint one field: image and mask."""
    y, x = np.mgrid[:size, :size] + 0.5
    dark = np.zeros((size, size), bool)
    for _ in range(14):
        cx, cy = rng.uniform(0, size, 2)
        dark |= (x - cx) ** 2 + (y - cy) ** 2 < rng.uniform(3, 6) ** 2
    cx, angle = rng.uniform(0, size), rng.uniform(-0.5, 0.5)
    dark |= abs((x - cx) + angle * (y - size / 2)) < rng.uniform(3, 5)
    mask = np.zeros((size, size), bool)
    places = []
    while len(places) < discs:
        place, radius = rng.uniform(30, size - 30, 2), rng.uniform(20, 26)
        if all(np.hypot(*(place - other)) > 60 for other in places):
            places.append(place)
            mask |= (x - place[0]) ** 2 + (y - place[1]) ** 2 < radius**2
    image = np.where((dark | mask)[..., None], PURPLE, PINK).astype(float)
    if rng.random() < 0.4:
        glass = (x < rng.uniform(0, 30)) & ~mask
        image[glass] = WHITE
    image += rng.normal(0, 3, 3) + rng.normal(0, 10, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_fields(folder: Path, *, slides=8, fields=3, size=192, seed=0, unlabelled=()):
    """Write fields of some slides as QuPath names its tiles, every third without a glomerulus.

    On slides of the numbers `unlabelled` nobody drew the discs.
    """
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for slide in range(slides):
        for i in range(fields):
            image, mask = field_of(rng, size, discs=0 if i % 3 == 2 else 2)
            name = f"slide {slide} [x={size * i},y=0,w={size},h={size}].png"
            Image.fromarray(image).save(folder / "images" / name)
            drawn = mask & (slide not in unlabelled)
            Image.fromarray(drawn.astype(np.uint8) * 255).save(folder / "masks" / name)
    return folder
