"""Whose object is it: no person's object is ever touched, and the same run again changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from glomseg.qupath.objects import PathObject, read_geojson, write_geojson
from glomseg.runs.ownership import (
    DESCRIPTION,
    FINGERPRINT,
    RUN,
    VERDICT,
    Memory,
    fingerprint,
    owner,
    plan_update,
    snap,
    stamp,
)
from glomseg.runs.undo import change_of, plan_undo

GLOMERULUS = "Glomerulus"


def disc(x, y, radius=40.0, **changes):
    return PathObject(**{"geometry": Point(x, y).buffer(radius), "class_name": GLOMERULUS} | changes)


def ours(x, y, radius=40.0, run="run-1", **changes):
    return stamp(disc(x, y, radius, **changes), run=run, model="m")


def bound(predictions):
    """What is remembered of data that is based on the last write."""
    return Memory(predictions=tuple(predictions), is_of_data=True)


def apply(existing, plan):
    """What stands in the image after a plan, as collect makes it."""
    removed = {id(item) for item in plan.remove}
    return [item for item in existing if id(item) not in removed] + list(plan.add)


def through_qupath(geometry):
    """What QuPath gives back: float32 vertices, rounded to 0.01 px, in another order and direction."""
    moved = shapely.transform(geometry, lambda xy: np.round(xy.astype(np.float32).astype(float) / 0.01) * 0.01)
    return shapely.normalize(shapely.reverse(moved))


# --- the fingerprint


@given(
    x=st.floats(0, 400_000),
    y=st.floats(0, 400_000),
    radius=st.floats(3, 500),
    corners=st.integers(3, 200),
    hole=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_a_fingerprint_survives_qupath(x, y, radius, corners, hole, seed):
    angles = np.sort(np.random.default_rng(seed).uniform(0, 2 * np.pi, corners))
    ring = np.c_[x + radius * np.cos(angles), y + radius * np.sin(angles)]
    shape = Polygon(ring).buffer(0)
    if hole:
        shape = shape.difference(shape.centroid.buffer(radius / 5))
    geometry = snap(shape)
    assert geometry.is_valid
    assert fingerprint(snap(geometry), None) == fingerprint(geometry, None)
    assert fingerprint(through_qupath(geometry), None) == fingerprint(geometry, None)


def test_a_fingerprint_survives_other_ways_to_write_a_shape():
    square = Polygon([(0, 0), (50, 0), (100, 0), (100, 100), (0, 100)])
    expected = fingerprint(box(0, 0, 100, 100), GLOMERULUS)
    assert fingerprint(square, GLOMERULUS) == expected
    assert fingerprint(MultiPolygon([square]), GLOMERULUS) == expected
    assert fingerprint(Polygon([(0, 0), (0, 0), (100, 0), (100, 100), (0, 100)]), GLOMERULUS) == expected
    one, two = box(0, 0, 10, 10), box(20, 0, 30, 10)
    assert fingerprint(MultiPolygon([one, two]), None) == fingerprint(MultiPolygon([two, one]), None)


def test_a_fingerprint_survives_geojson(tmp_path):
    item = ours(123456.789, 98765.4321)
    write_geojson(tmp_path / "a.geojson", [item])
    (read,) = read_geojson(tmp_path / "a.geojson")
    assert read.metadata == item.metadata
    assert owner(read) == "machine"


@pytest.mark.parametrize("step", [(0.02, 0), (0, 0.02), (-1, 0)])
def test_the_smallest_edit_changes_the_fingerprint(step):
    item = ours(100_000, 100_000)
    points = shapely.get_coordinates(item.geometry)
    points[3] += step
    assert owner(replace(item, geometry=Polygon(points))) == "person"


def test_snapping_keeps_area_and_place():
    glomerulus = Point(1000.3, 2000.7).buffer(64)
    snapped = snap(glomerulus)
    assert snapped.area == pytest.approx(glomerulus.area, rel=2e-3)
    assert snapped.centroid.distance(glomerulus.centroid) < 0.1
    assert snap(box(0, 0, 100, 100)).area == 10_000


# --- the owner


def test_what_we_wrote_is_the_machines():
    assert owner(ours(100, 100)) == "machine"
    assert owner(ours(100, 100, name="G1")) == "machine"


@pytest.mark.parametrize(
    "change",
    [
        {"is_locked": True},
        {"class_name": "Glomerulus: Sclerotic"},
        {"class_name": None},
        {"name": "ask Ada"},
        {"geometry": Point(200, 100).buffer(40)},
        {"object_type": "detection"},
        {"metadata": {}},
    ],
)
def test_what_a_person_changed_is_that_persons(change):
    assert owner(replace(ours(100, 100), **change)) == "person"


@pytest.mark.parametrize("key", [VERDICT, DESCRIPTION])
def test_what_a_person_judged_is_that_persons(key):
    item = ours(100, 100)
    assert owner(replace(item, metadata={**item.metadata, key: "accept"})) == "person"


def test_what_a_person_drew_is_that_persons():
    assert owner(disc(100, 100)) == "person"


def test_new_measurements_do_not_change_the_owner():
    assert owner(replace(ours(100, 100), measurements={"Area µm^2": 3.0})) == "machine"


# --- the plan


def test_a_first_run_adds_everything():
    predictions = [ours(100, 100), ours(300, 100)]
    plan = plan_update([], predictions, None)
    assert plan.add == tuple(predictions)
    assert plan.remember == plan.add
    assert not plan.remove
    assert not plan.is_empty


def test_a_new_run_replaces_the_machines_objects_and_keeps_equal_ones():
    same, gone = ours(100, 100), ours(300, 100)
    again, new = ours(100, 100, run="run-2"), ours(310, 100, run="run-2")
    plan = plan_update([same, gone], [again, new], None)
    assert plan.remove == (gone,)
    assert plan.keep == (same,)
    assert plan.add == (new,)


def test_objects_outside_the_processed_area_stay():
    inside, outside = ours(100, 100), ours(900, 100)
    plan = plan_update([inside, outside], [], box(0, 0, 500, 500))
    assert plan.remove == (inside,)
    assert outside in plan.remember


def test_the_centroid_decides_at_the_border_and_the_older_object_stays():
    border = ours(510, 100)
    fragment = ours(485, 100, radius=20)
    plan = plan_update([border], [fragment], box(0, 0, 500, 500))
    assert not plan.remove
    assert plan.dropped_outside == (fragment,)


def test_a_copy_of_a_machines_object_goes():
    item = ours(100, 100)
    plan = plan_update([item, replace(item)], [item], None)
    assert len(plan.keep) == len(plan.remove) == 1


def test_no_duplicate_beside_a_persons_glomerulus():
    hers = disc(100, 100, class_name="Glomerulus: Sclerotic")
    near, touching = ours(115, 100), ours(175, 100)
    plan = plan_update([hers], [near, touching], None)
    assert plan.dropped_person == (near,)
    assert plan.add == (touching,)


def test_a_persons_glomerulus_drawn_over_the_machines_replaces_it():
    mine, hers = ours(100, 100), disc(105, 100)
    plan = plan_update([mine, hers], [ours(100, 100)], None)
    assert plan.remove == (mine,)
    assert len(plan.dropped_person) == 1


def test_other_annotations_of_a_person_are_no_rivals():
    cortex, note = disc(100, 100, 400, class_name="Cortex"), PathObject(geometry=Point(100, 100))
    assert len(plan_update([cortex, note], [ours(100, 100)], None).add) == 1


def test_a_broken_polygon_of_a_person_is_no_obstacle():
    bow_tie = PathObject(geometry=Polygon([(0, 0), (100, 100), (100, 0), (0, 100)]), class_name=GLOMERULUS)
    assert plan_update([bow_tie], [ours(20, 50, radius=15)], None).dropped_person


@pytest.mark.parametrize("class_name", ["Artefact", None])
def test_a_prediction_that_was_reclassified_does_not_come_back(class_name):
    judged = replace(ours(100, 100), class_name=class_name)
    plan = plan_update([judged], [ours(102, 100)], None)
    assert not plan.add
    assert not plan.remove


def test_a_deleted_prediction_does_not_come_back_however_often():
    first = plan_update([], [ours(100, 100), ours(300, 100)], None)
    existing = list(first.add[1:])
    remembered = first.remember
    for number in range(3):
        predictions = [ours(100 + number, 100), ours(300, 100)]
        plan = plan_update(existing, predictions, None, bound(remembered))
        assert plan.dropped_rejected == (predictions[0],)
        assert plan.is_empty
        remembered = plan.remember
    forgiving = plan_update(existing, [ours(100, 100)], box(0, 0, 200, 200), bound(remembered), forget_rejections=True)
    assert len(forgiving.add) == 1


def test_a_prediction_that_was_moved_away_does_not_come_back():
    first = plan_update([], [ours(100, 100)], None)
    moved = replace(first.add[0], geometry=Point(600, 600).buffer(40))
    plan = plan_update([moved], [ours(101, 100)], None, bound(first.remember))
    assert plan.is_empty
    assert len(plan.dropped_rejected) == 1


def test_a_prediction_needs_a_run():
    with pytest.raises(ValueError, match="stamp"):
        plan_update([], [disc(100, 100)], None)


def test_a_sliver_is_no_glomerulus():
    assert plan_update([], [ours(100, 100, radius=0.01)], None).is_empty


PLACES = st.tuples(st.integers(0, 12), st.integers(0, 2), st.sampled_from([20, 35, 40]))
EDITS = st.sampled_from(["none", "none", "delete", "move", "lock", "class", "verdict", "name", "draw"])


def predictions_at(places, run):
    return [ours(50 + 40 * x, 50 + 90 * y, radius, run=run) for x, y, radius in places]


def edited(existing, edits):
    result = []
    for number, item in enumerate(existing):
        edit = edits[number % len(edits)] if edits else "none"
        changes = {
            "move": {"geometry": shapely.affinity.translate(item.geometry, 15, 5)},
            "lock": {"is_locked": not item.is_locked},
            "class": {"class_name": "Artefact"},
            "verdict": {"metadata": {**item.metadata, VERDICT: "reject"}},
            "name": {"name": "look"},
        }
        if edit != "delete":
            result.append(replace(item, **changes.get(edit, {})))
        if edit == "draw":
            result.append(disc(60 + 35 * number, 60))
    return result


@given(
    runs=st.lists(
        st.tuples(st.lists(PLACES, max_size=8), st.lists(EDITS, max_size=5), st.booleans(), st.booleans()),
        min_size=1,
        max_size=4,
    )
)
@settings(deadline=None, max_examples=150)
def test_no_sequence_of_runs_and_edits_touches_a_persons_object(runs):
    existing, remembered = [disc(90, 90)], ()
    for number, (places, edits, part, forget) in enumerate(runs):
        existing = edited(existing, edits)
        predictions = predictions_at(places, f"run-{number}")
        area = box(0, 0, 300, 300) if part else None
        plan = plan_update(
            existing, predictions, area, bound(remembered), forget_rejections=forget, believe_deletions=True
        )
        assert all(owner(item) == "machine" for item in (*plan.remove, *plan.keep, *plan.add))
        assert all(any(item is other for other in existing) for item in (*plan.remove, *plan.keep))
        after = apply(existing, plan)
        persons = [item for item in existing if owner(item) == "person"]
        assert all(any(item is other for other in after) for item in persons)
        for memory in (plan.remember, remembered):
            again = plan_update(
                after, predictions, area, bound(memory), forget_rejections=forget, believe_deletions=True
            )
            assert again.is_empty
        existing, remembered = after, plan.remember


# --- what a person adds to an outline of the machine's


@pytest.mark.parametrize(
    "added",
    [
        {"is_colored": True},
        {"has_children": True},
        {"metadata": {"stain": "PAS"}},
        {"measurements": {"Confidence": 0.75, "Mesangial cells": 12.0}},
    ],
)
def test_what_a_person_added_to_makes_it_theirs(added):
    first = plan_update([], [ours(100, 100, measurements={"Confidence": 0.75}), ours(300, 100)], None)
    changed = replace(first.add[0], **{**added, "metadata": {**first.add[0].metadata, **added.get("metadata", {})}})
    plan = plan_update([changed, first.add[1]], [ours(101, 100, run="run-2")], None, bound(first.remember))
    assert plan.remove == (first.add[1],)
    assert (plan.persons, len(plan.dropped_person), plan.add) == ((changed,), 1, ())


def test_measurements_by_glomseg_are_no_persons():
    first = plan_update([], [ours(100, 100, measurements={"Confidence": 0.75})], None)
    metadata = {**first.add[0].metadata, "glomseg.measured": "Area;Circularity"}
    measured = replace(first.add[0], measurements={"Confidence": 0.75, "Area": 5.0}, metadata=metadata)
    plan = plan_update([measured], [ours(108, 100, run="run-2")], None, bound(first.remember))
    assert (plan.remove, len(plan.add)) == ((measured,), 1)


# --- what stands beside what a person did


def test_a_neighbour_stays_where_an_outline_of_both_gives_way_to_a_persons():
    both = disc(130, 100, radius=70)
    alone, hers = ours(100, 100), disc(180, 100, radius=38)
    plan = plan_update([alone, hers], [stamp(both, run="run-2", model="m")], None, bound([alone]))
    assert (plan.remove, plan.add, plan.keep) == ((), (), (alone,))
    assert plan_update([alone, hers], [stamp(both, run="run-2", model="m")], None, bound(plan.remember)).is_empty


def test_a_neighbour_stays_where_an_outline_of_both_gives_way_to_a_rejection():
    alone, gone = ours(100, 100), ours(180, 100)
    both = ours(140, 100, radius=80, run="run-2")
    plan = plan_update([alone], [both], None, bound([alone, gone]))
    assert (plan.remove, plan.add, plan.keep, len(plan.dropped_rejected)) == ((), (), (alone,), 1)


def test_an_outline_stays_around_a_small_one_that_a_person_drew_in_it():
    lesion = disc(110, 100, radius=12, class_name="Glomerulus: Segmental lesion")
    plan = plan_update([ours(100, 100), lesion], [ours(101, 100, run="run-2")], None)
    assert (plan.remove, len(plan.keep)) == ((), 1)


def test_an_outline_goes_where_a_person_drew_the_same_over_it():
    plan = plan_update([ours(100, 100), disc(102, 100)], [ours(101, 100, run="run-2")], None)
    assert (len(plan.remove), plan.add) == (1, ())


def test_what_the_run_did_not_see_again_goes():
    plan = plan_update([ours(100, 100), disc(300, 100)], [ours(300, 100, run="run-2")], None)
    assert len(plan.remove) == 1


# --- what is no review


def test_deletions_in_doubt_stay_known_where_a_run_did_not_look():
    first = plan_update([], predicted(), None)
    part = plan_update([], [ours(100, 100, run="run-2")], box(0, 0, 200, 200), bound(first.remember))
    assert (len(part.doubtful), len(part.add)) == (4, 1)
    again = plan_update(part.add, predicted("run-3"), None, bound(part.remember), believe_deletions=True)
    assert (len(again.dropped_rejected), again.keep, again.remove, again.add) == (3, part.add, (), ())


SPOTS = [(100, 100), (300, 100), (500, 100), (700, 100)]


def predicted(run="run-1", spots=SPOTS):
    return [ours(x, y, run=run) for x, y in spots]


def test_a_run_that_is_gone_as_a_whole_is_not_taken_for_a_review():
    first = plan_update([], predicted(), None)
    plan = plan_update([], predicted("run-2"), None, bound(first.remember))
    assert (len(plan.add), len(plan.doubtful), plan.dropped_rejected) == (4, 4, ())
    assert all(item.metadata[RUN] == "run-2" for item in plan.remember)
    believing = plan_update([], predicted("run-2"), None, bound(first.remember), believe_deletions=True)
    assert (believing.add, believing.doubtful, len(believing.dropped_rejected)) == ((), (), 4)
    assert plan_update([], predicted("run-3"), None, bound(believing.remember)).add == ()  # said once, it stays so


@pytest.mark.parametrize("count", [1, 2])
def test_few_may_be_deleted_and_none_left_where_the_data_is_known_to_have_had_them(count):
    first = plan_update([], predicted(spots=SPOTS[:count]), None)
    known = plan_update([], predicted("run-2"), None, bound(first.remember))
    assert (len(known.dropped_rejected), known.doubtful) == (count, ())
    unknown = plan_update([], predicted("run-2"), None, Memory(predictions=first.remember))
    assert (unknown.dropped_rejected, len(unknown.doubtful)) == ((), count)


def test_one_that_a_person_moved_shows_that_the_others_were_deleted():
    first = plan_update([], predicted(), None)
    moved = replace(first.add[0], geometry=Point(110, 100).buffer(40))
    plan = plan_update([moved], predicted("run-2"), None, bound(first.remember))
    assert (plan.doubtful, len(plan.dropped_rejected), len(plan.dropped_person)) == ((), 3, 1)


def test_a_doubt_about_one_run_is_none_about_another():
    """Data of the day before yesterday: the first run stands there, one of it deleted, and nothing of the second."""
    first = plan_update([], predicted(), None)
    second = predicted("run-2", [(100, 400), (300, 400), (500, 400)])
    plan = plan_update(first.add[1:], predicted("run-3"), None, Memory(predictions=(*first.remember, *second)))
    assert {item.metadata[RUN] for item in plan.doubtful} == {"run-2"}
    assert len(plan.dropped_rejected) == 1


@pytest.mark.slow
def test_ten_thousand_objects_are_replaced_at_once():
    spots = [(100 + 100 * (i % 100), 100 + 100 * (i // 100)) for i in range(10_000)]
    existing = [ours(x, y) for x, y in spots]
    hers = [disc(x + 50, y + 50, radius=10) for x, y in spots]
    moved = [ours(x + 1, y, run="run-2") for x, y in spots]
    plan = plan_update(existing + hers, moved, box(0, 0, 20_000, 20_000), bound(existing))
    assert len(plan.add) == len(plan.remove) == 10_000


def test_the_fingerprint_is_written_down():
    """Pinned: objects in people's projects carry it, and the Groovy scripts compute the same."""
    item = stamp(disc(0, 0, geometry=box(10, 20, 110, 120)), run="r", model="m")
    assert item.metadata[RUN] == "r"
    assert item.metadata[FINGERPRINT] == "1-3706c0a624337f618f85b56b107b1059"


