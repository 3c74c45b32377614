"""Time and memory of scoring masks as large as the KPIs slides.

    python benchmarks/evaluate.py [--size 35000x40000] [--objects 400] [--folder FOLDER]

Writes a true and a predicted pyramidal mask TIFF of tissue-like scatter (8-bit, tiled, deflate), scores one against
the other with `glomseg evaluate` in a process of its own, and prints its wall time and peak memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import psutil
import tifffile

TILE = 512
FACTORS = (1, 2, 4, 8)
AIMS = {"wall, s": 60.0, "peak memory, GB": 2.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="35000x40000", help="of the masks, in px")
    parser.add_argument("--objects", type=int, default=400)
    parser.add_argument("--compression", default="deflate", choices=["deflate", "lzw", "jpeg", "none"])
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-benchmark", help="keeps the masks")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    name = f"{width}x{height}-{options.objects}-{options.compression}"
    truth, predicted = (options.folder / kind / f"{name}_mask.tiff" for kind in ("truth", "predicted"))
    discs = scatter(width, height, options.objects)
    for path, shift in ((truth, 0), (predicted, 25)):
        if not path.exists():
            write_mask(path, width, height, np.add(discs, (shift, shift, 0)), options.compression)
    found = measure(predicted, truth, options.folder / "results")
    print(f"masks of {width} x {height} px, {len(discs)} objects, {options.compression}; two files read")
    for key, aim in AIMS.items():
        print(f"{key:20} {found[key]:6.2f}   (aim: {aim:g} or less)")
    print(f"Dice {found['dice']:.4f}, object F1 {found['f1']:.4f}, {found['true']} true objects")


def scatter(width: int, height: int, count: int) -> np.ndarray:
    """Strew discs (x, y, radius) of a mouse glomerulus's size at 0.24 um/px, none of them touching another."""
    rng = np.random.default_rng(0)
    step = int((width * height / count / 1.3) ** 0.5)
    places = [
        (x, y) for y in range(step // 2, height - step // 2, step) for x in range(step // 2, width - step // 2, step)
    ]
    chosen = np.array(places)[rng.permutation(len(places))[:count]]
    wiggle = rng.integers(-step // 6, step // 6, chosen.shape)
    return np.column_stack([chosen + wiggle, rng.integers(120, 190, len(chosen))])


def write_mask(path: Path, width: int, height: int, discs: np.ndarray, compression: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for factor in FACTORS:
            tiff.write(
                tiles(width // factor, height // factor, discs / factor),
                shape=(height // factor, width // factor),
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression=None if compression == "none" else compression,
                subfiletype=int(factor > 1),
                resolution=(1e4 / (0.2395 * factor), 1e4 / (0.2395 * factor)),
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def tiles(width: int, height: int, discs: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = np.zeros((TILE, TILE), np.uint8)
            y, x = np.mgrid[top : top + TILE, left : left + TILE] + 0.5
            for cx, cy, radius in discs:
                if -radius < cx - left < TILE + radius and -radius < cy - top < TILE + radius:
                    angle = np.arctan2(y - cy, x - cx)
                    tile[np.hypot(x - cx, y - cy) < radius * (1 + 0.1 * np.sin(5 * angle))] = 255
            yield tile


def measure(predicted: Path, truth: Path, output: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "glomseg_cli.main", "evaluate", predicted, truth, "-o", output, "--quiet"]
    start, peak = time.perf_counter(), 0
    process = psutil.Popen([str(part) for part in command])
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
    wall = time.perf_counter() - start
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, "glomseg evaluate")
    overall = json.loads((output / "metrics.json").read_text())["overall"]
    return {
        "wall, s": wall,
        "peak memory, GB": peak / 1e9,
        "dice": overall["mean"]["dice"]["value"],
        "f1": overall["mean"]["f1"]["value"],
        "true": overall["true_objects"],
    }


if __name__ == "__main__":
    main()
