"""Make a QuPath project of small plain pictures without QuPath, for what is measured of projects.

python benchmarks/make_project.py FOLDER [--images 500] [--side 64]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

BUILDER = "qupath.imagej.images.servers.ImageJServerBuilder"


def make_project(folder: Path, *, images: int = 1, side: int = 64, mpp: float = 0.5) -> Path:
    """Write a project of `images` pictures of `side` px, at `mpp` um/px; returns its file."""
    folder.mkdir(parents=True, exist_ok=True)
    dots_an_inch = 25_400 / mpp
    entries = []
    for number in range(1, images + 1):
        picture = folder / f"slide {number}.tif"
        Image.fromarray(np.full((side, side, 3), 220, np.uint8)).save(picture, dpi=(dots_an_inch, dots_an_inch))
        builder = {
            "builderType": "uri",
            "providerClassName": BUILDER,
            "uri": picture.absolute().as_uri(),
            "args": [],
        }
        entries.append({"serverBuilder": builder, "entryID": number, "imageName": picture.name, "metadata": {}})
    content = {"version": "0.5.0", "createTimestamp": 0, "modifyTimestamp": 0, "lastID": images, "images": entries}
    path = folder / "project.qpproj"
    path.write_text(json.dumps(content))
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    print(make_project(options.folder, images=options.images, side=options.side))
