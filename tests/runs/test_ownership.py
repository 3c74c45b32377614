"""Whose object is it: no person's object is ever touched, and the same run again changes nothing."""

from dataclasses import replace

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import Point, Polygon, box
from support.plans import apply, bound, disc, ours

from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import DESCRIPTION, VERDICT, owner, plan_update, stamp, verdict_of
from glomseg.runs.reviewed import is_rejected
from glomseg.runs.undo import change_of, plan_undo

GLOMERULUS = "Glomerulus"


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


EDITS = st.sampled_from(["none", "none", "delete", "move", "lock", "class", "verdict", "name", "draw", "plane", "copy"])


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
            "plane": {"is_off_plane": True},
        }
        if edit != "delete":
            result.append(replace(item, **changes.get(edit, {})))
        if edit == "draw":
            result.append(disc(60 + 35 * number, 60))
        if edit == "copy":
            result.append(replace(item, is_off_plane=True))
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
        {"is_off_plane": True},
        {"is_brought": True},
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


@pytest.mark.slow
def test_ten_thousand_objects_are_replaced_at_once():
    spots = [(100 + 100 * (i % 100), 100 + 100 * (i // 100)) for i in range(10_000)]
    existing = [ours(x, y) for x, y in spots]
    hers = [disc(x + 50, y + 50, radius=10) for x, y in spots]
    moved = [ours(x + 1, y, run="run-2") for x, y in spots]
    plan = plan_update(existing + hers, moved, box(0, 0, 20_000, 20_000), bound(existing))
    assert len(plan.add) == len(plan.remove) == 10_000


# --- what a person puts on another plane of a stack


def test_a_copy_on_another_plane_is_a_persons_and_the_original_the_machines():
    """Run after run replaces the one and leaves the other, and each undo brings back what it replaced."""
    first = plan_update([], [ours(100, 100), ours(300, 100)], None)
    copy = replace(first.add[0], is_off_plane=True, object_id="copy")
    standing, remembered = [*first.add, copy], first.remember
    for number in (2, 3):
        predictions = [ours(100 + number, 100, run=f"run-{number}"), ours(300 + number, 100, run=f"run-{number}")]
        plan = plan_update(standing, predictions, None, bound(remembered))
        assert (plan.persons, plan.add, len(plan.remove)) == ((copy,), tuple(predictions), 2)
        change = change_of(plan, standing, plan.remembered, run=f"run-{number}", before=None)
        after = apply(standing, plan)
        assert plan_update(after, predictions, None, bound(plan.remember)).is_empty
        back = apply(after, plan_undo(after, change, bound(plan.remember)))
        assert {id(item) for item in back} == {id(item) for item in standing}
        standing, remembered = after, plan.remember


def test_a_copy_on_another_plane_since_a_run_does_not_hinder_its_undo():
    before, hers = ours(100, 100), disc(104, 100, is_off_plane=True)
    plan = plan_update([before], [ours(103, 100, run="run-2")], None, bound([before]))
    change = change_of(plan, [before], plan.remembered, run="run-2", before=None)
    copy = replace(plan.add[0], is_off_plane=True)
    after = [*apply([before], plan), copy, hers]
    assert apply(after, plan_undo(after, change, bound(plan.remember))) == [copy, hers, before]
    moved = [copy]
    assert apply(moved, plan_undo(moved, change, bound(plan.remember))) == [copy], "it was taken off its place"


def test_what_a_person_drew_on_another_plane_alone_is_not_outlined_again():
    hers = disc(100, 100, is_off_plane=True)
    plan = plan_update([hers], [ours(102, 100), ours(300, 100)], None)
    assert (plan.persons, len(plan.add), len(plan.dropped_person)) == ((hers,), 1, 1)


@pytest.mark.parametrize(
    ("class_name", "rejected"),
    [("Rejected", True), ("rejected", True), (None, True), ("Glomerulus", False), ("Glomerulus: Sclerotic", False)],
)
def test_a_rejected_outline_that_got_another_class_since_is_rejected_no_longer(
    class_name: str | None, rejected: bool
) -> None:
    """Verdicts give a class; another one is of a later day, and QuPath shows it."""
    item = PathObject(geometry=box(0, 0, 9, 9), class_name=class_name, metadata={VERDICT: "reject"})
    assert is_rejected(item) is rejected
    assert owner(item) == "person"
    accepted = replace(item, metadata={VERDICT: "accept"})
    assert verdict_of(accepted) == "accept"


@pytest.mark.parametrize(
    ("class_name", "verdict"), [("Glomerulus: Sclerotic", "sclerotic"), ("Glomerulus", None), (None, None)]
)
def test_a_sclerotic_outline_that_got_another_class_since_is_called_so_no_longer(class_name, verdict) -> None:
    """`status` would count what is in no table."""
    item = PathObject(geometry=box(0, 0, 9, 9), class_name=class_name, metadata={VERDICT: "sclerotic"})
    assert verdict_of(item) == verdict
