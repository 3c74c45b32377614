from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from shapely.geometry import Point

from glomseg.segment import waist
from glomseg.segment.contours import OutlineSettings
from glomseg.segment.outlines import find_glomeruli
from glomseg.segment.probability_map import ProbabilityMap
from glomseg.segment.tiles import BLOCK, ReadingFrame, Tile

SETTINGS = OutlineSettings(threshold=0.5, minimum_area_um2=200, split_depth_um=3, tolerance_um=0.25)


def painted(values: np.ndarray, *, downsample: tuple[float, float] = (1, 1), mpp: float = 1.0) -> ProbabilityMap:
    """A probability that holds `values` (H, W), one reading pixel each, written in four tiles."""
    height, width = values.shape
    frame = ReadingFrame(mpp, *downsample, width, height)
    probability = ProbabilityMap(frame)
    rows, columns = frame.blocks
    padded = np.zeros((rows * BLOCK, columns * BLOCK), np.uint8)
    padded[:height, :width] = values
    middle_y, middle_x = rows // 2 * BLOCK, columns // 2 * BLOCK
    for y, tall in ((0, middle_y), (middle_y, rows * BLOCK - middle_y)):
        for x, wide in ((0, middle_x), (middle_x, columns * BLOCK - middle_x)):
            probability.write(Tile(x, y, wide, tall, 0), padded[None, y : y + tall, x : x + wide])
    return probability


def disc(shape: tuple[int, int], x: float, y: float, radius: float, soft: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    distance = radius - np.hypot(columns - x, rows - y)
    return (distance > 0) * 1.0 if soft == 0 else np.clip(0.5 + distance / soft, 0, 1)


def test_square_has_the_area_of_its_pixels() -> None:
    values = np.zeros((200, 200), np.uint8)
    values[40:140, 60:160] = 255
    (found,) = find_glomeruli(painted(values), SETTINGS)
    assert found.geometry.area == pytest.approx(10_000, abs=2)
    assert found.geometry.bounds == (60, 40, 160, 140)
    assert found.confidence == 1
    assert not found.touches_edge


@pytest.mark.parametrize("downsample", [(1, 1), (4, 4), (4.0084, 2.5)])
def test_soft_disc_is_outlined_below_a_pixel(downsample: tuple[float, float]) -> None:
    values = np.round(255 * disc((256, 256), 121.3, 133.7, 40, soft=6)).astype(np.uint8)
    (found,) = find_glomeruli(painted(values, downsample=downsample), SETTINGS)
    scale = downsample[0] * downsample[1]
    assert found.geometry.area == pytest.approx(np.pi * 40**2 * scale, rel=0.01)
    centre = found.geometry.centroid
    assert centre.x / downsample[0] == pytest.approx(121.3, abs=0.1)
    assert centre.y / downsample[1] == pytest.approx(133.7, abs=0.1)
    assert found.geometry.is_valid


def test_holes_are_kept_or_filled_by_area() -> None:
    ring = disc((300, 300), 150, 150, 80) - disc((300, 300), 150, 150, 30) - disc((300, 300), 150, 210, 5)
    (found,) = find_glomeruli(painted((ring * 255).astype(np.uint8)), SETTINGS)
    assert len(found.geometry.interiors) == 1
    assert found.geometry.area == pytest.approx(np.pi * (80**2 - 30**2), rel=0.01)


@pytest.mark.parametrize("gap", [-12, -4, 0, 1])
def test_touching_neighbours_are_split(gap: int) -> None:
    x = 100 + 80 + gap
    values = np.maximum(disc((200, 300), 100, 100, 40), disc((200, 300), x, 100, 40))
    first, second = find_glomeruli(painted((values * 255).astype(np.uint8)), SETTINGS)
    lens = Point(100, 100).buffer(40).intersection(Point(x, 100).buffer(40)).area
    for found in (first, second):
        assert found.geometry.area == pytest.approx(np.pi * 40**2 - lens / 2, rel=0.02)
    assert first.geometry.intersection(second.geometry).area < 60


def test_one_long_glomerulus_is_not_split() -> None:
    rows, columns = np.mgrid[:300, :300] + 0.5
    noise = np.random.default_rng(0).normal(0, 0.02, (300, 300))
    ellipse = ((columns - 150) / 70) ** 2 + ((rows - 150) / 40) ** 2 + noise < 1
    found = find_glomeruli(painted((ellipse * 255).astype(np.uint8)), SETTINGS)
    assert len(found) == 1


def test_small_and_thin_objects_are_dropped() -> None:
    values = np.zeros((300, 300))
    values += disc((300, 300), 50, 50, 5)
    values[100:104, 20:280] = 1
    values += disc((300, 300), 200, 200, 30) * 0.6
    probability = painted((values * 255).astype(np.uint8))
    assert len(find_glomeruli(probability, SETTINGS)) == 2
    bent = np.maximum(disc((300, 300), 150, 150, 100) - disc((300, 300), 150, 150, 95), 0)
    bent[:, 150:] = 0
    assert len(find_glomeruli(painted((bent * 255).astype(np.uint8)), SETTINGS)) == 1
    solid = OutlineSettings(
        threshold=0.5, minimum_area_um2=200, split_depth_um=3, tolerance_um=0.25, minimum_solidity=0.7
    )
    assert find_glomeruli(painted((bent * 255).astype(np.uint8)), solid) == []


def test_the_slides_edge_cuts_and_is_flagged() -> None:
    values = disc((205, 211), 0, 100, 40) + disc((205, 211), 211, 30, 20)
    left, right = sorted(
        find_glomeruli(painted((values * 255).astype(np.uint8), downsample=(2, 2)), SETTINGS),
        key=lambda found: found.geometry.bounds[0],
    )
    assert left.touches_edge
    assert right.touches_edge
    assert left.geometry.bounds[0] == 0
    assert right.geometry.bounds[2] == 422
    assert left.geometry.area == pytest.approx(4 * np.pi * 40**2 / 2, rel=0.01)


def test_fills_the_disk_no_more_than_it_must(tmp_path: Path) -> None:
    """A slide of 100,000 px a side, empty but for one disc, needs neither memory nor disk for its glass."""
    frame = ReadingFrame(1.0, 4, 4, 25_000, 25_000)
    with ProbabilityMap(frame, folder=tmp_path) as probability:
        tile = Tile(16_000, 20_000, 128, 128, 0)
        probability.write(tile, (disc((128, 128), 64, 64, 40) * 255).astype(np.uint8)[None])
        (found,) = find_glomeruli(probability, SETTINGS)
        assert found.geometry.centroid.distance(Point(4 * 16_064, 4 * 20_064)) < 1
        assert sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir()) < 50e6
    assert list(tmp_path.iterdir()) == []


