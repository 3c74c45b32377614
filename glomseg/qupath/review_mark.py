"""Whether what a person marked as fully reviewed is what stands now.

The mark of an image lies in the project's file, its objects in the image's data: outlines may have come into these
since, or data of another day. So the mark says which write's outcome was reviewed, and the data say that they were. A
mark that says nothing of it, as the first versions made them, is believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from glomseg.qupath.classes import is_class
from glomseg.qupath.write_mark import find_in, stand_of

REVIEWED = "glomseg.reviewed"
"""Metadata of an image that was reviewed as a whole, or of a region that was: who did it, and when."""

REVIEWED_OF = "glomseg.reviewed_of"
"""Metadata beside it: the write whose outcome was reviewed."""

REVIEWED_IN = "glomseg.reviewed_in"
"""Metadata of a region beside it: where the region lay then, as "x y width height area" in pixels."""

PROGRESS = "glomseg.review"
"""Metadata of an image in which the review keeps how far it is, such as "3 accept, 1 reject, 7 to do"."""

_TO_DO = "to do"
_GLOMERULUS = "Glomerulus"  # the class that the review's script looks at
_AREA_TOLERANCE = 0.01
_IN_DATA = re.compile(rb"glomseg\.reviewed=([0-9a-f]{32}|none)")


def is_review_outdated(metadata: Mapping[str, str], data: Path | None) -> bool:
    """Tell whether an image of this metadata was marked as reviewed when other outlines stood in its data.

    Raises ProjectError where the data cannot be read.
    """
    reviewed = metadata.get(REVIEWED_OF)
    if REVIEWED not in metadata or reviewed is None:
        return False
    return stand_of(data) != reviewed or (reviewed,) not in find_in(data, _IN_DATA)


def is_mark_lost(metadata: Mapping[str, str], data: Path | None) -> bool:
    """Tell whether an image's data say that they were marked as reviewed as they stand, and its metadata do not.

    Raises ProjectError where the data cannot be read.
    """
    return REVIEWED not in metadata and (stand_of(data),) in find_in(data, _IN_DATA)[-1:]


def say_mark_lost() -> str:
    """Say of an image that its mark as reviewed is lost, and the way out."""
    return (
        "its data say that it was marked as fully reviewed, and the project's file does not, as where another QuPath "
        "that had the project open saved that file since; mark it again if so"
    )


def progress_of(
    metadata: Mapping[str, str], verdicts: Mapping[str, int] | None, annotations: Mapping[str, int] | None
) -> str | None:
    """Return how far the review of an image is by its metadata; None where its data hold something else.

    Outlines may have come in or been deleted since, and a copy of the image made without its data has none. `verdicts`
    and `annotations` by class are what stands there, None where that is unknown.
    """
    said = metadata.get(PROGRESS)
    counts = {what: int(count) for count, what in re.findall(r"(\d+) ([a-z ]+)", said or "")}
    judged = {what: count for what, count in counts.items() if what != _TO_DO}
    if verdicts is not None and judged != verdicts:
        return None
    glomeruli = [count for name, count in (annotations or {}).items() if is_class(name, _GLOMERULUS)]
    is_true = annotations is None or sum(glomeruli) == sum(counts.values()) - judged.get("reject", 0)
    return said if is_true else None


def is_region_outdated(metadata: Mapping[str, str], stand: str | None) -> bool:
    """Tell whether a region of this metadata was marked as reviewed when another write's outcome stood in its image."""
    return REVIEWED in metadata and stand is not None and metadata.get(REVIEWED_OF, stand) != stand


def is_region_moved(metadata: Mapping[str, str], region: BaseGeometry) -> bool:
    """Tell whether a region of this metadata was marked as reviewed elsewhere: moved, copied or reshaped since."""
    said = metadata.get(REVIEWED_IN)
    if REVIEWED not in metadata or said is None:
        return False
    left, top, right, bottom = region.bounds
    now = (left, top, right - left, bottom - top, region.area)
    then = [float(number) for number in re.findall(r"-?[\d.]+", said)]
    allowed = (1, 1, 1, 1, 1 + _AREA_TOLERANCE * region.area)
    return len(then) != len(now) or any(abs(a - b) > most for a, b, most in zip(then, now, allowed, strict=True))


def say_moved(metadata: Mapping[str, str]) -> str:
    """Say of a region that it is not where it was reviewed any more, and the way out."""
    return (
        f"a region of it was marked as fully reviewed ({metadata[REVIEWED]}) in another place or shape than it has "
        "now; look at it again and mark it"
    )


def say_outdated(metadata: Mapping[str, str], *, of_region: bool = False) -> str:
    """Say of an image, or of a region in it, that it is not reviewed any more, and the way out."""
    return (
        f"{'a region of it' if of_region else 'it'} was marked as fully reviewed ({metadata[REVIEWED]}), and other "
        "outlines stand there now than then; look at it again and mark it, or bring back what stood there: with "
        "`glomseg undo` where a run came in since, else with `glomseg restore`"
    )
