"""Print what collecting a run into a project of many images takes, and the memory that QuPath's process has meanwhile.

    python benchmarks/collect_many.py [--images 500] [--outlines 100]

One process of QuPath does all images, as `glomseg collect` does; flat memory means that the last tenth of them needs no
more than the first. Needs a QuPath.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from collect import SIDE, polygons
from make_project import make_project

from glomseg import Listener, collect_run
from glomseg.qupath.objects import write_geojson
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.run import Run, RunParameters, now


def held_mb() -> float:
    """Return the memory of the processes that this one started."""
    return sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)) / 1e6


def main(options: argparse.Namespace) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch:
        project = make_project(Path(scratch) / "project", images=options.images, side=SIDE // 8)
        run = Run(project.parent / "glomseg/benchmark", "benchmark", RunParameters(model="none"), started=now())
        for number in range(1, options.images + 1):
            write_geojson(run.result_path(str(number)), polygons(options.outlines, run=run.run_id, side=SIDE // 8))
            run.update(str(number), ImageRecord(name=f"slide {number}.tif", state=State.DONE))
        held: list[float] = []
        begun = time.perf_counter()
        result = collect_run(project, listener=Listener(in_project=lambda name: held.append(held_mb())))
        taken = time.perf_counter() - begun
        written = [result.run.images[entry_id].collected for entry_id in result.entry_ids]
        added = sum(one.added for one in written if one is not None)
    assert added == options.images * options.outlines
    tenth = max(1, options.images // 10)
    early, late = (statistics.median(part) for part in (held[tenth : 2 * tenth], held[-tenth:]))
    print(f"| {options.images} images of {options.outlines} outlines, one QuPath | |\n|---|---|")
    print(f"| in all, with the start of the JVM | {taken:.1f} s |")
    print(f"| an image | {1000 * taken / options.images:.0f} ms |")
    print(f"| memory of QuPath's process in the second tenth and the last | {early:.0f} MB, {late:.0f} MB |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--outlines", type=int, default=100)
    main(parser.parse_args())
