"""What the KPIs challenge's folders say, whichever way its tree was unpacked."""

from pathlib import Path

import pytest

from glomseg.labelled.find_files import find_labels
from glomseg.labelled.image_info import info_of
from glomseg.labelled.kpis import MPP_40X, kpis_place
from glomseg.labelled.pairs import pair_up

PLACES = [
    ("KPIs24 Training Data/Task1_patch_level/train/56NX/12_116/img/12_116_0_0_0_img.jpg", "56Nx/12_116", "train", 1),
    ("KPIs24 Validation Data/Task2_WSI_level/DN/11_356_wsi.tiff", "DN/11_356", "validation", 2),
    ("KPIs24 Testing Data/Task2_WSI_level/NEP25/08_368_02_wsi.tiff", "NEP25/08_368", "test", 1),
    ("KPIs24_Testing_Data/Task2_WSI_level/NEP25/08_368_02_mask.tiff", "NEP25/08_368", "test", 1),
    ("train/Task2_WSI_level/normal/F1-576_wsi.tiff", "normal/F1_576", "train", 2),
    ("validation/Task2_WSI_level/56Nx/12_299_wsi.tiff", "56Nx/12_299", "validation", 2),
    ("Task1_patch_level/test/DN/11-356/mask/11-356_3_1024_0_mask.jpg", "DN/11_356", "test", 1),
    ("Task2_WSI_level/56NX/img/case1.tiff", "56Nx/case1", "", 2),
    ("Task1_patch_level/train/NEP25/08_368_01/img/08_368_01_3_1024_0_img.jpg", "NEP25/08_368", "train", 1),
    ("Task1_patch_level/train/DN/img/11_356_3_1024_0_img.jpg", "DN/11_356", "train", 1),
]


@pytest.mark.parametrize(("path", "animal", "part", "times"), PLACES)
def test_group_animal_part_and_scale(path: str, animal: str, part: str, times: int, tmp_path: Path) -> None:
    place = kpis_place(tmp_path / path)
    assert (place.animal, place.part) == (animal, part)
    assert place.group == animal.split("/")[0]
    assert place.mpp == pytest.approx(MPP_40X / times)


def test_a_folder_that_only_sounds_like_a_group_tells_no_scale(tmp_path: Path) -> None:
    """`normal` is a word; nobody said that its pixels are those of the challenge."""
    place = kpis_place(tmp_path / "study/test/normal/mouse 1.png")
    assert (place.group, place.mpp) == ("normal", None)
    assert kpis_place(tmp_path / "study/a.png") is None


def test_a_folder_above_that_is_called_test_by_chance_is_no_part(tmp_path: Path) -> None:
    assert kpis_place(tmp_path / "my_test_copy/Task2_WSI_level/DN/11_356_wsi.tiff").part == ""


def test_evaluation_counts_animals(tmp_path: Path) -> None:
    folder = tmp_path / "Task1_patch_level" / "validation"
    for group, cases in (("56NX", ("12_1", "12_2")), ("NEP25", ("08_368_01", "08_368_02"))):
        for case in cases:
            path = folder / f"{group}/{case}/mask/{case}_0_0_0_mask.jpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"x")
    labels = find_labels(folder)
    infos = [info_of(pair, None) for pair in pair_up(labels, labels)[0]]
    assert sorted((info.group, info.unit, info.split) for info in infos) == [
        ("56Nx", "56Nx/12_1", "validation"),
        ("56Nx", "56Nx/12_2", "validation"),
        ("NEP25", "NEP25/08_368", "validation"),
        ("NEP25", "NEP25/08_368", "validation"),
    ]
