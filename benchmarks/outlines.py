"""Time and memory of outlining a map of probabilities: many glomeruli, and one object over all of it.

    python benchmarks/outlines.py [--size 2000x1500 3000x3000 8000x8000] [--repeats 3]

For each size (reading pixels), in a process of its own: discs of a mouse glomerulus's size at 3 um/px strewn over it,
and a model's failure, one ragged object from edge to edge. Prints CPU time and the peak of memory above what the filled
map takes, also in bytes a pixel; the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil
from segment import peak_rss

from glomseg.segment.contours import OutlineSettings
from glomseg.segment.outlines import find_glomeruli
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import ReadingFrame, Tile

MPP, STRIP = 3.0, 512
RADIUS_PX, APART_PX = 13, 260
SETTINGS = OutlineSettings(threshold=0.5, minimum_area_um2=1000.0, split_depth_um=9.0, tolerance_um=0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=["2000x1500", "3000x3000", "8000x8000"], help="of the map, in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", choices=["glomeruli", "one object"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.size[0], options.measure)))
        return
    print("| map | of | outlines | CPU time | peak memory | bytes a pixel |")
    print("|---|---|---|---|---|---|")
    for size in options.size:
        for kind in ("glomeruli", "one object"):
            rounds = [in_own_process(size, kind) for _ in range(options.repeats)]
            middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            cells = f"{middle['outlines']:.0f} | {middle['cpu']:.2f} s | {middle['peak'] / 1e9:.2f} GB"
            print(f"| {size} px | {kind} | {cells} | {middle['peak'] / middle['pixels']:.0f} |", flush=True)


def in_own_process(size: str, kind: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", kind, "--size", size]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(size: str, kind: str) -> dict[str, float]:
    """Fill a map, outline it, and take the peak of this process's memory above what it had before."""
    width, height = (int(side) // STRIP * STRIP for side in size.split("x"))
    frame = ReadingFrame.of(width, height, MPP, MPP, MPP)
    with ProbabilityMap(frame) as values:
        for top in range(0, height, STRIP):
            rows = (strewn if kind == "glomeruli" else ragged)(width, top)
            values.write(Tile(0, top, width, STRIP, 0), rows[None])
        find_glomeruli(ProbabilityMap(ReadingFrame.of(64, 64, MPP, MPP, MPP)), SETTINGS)  # what is loaded once
        before, cpu = max(peak_rss(), psutil.Process().memory_info().rss), time.process_time()
        outlines = find_glomeruli(values, SETTINGS)
        spent = time.process_time() - cpu
    return {"outlines": len(outlines), "cpu": spent, "peak": peak_rss() - before, "pixels": width * height}


def strewn(width: int, top: int) -> np.ndarray:
    """Give rows of a map with discs in a grid, each a little dented."""
    y, x = np.mgrid[top : top + STRIP, 0:width]
    y, x = y % APART_PX - APART_PX // 2, x % APART_PX - APART_PX // 2
    inside = np.hypot(x, y) < RADIUS_PX * (1 + 0.1 * np.sin(5 * np.arctan2(y, x)))
    return np.where(inside, 230, 10).astype(np.uint8)


def ragged(width: int, top: int) -> np.ndarray:
    """Give rows of a map that is above the threshold everywhere but in small holes."""
    y, x = np.mgrid[top : top + STRIP, 0:width]
    return np.where((x % 37 < 3) & (y % 41 < 3), 10, 230).astype(np.uint8)


if __name__ == "__main__":
    main()
