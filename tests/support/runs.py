"""Runs made by hand, and what stands in a project afterwards."""

from shapely.geometry import Point

from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.ownership import stamp
from glomseg.runs.run import Run, RunParameters, now

FREE = [(120 + 160 * i, 300) for i in range(8)]  # no person has drawn there


def discs(run, spots, shift=0):
    return [
        stamp(
            PathObject(
                geometry=Point(x + shift, y).buffer(50),
                class_name="Glomerulus",
                color=(200, 0, 0),
                measurements={"Confidence": 0.75},
            ),
            run=run,
            model="starter",
        )
        for x, y in spots
    ]


def made_run(study, run_id, predictions, keys=("1",)):
    run = Run(study.parent / "glomseg" / run_id, run_id, RunParameters(model=run_id), started=now())
    for key in keys:
        write_geojson(run.result_path(key), predictions)
        run.update(key, ImageRecord(name=f"image {key}", state=State.DONE))
    return run


def standing(qupath, study, key="1"):
    return {item.object_id: item for item in qupath.call(read_annotations, study, key)}
