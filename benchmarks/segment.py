"""Speed and memory of segmenting one slide, as ratios within one run.

    python benchmarks/segment.py [--tiles FOLDER] [--size 24000x18000] [--device cpu]

Makes a pyramidal slide of real tissue (0.25 um/px, about half tissue), segments it with a base-16 VariableUNet at
1 um/px, and prints wall time / time of the bare network on the same tissue pixels, network passes per tissue pixel,
and peak memory less the model's. Each measurement runs in a process of its own; the median of the repeats counts.
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

TILE = 512
AIMS = {"wall / bare network": 1.3, "network passes per tissue pixel": 1.4, "peak memory less the model's, GB": 1.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=Path(__file__).parents[1] / "../shared/data/kidney/tiles/images")
    parser.add_argument("--size", default="24000x18000", help="of the slide, in px")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-benchmark", help="keeps the slide")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
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
    from make_slide import make_slide

    width, height = (int(side) for side in options.size.split("x"))
    return make_slide(options.folder, options.tiles, size=(width, height))


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
    ]
    result = subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)


def load(device: str):
    """Load a base-16 network that reads at 1 um/px."""
    from glomseg.models.predict import load_model

    model = load_model("pas-starter", device)
    model.card = replace(model.card, mpp=1.0)
    return model


def measure_bare(options: argparse.Namespace) -> dict[str, float]:
    """Time the network alone on as many pixels as the slide has tissue, in its own tile size without a halo."""
    model = load(options.device)
    tile = np.random.default_rng(0).integers(0, 255, (1, TILE, TILE, 3), np.uint8)
    for _ in range(5):
        model.predict(tile)
    start = time.perf_counter()
    for _ in range(round(options.tissue_px / TILE**2)):
        model.predict(tile)
    return {"bare": time.perf_counter() - start}


def measure_segment(options: argparse.Namespace) -> dict[str, float]:
    """Time `segment_slide`, and take the peak of this process's memory less what the model alone needs."""
    from glomseg.segment.pipeline import SegmentSettings, segment_slide
    from glomseg.slides.slide import open_slide

    model = load(options.device)
    model.predict(np.zeros((1, 64, 64, 3), np.uint8))
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    with open_slide(options.slide) as slide:
        result = segment_slide(slide, model, SegmentSettings())
    return {
        "wall": time.perf_counter() - start,
        "tissue_px": result.tissue_area_um2 / result.reading_mpp**2,
        "passes": result.network_passes,
        "memory_gb": (peak_rss() - before) / 1e9,
        "glomeruli": len(result.glomeruli),
        **{f"{stage} s": seconds for stage, seconds in result.seconds.items()},
    }


def peak_rss() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def show(rounds: list[dict[str, float]]) -> None:
    middle = {key: statistics.median(result[key] for result in rounds) for key in rounds[0]}
    ratio = statistics.median(result["wall"] / result["bare"] for result in rounds)
    found = dict(zip(AIMS, (ratio, middle["passes"], middle["memory_gb"]), strict=True))
    print(f"tissue: {middle['tissue_px'] / 1e6:.1f} MP at 1 um/px; {middle['glomeruli']:.0f} outlines")
    for name, value in found.items():
        print(f"{name:40} {value:6.2f}   (aim: {AIMS[name]} or less)")
    print(", ".join(f"{key} {value:.2f}" for key, value in middle.items() if key.endswith(" s")))
    print(f"wall {middle['wall']:.2f} s, bare network {middle['bare']:.2f} s; median of {len(rounds)}")


if __name__ == "__main__":
    main()
