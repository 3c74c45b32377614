"""Print what a command takes before its work: a small image segmented, a project of 500 images looked over.

    python benchmarks/start.py [--images 500] [--repeats 3]

The small image is a tile of tissue from `../shared/data/kidney/tiles`, 1024 px at 0.5 um/px. Each is a whole command
in a process of its own; medians of the repeats, beside that of `import torch`.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from make_project import make_project
from make_slide import TILES
from PIL import Image

SIDE = 1024


def seconds(repeats: int, *command: object) -> float:
    """Return the median wall time of a command; raises where it fails."""
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        project = make_project(folder / "project", images=options.images)
        picture = folder / "small.png"
        Image.open(min(options.tiles.glob("*.*"))).convert("RGB").crop((0, 0, SIDE, SIDE)).save(picture)
        torch = seconds(options.repeats, "-c", "import torch")
        print(f"| what | s |\n|---|---|\n| `import torch` | {torch:.2f} |")
        segment = ("-m", "glomseg", "segment", picture, "--mpp", "0.5", "--device", "cpu", "-o")
        taken = [seconds(1, *segment, folder / f"out-{number}") for number in range(options.repeats)]
        more = statistics.median(taken) - torch
        print(f"| `segment` of a picture of {SIDE} px, more than that | {more:.2f} (aim: 1.2) |", flush=True)
        for command, aim in (("status", 0.7), ("doctor", 3)):
            taken_s = seconds(options.repeats, "-m", "glomseg", command, project)
            print(f"| `{command}` of {options.images} images | {taken_s:.2f} (aim: {aim:g}) |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=TILES)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args())
