"""Predictions in a real QuPath project: written by one process, read again by another."""

import json
import os
import shutil
import signal
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Point, Polygon, box
from support.another_process import EDIT, in_another_process

from glomseg.errors import ConflictError, ProjectError, QuPathError
from glomseg.qupath.java import read_annotations
from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.qupath.process import qupath_process
from glomseg.qupath.project import image_state, read_project
from glomseg.runs.ownership import FINGERPRINT, RUN, Memory, fingerprint, owner, stamp
from glomseg.runs.write_image import Target, collect_image

pytestmark = pytest.mark.qupath

SPOTS = [(120 + 160 * i, 1900) for i in range(10)]  # two of them lie on glomeruli that a person drew
FREE = 8


def predicted(geometry, run="run-1", **changes):
    values = {"class_name": "Glomerulus", "color": (200, 0, 0), "measurements": {"Confidence": 0.875}} | changes
    return stamp(PathObject(geometry=geometry, **values), run=run, model="starter")


def discs(spots=SPOTS, radius=50, **changes):
    return [predicted(Point(spot).buffer(radius), **changes) for spot in spots]


def after(written):
    """What is remembered of the data that a write made."""
    return Memory(predictions=written.remember, is_of_data=True)


def collect(qupath, study, predictions, entry_id="1", run="run-1", **options):
    (image,) = [image for image in read_project(study).images if image.entry_id == entry_id]
    target = Target(
        project_path=study,
        entry_id=entry_id,
        image_path=options.pop("image_path", image.path),
        state=options.pop("expected_state", None) or image_state(image),
        backup_folder=study.parent / "glomseg" / run / "backup" / entry_id,
    )
    return qupath.call(collect_image, target, predictions, **({"processed_area": None} | options))


def files(study):
    """Every file of the project but ours, with its bytes and its time."""
    folder = study.parent
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "glomseg"
    }


def by_shape(objects):
    return {fingerprint(item.geometry, item.class_name): item for item in objects}


# --- reading


def test_reading_gives_what_qupath_itself_exports(qupath, study, data):
    version = read_project(study).version.replace(".", "_")
    exported = read_geojson(data / "qupath" / "tiles" / f"qupath_{version}_kidney_01.geojson")
    wanted = by_shape(item for item in exported if item.object_type == "annotation")
    read = by_shape(qupath.call(read_annotations, study, "1"))
    assert len(wanted) == 10
    assert sum(mark in wanted for mark in read) >= 9  # the disc has vertices that QuPath rounds for the export
    for mark in read.keys() & wanted.keys():
        ours, theirs = read[mark], wanted[mark]
        assert (ours.class_name, ours.name, ours.is_locked) == (theirs.class_name, theirs.name, theirs.is_locked)
        assert (ours.object_id, ours.color) == (theirs.object_id, theirs.color)
        assert ours.measurements == pytest.approx(theirs.measurements)


def test_reading_changes_nothing(qupath, study):
    before = files(study)
    qupath.call(read_annotations, study, "1")
    assert qupath.call(read_annotations, study, "3") == []
    assert files(study) == before


def test_damaged_data_is_one_line(qupath, study):
    data = read_project(study).images[0].data_folder / "data.qpdata"
    complete = data.read_bytes()
    data.write_bytes(complete[:5000])
    with pytest.raises(ProjectError, match="damaged"):
        qupath.call(read_annotations, study, "1")
    with pytest.raises(ProjectError, match="damaged"):
        collect(qupath, study, discs())
    data.write_bytes(complete[:3000] + bytes(2000) + complete[5000:])  # whole by its ends, broken in the middle
    with pytest.raises(ProjectError, match="cannot read"):
        qupath.call(read_annotations, study, "1")
    before = files(study)
    with pytest.raises(ProjectError, match="cannot read"):
        collect(qupath, study, discs())
    assert files(study) == before


# --- writing