def test_a_large_group_gives_what_it_gives_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Discs, rings and specks whose blocks all touch, told apart in strips and outlined each in its own box."""
    rng = np.random.default_rng(4)
    values = np.full((700, 900), 90.0)
    for _ in range(60):
        x, y, radius = rng.uniform(0, 900), rng.uniform(0, 700), rng.uniform(3, 40)
        values = np.maximum(values, 90 + 165 * disc(values.shape, x, y, radius, soft=5))
        values = np.where(disc(values.shape, x, y, radius * rng.choice([0, 0.2, 0.5])) > 0, 60, values)
    probability = painted((values + rng.uniform(0, 38, values.shape)).clip(0, 255).astype(np.uint8))
    monkeypatch.setattr("glomseg.segment.outlines.PIECE_PX", 10_000_000)
    whole = find_glomeruli(probability, SETTINGS)
    assert len(whole) > 15
    monkeypatch.setattr("glomseg.segment.outlines.PIECE_PX", 300_000)
    monkeypatch.setattr("glomseg.segment.large_groups._STRIP_PX", 20_000)
    assert find_glomeruli(probability, SETTINGS) == whole


def test_what_covers_all_of_the_tissue_is_outlined_on_merged_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.round(255 * disc((1200, 1300), 610, 590, 500, soft=8)).astype(np.uint8)
    values[580:620, 600:620] = 0
    values[20:80, 20:80] = 255
    for name in ("PIECE_PX", "LARGE_PX"):
        monkeypatch.setattr(f"glomseg.segment.outlines.{name}", 200_000)
    monkeypatch.setattr("glomseg.segment.large_groups.LARGE_PX", 200_000)
    monkeypatch.setattr("glomseg.segment.large_groups._STRIP_PX", 100_000)
    small, large = find_glomeruli(painted(values, downsample=(4, 4)), SETTINGS)
    assert (small.merged_px, large.merged_px) == (1, 4)
    assert small.geometry.bounds == (80, 80, 320, 320)
    assert large.geometry.area == pytest.approx(np.pi * 2000**2 - 40 * 20 * 16, rel=0.01)
    assert large.geometry.centroid.x == pytest.approx(4 * 610, abs=6)
    assert len(large.geometry.interiors) == 1


def test_what_hangs_on_too_large_a_part_by_a_thread_is_outlined_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging pixels tears the thread, and what is at its end is no less there; no other part comes twice."""
    values = np.round(255 * disc((1200, 1300), 610, 690, 480, soft=8)).astype(np.uint8)
    values[20:150, 20:150] = values[20:80, 1200:1260] = values[160:220, 20:80] = 255
    values[149:600, 100] = values[600, 100:200] = 255
    for name in ("outlines.PIECE_PX", "outlines.LARGE_PX", "large_groups.LARGE_PX"):
        monkeypatch.setattr(f"glomseg.segment.{name}", 200_000)
    monkeypatch.setattr("glomseg.segment.large_groups._STRIP_PX", 100_000)
    outlined = find_glomeruli(painted(values), SETTINGS)
    areas = sorted((item.merged_px, round(item.geometry.area, -2)) for item in outlined)
    assert [merged for merged, _ in areas] == [1, 1, 4, 4]
    assert [area for _, area in areas][:3] == pytest.approx([3600, 3600, 16_900], rel=0.02)


def test_ridges_that_join_all_peaks_are_seen_without_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is told quickly to be one object is what the long way says, and most objects are."""
    rng, quick, shapes = np.random.default_rng(1), waist._has_one_summit, []
    while len(shapes) < 60:
        side = int(rng.integers(40, 90))
        mask = np.zeros((side, side), bool)
        for _ in range(int(rng.integers(1, 4))):
            x, y = rng.uniform(0.25 * side, 0.75 * side, 2)
            rough = ndimage.gaussian_filter(rng.normal(0, 20, mask.shape), 3)
            mask |= disc(mask.shape, x, y, rng.uniform(6, 0.25 * side), soft=40) * 40 + rough > 20
        labels, count = ndimage.label(mask)
        shapes += [np.pad(labels == number, 2) for number in range(1, count + 1) if (labels == number).sum() > 100]
    said: list[bool] = []
    monkeypatch.setattr(waist, "_has_one_summit", lambda *given: said.append(quick(*given)) or said[-1])
    ours = [waist.split_by_waist(mask, depth) for mask in shapes for depth in (1.0, 4.0)]
    monkeypatch.setattr(waist, "_has_one_summit", lambda *_: False)
    theirs = [waist.split_by_waist(mask, depth) for mask in shapes for depth in (1.0, 4.0)]
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert 0.5 * len(ours) < sum(said) < len(ours)
