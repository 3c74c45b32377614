import numpy as np
import pytest
from shapely.geometry import Point, box

from glomseg.errors import GeoJSONError
from glomseg.qupath.objects import PathObject
from glomseg.segment.region import Region, read_region
from glomseg.segment.tiles import BLOCK, ReadingFrame

FRAME = ReadingFrame.of(4000, 3000, 0.5, 0.5, 1.0)


def annotation(geometry, class_name: str | None, object_type: str = "annotation") -> PathObject:
    return PathObject(geometry=geometry, class_name=class_name, object_type=object_type)


CORTEX, HOLE, PEN = box(500, 500, 2500, 2500), box(1200, 1200, 1800, 1800), box(600, 600, 800, 800)
OBJECTS = [
    annotation(CORTEX.difference(HOLE), "Cortex"),
    annotation(box(3000, 100, 3500, 600), "Cortex"),
    annotation(PEN, "Ignore*"),
    annotation(box(0, 0, 4000, 3000), "Cortex", "detection"),
    annotation(Point(1500, 1500).buffer(50), None),
]


def test_a_class_is_united_and_what_to_ignore_is_kept_apart() -> None:
    region = read_region(OBJECTS, "Cortex")
    assert region.area.area == CORTEX.area - HOLE.area + 500 * 500
    assert region.ignored.equals(PEN)
    assert region.holds(box(1000, 1000, 1100, 1100))
    assert not region.holds(box(1400, 1400, 1500, 1500))
    assert not region.holds(box(650, 650, 700, 700))
    assert region.processed(2000, 2000).area == 1500 * 1500 - HOLE.area - PEN.area


def test_the_whole_slide_less_what_to_ignore() -> None:
    assert read_region([], None) is None
    assert read_region(OBJECTS[:2], None) is None
    region = read_region(OBJECTS, None)
    assert region.area is None
    assert region.holds(box(3900, 2900, 3950, 2950))
    assert not region.holds(box(650, 650, 700, 700))
    assert region.processed(4000, 3000).area == 4000 * 3000 - PEN.area


def test_a_class_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(GeoJSONError, match=r"'Medulla'.*Cortex, Ignore\*"):
        read_region(OBJECTS, "Medulla")


@pytest.mark.parametrize("margin_um", [0, 100])
def test_blocks_cover_the_region_and_its_margin_and_little_more(margin_um: float) -> None:
    region = read_region(OBJECTS, "Cortex")
    wanted = region.blocks(FRAME, margin_um)
    assert wanted.shape == FRAME.blocks
    step, margin_px = BLOCK * 2, margin_um / 0.5
    seen = region.area.buffer(margin_px, join_style="mitre")
    for row, column in np.ndindex(*wanted.shape):
        block = box(column * step, row * step, (column + 1) * step, (row + 1) * step)
        if block.within(region.area) and not block.intersects(PEN):
            assert wanted[row, column]
        if block.distance(seen) > 3 * step:
            assert not wanted[row, column]
        if block.within(PEN.buffer(-margin_px - step)):
            assert not wanted[row, column]


def test_an_island_in_a_hole_is_looked_at() -> None:
    island = box(1400, 1400, 1600, 1600)
    region = Region(CORTEX.difference(HOLE).union(island), box(0, 0, 0, 0))
    wanted = region.blocks(FRAME, 0)
    assert wanted[1500 // 32, 1500 // 32]
    assert not wanted[1300 // 32, 1300 // 32]


@pytest.mark.parametrize(
    ("area", "said"),
    [
        (None, ""),
        (box(0, 0, 4000, 3000), ""),
        (box(-100, -100, 2000, 2000), ""),
        (box(100, 100, 300, 300).union(box(5000, 0, 5100, 100)), "1 of 2 areas to look inside lie off the image"),
        (box(3900, 0, 6000, 100), "1 of 1 areas to look inside lie off the image"),
    ],
)
def test_areas_that_lie_off_the_image_are_counted(area, said: str) -> None:
    text = Region(area, box(0, 0, 0, 0)).check_on_image(4000, 3000)
    assert text.startswith(said)
    assert bool(text) == bool(said)


@pytest.mark.parametrize("area", [box(4000, 0, 5000, 3000), box(-900, -900, -1, -1)])
def test_no_area_on_the_image_is_refused(area) -> None:
    with pytest.raises(GeoJSONError, match=r"no area .* lies on the image, which is 4000 x 3000 px"):
        Region(area, box(0, 0, 0, 0)).check_on_image(4000, 3000)


@pytest.mark.parametrize("area", [None, box(600, 600, 800, 800), box(-500, 600, 200, 800)])
def test_nothing_left_to_look_inside_is_refused(area) -> None:
    with pytest.raises(GeoJSONError, match=r"lies in areas of class Ignore\*, which are not looked into"):
        Region(area, box(0, 0, 4000, 3000)).check_on_image(4000, 3000)


def test_an_area_that_is_to_be_ignored_is_counted() -> None:
    areas = box(100, 100, 300, 300).union(box(1000, 100, 1300, 400))
    said = Region(areas, box(50, 50, 400, 400)).check_on_image(4000, 3000)
    assert said == "1 of 2 areas to look inside lie in areas of class Ignore*"
