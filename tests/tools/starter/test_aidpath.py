"""Reading and splitting: pairs by name, no slide in two parts, bad data named."""

import shutil

import numpy as np
import pytest
from PIL import Image

from glomseg.errors import TrainingError
from tools.starter.aidpath import CROP_PX, read_crops, read_tiles, slide_of, split, tile_groups
from tools.starter.composed import read_data


@pytest.fixture
def copied(made_up, tmp_path):
    return shutil.copytree(made_up, tmp_path / "copy")


def test_reads_pairs(made_up):
    tiles, crops = read_tiles(made_up / "tiles"), read_crops(made_up / "crops")
    assert len(tiles) == 10
    assert len(crops) == 24
    assert sum(crop.sclerotic for crop in crops) == 12
    for tile in tiles:
        assert tile.image[tile.label].mean() < tile.image[~tile.label].mean()
    assert {crop.image.shape for crop in crops} == {(CROP_PX, CROP_PX, 3)}


def test_no_slide_in_two_parts(made_up):
    parts = read_data(made_up)
    names = [{c.slide for c in p.crops} for p in (parts.train, parts.validation, parts.test)]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    assert sum(len(p.crops) for p in (parts.train, parts.validation, parts.test)) == 24
    tiles = [t.name for p in (parts.train, parts.validation, parts.test) for t in p.tiles]
    assert len(tiles) == len(set(tiles)) == 10


def test_neighbouring_tiles_stay_together():
    assert tile_groups(["10064", "10063", "10025", "10070", "10069", "b", "a"], gap=5) == [
        ["10025"],
        ["10063", "10064", "10069", "10070"],
        ["a"],
        ["b"],
    ]


@pytest.mark.parametrize(
    ("crop", "slide"),
    [
        ("VUHSK_1912-82", "VUHSK_1912"),
        ("SESCAM_3_0-8", "SESCAM_3"),
        ("SAS_21883_001-10", "SAS_21883"),
        ("other-1", "other"),
    ],
)
def test_slide_of(crop, slide):
    assert slide_of(crop) == slide


def test_mask_that_is_missing(copied):
    (copied / "tiles/masks/300.png").unlink()
    with pytest.raises(TrainingError, match=r"masks/300\.png"):
        read_tiles(copied / "tiles")


def test_mask_of_another_size(copied):
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(copied / "crops/masks/SAS_3_001-0.png")
    with pytest.raises(TrainingError, match=r"SAS_3_001-0\.png"):
        read_crops(copied / "crops")


def test_empty_mask_of_a_crop(copied):
    Image.fromarray(np.zeros((224, 224), np.uint8)).save(copied / "crops/masks/SAS_3_001-0.png")
    with pytest.raises(TrainingError, match="empty"):
        read_crops(copied / "crops")


def test_unreadable_image(copied):
    (copied / "tiles/images/300.png").write_bytes(b"no image")
    with pytest.raises(TrainingError, match=r"images/300\.png"):
        read_tiles(copied / "tiles")


def test_empty_folder(tmp_path):
    with pytest.raises(TrainingError, match="give a folder"):
        read_tiles(tmp_path)
    with pytest.raises(TrainingError, match="give a folder"):
        read_crops(tmp_path)


def test_too_little_to_split(made_up):
    with pytest.raises(TrainingError, match="too few"):
        split(read_tiles(made_up / "tiles")[:1], read_crops(made_up / "crops"))


@pytest.mark.slow
def test_the_real_data(data):
    parts = read_data(data / "kidney")
    assert sum(len(p.tiles) for p in (parts.train, parts.validation, parts.test)) == 24
    assert sum(len(p.crops) for p in (parts.train, parts.validation, parts.test)) == 946
    assert len({c.slide for c in parts.train.crops} | {c.slide for c in parts.test.crops}) < 31
    tuft = next(t for p in (parts.train, parts.validation, parts.test) for t in p.tiles if t.name == "10165")
    assert tuft.ignore.any()
    assert not (tuft.ignore & tuft.label).any()
