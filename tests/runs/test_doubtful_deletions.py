"""What is gone is taken for deleted by a person, or for the doubt that it is."""

from dataclasses import replace

import pytest
from shapely.geometry import Point, box
from support.plans import bound, ours

from glomseg.runs.ownership import RUN, Memory, plan_update


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
