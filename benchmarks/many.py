"""Print what many slides cost beside their segmentation: the record, the journal, the shards, the workers.

    python benchmarks/many.py [SLIDES]

Makes the records of SLIDES images (10,000), times what a run does with them, in processor time, and then segments
small slides with 1 and 2 workers: the time of 2k equal slides by k workers over that of 2 by one.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from glomseg import Listener, SegmentOptions, segment_slides
from glomseg.runs.image_record import ImageRecord, Inputs, State
from glomseg.runs.journal import Journal
from glomseg.runs.merge import WorkPlace, journaled
from glomseg.runs.run import Run, load_run, now
from glomseg.runs.run_summary import write_summary
from glomseg.runs.shard import Shard

SLIDES_A_WORKER = 2
SIDE = 3000


def record(number: int) -> ImageRecord:
    """The record of a usual slide."""
    return ImageRecord(
        name=f"slide {number}.svs",
        state=State.DONE,
        path=f"/share/cohort/slide {number}.svs",
        inputs=Inputs(file=f"slide {number}.svs", bytes=1_500_000_000, modified_ns=1_700_000_000_000_000_000),
        size=(90_000, 70_000),
        mpp=(0.2528, 0.2528),
        reading_mpp=3.0,
        glomeruli=120,
        candidates=30,
        glomerular_area_um2=1.5e6,
        tissue_area_um2=1.2e8,
        network_passes=1.31,
        seconds={"tissue": 0.1, "read": 0.4, "network": 0.8, "polygons": 0.1, "total": 1.4},
    )


def timed(name: str, work, count: int = 1):
    """Run `work`, print its processor time for each of `count`, and return what it gave."""
    begun = time.process_time()
    result = work()
    each = (time.process_time() - begun) / count
    print(f"| {name} | {each * 1000:.2f} ms |", flush=True)
    return result


def records(slides: int) -> None:
    """Time what a run of so many slides does beside segmenting."""
    with tempfile.TemporaryDirectory() as scratch:
        names = [f"slide {number}" for number in range(slides)]
        run = Run(
            Path(scratch), "one", images={name: record(number) for number, name in enumerate(names)}, started=now()
        )
        timed(f"run.json of {slides} slides written", run.save)
        journal = Journal(run.folder)

        def learn() -> None:
            for number, name in enumerate(names[:2000]):
                journal.append(name, record(number))

        timed("a slide into the journal", learn, 2000)
        timed(f"run.json of {slides} slides and the journal read", lambda: load_run(run.folder))
        timed("a shard chosen", lambda: Shard(number=3, count=100).share(names))
        timed("summary.md", lambda: write_summary(run))

        def begin_and_end() -> None:
            with journaled(run, WorkPlace(folder=run.folder), names):
                pass

        timed("a shard begun and merged", begin_and_end)


def workers() -> None:
    """Print how nearly the time of 2k slides by k workers is that of 2 by one."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pixels = np.random.default_rng(0).integers(120, 235, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "0.png")
        times = {}
        for count in (1, 2):
            slides = [folder / f"{number}.png" for number in range(SLIDES_A_WORKER * count)]
            for path in slides[1:]:
                shutil.copy(folder / "0.png", path)
            said: list[str] = []
            options = SegmentOptions(device="cpu", mpp=(1.0, 1.0), workers=count)
            segment_slides(slides, folder / f"out-{count}", options, listener=Listener(remark=said.append))
            line = next(text for text in said if " workers did " in text)
            times[count] = float(line.split(" slides in ")[1].split(" s")[0])
            print(f"| {line} | |")
        print(f"| 4 slides by 2 workers / 2 slides by 1 | {times[2] / times[1]:.2f} (aim: 1.2 on idle cores) |")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("slides", nargs="?", type=int, default=10_000)
    slides = options.parse_args().slides
    print("| what | for each |\n|---|---|")
    records(slides)
    workers()
