"""Masks become polygons: exact areas, whatever the file's tiles."""

from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image
from scipy import ndimage

from glomseg.errors import LabelError
from glomseg.labelled.label_values import say_readings
from glomseg.labelled.masks import outline, read_mask


def blobs(seed: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((300, 410)), 3)
    return (noise > np.quantile(noise, 0.6)).astype(np.uint8) * 255


def test_every_pixel_is_in_one_polygon() -> None:
    values = blobs()
    labels, count = ndimage.label(values, np.ones((3, 3)))
    found, _ = outline(values)
    assert len(found) == count
    assert sorted(shapely.area(found)) == sorted(np.bincount(labels.ravel())[1:])
    assert shapely.is_valid(found).all()
    points = shapely.points(*(np.argwhere(values == 255)[:, ::-1] + 0.5).T)
    assert shapely.contains(shapely.union_all(found), points).all()


@pytest.mark.parametrize(
    "layout",
    [
        {"tile": (64, 64)},
        {"tile": (128, 32), "compression": "deflate"},
        {"tile": (64, 64), "compression": "lzw", "predictor": True},
        {"rowsperstrip": 7},
        {"rowsperstrip": 300, "compression": "deflate"},
        {"tile": (64, 64), "bigtiff": True},
    ],
)
def test_the_tiles_of_a_file_change_nothing(tmp_path: Path, layout: dict) -> None:
    values = blobs(1)
    options = {"bigtiff": layout.pop("bigtiff", False)}
    tifffile.imwrite(tmp_path / "mask.tif", values, **options, **layout)
    found = read_mask(tmp_path / "mask.tif")
    expected, _ = outline(values)
    assert found.size == (410, 300)
    assert all(a.equals(b) for a, b in zip(found.geometries, expected, strict=True))


def test_the_first_level_of_a_pyramid_and_its_mpp(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "mask.tiff") as tiff:
        for factor in (1, 2):
            values = np.ascontiguousarray(blobs(2)[::factor, ::factor])
            tiff.write(values, tile=(64, 64), resolution=(40_000 / factor,) * 2, resolutionunit="CENTIMETER",
                       subfiletype=int(factor > 1), metadata=None)  # fmt: skip
    found = read_mask(tmp_path / "mask.tiff")
    assert shapely.area(found.geometries).sum() == (blobs(2) == 255).sum()
    assert found.mpp == pytest.approx((0.25, 0.25))


def test_gaps_in_a_file_are_background(tmp_path: Path) -> None:
    tile = np.full((64, 64), 255, np.uint8)
    tifffile.imwrite(
        tmp_path / "m.tif", iter([tile, None, None, None]), shape=(128, 128), dtype=np.uint8, tile=(64, 64)
    )
    assert [item.bounds for item in read_mask(tmp_path / "m.tif").geometries] == [(0, 0, 64, 64)]


def test_jpeg_is_cut_in_the_middle(tmp_path: Path) -> None:
    """JPEG leaves 251 and 3 where 255 and 0 were; a mask cut at 255 would be full of holes."""
    values = np.zeros((128, 128), np.uint8)
    values[25:73, 41:105] = 255
    Image.fromarray(values).save(tmp_path / "mask.jpg", quality=60)
    tifffile.imwrite(tmp_path / "mask.tif", values, tile=(64, 64), compression="jpeg", compressionargs={"level": 60})
    assert len(np.unique(np.asarray(Image.open(tmp_path / "mask.jpg")))) > 2
    for name in ("mask.jpg", "mask.tif"):
        (item,) = read_mask(tmp_path / name).geometries
        assert item.area == pytest.approx(48 * 64, rel=0.02)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_soft_edge_of_a_large_object_is_no_row_of_numbers(tmp_path: Path, scale: int) -> None:
    """Drawn at a multiple of the size and averaged, as programs draw: an edge one pixel wide, with every grey."""
    y, x = np.mgrid[: 800 * scale, : 800 * scale] / scale
    there = ((x - 400) ** 2 + (y - 410) ** 2 < 333.3**2) | ((x - 60) ** 2 + (y - 60) ** 2 < 20.2**2)
    soft = (there.reshape(800, scale, 800, scale).mean(axis=(1, 3)) * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "soft.tif", soft, tile=(128, 128))
    found = read_mask(tmp_path / "soft.tif")
    assert found.reading.kind == "black and white"
    assert len(found.geometries) == 2
    assert shapely.area(found.geometries).sum() == pytest.approx(np.pi * (333.3**2 + 20.2**2), rel=0.01)


