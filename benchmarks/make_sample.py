"""Make the sample of `glomseg demo` from the CC BY tiles: a slide, a QuPath project around it, and its attribution.

    python benchmarks/make_sample.py [--tiles ../shared/data/kidney/tiles/images] [--output glomseg/sample]

Neighbouring tiles of the data set are put together again where they were cut apart, so that most glomeruli are whole;
where a neighbour is missing the straight cut is trimmed to a wavy edge, and all lies on glass of the tiles' own colour.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.slides import GLASS, Pixels, write_pyramid

TILE = 1024
SIZE = (4864, 4160)
NAME = "kidney_biopsy.tif"
CORES = {  # (x, y) of the top left corner, and the tiles that were neighbours
    (384, 384): (("10133", "10003", "10014", "10025"), (None, None, "10063", "10064")),
    (224, 1728): (("10164", "10165"), ("10169", "10170")),
}
FACTORS = (1, 4, 16)
MPP = 0.5
CLASSES = {"Glomerulus": (0, 200, 0)}
ATTRIBUTION = f"""# Attribution of the sample

`{NAME}` is made from human kidney biopsies, PAS, 20x (about 0.5 um per pixel), of

> G. Bueno, L. Gonzalez-Lopez, M. Garcia-Rojo, A. Laurinavicius, O. Deniz: *Data for glomeruli characterization in
> histopathological images*, Mendeley Data, version 3 (2020), https://doi.org/10.17632/k7nvtgn2x6.3 (AIDPATH project)

licensed under [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). The sample has the same licence.

Changes: ten of the data set's tiles of 1024 x 1024 px ({{tiles}}) were put together where they had been neighbours;
straight edges without a neighbour were trimmed; an empty margin was added; the picture was stored as a pyramid of
JPEG tiles. No colour and no structure was changed.

The model that comes with glomseg was trained on tissue of this very data set. What it finds here shows how the program
works, and is no measure of how good it is.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).parents[1]
    parser.add_argument("--tiles", type=Path, default=root / "../shared/data/kidney/tiles/images")
    parser.add_argument("--output", type=Path, default=root / "glomseg/sample")
    options = parser.parse_args()
    (options.output / "classifiers").mkdir(parents=True, exist_ok=True)
    path = options.output / NAME
    write_pyramid(path, compose(options.tiles), MPP, factors=FACTORS, tile=512, compression="jpeg", level=80)
    names = sorted(name for _, rows in CORES.items() for row in rows for name in row if name)
    (options.output / "ATTRIBUTION.md").write_text(ATTRIBUTION.format(tiles=", ".join(names)), encoding="utf-8")
    classes = [{"name": name, "color": packed(color)} for name, color in CLASSES.items()]
    write_json(options.output / "classifiers/classes.json", {"pathClasses": classes})
    write_json(options.output / "project.qpproj", project())
    print(f"{path}: {path.stat().st_size:,} bytes")


def compose(tiles: Path) -> Pixels:
    """Lay the cores on glass (H, W, 3)."""
    picture = np.empty((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:] = GLASS
    for (left, top), rows in CORES.items():
        there = np.repeat(np.repeat([[bool(name) for name in row] for row in rows], TILE, 0), TILE, 1)
        keep = trimmed(there)
        for row, names in enumerate(rows):
            for column, name in enumerate(names):
                if name is None:
                    continue
                tile = np.asarray(Image.open(tiles / f"{name}.png").convert("RGB")).astype(np.float32)
                share = keep[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE, None]
                y, x = top + row * TILE, left + column * TILE
                target = picture[y : y + TILE, x : x + TILE]
                target[:] = np.round(tile * share + target * (1 - share))
    return picture


def trimmed(there: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Give the share of each pixel that is kept (H, W): a wavy line 4 to 36 px inside of what is there."""
    depth = ndimage.distance_transform_edt(np.pad(there, 1))[1:-1, 1:-1]
    rng = np.random.default_rng(0)
    waves = ndimage.gaussian_filter(rng.normal(size=(there.shape[0] // 8, there.shape[1] // 8)), 5)
    waves = np.clip(0.5 + waves / (4 * waves.std()), 0, 1)
    line = 4 + 32 * np.asarray(Image.fromarray(waves.astype(np.float32)).resize(there.shape[::-1]))
    return np.clip((depth - line) / 3, 0, 1).astype(np.float32)


def project() -> dict[str, object]:
    """Describe the slide as QuPath 0.6 does; the addresses are those of a project that has been moved."""
    width, height = SIZE
    colors = {"Red": (255, 0, 0), "Green": (0, 255, 0), "Blue": (0, 0, 255)}
    metadata = {
        "name": NAME,
        "width": width,
        "height": height,
        "sizeZ": 1,
        "sizeT": 1,
        "channelType": "DEFAULT",
        "isRGB": True,
        "pixelType": "UINT8",
        "levels": [{"downsample": float(f), "width": width // f, "height": height // f} for f in FACTORS],
        "channels": [{"name": name, "color": packed(color)} for name, color in colors.items()],
        "pixelCalibration": {
            "pixelWidth": {"value": MPP, "unit": "µm"},
            "pixelHeight": {"value": MPP, "unit": "µm"},
            "zSpacing": {"value": 1.0, "unit": "z-slice"},
            "timeUnit": "SECONDS",
            "timepoints": [],
        },
        "preferredTileWidth": 512,
        "preferredTileHeight": 512,
    }
    server = {
        "builderType": "uri",
        "providerClassName": "qupath.lib.images.servers.openslide.OpenslideServerBuilder",
        "uri": f"file:///glomseg/sample/{NAME}",
        "args": [],
        "metadata": metadata,
    }
    image = {
        "serverBuilder": server,
        "entryID": 1,
        "randomizedName": "c5b40c0c-54a8-4c0c-9a3d-6a0f6a1f5b11",
        "imageName": NAME,
        "metadata": {},
        "tags": [],
    }
    return {
        "version": "0.6.0",
        "createTimestamp": 1763900000000,
        "modifyTimestamp": 1763900000000,
        "uri": "file:/glomseg/sample/project.qpproj",
        "lastID": 1,
        "images": [image],
    }


def packed(color: tuple[int, int, int]) -> int:
    """Pack a colour as QuPath does: a signed 32-bit ARGB value."""
    red, green, blue = color
    return (0xFF << 24 | red << 16 | green << 8 | blue) - (1 << 32)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