REOPEN = """
import json, sys
from paquo.projects import QuPathProject
project = QuPathProject(sys.argv[1], mode="r")
found = {"classes": [[c.id, list(c.color.to_rgb())] for c in project.path_classes], "images": {}}
for entry in project.images:
    found["images"][entry.entry_id] = {
        "readable": entry.is_readable(),
        "objects": len(entry.hierarchy),
        "type": entry.image_type.name if entry.is_readable() else None,
        "annotations": [
            {
                "class": a.path_class.id if a.path_class else None,
                "name": a.name,
                "locked": a.locked,
                "area": a.roi.area,
                "measurements": dict(a.measurements),
                "metadata": {str(k): str(v) for k, v in a.java_object.getMetadata().items()},
            }
            for a in entry.hierarchy.annotations
        ],
    }
print("RESULT" + json.dumps(found))
"""


def reopen(study, qupath):
    """What another process sees in a project."""
    return in_another_process(REOPEN, study, qupath)


def test_predictions_stand_in_the_project_for_another_process(qupath, study):
    before = {item.object_id: item for item in qupath.call(read_annotations, study, "1")}
    others = {path: value for path, value in files(study).items() if path.parts[:2] in (("data", "2"), ("data", "3"))}
    predictions = [*discs(name="G"), *discs([(60, 60)], class_name="Glomerulus: Cellular", color=(9, 8, 7))]
    result = collect(qupath, study, predictions)
    assert result.changed
    assert result.moved
    assert (result.added, result.removed, result.dropped_person) == (FREE + 1, 0, 2)
    seen = reopen(study, qupath)
    image = seen["images"]["1"]
    assert (image["readable"], image["objects"], image["type"]) == (True, 15 + FREE + 1, "BRIGHTFIELD_OTHER")
    assert [seen["images"][key]["readable"] for key in "23"] == [False, False]
    machine = [item for item in image["annotations"] if RUN in item["metadata"]]
    assert len(machine) == FREE + 1
    assert {item["class"] for item in machine} == {"Glomerulus", "Glomerulus: Cellular"}
    disc = next(item for item in machine if item["class"] == "Glomerulus")
    assert disc["area"] == pytest.approx(Point(0, 0).buffer(50).area, rel=5e-3)
    assert disc["measurements"] == {"Confidence": 0.875}
    assert disc["metadata"].keys() == {"glomseg.run", "glomseg.model", "glomseg.fingerprint"}
    assert (disc["name"], disc["locked"]) == ("G", False)
    assert {name: tuple(color) for name, color in seen["classes"]} == {
        "Glomerulus": (255, 0, 0),
        "Glomerulus: Sclerotic": (120, 0, 120),
        "Cortex": (0, 128, 255),
        "Ignore*": (180, 180, 180),
        "Glomerulus: Cellular": (9, 8, 7),
    }
    after = {item.object_id: item for item in qupath.call(read_annotations, study, "1")}
    assert all(after[key].geometry.equals(item.geometry) for key, item in before.items())
    assert all(replace(after[key], geometry=item.geometry) == item for key, item in before.items())
    assert sum(owner(item) == "machine" for item in after.values()) == FREE + 1
    assert {path: files(study)[path] for path in others} == others
    state = image_state(read_project(study).images[0])
    assert state == result.state_after
    assert (state.object_count, state.annotation_counts["Glomerulus"]) == (16 + FREE + 1, 5 + FREE)
    assert (study.parent / "glomseg" / "run-1" / "backup" / "1" / "data.qpdata").is_file()


def test_the_same_again_writes_nothing(qupath, study):
    first = collect(qupath, study, discs())
    before = files(study)
    again = collect(qupath, study, discs(run="run-2"), run="run-2", memory=after(first))
    assert (again.added, again.removed, again.kept, again.changed) == (0, 0, FREE, False)
    assert again.state_after == again.state_before
    assert files(study) == before
    assert not (study.parent / "glomseg" / "run-2").exists()


