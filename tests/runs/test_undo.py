"""Taking a run back: the identity right after it, and never a touch on what a person did."""

from dataclasses import replace

import shapely
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from shapely.geometry import Point, box
from support.plans import apply

from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import REJECTED, VERDICT, Memory, owner, plan_update, stamp
from glomseg.runs.undo import change_of, fold, plan_undo


def disc(x, y, radius=40.0, **changes):
    return PathObject(**{"geometry": Point(x, y).buffer(radius, quad_segs=4), "class_name": "Glomerulus"} | changes)


def ours(x, y, radius=40.0, run="run-1", **changes):
    return stamp(disc(x, y, radius, **changes), run=run, model="m")


class Image:
    """One image and its history, as collect and undo keep them."""

    def __init__(self, objects=()):
        self.objects, self.remembered, self.changes = list(objects), (), []

    def run(self, run, predictions, area=None, forget=False):
        plan = plan_update(
            self.objects,
            predictions,
            area,
            Memory(predictions=self.remembered, is_of_data=True),
            forget_rejections=forget,
            believe_deletions=True,
        )
        if not plan.is_empty:
            self.changes.append(change_of(plan, self.objects, plan.remembered, run=run, before=None))
        self.objects, self.remembered = apply(self.objects, plan), plan.remember
        return plan

    def undo(self):
        run = self.changes[-1].run
        last = len(self.changes)
        while last and self.changes[last - 1].run == run:
            last -= 1
        plan = plan_undo(
            self.objects,
            fold(self.changes[last:]),
            Memory(predictions=self.remembered, is_of_data=True),
            believe_deletions=True,
        )
        del self.changes[last:]
        self.objects, self.remembered = apply(self.objects, plan), plan.remember
        return plan


def known(objects):
    """What is remembered, whether or not it is told apart already what stands and what is rejected."""
    return content(
        replace(item, metadata={key: text for key, text in item.metadata.items() if key != REJECTED})
        for item in objects
    )


def content(objects):
    return sorted(repr((item.geometry.wkt, item.class_name, item.is_locked, item.metadata)) for item in objects)


def test_undo_brings_back_what_the_run_replaced():
    image = Image([disc(90, 90)])
    image.run("run-1", [ours(300, 100), ours(500, 100)])
    before, remembered = list(image.objects), image.remembered
    image.run("run-2", [ours(305, 100, run="run-2"), ours(500, 100, run="run-2"), ours(700, 100, run="run-2")])
    plan = image.undo()
    assert (len(plan.remove), len(plan.add), len(plan.keep)) == (2, 1, 1)
    assert content(image.objects) == content(before)
    assert known(image.remembered) == known(remembered)
    image.undo()
    assert image.objects == [disc(90, 90)]
    assert len(image.run("run-3", [ours(300, 100, run="run-3")]).add) == 1  # an undo is no rejection


def test_undo_leaves_what_a_person_made_of_an_object():
    image = Image()
    image.run("run-1", [ours(100, 100), ours(300, 100), ours(500, 100)])
    image.run("run-2", [ours(x + 4, 100, run="run-2") for x in (100, 300, 500)])
    locked = replace(image.objects[0], is_locked=True)
    image.objects = [locked, image.objects[1]]  # one locked, one untouched, one deleted
    plan = image.undo()
    assert locked in image.objects
    assert [item.geometry.centroid.x for item in plan.add] == [image.objects[1].geometry.centroid.x]
    assert len(image.objects) == 2
    again = image.run("run-3", [ours(x, 100, run="run-3") for x in (100, 300, 500)])
    assert len(again.dropped_rejected) == 1  # what was deleted stays away
    assert len(again.dropped_person) == 1


def test_undo_puts_nothing_beneath_what_was_drawn_since():
    hers = disc(98, 102)
    image = Image([ours(100, 100)])
    image.run("run-2", [])
    image.objects.append(hers)
    assert image.undo().dropped_person
    assert image.objects == [hers]


def test_undo_brings_back_what_lay_beneath_a_persons_object_before():
    image = Image([ours(100, 100), disc(98, 102)])
    before = list(image.objects)
    image.run("run-2", [ours(100, 100, run="run-2")])
    assert len(image.objects) == 1
    image.undo()
    assert content(image.objects) == content(before)


