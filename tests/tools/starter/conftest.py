"""A made-up data folder in the layout of the AIDPATH data."""

import numpy as np
import pytest
from PIL import Image
from support.painted import disc, painted


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    """10 tiles of 512 px with one purple disc each, 12 slides with 2 crops each."""
    folder = tmp_path_factory.mktemp("kidney")
    rng = np.random.default_rng(0)
    for part in ("tiles/images", "tiles/masks", "crops/masks", "crops/images/sclerotic", "crops/images/non_sclerotic"):
        (folder / part).mkdir(parents=True)
    for i in range(10):
        mask = disc(512, *rng.uniform(150, 360, 2), rng.uniform(80, 120))
        glass = np.zeros_like(mask)
        glass[: 40 * (i % 2)] = True
        Image.fromarray(painted(rng, mask, glass)).save(folder / "tiles/images" / f"{100 * i}.png")
        Image.fromarray(mask).save(folder / "tiles/masks" / f"{100 * i}.png")
    for slide in range(12):
        for i, kind in enumerate(("sclerotic", "non_sclerotic")):
            name = f"SAS_{slide}_001-{i}"
            mask = disc(224, 112, 112, 105)
            Image.fromarray(painted(rng, mask)).save(folder / "crops/images" / kind / f"{name}.jpg", quality=95)
            Image.fromarray(mask).save(folder / "crops/masks" / f"{name}.png")
    return folder


@pytest.fixture(scope="session")
def organs(tmp_path_factory):
    """Two tiles of other tissue, and a thumbnail that is not one."""
    folder = tmp_path_factory.mktemp("organs")
    rng = np.random.default_rng(1)
    for name in ("low-level0", "high-level1", "thumbnail"):
        pixels = rng.integers(90, 200, (96, 128, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((512, 400)).save(folder / f"{name}.png")
    return folder
