"""Outlines of a person and of the machine, and what stands after a plan, without a QuPath."""

from shapely.geometry import Point

from glomseg.qupath.objects import PathObject
from glomseg.runs.ownership import Memory, stamp


def disc(x, y, radius=40.0, **changes):
    """An outline as a person draws it."""
    return PathObject(**{"geometry": Point(x, y).buffer(radius), "class_name": "Glomerulus"} | changes)


def ours(x, y, radius=40.0, run="run-1", **changes):
    """An outline of the machine's."""
    return stamp(disc(x, y, radius, **changes), run=run, model="m")


def bound(predictions):
    """What is remembered of data that is based on the last write."""
    return Memory(predictions=tuple(predictions), is_of_data=True)


def apply(existing, plan):
    """What stands in the image after a plan, as collect makes it."""
    removed = {id(item) for item in plan.remove}
    return [item for item in existing if id(item) not in removed] + list(plan.add)
