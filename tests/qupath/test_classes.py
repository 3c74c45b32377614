"""Which objects are of a class: as QuPath compares, and what a person means by a near spelling."""

import pytest
from shapely.geometry import LineString, Point, box

from glomseg.qupath.classes import (
    LeftOutObjects,
    best_class,
    describe_spellings,
    is_area,
    is_class,
    is_exactly,
    left_out,
    names_of,
)
from glomseg.qupath.objects import PathObject

LISTED = ("Glomerulus", "Glomerulus: Sclerotic")


def test_names_are_split_as_qupath_splits_them() -> None:
    """What `PathClass.fromString` of QuPath 0.6.0 makes of these."""
    assert names_of("Glomerulus:Sclerotic") == names_of("Glomerulus : Sclerotic") == ("Glomerulus", "Sclerotic")
    assert names_of("Glomerulus:Sclerotic:") == ("Glomerulus", "Sclerotic")
    assert names_of(" Glomerulus ") == ("Glomerulus",)
    assert names_of(None) == names_of("") == ()


@pytest.mark.parametrize(
    "name", ["Glomerulus", " Glomerulus", "Glomerulus: Sclerotic", "Glomerulus:Sclerotic", "Glomerulus: A: B"]
)
def test_a_class_and_those_derived_from_it(name: str) -> None:
    assert is_exactly(name, "Glomerulus")
    assert is_class(name, "Glomerulus")


@pytest.mark.parametrize(
    "name",
    [
        "glomerulus",
        "GLOMERULUS",
        "Glomeruli",
        "glomeruli: sclerotic",
        "Glomeruluses",
        "Glomeru lus",
        "Glomerulus, sclerotic",
        "Glomerolus",
        "Glomerulous",
        "Glomerlus",
        "Golmerulus",
        "Glomerulus\u00a0",
        "Glomerulus\u200b",
        "\ufeffGlom\u00aderulus: Sclerotic",
    ],
)
def test_near_spellings_count_and_are_said(name: str) -> None:
    assert is_class(name, "Glomerulus")
    assert not is_exactly(name, "Glomerulus")
    (said,) = describe_spellings([PathObject(geometry=box(0, 0, 1, 1), class_name=name)], LISTED)
    assert repr(name) in said  # as it is written, also where one does not see it
    assert "read as Glomerulus" in said


@pytest.mark.parametrize(
    "name",
    [None, "", "Tubule", "Non-glomerulus", "Glomerulus border", "Sclerotic", "Glomerulitis", "Glomerulus2", "Glom"],
)
def test_other_classes_are_others(name: str | None) -> None:
    assert not is_class(name, "Glomerulus")
    assert best_class(name, LISTED) is None


def test_short_words_have_no_slips() -> None:
    assert not is_class("Vein", "Vain")
    assert not is_class("Grade 1", "Grade 2")
    assert is_class("Tubules", "tubule")


def test_an_object_counts_as_the_nearest_class_that_is_asked_for() -> None:
    assert best_class("Glomerulus: Sclerotic: Segmental", LISTED) == "Glomerulus: Sclerotic"
    assert best_class("Glomerulus: Crescent", LISTED) == "Glomerulus"
    assert best_class("glomeruli: sclerotic", LISTED) == "Glomerulus: Sclerotic"
    assert best_class("Glomerulus: sclerotic", LISTED) == "Glomerulus: Sclerotic"  # not its parent
    assert best_class("Glomerulus: Sklerotic", LISTED) == "Glomerulus: Sclerotic"
    assert best_class("glomerulus", ("Glomerulus", "glomerulus")) == "glomerulus"
    assert describe_spellings([PathObject(geometry=box(0, 0, 1, 1), class_name="Glomerulus: Crescent")], LISTED) == []


def test_what_is_left_out_is_counted_by_class_and_kind() -> None:
    area = box(0, 0, 9, 9)
    objects = [
        PathObject(geometry=area, class_name="Glomerulus"),
        *[PathObject(geometry=area, class_name="Glomerulus", object_type="detection")] * 3,
        PathObject(geometry=Point(1, 1), class_name="Glomerulus"),
        PathObject(geometry=LineString([(0, 0), (1, 1)])),
        PathObject(geometry=area),
        PathObject(geometry=area),
    ]
    count = left_out(objects, lambda item: is_area(item) and is_class(item.class_name, "Glomerulus"))
    assert str(count) == (
        "left out: 3 detections of class Glomerulus, 2 annotations without a class, 1 line without a class, "
        "1 point of class Glomerulus"
    )
    assert count
    assert not LeftOutObjects()
    assert (count + count).counts["Glomerulus", "detection"] == 6
    assert str(LeftOutObjects()) == "nothing left out"