@pytest.mark.parametrize("count", [1, 3, 60, 250])
def test_slivers_at_the_edge_of_a_tile_leave_numbers_numbers(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(count)
    values = np.zeros((512, 512), np.uint8)
    numbers = rng.permutation(np.arange(1, 255))[:count]
    for place, number in enumerate(numbers):
        row, column = divmod(place, 16)
        values[row * 32 + 4 : row * 32 + 28, column * 32 + 4 : column * 32 + 28] = number
    values[:40, 0], values[100:130, -1] = 255, 7
    Image.fromarray(values).save(tmp_path / "numbers.png")
    found = read_mask(tmp_path / "numbers.png")
    assert found.reading.kind == "numbered"
    assert (found.values == 255).sum() == 1
    assert set(found.values.tolist()) == {255, 7, *numbers.tolist()}


def test_classes_and_instances_are_told_by_value(tmp_path: Path) -> None:
    values = np.zeros((20, 40), np.uint8)
    values[5:15, 5:15] = 1
    values[5:15, 15:25] = 2
    Image.fromarray(values).save(tmp_path / "classes.png")
    found = read_mask(tmp_path / "classes.png")
    assert found.values.tolist() == [1, 2]
    assert shapely.area(found.geometries).tolist() == [100, 100]
    many = values.astype(np.uint16) * 300
    many[18, 30] = 300  # the same object, cut in two by something
    tifffile.imwrite(tmp_path / "instances.tif", many)
    found = read_mask(tmp_path / "instances.tif")
    assert found.values.tolist() == [300, 600]
    assert shapely.area(found.geometries).tolist() == [101, 100]


def test_a_palette_says_classes_by_number(tmp_path: Path) -> None:
    picture = Image.fromarray(np.pad(np.ones((4, 4), np.uint8), 3), mode="P")
    picture.putpalette([0, 0, 0, 250, 0, 0])
    picture.save(tmp_path / "labels.png")
    assert shapely.area(read_mask(tmp_path / "labels.png").geometries).tolist() == [16]


def test_corners_join_and_holes_stay() -> None:
    values = np.zeros((12, 12), np.uint8)
    values[0:4, 0:4] = values[4:8, 4:8] = 255
    values[5, 5] = 0
    (item,) = outline(values)[0]
    assert item.area == 31
    assert item.is_valid


@pytest.mark.parametrize("name", ["large.png", "large.jpg", "large.bmp"])
def test_masks_over_pillows_limit_are_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(blobs(3)).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / name)
    assert read_mask(tmp_path / name).size == (410, 300)


def test_an_empty_mask_has_no_object(tmp_path: Path) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "empty.png")
    found = read_mask(tmp_path / "empty.png")
    assert len(found.geometries) == 0
    assert found.size == (30, 20)


@pytest.mark.parametrize(
    "name", ["text.png", "text.tif", "cut.tif", "float.tif", "none.png", "colour.png", "colour.tif", "noise.tif"]
)
def test_what_is_no_mask_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.startswith("text"):
        path.write_text("II*\0 no image at all")
    if name == "cut.tif":
        tifffile.imwrite(path, blobs(), tile=(64, 64))
        path.write_bytes(path.read_bytes()[:40_000])
    if name == "float.tif":
        tifffile.imwrite(path, np.full((8, 8), 0.5, np.float32))
    if name == "noise.tif":
        tifffile.imwrite(path, np.random.default_rng(0).integers(0, 256, (1500, 1500), np.uint8))
    if name.startswith("colour"):
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[20:30, 20:30] = (200, 60, 120)
        tifffile.imwrite(path, picture) if name.endswith("tif") else Image.fromarray(picture).save(path)
    with pytest.raises(LabelError, match=name):
        read_mask(path)


def test_grey_in_three_channels_is_a_mask(tmp_path: Path) -> None:
    values = np.repeat(np.pad(np.full((8, 8), 255, np.uint8), 8)[:, :, None], 3, axis=2)
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(values).save(tmp_path / "grey.jpg")
    tifffile.imwrite(tmp_path / "grey.tif", values, photometric="rgb")
    for name in ("grey.png", "grey.jpg", "grey.tif"):
        assert [item.area for item in read_mask(tmp_path / name).geometries] == [64]


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
def test_a_mask_that_is_to_be_shown_turned_is_read_as_stored_aloud(name: str, tmp_path: Path) -> None:
    values = np.zeros((64, 64), np.uint8)
    values[4:20, 8:40] = 255
    exif = Image.Exif()
    exif[274] = 4
    if name.endswith("tif"):
        tifffile.imwrite(tmp_path / name, values, extratags=[(274, 3, 1, 4, True)])
    else:
        Image.fromarray(values).save(tmp_path / name, exif=exif)
    mask = read_mask(tmp_path / name)
    assert shapely.total_bounds(mask.geometries) == pytest.approx([8, 4, 40, 20], abs=1)
    assert "turned or mirrored by its header and read as it is stored" in say_readings([mask.reading])
