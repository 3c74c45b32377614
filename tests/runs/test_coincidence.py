"""No prediction is put on an outline of a person's, whatever its class and kind."""

from dataclasses import replace

import pytest
from shapely.geometry import Point, box
from support.plans import disc, ours

from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import plan_update
from glomseg.runs.undo import change_of, plan_undo

GLOMERULUS = "Glomerulus"


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