def test_shapes_of_every_kind_read_back_the_same(qupath, study):
    """Rectangles, holes, parts, straight edges, long rings and far corners: each is still the machine's."""
    hole = Point(300, 500).buffer(60).difference(Point(300, 500).buffer(20))
    touching = Polygon([(400, 1200), (500, 1200), (500, 1300), (400, 1300)], [[(400, 1200), (450, 1260), (440, 1280)]])
    shapes = [
        box(100, 100, 200, 200),
        hole,
        MultiPolygon([box(500, 500, 550, 560), Point(700, 530).buffer(30)]),
        Polygon([(800, 500), (850, 500), (900, 500), (900, 550), (900, 600), (850, 600), (800, 600)]),
        touching,
        Point(1500, 500).buffer(100, quad_segs=500),
        Point(123456.789, 234567.891).buffer(77.7),
        MultiPolygon([box(1000, 1000, 1050, 1050), box(1050, 1050, 1100, 1100)]),
    ]
    random = np.random.default_rng(7)
    for _ in range(60):
        angles = np.sort(random.uniform(0, 2 * np.pi, 60))
        radii = random.uniform(60, 120, 60)
        ring = np.c_[radii * np.cos(angles), radii * np.sin(angles)] + random.uniform(5000, 300_000, 2)
        shapes.append(Polygon(ring).buffer(0))
    predictions = [predicted(shape, class_name="Tubule") for shape in shapes]
    collect(qupath, study, predictions, entry_id="2")
    read = by_shape(item for item in qupath.call(read_annotations, study, "2") if item.class_name == "Tubule")
    assert len(read) == len(shapes)
    for item in predictions:
        found = read[fingerprint(item.geometry, item.class_name)]
        assert owner(found) == "machine"
        assert found.geometry.symmetric_difference(item.geometry).area == 0
        assert found.metadata[FINGERPRINT] == item.metadata[FINGERPRINT]
    assert not collect(qupath, study, predictions, entry_id="2").changed


def test_a_new_run_replaces_the_machines_objects_alone(qupath, study):
    first = collect(qupath, study, discs())
    spots = [(x + 5, y) for x, y in SPOTS]
    second = collect(qupath, study, discs(spots, run="run-2"), memory=after(first))
    assert (second.added, second.removed) == (FREE, FREE)
    objects = qupath.call(read_annotations, study, "1")
    assert {item.metadata.get(RUN) for item in objects} == {None, "run-2"}
    assert len(objects) == 10 + FREE


def test_only_the_processed_area_is_replaced(qupath, study):
    first = collect(qupath, study, discs())
    second = collect(
        qupath,
        study,
        [],
        processed_area=box(0, 0, 500, 2048),
        memory=after(first),
    )
    assert second.added == 0
    assert 0 < second.removed < FREE
    assert len(qupath.call(read_annotations, study, "1")) == 10 + FREE - second.removed


def test_what_a_person_did_in_qupath_is_recognised_and_left_alone(qupath, study):
    first = collect(qupath, study, discs())
    in_another_process(EDIT, study, qupath)
    before, objects = files(study), qupath.call(read_annotations, study, "1")
    again = collect(qupath, study, discs(run="run-2"), memory=after(first))
    assert (again.dropped_person, again.dropped_rejected, again.kept) == (2 + 6, 1, 1)
    assert not again.changed
    assert files(study) == before
    cleared = collect(qupath, study, [], memory=after(again))
    assert cleared.removed == 1
    left = qupath.call(read_annotations, study, "1")
    persons = [item for item in objects if owner(item) == "person"]
    assert len(persons) == 10 + 6
    assert {item.object_id: item for item in left} == {item.object_id: item for item in persons}


def test_a_deleted_prediction_stays_away(qupath, study):
    first = collect(qupath, study, discs())
    gone = discs()[:1]  # a person deletes all but this one; here a collect of that one alone plays the person
    collect(qupath, study, gone)
    plan = collect(qupath, study, discs(run="run-2"), memory=after(first))
    assert (plan.added, plan.kept, plan.dropped_rejected) == (0, 1, FREE - 1)
    forgiving = collect(qupath, study, discs(), memory=after(first), forget_rejections=True)
    assert forgiving.added == FREE - 1


def test_an_id_is_not_given_twice(qupath, study):
    (prediction,) = discs(SPOTS[:1], object_id="11111111-2222-3333-4444-555555555555")
    collect(qupath, study, [prediction])
    other = discs(SPOTS[1:2], object_id=prediction.object_id)
    collect(qupath, study, other, processed_area=Point(SPOTS[1]).buffer(99))
    ids = [item.object_id for item in qupath.call(read_annotations, study, "1")]
    assert prediction.object_id in ids
    assert len(set(ids)) == len(ids) == 12


def test_an_image_that_qupath_never_saved(qupath, study):
    image = read_project(study).images[2]
    shutil.rmtree(image.data_folder)
    result = collect(qupath, study, discs([(500, 500)]), entry_id="3")
    assert (result.added, result.state_before.sha256) == (1, None)
    seen = reopen(study, qupath)["images"]["3"]
    assert (seen["readable"], seen["objects"], seen["type"]) == (True, 1, "UNSET")
    assert read_project(study).images[2].name == image.name


