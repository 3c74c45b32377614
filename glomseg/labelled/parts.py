"""The parts of labelled data: to learn from, to choose by, to report on."""

from __future__ import annotations

PARTS = ("train", "validation", "test")
PART_WORDS = "write train, validation or test, or nothing"
_PART_OF = {
    **{part: part for part in PARTS},
    **{"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"},
}


def part_named(name: str) -> str:
    """Tell which part of the data a folder or a word of a sample sheet names, "" for none."""
    return _PART_OF.get(name.strip().lower(), "")
