"""Say where an object stands on both sides of a comparison, and so matches itself."""

from __future__ import annotations

from collections.abc import Sequence

import shapely

from glomseg.labelled.label_files import Outlines
from glomseg.labelled.pairs import Pair


def on_both_sides(sides: Sequence[tuple[Pair, Outlines, Outlines]]) -> list[str]:
    """Count the outlines that are the prediction and the truth at once, where one file or project is both sides."""
    same = [(ours, theirs) for pair, ours, theirs in sides if _is_one_source(pair)]
    shared = sum(len(set(_shapes(ours)) & set(_shapes(theirs))) for ours, theirs in same)
    if not shared:
        return []
    count = sum(len(ours.geometries) for ours, _ in same)
    return [
        f"{shared} of {count} predictions are the truth as well, as they stand now, and match themselves: the scores "
        "say nothing of what was changed of them; for what a run itself found, name its folder as PREDICTED"
    ]


def _is_one_source(pair: Pair) -> bool:
    return pair.predicted is not None and (pair.predicted.path, pair.predicted.key) == (pair.true.path, pair.true.key)


def _shapes(side: Outlines) -> list[bytes]:
    return [shapely.to_wkb(shapely.normalize(item)) for item in side.geometries]
