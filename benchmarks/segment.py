"""Speed and memory of segmenting one slide, as ratios within one run.

    python benchmarks/segment.py [--tiles FOLDER] [--size 24000x18000] [--mpp 1] [--device cpu]

Makes a pyramidal slide of real tissue (0.25 um/px, about half tissue), segments it with a base-16 VariableUNet at
1 um/px (3 is the shipped model's own), and prints wall time / time of the bare network on the same tissue pixels, CPU
time / that of the limit (decoding the blocks with tissue once, and the bare network), network passes per tissue pixel,
and peak memory less what the network takes for the largest tile. Each measurement runs in a process of its own; the
median of the repeats counts. CPU time is the fairer measure on a machine that does other things meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import psutil

SIDES = (512, 768, 1024)
AIMS = {
    "wall / bare network": 1.3,
    "CPU time / decoding and bare network": 1.25,
    "network passes per tissue pixel": 1.2,
    "peak memory less the network's on one tile, GB": 0.6,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=Path(__file__).parents[1] / "../shared/data/kidney/tiles/images")
    parser.add_argument("--size", default="24000x18000", help="of the slide, in px")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-benchmark", help="keeps the slide")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mpp", type=float, default=1.0, help="um/px that the model reads at")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slides", type=int, default=1, help="as many in a row, and what one of them takes")
    parser.add_argument("--measure", choices=["bare", "segment"], help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help="an existing slide instead")
    parser.add_argument("--tissue-px", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure = measure_bare if options.measure == "bare" else measure_segment
        print(json.dumps(measure(options)))
        return
    options.slide = options.slide or make_slide(options)
    rounds = []
    for _ in range(options.repeats):
        whole = in_own_process(options, "segment")
        rounds.append({**whole, **in_own_process(options, "bare", "--tissue-px", f"{whole['tissue_px']:.0f}")})
    show(rounds)


def make_slide(options: argparse.Namespace) -> Path:
    from make_slide import make_slide, size_px

    return make_slide(options.folder, options.tiles, size=size_px(options.size))


def in_own_process(options: argparse.Namespace, measure: str, *more: str) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--measure",
        measure,
        "--slide",
        str(options.slide),
        "--device",
        options.device,
        "--mpp",
        str(options.mpp),
        "--slides",
        str(options.slides),
    ]
    result = subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def load(options: argparse.Namespace):
    """Load a base-16 network that reads at the um/px that are asked for."""
    from glomseg.models.predict import load_model

    model = load_model("pas-starter", options.device)
    model.card = replace(model.card, mpp=options.mpp)
    return model


def measure_bare(options: argparse.Namespace) -> dict[str, float]:
    """Time the network alone on as many pixels as the slide has tissue, and decoding each block with tissue once."""
    model = load(options)
    best = min((seconds_a_pixel(model, side, options.tissue_px) for side in SIDES), key=lambda taken: taken[0])
    cpu = time.process_time()
    blocks = decode(options)
    return {"bare": best[0], "bare cpu": best[1], "decode cpu": time.process_time() - cpu, "blocks": blocks}


def seconds_a_pixel(model, side: int, tissue_px: int) -> tuple[float, float]:
    """Return the wall and CPU time of the network on all pixels with tissue, in tiles of `side` without a halo."""
    tile = np.random.default_rng(0).integers(0, 255, (1, side, side, 3), np.uint8)
    for _ in range(2):
        model.predict(tile)
    count = max(1, round(tissue_px / side**2 / len(SIDES)))
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(count):
        model.predict(tile)
    share = tissue_px / (count * side**2)
    return (time.perf_counter() - start) * share, (time.process_time() - cpu) * share


def decode(options: argparse.Namespace) -> int:
    """Decode each block of the level that is read where it holds tissue; return how many."""
    from glomseg.segment.tiles import BLOCK, ReadingFrame
    from glomseg.segment.tissue import find_tissue
    from glomseg.slides.slide import open_slide

    with open_slide(options.slide) as slide:
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, options.mpp)
        rows, columns = np.nonzero(find_tissue(slide).blocks(frame))
        (part,) = {(one.level,) for one in slide.parts(frame.box(0, 0, BLOCK, BLOCK), options.mpp)}
        level = slide.levels[part[0]]
        places = set()
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            box = frame.box(column * BLOCK, row * BLOCK, BLOCK, BLOCK)
            x, y = (box.x + box.width / 2) / level.downsample_x, (box.y + box.height / 2) / level.downsample_y
            places.add(
                (min(int(x), level.width - 1) // level.block_width, min(int(y), level.height - 1) // level.block_height)
            )
        for column, row in places:
            slide._reader.block(part[0], column, row)
    return len(places)


def measure_segment(options: argparse.Namespace) -> dict[str, float]:
    """Time `segment_slide`, and take the peak of this process's memory less what the network takes for one tile."""
    from glomseg.segment.pipeline import SegmentSettings, _tiles, segment_slide
    from glomseg.segment.tiles import ReadingFrame
    from glomseg.segment.tissue import find_tissue
    from glomseg.slides.slide import open_slide

    model = load(options)
    model.predict(np.zeros((1, 64, 64, 3), np.uint8))
    before = psutil.Process().memory_info().rss
    with open_slide(options.slide) as slide:
        frame = ReadingFrame.of(slide.width, slide.height, *slide.pixel_size, options.mpp)
        tiles = _tiles(find_tissue(slide).blocks(frame), model, SegmentSettings())
    largest = max(tiles, key=lambda tile: tile.width * tile.height)
    sides = (largest.height + 2 * largest.halo, largest.width + 2 * largest.halo)
    model.predict(np.zeros((1, *sides, 3), np.uint8))
    one_tile = peak_rss()
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(options.slides):
        with open_slide(options.slide) as slide:
            result = segment_slide(slide, model, SegmentSettings())
    return {
        "wall": (time.perf_counter() - start) / options.slides,
        "cpu": (time.process_time() - cpu) / options.slides,
        "tissue_px": result.tissue_area_um2 / result.reading_mpp**2,
        "passes": result.network_passes,
        "memory_gb": (peak_rss() - one_tile) / 1e9,
        "tile_gb": (one_tile - before) / 1e9,
        "glomeruli": len(result.glomeruli),
        **{f"{stage} s": seconds for stage, seconds in result.seconds.items()},
    }


def peak_rss() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def show(rounds: list[dict[str, float]]) -> None:
    middle = {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}
    ratio = statistics.median(result["wall"] / result["bare"] for result in rounds)
    limit = statistics.median(result["cpu"] / (result["bare cpu"] + result["decode cpu"]) for result in rounds)
    found = dict(zip(AIMS, (ratio, limit, middle["passes"], middle["memory_gb"]), strict=True))
    print(f"tissue: {middle['tissue_px'] / 1e6:.1f} MP; {middle['glomeruli']:.0f} outlines")
    for name, value in found.items():
        print(f"{name:40} {value:6.2f}   (aim: {AIMS[name]} or less)")
    print(", ".join(f"{key} {value:.2f}" for key, value in middle.items() if key.endswith(" s")))
    print(f"the network on the largest tile takes {middle['tile_gb']:.2f} GB")
    print(", ".join(f"{key} {middle[key]:.2f} s" for key in ("cpu", "bare cpu", "decode cpu")))
    print(f"wall {middle['wall']:.2f} s, bare network {middle['bare']:.2f} s; median of {len(rounds)}")


if __name__ == "__main__":
    main()
