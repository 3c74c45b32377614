"""Segment one slide with other tools' ways and ours: the same network, the same pixels, as ratios within one run.

    python benchmarks/peers.py --python tiatoolbox=ENV/bin/python --python monai=ENV/bin/python [--size 24000x18000]

Each other tool lives in an environment of its own, which is named by its Python and needs torch, openslide-python,
openslide-bin and the tool; what has no environment is left out, and said. The network is the starter's, float32,
traced. `peer_ways.py` holds what is run there. Two tables are printed: each as it comes, and all at equal settings
(tiles of 512 px without overlap, only where there is tissue, bfloat16 where the processor has it, batches of 8).
Time is counted from opening the slide to its mask in memory, without imports; memory is the peak above what stood
before. The median of the repeats counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from make_slide import make_slide, size_px


@dataclass(frozen=True)
class Way:
    """A row: its name in `peer_ways.py`, the environment that it needs, and what is to be known of it."""

    name: str
    tool: str
    note: str = ""


AS_THEY_COME = (
    Way("glomseg", "glomseg", "a halo, bfloat16, tissue alone"),
    Way("loop", "openslide", "tissue by Otsu, tiles of 512 px without overlap, float32"),
    Way("winner", "openslide", "tiles of 512 px that overlap by half, averaged, float32"),
    Way("monai", "monai", "the section's pixels in memory, overlap 0.25, float32"),
    Way("monai-tuned", "monai", "overlap 0.125, bfloat16, batches of 8"),
    Way("tiatoolbox", "tiatoolbox", "as its tissue models: 1024 px in, 512 px out, stride 256"),
)
EQUAL = (
    Way("glomseg", "glomseg"),
    Way("loop-equal", "openslide"),
    Way("monai-equal", "monai", "all of the slide, for it has no tissue mask"),
    Way("tiatoolbox-equal", "tiatoolbox"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], metavar="TOOL=PYTHON")
    parser.add_argument("--tiles", type=Path, default=Path(__file__).parents[1] / "../shared/data/kidney/tiles/images")
    parser.add_argument("--size", default="24000x18000", help="of the slide, in px")
    parser.add_argument("--folder", type=Path, default=Path(gettempdir()) / "glomseg-benchmark", help="keeps the slide")
    parser.add_argument("--mpp", type=float, default=1.0, help="um/px that all read at")
    parser.add_argument("--repeats", type=int, default=3)
    names = sorted({way.name for way in (*AS_THEY_COME, *EQUAL)})
    parser.add_argument("--only", action="append", default=[], choices=names, help="leave the other ways out")
    options = parser.parse_args()
    pythons = {tool: python for tool, _, python in (text.partition("=") for text in options.python)}
    if unknown := pythons.keys() - {way.tool for way in (*AS_THEY_COME, *EQUAL)}:
        parser.error(f"--python names {', '.join(sorted(unknown))}, which no way needs")
    pythons |= {"glomseg": sys.executable, "openslide": pythons.get("monai", sys.executable)}
    slide = make_slide(options.folder, options.tiles, size=size_px(options.size))
    network = options.folder / "network.pt"
    trace_network(network)
    for title, ways in (("As each comes", AS_THEY_COME), ("At equal settings", EQUAL)):
        chosen = [way for way in ways if not options.only or way.name in (*options.only, "glomseg")]
        print(f"\n{title}, {options.size} px at 0.25 um/px, read at {options.mpp:g} um/px\n")
        print(
            "| way | wall / glomseg | CPU time / glomseg | wall, s | memory, GB | outlined, mm2 | |\n"
            + "|---" * 7
            + "|"
        )
        first = None
        for way in chosen:
            if way.tool not in pythons:
                print(f"| {way.name} | no environment was named |" + " |" * 5)
                continue
            row = measure(way, pythons[way.tool], slide, network, options)
            first = first or row
            ratios = f"{row['wall'] / first['wall']:.1f} | {row['cpu'] / first['cpu']:.1f}"
            amounts = f"{row['wall']:.1f} | {row['memory_gb']:.2f} | {row['outlined_mm2']:.3f}"
            print(f"| {way.name} | {ratios} | {amounts} | {way.note} |", flush=True)


def trace_network(path: Path) -> None:
    """Write the starter's network for programs without glomseg: RGB (N, 3, H, W) in 0..1 to probabilities."""
    import torch

    from glomseg.models.exporting import ExportedNet
    from glomseg.models.store import find_model, load_network, read_card

    folder = find_model("pas-starter")
    card = read_card(folder)
    network = ExportedNet(card, load_network(folder, card))
    torch.jit.trace(network, torch.rand(2, 3, 512, 512)).save(str(path))


def measure(way: Way, python: str, slide: Path, network: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return the medians of what a way takes, each time in a process of its own; raises where it fails."""
    script = Path(__file__).with_name("peer_ways.py")
    command = [python, str(script), way.name, str(slide), str(network), "--mpp", str(options.mpp)]
    rounds = []
    for _ in range(options.repeats):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{way.name} failed:\n{done.stderr[-2000:]}")
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


if __name__ == "__main__":
    main()
