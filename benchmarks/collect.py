"""Print how long collecting many polygons into one image takes, beside the start of the JVM, and undoing it.

    python benchmarks/collect.py [NUMBER]

Needs a QuPath. Asserts nothing on time; the aim is 10,000 polygons in less than 5 s.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from make_project import make_project
from shapely.geometry import Point

from glomseg.qupath.image_data import readable_data
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject
from glomseg.qupath.process import qupath_process
from glomseg.qupath.project import image_state, read_project
from glomseg.qupath.write_mark import mark_of, new_mark
from glomseg.runs.changes import Place, last_changes, next_path
from glomseg.runs.memory import memory_path
from glomseg.runs.ownership import Memory, stamp
from glomseg.runs.undo import fold
from glomseg.runs.write_image import Target, collect_image, undo_image

SIDE = 4096


def polygons(number, *, run="benchmark", side=SIDE):
    """Return stamped discs with 64 corners and 3 measurements, side by side on a picture of `side` px."""
    columns = int(np.ceil(np.sqrt(number)))
    step = side / columns
    measured = {"Confidence": 0.9, "Area µm^2": 1234.5, "Circularity": 0.8}
    items = []
    for index in range(number):
        x, y = (index % columns + 0.5) * step, (index // columns + 0.5) * step
        item = PathObject(
            geometry=Point(x, y).buffer(step * 0.45), class_name="Glomerulus", color=(200, 0, 0), measurements=measured
        )
        items.append(stamp(item, run=run, model="none"))
    return items


def timed(name, work):
    """Run `work`, print what it took, and return what it gave."""
    start = time.perf_counter()
    result = work()
    print(f"| {name} | {time.perf_counter() - start:.1f} s |")
    return result


def main(number):
    """Print the table."""
    with tempfile.TemporaryDirectory() as scratch, qupath_process() as qupath:
        path = make_project(Path(scratch), side=SIDE)
        runs = path.parent / "glomseg"
        predictions = polygons(number)

        def target(**more):
            image = read_project(path).images[0]
            return Target(
                project_path=path,
                entry_id="1",
                image_path=image.path,
                state=image_state(image),
                backup_folder=runs / "benchmark/backup/1",
                **more,
            )

        def place(kind):
            mark, image = new_mark(), read_project(path).images[0]
            return Place(
                run="benchmark",
                path=next_path(runs / "benchmark", "1"),
                memory=memory_path(runs, "1", mark),
                mark=mark,
                previous=mark_of(readable_data(image.data_folder)),
                kind=kind,
            )

        def collect(**more):
            return qupath.call(collect_image, target(**more), predictions, processed_area=None)

        def undo():
            standing = place("undo")
            change = fold([written.change for written in last_changes(runs, "1", standing.previous, None)])
            return qupath.call(undo_image, target(place=standing), change, memory=Memory())

        print(f"| {number} polygons in one image | |\n|---|---|")
        timed("start of the JVM", lambda: qupath.call(read_annotations, path, "1"))
        assert timed("collect", lambda: collect(place=place("collect"))).added == number
        assert timed("the same again", collect).kept == number
        assert timed("read", lambda: len(qupath.call(read_annotations, path, "1"))) == number
        assert timed("undo", undo).removed == number


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("number", nargs="?", type=int, default=10_000)
    main(options.parse_args().number)
