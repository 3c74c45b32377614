"""What a person corrected in the file of a run, as by an export from QuPath over it, is a person's as it comes in."""

import json
from dataclasses import replace

import pytest
from shapely.affinity import translate
from support.groovy import import_run
from support.runs import FREE, discs, made_run, standing

from glomseg.qupath.objects import read_geojson, write_geojson
from glomseg.runs.ownership import owner

pytestmark = pytest.mark.qupath


def corrected(path):
    """Move, lock and name, reclassify, and colour an outline each; the others stay as the run wrote them."""
    moved, locked, scarred, green, *rest = read_geojson(path)
    changed = [
        replace(moved, geometry=translate(moved.geometry, 20, 0)),
        replace(locked, is_locked=True, name="Ada"),
        replace(scarred, class_name="Glomerulus: Sclerotic"),
        replace(green, own_color=(0, 255, 0)),
    ]
    write_geojson(path, [*changed, *rest])
    return {item.object_id: item for item in changed}


def look(one_process, study, ids):
    found = standing(one_process, study)
    return {key: (item.is_locked, item.name, item.class_name, item.geometry.centroid.x) for key, item in found.items()
            if key in ids}  # fmt: skip


@pytest.mark.parametrize("by", ["collect", "import_results"])
@pytest.mark.parametrize("is_again", [False, True], ids=["at first", "after the run stood there"])
def test_what_was_corrected_in_the_file_of_a_run_stays_a_persons(moved, one_process, glomseg, by, is_again):
    """It was sealed as the machine's, and the next run took it away."""
    run = made_run(moved, "run-1", discs("run-1", FREE))
    others = len(standing(one_process, moved))
    if is_again:
        assert glomseg("collect", moved).code == 0
    ids = corrected(run.result_path("1"))
    if by == "collect":
        done = glomseg("collect", moved)
        assert done.code == 0
        assert "4 outlines were changed since the run wrote this file: a person's from now on" in done.out + done.err
    else:
        done = one_process.call(import_run, moved, "1", "run-1")
        assert (done["added"], done["corrected"]) == (4 if is_again else len(FREE), 4)
    stood = look(one_process, moved, ids)
    assert [values[:3] for values in stood.values()].count((True, "Ada", "Glomerulus")) == 1
    assert [values[2] for values in stood.values()].count("Glomerulus: Sclerotic") == 1
    assert FREE[0][0] + 20 in [round(values[3]) for values in stood.values()]
    found = standing(one_process, moved)
    assert len(found) == others + len(FREE)
    assert [owner(found[key]) for key in ids] == ["person"] * 4
    assert [found[key].is_colored for key in ids] == [False, False, False, True]
    image = json.loads(glomseg("status", moved, "--json").out)["images"][0]
    assert [image["machine"], image["persons"]] == [len(FREE) - 4, others + 4]
    assert not (image["since"] or {}).get("deleted")
    assert glomseg("collect", moved).code == 0
    assert look(one_process, moved, ids) == stood
    made_run(moved, "run-2", discs("run-2", FREE, shift=2))
    assert glomseg("collect", moved).code == 0
    assert look(one_process, moved, ids) == stood
    assert len(standing(one_process, moved)) == others + len(FREE)
    assert glomseg("undo", moved).code == 0
    assert glomseg("undo", moved).code == 0
    assert look(one_process, moved, ids) == stood


def test_what_no_run_made_is_left_out_of_an_import_and_counted(moved, one_process):
    """The script died of the first such object, and nothing was brought in."""
    run = made_run(moved, "run-1", discs("run-1", FREE))
    own = [replace(item, metadata={}, object_id=None) for item in discs("run-1", [(100, 100)])]
    write_geojson(run.result_path("1"), [*own, *read_geojson(run.result_path("1"))])
    done = one_process.call(import_run, moved, "1", "run-1")
    assert (done["added"], done["corrected"], done["foreign"]) == (len(FREE), 0, 1)


@pytest.mark.parametrize("by", ["collect", "import_results"])
def test_what_the_review_had_painted_when_it_was_exported_is_no_correction(moved, one_process, glomseg, by):
    """A file holds the colour with another alpha than the metadata that say whose it is."""
    run = made_run(moved, "run-1", discs("run-1", FREE))
    blue = {"own_color": (31, 159, 255)}
    items = read_geojson(run.result_path("1"))
    painted = [replace(item, **blue, metadata={**item.metadata, "glomseg.painted": "2072575"}) for item in items]
    write_geojson(run.result_path("1"), [*painted[:-1], replace(items[-1], **blue)])
    if by == "collect":
        done = glomseg("collect", moved)
        assert "1 outline was changed since the run wrote this file" in done.out + done.err
    else:
        assert one_process.call(import_run, moved, "1", "run-1")["corrected"] == 1
    found = [item for item in standing(one_process, moved).values() if "glomseg.run" in item.metadata]
    assert sorted((item.is_colored, owner(item)) for item in found) == [(False, "machine")] * 7 + [(True, "person")]
