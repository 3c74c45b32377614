"""A made-up data folder in the layout of the real one."""

import numpy as np
import pytest
from PIL import Image
from support.painted import disc, painted
from support.tissue import write_fields
from support.trees import write_kpis_patches


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
def kpis_tree(tmp_path_factory):
    """Patches of 256 px in the KPIs layout: 3 groups, 4 cases each, 48 patches; nobody may change it."""
    return write_kpis_patches(tmp_path_factory.mktemp("KPIs"))


@pytest.fixture(scope="session")
def fields(tmp_path_factory):
    """24 fields of made-up tissue on 8 slides; nobody may change them."""
    return write_fields(tmp_path_factory.mktemp("tissue") / "fields")
