"""What a classifier suggests of outlined glomeruli, written on QuPath's objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from glomseg.qupath.objects import Color, PathObject
from glomseg.runs.ownership import MODEL, RUN, stamp
from glomseg.segment.suggest import Suggestion

SUGGESTION = "glomseg.suggestion"
"""Metadata: the class that a classifier thinks likely, and that nobody has given."""
SCLEROTIC = "Glomerulus: Sclerotic"
"""The class of the shipped classifier."""
COLORS: Mapping[str, Color] = {SCLEROTIC: (230, 120, 0)}
"""Of a class that a classifier gives; one that the project knows keeps its own in QuPath."""


def with_suggestions(
    objects: Sequence[PathObject], suggestions: Iterable[Suggestion], *, classify: bool
) -> list[PathObject]:
    """Return a run's objects with the probability of each as a measurement, and what is likely marked.

    With `classify` what is likely becomes the class of the object, which is stamped anew; without, metadata.
    """
    marked = []
    for item, suggestion in zip(objects, suggestions, strict=True):
        item = replace(item, measurements={**item.measurements, suggestion.measurement: suggestion.probability})
        if suggestion.is_likely and classify:
            color = COLORS.get(suggestion.class_name, item.color)
            item = replace(item, class_name=suggestion.class_name, color=color)
            item = stamp(item, run=item.metadata[RUN], model=item.metadata[MODEL])
        elif suggestion.is_likely:
            item = replace(item, metadata={**item.metadata, SUGGESTION: suggestion.class_name})
        marked.append(item)
    return marked


def suggested_class(item: PathObject) -> str | None:
    """Return the class that a classifier suggests for an object and that it has not, None for none."""
    suggested = item.metadata.get(SUGGESTION)
    return None if suggested == item.class_name else suggested
