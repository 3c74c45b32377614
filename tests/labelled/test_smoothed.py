"""Numbers that were resized as if they were brightness are refused; whatever is hard at its borders is not."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from glomseg.errors import LabelError
from glomseg.labelled.label_census import LabelCensus
from glomseg.labelled.masks import outline, read_mask

SIZE = 600
y, x = np.mgrid[:SIZE, :SIZE]


def discs(count: int, radius: int = 15) -> np.ndarray:
    """Number discs in rows of 15."""
    numbers = np.zeros((SIZE, SIZE), np.uint8)
    for index in range(count):
        row, column = divmod(index, 15)
        numbers[(y - 20 - 40 * row) ** 2 + (x - 20 - 40 * column) ** 2 < radius**2] = index + 1
    return numbers


def cells() -> np.ndarray:
    """Number 200 cells that touch all around, with oblique borders and narrow corners."""
    corners = np.random.default_rng(0).integers(0, SIZE, (200, 2))
    apart = np.stack([(y - row) ** 2 + (x - column) ** 2 for row, column in corners])
    return (apart.argmin(axis=0) + 1).astype(np.uint8)


@pytest.mark.parametrize("count", [3, 5, 200])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX])
@pytest.mark.parametrize("size", [150, 300, 420])
def test_smoothed_numbers_are_refused(count: int, how: Image.Resampling, size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(discs(count)).resize((size, size), how).save(path)
    with pytest.raises(LabelError, match=r"smoothing|is mostly grey"):
        read_mask(path)


@pytest.mark.parametrize("size", [75, 150, 300, 420, 900])
def test_numbers_resized_to_the_nearest_pixel_are_read(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(discs(200)).resize((size, size), Image.Resampling.NEAREST).save(path)
    assert len(read_mask(path).geometries) == 200


@pytest.mark.parametrize("step", [1, 2, 5])
def test_cells_that_touch_are_read(step: int) -> None:
    values = cells()[::step, ::step].copy()
    values[:2] = 0
    shapes, numbers = outline(values)
    assert len(shapes) == len(np.unique(numbers)) == len(np.unique(values)) - 1


@pytest.mark.parametrize("width", [1, 2, 3])
def test_thin_lines_around_a_number_are_refused(width: int) -> None:
    """They are left by smoothing, or a class for borders: both would count each object twice."""
    there = discs(100) > 0
    inner = ndimage.binary_erosion(there, iterations=width)
    with pytest.raises(LabelError, match="write one number for an object"):
        outline((there + inner.astype(np.uint8)).astype(np.uint8))


def test_one_class_inside_another_is_read() -> None:
    there = discs(100) > 0
    inner = ndimage.binary_erosion(there, iterations=6)
    _, classes = outline((there + inner.astype(np.uint8)).astype(np.uint8))
    assert sorted(np.bincount(classes)[1:].tolist()) == [100, 100]


@pytest.mark.parametrize("values", [[2], [3, 3, 3], [2, 3], [1, 2], [1, 3], [1] * 40 + [2] * 3, [1] * 60 + [3]])
@pytest.mark.parametrize("how", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.BOX])
def test_few_smoothed_numbers_are_refused_or_right(values: list[int], how: Image.Resampling) -> None:
    """One to three numbers leave few between them, so each border must be looked at."""
    numbers = np.array([0, *values], np.uint8)[discs(len(values))]
    for size in (150, 300, 420, 900):
        smoothed = np.asarray(Image.fromarray(numbers).resize((size, size), how))
        with contextlib.suppress(LabelError):
            assert len(outline(smoothed)[0]) == len(values)


def test_objects_that_touch_and_cover_each_other_are_read() -> None:
    rng = np.random.default_rng(1)
    for trial in range(4):
        numbers = np.zeros((SIZE, SIZE), np.uint8)
        for number in rng.permutation(rng.integers(5, 120)) + 1:
            (row, column), radius = rng.uniform(0, SIZE, 2), rng.uniform(4, 35)
            numbers[((y - row) ** 2 + (x - column) ** 2 < radius**2) & ((numbers == 0) | (trial % 2 == 0))] = number
        numbers[0] = 0
        assert len(outline(numbers)[0]) > 3


def test_parts_of_a_mask_count_as_the_whole() -> None:
    values = np.asarray(Image.fromarray(discs(200)).resize((300, 300), Image.Resampling.BILINEAR))
    parts = LabelCensus()
    for top in range(0, 300, 50):
        parts.add(values[top : top + 50], y=top, size=(300, 300))
    assert parts.is_interpolated()
    assert sum(parts.between.values()) > 0.5 * parts.borders


@pytest.mark.parametrize("values", [[2], [7], [1, 2], [3, 3, 3], [1, 255], [1] * 60 + [3], list(range(1, 21))])
@pytest.mark.parametrize("size", [590, 700])
@pytest.mark.parametrize("how", ["BILINEAR", "BOX", "HAMMING"])
def test_a_few_specks_of_smoothing_are_refused_or_right(values: list[int], size: int, how: str, tmp_path: Path) -> None:
    """A size that is nearly the same leaves a few pixels between; no file may count more objects than it had."""
    path = tmp_path / "a.png"
    numbers = np.array([0, *values], np.uint8)[discs(len(values))]
    Image.fromarray(numbers).resize((size, size), Image.Resampling[how]).save(path)
    with contextlib.suppress(LabelError):
        assert len(read_mask(path).geometries) == len(values)


def test_specks_that_no_smoothing_left_are_read(tmp_path: Path) -> None:
    """What painting over leaves of a neighbour, and what a tile's edge does."""
    numbers = discs(100)
    numbers[22:24, 36:44] = 1
    for path, values in ((tmp_path / "a.png", numbers), (tmp_path / "b.png", numbers[:, 33:])):
        Image.fromarray(np.ascontiguousarray(values)).save(path)
        assert len(np.unique(read_mask(path).values)) == 100
