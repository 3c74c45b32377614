"""Runs made by hand, and what stands in a project afterwards."""

import json
from dataclasses import replace

from shapely.geometry import Point
from support.qupath_side import delete_predictions

from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, write_geojson
from glomseg.qupath.project import image_state, read_project
from glomseg.runs.image_record import ImageRecord, State
from glomseg.runs.ownership import RUN, stamp
from glomseg.runs.run import Run, RunParameters, now
from glomseg.runs.write_image import Target, collect_image

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


def same(one, two):
    """Tell whether what stands is the same, object by object."""
    return one.keys() == two.keys() and all(
        replace(item, geometry=two[key].geometry) == two[key] and item.geometry.equals(two[key].geometry)
        for key, item in one.items()
    )


def collected(glomseg, study, *arguments, key="1"):
    """What the record says that a collect did to an image."""
    return json.loads(glomseg("collect", study, *arguments, "--json").out)["images"][key]["collected"]


def deleted(qupath, study, keep, key="1"):
    """Play a person who deletes the outlines of the machine but for the first few; returns how many."""
    image = next(image for image in read_project(study).images if image.entry_id == key)
    return qupath.call(delete_predictions, study, key, image.path, keep)


def judged_by_a_person(qupath, study, spots):
    """Play a person: only the outlines at `spots` of the present run are left, as if the others were deleted."""
    (image, *_) = read_project(study).images
    target = Target(
        project_path=study,
        entry_id="1",
        image_path=image.path,
        state=image_state(image),
        backup_folder=study.parent / "elsewhere",
    )
    qupath.call(collect_image, target, discs("run-2", spots), processed_area=None)


def image_1(glomseg, study, *arguments):
    """What `status` says of the first image."""
    return json.loads(glomseg("status", study, "--json", *arguments).out)["images"][0]


def image_of(glomseg, study, entry_id):
    """What `status` says of an image by its files alone."""
    images = json.loads(glomseg("status", study, "--json", "--files-only").out)["images"]
    return next(image for image in images if image["entry_id"] == entry_id)


def runs_of(objects):
    """Name the runs of which outlines stand."""
    return sorted({item.metadata[RUN] for item in objects.values() if RUN in item.metadata})
