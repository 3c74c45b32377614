"""Names in a sentence: the first of them, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable


def first_names(names: Iterable[object], most: int = 3, *, between: str = ", ") -> str:
    """Return the first `most` names with `between` them, and the number of the others: "a, b, c and 4 more"."""
    texts = [str(name) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more
