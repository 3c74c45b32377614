"""The parts of labelled data: to learn from, to choose by, to report on."""

from __future__ import annotations

import re

PARTS = ("train", "validation", "test")
PART_WORDS = "write train, validation or test, or nothing"
_PART_OF = {
    **{part: part for part in PARTS},
    **{"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"},
    **dict.fromkeys(("heldout", "holdout", "eval", "evaluation"), "test"),
}
_SIGNS = re.compile(r"[ _.-]+")
_OF_DATA = re.compile(r"(data|set|dataset)$")


def part_named(name: str) -> str:
    """Tell which part of the data a folder or a word of a sample sheet names, "" for none.

    `TestSet` and `test_data` name one too. What is held out or for evaluation is of the test part: nothing is learned
    from it or chosen by it.
    """
    word = _SIGNS.sub("", name.strip().lower())
    return _PART_OF.get(word) or _PART_OF.get(_OF_DATA.sub("", word), "")