# --- what must not be lost


def test_a_change_since_reading_stops_with_nothing_written(qupath, study):
    image = read_project(study).images[0]
    state = image_state(image)
    collect(qupath, study, discs(SPOTS[:1]))  # somebody else saves
    before = files(study)
    with pytest.raises(ConflictError, match=r"kidney_01\.tif was saved by somebody else"):
        collect(qupath, study, discs(), expected_state=state)
    assert files(study) == before


def test_an_unreachable_image_is_not_written(qupath, study):
    before = files(study)
    with pytest.raises(ProjectError, match="cannot be reached"):
        collect(qupath, study, discs(), image_path=Path("/nowhere/kidney_01.tif"))
    assert files(study) == before


def test_an_image_found_elsewhere_gets_its_new_place(qupath, study, tmp_path):
    place = tmp_path / "archive, 2024" / "kidney #1 ü.tif"
    place.parent.mkdir()
    (tmp_path / "kidney_01.tif").rename(place)
    result = collect(qupath, study, discs(), image_path=place)
    assert result.moved
    assert read_project(study).images[0].path == place
    assert reopen(study, qupath)["images"]["1"]["readable"]
    assert not collect(qupath, study, discs(), image_path=place).moved


def test_a_project_of_a_newer_qupath_is_left_alone(qupath, study):
    content = json.loads(study.read_text("utf-8"))
    study.write_text(json.dumps({**content, "version": "0.99.0"}), "utf-8")
    before = files(study)
    with pytest.raises(QuPathError, match=r"0\.99\.0.*PAQUO_QUPATH_DIR"):
        collect(qupath, study, discs())
    assert files(study) == before


def test_a_save_that_qupath_did_not_finish_is_taken_up(qupath, study):
    data = read_project(study).images[0].data_folder / "data.qpdata"
    shutil.copy(data, data.with_name("data.qpdata.bkp"))
    data.write_bytes(data.read_bytes()[:4000])
    assert len(qupath.call(read_annotations, study, "1")) == 10
    assert collect(qupath, study, discs()).added == FREE
    assert len(qupath.call(read_annotations, study, "1")) == 10 + FREE


def test_what_is_written_imports_as_geojson_too(qupath, study, tmp_path):
    collect(qupath, study, discs())
    objects = qupath.call(read_annotations, study, "1")
    write_geojson(tmp_path / "a.geojson", objects)
    assert [owner(item) for item in read_geojson(tmp_path / "a.geojson")] == [owner(item) for item in objects]


@pytest.mark.slow
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
@pytest.mark.parametrize("delay", [0.2, 0.7, 1.2])
def test_a_process_killed_in_the_middle_leaves_the_old_or_the_new_state(study, qupath, delay):
    spots = [(30 + 40 * (i % 50), 30 + 40 * (i // 50)) for i in range(2000)]
    predictions = discs(spots, radius=15)
    with qupath_process() as process:
        old = len(process.call(read_annotations, study, "2"))
        victim = process.call(os.getpid)
        timer = threading.Timer(delay, os.kill, (victim, signal.SIGKILL))
        timer.start()
        with suppress(QuPathError):  # none where the write was through by then
            collect(process, study, predictions, entry_id="2")
        timer.join()
    found = len(qupath.call(read_annotations, study, "2"))
    result = collect(qupath, study, predictions, entry_id="2")
    assert result.added + result.kept + result.dropped_person == 2000
    assert found in (old, len(qupath.call(read_annotations, study, "2")))
    assert not collect(qupath, study, predictions, entry_id="2").changed


@pytest.mark.slow
@pytest.mark.parametrize("study", ["0_6_0"], indirect=True)
def test_ten_thousand_polygons_in_one_image(qupath, study):
    spots = [(30 + 20 * (i % 100), 30 + 20 * (i // 100)) for i in range(10_000)]
    predictions = discs(spots, radius=8, class_name="Tubule")
    assert collect(qupath, study, predictions, entry_id="2").added == 10_000
    assert not collect(qupath, study, predictions, entry_id="2").changed
