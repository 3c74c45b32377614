"""Measure which colours the starter has learned, and how far other laboratories, stains and organs are from them.

Run as `python -m tools.starter.looks DATA_DIR [--card models/pas-starter]`: DATA_DIR holds `kidney/` (the AIDPATH
tiles and crops), `negatives/` and `slides/`. Prints the table of the documentation; with `--card` writes the colours
into that model's card. A laboratory is left out and judged by the others; the limit is the 90th percentile of these
distances.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glomseg.models.card import Look
from glomseg.models.store import read_card, write_card
from glomseg.segment.look import FEATURES, LOOK_MPP, colours_of
from tools.starter.aidpath import slide_of

Colours = NDArray[np.float64]
TILE_MPP = 0.5
CROP_PX = 75
"""A crop's glomerulus has about this size at LOOK_MPP."""
LARGEST_PX = 256
"""Pictures without a stated scale are brought to this."""
OWN, SHARED = 0.7, 0.3
"""How much of the covariance is kept, and how much of its diagonal is added, as there are few slides."""
PERCENTILE = 90
METHOD = (
    "31 slides of 3 laboratories (crops of single glomeruli, averaged by slide) and 24 tiles of AIDPATH, each "
    "laboratory and the tiles weighing alike; the limit is the 90th percentile of the distances of each of the four "
    "from the others"
)


def _small(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    if size is None:
        factor = max(rgb.size) / LARGEST_PX
        size = (max(1, round(rgb.width / factor)), max(1, round(rgb.height / factor)))
    return np.asarray(rgb.resize(size, Image.Resampling.BOX))


def learned(folder: Path) -> dict[str, list[Colours]]:
    """Return the colours of each slide of each laboratory, and of each tile."""
    by_slide: dict[str, list[Colours]] = defaultdict(list)
    for path in sorted((folder / "crops/images").glob("*/*.jpg")):
        colours = colours_of(_small(path, (CROP_PX, CROP_PX)))
        if colours is not None:
            by_slide[slide_of(path.stem)].append(colours)
    labs: dict[str, list[Colours]] = defaultdict(list)
    for slide, many in sorted(by_slide.items()):
        labs[slide.partition("_")[0]].append(np.mean(many, axis=0))
    side = round(1024 * TILE_MPP / LOOK_MPP)
    labs["tiles"] = [
        colours
        for path in sorted((folder / "tiles/images").glob("*.png"))
        if (colours := colours_of(_small(path, (side, side)))) is not None
    ]
    return dict(labs)


def others(folder: Path) -> Iterator[tuple[str, Colours]]:
    """Yield pictures of other organs and stains, by where they come from."""
    for path in sorted((*(folder / "negatives").rglob("*.*"), folder / "slides/CMU-1-Small-Region.svs")):
        try:
            colours = colours_of(_small(path, None))
        except OSError:
            continue
        if colours is not None:
            yield path.name, colours


def look_of(labs: Sequence[Sequence[Colours]], limit: float) -> Look:
    """Sum laboratories up, each weighing alike."""
    points = np.concatenate([np.array(slides) for slides in labs])
    weights = np.concatenate([np.full(len(slides), 1 / len(slides)) for slides in labs]) / len(labs)
    mean = weights @ points
    covariance = (points - mean).T @ ((points - mean) * weights[:, None])
    precision = np.linalg.inv(OWN * covariance + SHARED * np.diag(np.diag(covariance)) + 1e-8 * np.eye(FEATURES))
    rows = tuple(tuple(round(float(value), 3) for value in row) for row in precision)
    a, b, c, d = (round(float(value), 5) for value in mean)
    return Look(stain="PAS", mean=(a, b, c, d), precision=rows, limit=limit, method=METHOD)


def distance(look: Look, colours: Colours) -> float:
    """Return how far colours are from a look, as `segment.look` measures it."""
    away = colours - np.array(look.mean)
    return float(np.sqrt(away @ np.array(look.precision) @ away / FEATURES))


def main() -> None:
    """Print the table, and write the card where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--card", type=Path)
    arguments = parser.parse_args()
    labs = learned(arguments.data / "kidney")
    left_out = {
        name: [distance(look_of([s for other, s in labs.items() if other != name], 1.0), item) for item in slides]
        for name, slides in labs.items()
    }
    limit = round(float(np.percentile(np.concatenate(list(left_out.values())), PERCENTILE)), 2)
    look = look_of(list(labs.values()), limit)
    for name, distances in left_out.items():
        print(f"PAS, {name}, left out: {sum(value > limit for value in distances)} of {len(distances)} warned")
    foreign = [(name, distance(look, colours)) for name, colours in others(arguments.data)]
    print(
        f"other organs and stains: {sum(value > limit for _, value in foreign)} of {len(foreign)} warned, limit {limit}"
    )
    print("not warned:", ", ".join(name for name, value in foreign if value <= limit))
    if arguments.card:
        write_card(arguments.card, replace(read_card(arguments.card), look=look))


if __name__ == "__main__":
    main()