# --- what coincides


def hand_drawn(x, y, **changes):
    """An outline drawn by hand about a glomerulus at a place: not quite round, not quite there."""
    return PathObject(geometry=Point(x + 4, y - 3).buffer(42, quad_segs=3), **changes)


@pytest.mark.parametrize(
    "class_name", [None, "glomeruli", "GLOMERULUS", "Glomerlus", "Glomerulus: Sclerotic", "Tubule"]
)
@pytest.mark.parametrize("kind", ["annotation", "detection", "cell"])
def test_nothing_is_put_on_an_outline_of_a_persons_whatever_its_class_and_kind(class_name, kind):
    hers = hand_drawn(100, 100, class_name=class_name, object_type=kind)
    plan = plan_update([hers], [ours(100, 100), ours(300, 100)], None)
    assert (len(plan.add), len(plan.dropped_person), plan.remove) == (1, 1, ())
    change = change_of(plan_update([], [], None), [], [], run="run-1", before=None)
    back = plan_undo([hers], replace(change, removed=(ours(100, 100), ours(300, 100))))
    assert (len(back.add), len(back.dropped_person)) == (1, 1)


@pytest.mark.parametrize("class_name", ["glomeruli", "GLOMERULUS", "Glomerlus", "Glomerulus: Sclerotic"])
def test_one_of_the_class_in_any_spelling_is_a_rival_where_it_overlaps(class_name):
    half = disc(140, 100, class_name=class_name)
    assert plan_update([half], [ours(100, 100)], None).dropped_person


@pytest.mark.parametrize(
    "item",
    [
        PathObject(geometry=box(60, 60, 140, 140)),
        PathObject(geometry=box(60, 60, 140, 140), class_name="Region*"),
        disc(100, 100, 300, class_name=None),
        disc(100, 100, 20, class_name="Artefact"),
        disc(100, 100, 8, class_name=GLOMERULUS, object_type="detection"),
        disc(150, 100, class_name="Tubule"),
    ],
)
def test_a_field_a_part_and_a_neighbour_are_no_outline_of_it(item):
    assert len(plan_update([item], [ours(100, 100)], None).add) == 1
