"""Names that are written in two ways, and names that only look so."""

import pytest

from glomseg.labelled.alike import alike


@pytest.mark.parametrize(
    ("names", "together"),
    [
        (("1", "01", "1.0"), True),
        (("1.0", "10"), False),
        (("1", "10"), False),
        (("M1", "m 1"), True),
        (("high-fat", "high\u2013fat"), True),
        (("high\u2212fat", "highfat"), True),
        (("WT", "KO"), False),
        (("7", "7,0"), True),
        (("M1", "M1\u200b"), True),
        (("\u200b", "M1"), False),
        (("A1", "\u04101"), True),  # Cyrillic
        (("A1", "\u03911"), True),  # Greek
        (("A1", "A\u00ad1"), True),
        (("A1", "\u04111"), False),
    ],
)
def test_one_name_in_two_spellings(names: tuple[str, ...], together: bool) -> None:
    assert alike(names) == ([tuple(sorted(names))] if together else [])
