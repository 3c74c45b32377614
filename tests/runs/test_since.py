"""What people changed since a write of ours, told from what stands."""

from dataclasses import replace

from shapely.affinity import translate
from shapely.geometry import Point
from support.plans import apply
from support.runs import FREE, discs

from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import Memory, plan_update
from glomseg.runs.since import changes_since
from glomseg.runs.undo import change_of, plan_undo


def written(persons=()):
    """What stands after a first write upon what a person drew, what is remembered of it, and its record."""
    items = [replace(item, object_id=f"id-{number}") for number, item in enumerate(discs("run-1", FREE))]
    plan = plan_update(persons, items, None)
    change = change_of(plan, persons, plan.remembered, run="run-1", before=None)
    return [*persons, *plan.add], plan.remember, change


def drawn(name, x, key):
    return PathObject(geometry=Point(x, 1500).buffer(30), class_name=name, object_id=key)


def test_nothing_was_done():
    since = changes_since(*written([drawn("Cortex", 100, "a")]))
    assert str(since) == "nothing changed"
    assert since.run == "run-1"


def test_each_change_is_counted_once_by_class():
    standing, memory, change = written([drawn("Cortex", 100, "a"), drawn("Artery", 300, "b"), drawn(None, 500, "c")])
    a, _, c, *ours = standing
    verdict = {**ours[3].metadata, "glomseg.verdict": "reject", "glomseg.initials": "AB"}
    now = [
        a,
        replace(c, geometry=translate(c.geometry, 5)),
        replace(ours[0], geometry=translate(ours[0].geometry, 9)),
        replace(ours[1], class_name="Artefact"),
        replace(ours[2], geometry=translate(ours[2].geometry, 9), class_name="Artefact"),
        replace(ours[3], class_name="Rejected", metadata=verdict),
        replace(ours[4], is_locked=True),
        *ours[6:],
        drawn("Glomerulus", 900, "d"),
    ]
    since = changes_since(now, memory, change)
    assert since.added == {"Glomerulus": 1}
    assert since.deleted == {"Glomerulus": 1, "Artery": 1}
    assert since.reshaped == {"Glomerulus": 2}
    assert since.reclassified == {"Glomerulus": 2}
    assert since.changed == {"Glomerulus": 1, "": 1}
    assert (since.judged, since.judged_by) == ({"reject": 1}, {"AB": 1})
    assert str(since) == "1 added, 2 deleted, 2 reshaped, 2 reclassified, 2 changed, 1 judged (by AB)"


def test_a_copy_is_added_wherever_it_was_put_and_its_original_is_as_it_was():
    """As onto another plane of a stack, or twice in place."""
    standing, memory, change = written()
    copies = [replace(standing[0], is_off_plane=True, object_id="z"), replace(standing[1], object_id="twice")]
    for now in ([*copies, *standing], [*standing, *copies]):
        assert str(changes_since(now, memory, change)) == "2 added"
    bare = replace(standing[2], is_off_plane=True, object_id="bare", metadata={})  # as QuPath copies to a plane
    assert str(changes_since([*standing, bare], memory, change)) == "1 added"
    copies.append(bare)
    plan = plan_update([*standing, *copies], discs("run-2", FREE), None)
    later = change_of(plan, [*standing, *copies], plan.remembered, run="run-2", before=None)
    assert str(changes_since(apply([*standing, *copies], plan), plan.remember, later)) == "nothing changed"


def test_other_ids_are_no_change():
    """QuPath's "Refresh object IDs" gives all of them anew; two that are alike are told apart by number."""
    persons = [drawn("Cortex", 100, "a"), drawn("Artery", 300, "b"), drawn("Artery", 300, "c")]
    standing, memory, change = written(persons)
    fresh = [replace(item, object_id=f"fresh-{number}") for number, item in enumerate(standing)]
    assert str(changes_since(fresh, memory, change)) == "nothing changed"
    assert str(changes_since([*fresh[:2], *fresh[3:]], memory, change)) == "1 deleted"
    assert str(changes_since([*fresh, drawn("Artery", 300, "d")], memory, change)) == "1 added"


def test_verdicts_of_before_a_write_are_none_since_it():
    """A person judges, a second run comes in, and the person goes on: what was judged before is not counted again."""
    standing, *_ = written()
    verdict = {"glomseg.verdict": "accept", "glomseg.initials": "AB"}
    judged = [replace(item, is_locked=True, metadata={**item.metadata, **verdict}) for item in standing[:3]]
    before = [*judged, *standing[3:]]
    plan = plan_update(before, discs("run-2", FREE, shift=7), None)
    change = change_of(plan, before, plan.remembered, run="run-2", before=None)
    now = apply(before, plan)
    assert str(changes_since(now, plan.remember, change)) == "nothing changed"
    (last,) = [item for item in now if item.metadata["glomseg.run"] == "run-2"][-1:]
    later = replace(last, is_locked=True, metadata={**last.metadata, **verdict, "glomseg.initials": "CD"})
    now = [*(item for item in now if item is not last), later]
    assert str(changes_since(now, plan.remember, change)) == "1 judged (by CD)"


def test_what_was_deleted_before_an_undo_is_not_deleted_since_it():
    """What a person rejected or deleted of the run that goes leaves a gap where the run before had an outline."""
    first, memory, _ = written()
    plan = plan_update(first, discs("run-2", FREE, shift=7), None, Memory(predictions=memory, is_of_data=True))
    change = change_of(plan, first, plan.remembered, run="run-2", before=None)
    ours = [replace(item, object_id=f"second-{number}") for number, item in enumerate(plan.add)]
    verdict = {"glomseg.verdict": "reject", "glomseg.initials": "AB"}
    rejected = replace(ours[0], class_name="Rejected", metadata={**ours[0].metadata, **verdict})
    now = [rejected, *ours[2:]]
    back = plan_undo(now, change, Memory(predictions=plan.remember, is_of_data=True))
    undone = change_of(back, now, back.remember, run="run-2", before=None)
    assert str(changes_since(apply(now, back), back.remember, undone)) == "nothing changed"


def test_verdicts_that_lock_nothing_or_hold_no_more_are_none_since_a_write():
    standing, *_ = written()
    edit, sclerotic = ({"glomseg.verdict": said, "glomseg.initials": "AB"} for said in ("edit", "sclerotic"))
    before = [
        replace(standing[0], metadata={**standing[0].metadata, **edit}),
        replace(standing[1], class_name="Glomerulus: Sclerotic", metadata={**standing[1].metadata, **sclerotic}),
        *standing[2:],
    ]
    plan = plan_update(before, discs("run-2", FREE, shift=7), None)
    change = change_of(plan, before, plan.remembered, run="run-2", before=None)
    now = apply(before, plan)
    assert str(changes_since(now, plan.remember, change)) == "nothing changed"
    plain = replace(before[1], class_name="Glomerulus")
    now = [plain if item is before[1] else item for item in now]
    assert str(changes_since(now, plan.remember, change)) == "1 changed"