def test_several_writes_of_one_run_are_taken_back_together():
    image = Image()
    image.run("run-1", [ours(100, 100), ours(300, 100)])
    before = list(image.objects)
    image.run("run-2", [ours(103, 100, run="run-2"), ours(303, 100, run="run-2")])
    image.run("run-2", [ours(106, 100, run="run-2"), ours(303, 100, run="run-2")])
    image.undo()
    assert content(image.objects) == content(before)


def test_what_a_person_only_measured_stays_theirs_whatever_is_run_and_taken_back():
    image = Image()
    image.run("run-1", [ours(100, 100), ours(300, 100), ours(500, 100)])
    hers = replace(image.objects[0], measurements={"podocytes": 12.0})
    image.objects[0] = hers
    for number, forget in [(2, False), (3, True), (4, False)]:
        image.run(f"run-{number}", [ours(x + number, 100, run=f"run-{number}") for x in (100, 300, 500)], forget=forget)
        assert hers in image.objects
        assert len(image.objects) == 3
    for _ in range(4):
        image.undo()
        assert hers in image.objects
    image.run("run-5", [ours(101, 100, run="run-5")])
    assert image.objects == [hers]
    image.objects = []  # and where she deletes it, that is a verdict
    assert not image.run("run-6", [ours(99, 100, run="run-6")]).add


PLACES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1), st.sampled_from([20, 35, 40])), max_size=6)


class Project(RuleBasedStateMachine):
    """Runs, edits, deletions, locks, undos in any order."""

    @initialize()
    def start(self):
        self.image, self.runs, self.persons = Image([disc(90, 90)]), 0, [disc(90, 90)]

    def note(self):
        """Remember what is a person's now; it must be there, as it is, until a person changes it."""
        self.persons = [item for item in self.image.objects if self.is_persons(item)]

    def is_persons(self, item):
        return owner(item) == "person" or "mine" in item.measurements

    @rule(places=PLACES, part=st.booleans(), forget=st.booleans(), same=st.booleans())
    def run(self, places, part, forget, same):
        self.runs += not (same and self.runs)
        name = f"run-{self.runs}"
        predictions = [ours(50 + 40 * x, 50 + 90 * y, radius, run=name) for x, y, radius in places]
        before, remembered = list(self.image.objects), self.image.remembered
        follows = bool(self.image.changes) and self.image.changes[-1].run == name
        plan = self.image.run(name, predictions, box(0, 0, 250, 300) if part else None, forget)
        if not plan.is_empty and not follows:  # then undo is the identity, on a copy of the image
            copy = Image(self.image.objects)
            copy.changes = list(self.image.changes)
            copy.undo()
            assert content(copy.objects) == content(before)
            assert known(copy.remembered) == known(remembered)

    @precondition(lambda self: self.image.changes)
    @rule()
    def undo(self):
        run = self.image.changes[-1].run
        before = list(self.image.objects)
        plan = self.image.undo()
        assert all(owner(item) == "machine" and item.metadata["glomseg.run"] == run for item in plan.remove)
        assert all(any(item is other for other in before) for item in plan.remove)

    @precondition(lambda self: self.image.objects)
    @rule(data=st.data(), edit=st.sampled_from(["delete", "move", "lock", "class", "verdict", "name", "measure"]))
    def edit(self, data, edit):
        number = data.draw(st.integers(0, len(self.image.objects) - 1))
        item = self.image.objects.pop(number)
        changes = {
            "move": {"geometry": shapely.affinity.translate(item.geometry, 15, 5)},
            "lock": {"is_locked": not item.is_locked},
            "class": {"class_name": "Artefact"},
            "verdict": {"metadata": {**item.metadata, VERDICT: "reject"}},
            "name": {"name": "look"},
            "measure": {"measurements": {**item.measurements, "mine": 1.0}},
        }
        if edit != "delete":
            self.image.objects.append(replace(item, **changes[edit]))
        self.note()

    @rule(x=st.integers(0, 400))
    def draw(self, x):
        self.image.objects.append(disc(x, 60))
        self.note()

    @invariant()
    def persons_objects_stand_untouched(self):
        now = [item for item in self.image.objects if self.is_persons(item)]
        assert content(now) == content(self.persons)


Project.TestCase.settings = settings(max_examples=150, stateful_step_count=15, deadline=None)
TestProject = Project.TestCase
