"""What a data set is, is told from its names, whatever the order of its files."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import slides
from support.colour_profiles import power_profile
from support.trees import write_kpis_patches

from glomseg.errors import TrainingError
from glomseg.geometry import Box
from glomseg.training.data.examples import Example, read_example
from glomseg.training.data.find import find_examples
from glomseg.training.data.layouts import class_of, names_of
from glomseg.training.data.remarks import remarks_on_files

BOTH = ("Glomerulus", "Glomerulus: Sclerotic")


def write_pair(root: Path, image: str, mask: str, *, disc: float = 20, size: int = 96, value: int = 255) -> None:
    """Write a picture with a dark disc of a radius, which lies further right the larger it is, and its mask."""
    y, x = np.mgrid[:size, :size] + 0.5
    inside = (x - disc - 5) ** 2 + (y - size / 2) ** 2 < disc**2
    picture = np.where(inside[..., None], (120, 60, 140), (225, 170, 205)).astype(np.uint8)
    for name, pixels in ((image, picture), (mask, inside.astype(np.uint8) * value)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)


def dark(example: Example) -> np.ndarray:
    """Where a picture that write_pair drew is dark, at its own resolution."""
    return read_example(example, example.mpp).image[..., 1] < 115


def agree(example: Example) -> float:
    """IoU of the label with what is dark in the picture."""
    label, seen = read_example(example, example.mpp).label > 0, dark(example)
    return (label & seen).sum() / max(1, (label | seen).sum())


# --- QuPath's exports


@pytest.mark.parametrize("version", ["0_5_1", "0_6_0"])
def test_qupath_tiles_with_labels_beside(data: Path, version: str) -> None:
    folder = data / f"qupath/tiles/qupath_{version}_beside"
    examples = find_examples([folder], model_mpp=1.0, tile_mpp=1.0)
    assert Counter(example.slide for example in examples) == {"kidney_01": 16, "kidney_02": 8}
    for example in examples:
        index = np.asarray(Image.open(str(example.image).replace(".png", "-labelled.png")))
        assert np.array_equal(read_example(example, 1.0).label, index > 0)
        assert np.array_equal(read_example(example, 1.0).image, np.asarray(Image.open(example.image)))
        assert example.positive == index.any()


def test_qupath_tiles_in_subfolders_have_named_values(data: Path) -> None:
    folder = data / "qupath/tiles/qupath_0_6_0_subdir"
    examples = find_examples([folder], model_mpp=2.0, tile_mpp=2.0)
    assert len(examples) == 14
    assert all(example.values == ((1, 1),) for example in examples)
    for example in examples:
        assert example.label == example.image.parents[1] / "labels" / f"{example.image.stem}.png"
        assert np.array_equal(read_example(example, 2.0).label, np.asarray(Image.open(example.label)))


def test_tiles_of_two_images_of_one_name_are_of_two_slides(data: Path, tmp_path: Path) -> None:
    """Exports put them into folders with the ids of the images."""
    tiles = data / "qupath/tiles/qupath_0_6_0_beside"
    for key in "12":
        for folder in (f"s [{key}]", f"hard_negatives/s [{key}]"):
            (tmp_path / folder).mkdir(parents=True)
            name = f"s [x={len(folder)},y=0,w=5,h=5]"
            for end in (".png", "-labelled.png"):
                shutil.copy(next(tiles.rglob(f"kidney_01*]{end}")), tmp_path / folder / f"{name}{end}")
    examples = find_examples([tmp_path], model_mpp=1.0, tile_mpp=1.0)
    assert Counter((item.slide, item.hard) for item in examples) == {
        (f"s [{key}]", hard): 1 for key in "12" for hard in (False, True)
    }


def test_two_classes_by_the_names_in_the_json(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / "qupath/tiles/qupath_0_6_0_beside", tmp_path / "export"))
    (folder / "export.json").write_text(json.dumps({"mpp": 1.25}))
    names = [{"classification": "*Background*", "label": 0}]
    names += [{"classification": name, "label": label} for label, name in ((1, BOTH[0]), (2, BOTH[1]))]
    for image in ("kidney_01", "kidney_02"):
        (folder / image / f"{image}-tiles.json").write_text(json.dumps({"labels": names}))

    def seen(*classes: str) -> tuple[set[tuple[int, int]], Counter]:
        examples = find_examples([folder], model_mpp=1.25, classes=classes)
        assert {example.mpp for example in examples} == {1.25}
        counts = Counter()
        for example in examples:
            index = np.asarray(Image.open(str(example.image).replace(".png", "-labelled.png")))
            label = read_example(example, 1.25).label
            counts.update(zip(index.ravel().tolist(), label.ravel().tolist(), strict=True))
        return set(counts), counts

    assert seen("Glomerulus")[0] == {(0, 0), (1, 1), (2, 1)}
    assert seen(*BOTH)[0] == {(0, 0), (1, 1), (2, 2)}
    assert seen(BOTH[1])[0] == {(0, 0), (1, 0), (2, 1)}
    with pytest.raises(TrainingError, match=r"no Tubulus in any of 24 masks"):
        find_examples([folder], model_mpp=1.25, classes=("Glomerulus", "Tubulus"))


def test_hard_negatives_need_no_label(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / "qupath/tiles/qupath_0_6_0_beside", tmp_path / "export"))
    (folder / "hard_negatives").mkdir()
    moved = folder / "kidney_02/kidney_02 [d=2,x=0,y=0,w=512,h=512].png"
    moved.rename(folder / "hard_negatives" / moved.name)
    moved.with_name(f"{moved.stem}-labelled.png").unlink()
    (hard,) = (example for example in find_examples([folder], model_mpp=1, tile_mpp=1) if example.hard)
    assert (hard.slide, hard.label, hard.positive) == ("kidney_02", None, False)
    assert not read_example(hard, 1).label.any()


def test_a_derived_class_counts_as_its_base_unless_named() -> None:
    assert class_of("Glomerulus: Sclerotic: Global", ("Glomerulus",)) == 1
    assert class_of("Glomerulus: Sclerotic: Global", BOTH) == 2
    assert class_of("Cortex", BOTH) == 0


# --- KPIs


def test_pairs_are_matched_by_name_and_not_by_order(tmp_path: Path) -> None:
    """`p_img` stands before `p_k_img`, but `p_mask` after `p_k_mask`."""
    for index in range(6):
        for name, disc in ((f"p{index}", 10 + index), (f"p{index}_k", 20 + index)):
            write_pair(tmp_path, f"DN/c/img/{name}_img.png", f"DN/c/mask/{name}_mask.png", disc=disc)
    examples = find_examples([tmp_path], model_mpp=0.12)
    assert len(examples) == 12
    assert all(agree(example) == 1 for example in examples)
    by_order = zip(sorted(e.image for e in examples), sorted(e.label for e in examples), strict=True)
    assert all(image.stem[:-4] != label.stem[:-5] for image, label in by_order)


def test_kpis_folders_tell_part_group_case_and_scale(kpis_tree: Path) -> None:
    examples = find_examples([kpis_tree], model_mpp=0.479)
    assert Counter(e.part for e in examples) == {"train": 24, "validation": 12, "test": 12}
    assert {(e.group, round(e.mpp, 5)) for e in examples} == {("56Nx", 0.2395), ("DN", 0.2395), ("NEP25", 0.2395)}
    assert len({e.case for e in examples}) == 12
    assert not any("-" in e.case for e in examples)
    assert any("56NX" in e.image.parts and e.group == "56Nx" for e in examples)


def test_masks_that_do_not_tell_classes_apart_are_refused_where_they_have_to(kpis_tree: Path) -> None:
    with pytest.raises(TrainingError, match=r"masks do not tell Glomerulus, Glomerulus: Sclerotic apart \(.*_mask"):
        find_examples([kpis_tree], model_mpp=0.479, classes=BOTH[:1], label_classes=BOTH)


def test_patches_come_at_one_scale(kpis_tree: Path) -> None:
    """A disc of 5 um radius has one area in every group, and padding has none."""
    for example in find_examples([kpis_tree], model_mpp=0.479):
        read = read_example(example, 0.479)
        assert read.label.shape == (128, 128)
        assert example.positive == bool(read.label.any())
        number = int(example.name.split("_")[-3])
        padded = example.part == "train" and number == 0
        assert read.valid.mean() == pytest.approx(0.75 if padded else 1, abs=0.05)
        if number % 4 == 2 and not padded:
            assert read.label.sum() * 0.479**2 == pytest.approx(np.pi * 5**2, rel=0.04)


def test_a_part_of_the_tree_tells_as_much(kpis_tree: Path) -> None:
    whole = {e.image: e for e in find_examples([kpis_tree], model_mpp=0.479)}
    folders = [kpis_tree / "Task1_patch_level/train", kpis_tree / "Task1_patch_level/test/DN"]
    parts = find_examples(folders, model_mpp=0.479)
    assert len(parts) == 24 + 4
    for example in parts:
        other = whole[example.image]
        assert (example.part, example.group, example.case) == (other.part, other.group, other.case)
    assert len({e.name for e in parts}) == len(parts)


def test_jpeg_masks_are_cut_at_the_middle(kpis_tree: Path) -> None:
    """JPEG leaves values between 0 and 255 and around both: `== 255` would lose much of each object."""
    lost = []
    for example in find_examples([kpis_tree], model_mpp=0.479):
        read = read_example(example, example.mpp)
        raw = np.asarray(Image.open(example.label))
        seen = read.image[..., 1].astype(float) < 115
        if example.positive and read.valid.all():
            assert (seen & (read.label > 0)).sum() / (seen | (read.label > 0)).sum() > 0.97
            lost.append(1 - (raw == 255).sum() / read.label.sum())
    assert max(lost) > 0.02


def test_padding_is_neither_glomerulus_nor_tissue(tmp_path: Path) -> None:
    write_kpis_patches(tmp_path, groups=("DN",), patches=1)
    folder = tmp_path / "Task1_patch_level/train/DN/13_101"
    Image.new("RGB", (256, 256), "white").save(folder / "img/13_101_9_0_0_img.jpg")
    Image.new("L", (256, 256), "white").save(folder / "mask/13_101_9_0_0_mask.jpg")
    y, x = np.mgrid[:256, :256]
    padded = (x > 200) | (y > 180)
    Image.fromarray(np.where(padded[..., None], 255, (225, 170, 205)).astype(np.uint8)).save(
        folder / "img/13_101_8_0_0_img.jpg", quality=75
    )
    Image.fromarray(padded.astype(np.uint8) * 255).save(folder / "mask/13_101_8_0_0_mask.jpg", quality=75)
    examples = {example.image.name: example for example in find_examples([tmp_path], model_mpp=0.479)}
    assert "13_101_9_0_0_img.jpg" not in examples, "padding alone"
    corner = examples["13_101_8_0_0_img.jpg"]
    read = read_example(corner, 0.479)
    assert not read.label.any()
    assert not corner.positive
    assert not read.valid[:, 101:].any()
    assert not read.valid[91:].any()
    assert read.valid[:84, :94].all()


def test_white_glass_without_a_mask_stays_valid(tmp_path: Path) -> None:
    for index, disc in enumerate((20, 25)):
        write_pair(tmp_path, f"images/{index}.png", f"masks/{index}.png", disc=disc)
    Image.new("RGB", (96, 96), "white").save(tmp_path / "images/glass.png")
    Image.new("L", (96, 96)).save(tmp_path / "masks/glass.png")
    glass = find_examples([tmp_path], model_mpp=1, tile_mpp=1)[-1]
    assert glass.image.stem == "glass"
    assert read_example(glass, 1).valid.all()


@pytest.fixture
def task2(tmp_path: Path) -> Path:
    """Two slides of 2 x 0.5 mm: one at 0.5 um per pixel, one at 1 um whose mask is 0 and 1."""
    for group, name, mpp, full in (("DN", "12_116", 0.5, 255), ("NEP25", "08-472", 1.0, 1)):
        folder = tmp_path / "Task2_WSI_level" / group
        folder.mkdir(parents=True)
        made = slides.disc_slide(
            folder / f"{name}_wsi.tiff",
            size=(round(2000 / mpp), round(500 / mpp)),
            mpp=mpp,
            tissue=(0, 0, round(1200 / mpp), round(500 / mpp)),
            radius_um=60,
            count=6,
        )
        mask = slides.draw((made.width, made.height), (0, 0, 0, 0), made.discs)
        inside = (mask == slides.DISC).all(axis=2, keepdims=True)
        slides.write_pyramid(folder / f"{name}_mask.tiff", np.repeat(inside, 3, axis=2).astype(np.uint8) * full, mpp)
    return tmp_path


def test_slides_are_cut_at_the_resolution_of_the_training(task2: Path) -> None:
    examples = find_examples([task2], model_mpp=1.0)
    assert {(e.group, e.case, e.mpp) for e in examples} == {
        ("DN", "DN/12_116", 0.5),
        ("NEP25", "NEP25/08_472", 1.0),
    }
    for example in examples:
        assert isinstance(example.box, Box)
        read = read_example(example, 1.0)
        assert read.image.shape == (*read.label.shape, 3)
        assert read.label.shape == (round(example.box.height * example.mpp), round(example.box.width * example.mpp))
        assert read.valid.all()
        assert example.positive == bool(read.label.any())
        seen = read.image[..., 1] < 105
        assert (seen & (read.label > 0)).sum() > 0.98 * (seen | (read.label > 0)).sum()
    assert len({e.name for e in examples}) == len(examples)
    assert sorted({e.box.x * e.mpp for e in examples}) == [0, 896], "the empty right of the slides is left out"


def test_a_slide_without_scale_takes_it_from_the_group(tmp_path: Path) -> None:
    for group in ("56NX", "NEP25"):
        folder = tmp_path / group
        folder.mkdir()
        made = slides.disc_slide(folder / "a_wsi.tiff", size=(1200, 1000), mpp=None, count=4)
        picture = slides.draw((1200, 1000), (0, 0, 0, 0), made.discs)
        slides.write_pyramid(folder / "a_mask.tiff", (picture == slides.DISC).astype(np.uint8) * 255, None)
    found = find_examples([tmp_path], model_mpp=0.479)
    assert {(e.group, e.mpp) for e in found} == {("56Nx", 0.11975), ("NEP25", 0.2395)}
    shapes = {e.group: read_example(e, 0.479).label.shape for e in found}
    assert shapes == {"56Nx": (250, 300), "NEP25": (500, 600)}


# --- plain folders


def test_plain_folders_and_where_parts_are_named(tmp_path: Path) -> None:
    for part, disc in (("train", 12), ("train", 16), ("validation", 20), ("test", 24)):
        write_pair(tmp_path, f"{part}/images/{disc}.png", f"{part}/masks/{disc}.png", disc=disc, value=1)
    examples = find_examples([tmp_path], model_mpp=0.5, tile_mpp=0.5)
    assert [(e.image.stem, e.part) for e in examples] == [
        ("24", "test"),
        ("12", "train"),
        ("16", "train"),
        ("20", "validation"),
    ]
    assert all(agree(example) == 1 for example in examples)
    assert len({e.slide for e in examples}) == 4


def test_tiles_called_by_their_place_are_of_one_slide(tmp_path: Path) -> None:
    for slide in ("HK_1", "HK_2"):
        for x in (0, 512):
            write_pair(tmp_path, f"images/{slide}_{x}_0.png", f"masks/{slide}_{x}_0.png")
    assert Counter(e.slide.split("/")[-1] for e in find_examples([tmp_path], model_mpp=1, tile_mpp=1)) == {
        "HK_1": 2,
        "HK_2": 2,
    }


def test_hard_negatives_of_any_name_do_not_take_tiles_apart(tmp_path: Path) -> None:
    for x in (0, 512):
        write_pair(tmp_path, f"images/HK_1_{x}_0.png", f"masks/HK_1_{x}_0.png")
    write_pair(tmp_path, "hard_negatives/a vessel.png", "other.png")
    (tmp_path / "other.png").unlink()
    examples = find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    assert sorted(e.slide.split("/")[-1] for e in examples) == ["HK_1", "HK_1", "a vessel"]


def test_patches_that_are_counted_before_their_place_are_of_one_slide(tmp_path: Path) -> None:
    """The challenge's names in one flat folder: half of each patch is half of the next one."""
    for case in ("12_116", "12-117"):
        for index, x in enumerate((0, 1024)):
            write_pair(tmp_path, f"images/{case}_{index}_{x}_0_img.png", f"masks/{case}_{index}_{x}_0_mask.png")
    assert Counter(e.slide.split("/")[-1] for e in find_examples([tmp_path], model_mpp=1, tile_mpp=1)) == {
        "12_116": 2,
        "12-117": 2,
    }


@pytest.mark.parametrize(("folder", "part"), [("val", "validation"), ("Valid", "validation"), ("training", "train")])
def test_parts_by_their_usual_names(tmp_path: Path, folder: str, part: str) -> None:
    write_pair(tmp_path, f"{folder}/images/a.png", f"{folder}/masks/a.png")
    write_pair(tmp_path, f"{folder}/images/b.png", f"{folder}/masks/b.png")
    write_pair(tmp_path, "more/images/c.png", "more/masks/c.png")
    for given in ([tmp_path], [tmp_path / folder, tmp_path / "more"]):
        examples = find_examples(given, model_mpp=1, tile_mpp=1)
        assert {e.image.stem: e.part for e in examples} == {"a": part, "b": part, "c": ""}
        assert len({e.slide for e in examples}) == 3
    assert {e.part for e in find_examples([tmp_path / folder], model_mpp=1, tile_mpp=1)} == {""}, "there is no other"


def test_the_label_of_one_is_no_substitute_for_that_of_another(tmp_path: Path) -> None:
    for folder, disc in (("a", 12), ("b", 30)):
        for name in ("1", "2"):
            write_pair(tmp_path, f"{folder}/images/{name}.png", f"{folder}/masks/{name}.png", disc=disc)
    (tmp_path / "a/masks/1.png").unlink()
    (tmp_path / "b/images/1.png").unlink()
    with pytest.raises(TrainingError) as raised:
        find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    assert "a/images/1.png has no mask of its name" in str(raised.value)
    assert "b/masks/1.png has no image of its name" in str(raised.value)


def test_a_folder_of_tiles_is_a_slide(tmp_path: Path) -> None:
    for slide in ("a", "b"):
        for tile in range(3):
            write_pair(tmp_path, f"images/{slide}/{tile}.png", f"masks/{slide}/{tile}.png")
    assert Counter(e.slide.split("/")[-1] for e in find_examples([tmp_path], model_mpp=1, tile_mpp=1)) == {
        "a": 3,
        "b": 3,
    }


def test_images_sorted_into_folders_whose_masks_are_not(tmp_path: Path) -> None:
    for index, kind in enumerate(("sclerotic", "open", "open")):
        write_pair(tmp_path, f"images/{kind}/g{index}.png", f"masks/g{index}.png", disc=10 + 5 * index)
    examples = find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    assert [agree(example) for example in examples] == [1, 1, 1]
    write_pair(tmp_path, "images/sclerotic/g1.png", "other.png")
    (tmp_path / "other.png").unlink()
    with pytest.raises(TrainingError) as raised:
        find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    assert len(str(raised.value).splitlines()) == 3, "two images and one mask are called g1: nothing is guessed"


def test_a_sample_sheet_says_which_animal(data: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(data / "qupath/tiles/qupath_0_6_0_subdir", tmp_path / "export"))
    sheet = folder / "samples.csv"
    sheet.write_text("slide,animal,group,split\nkidney_01.tif,M7,treated,train\nkidney_02.tif,M8,control,Test\n")
    examples = find_examples([folder], model_mpp=2, tile_mpp=2)
    assert Counter((e.slide, e.case, e.group, e.part) for e in examples) == {
        ("kidney_01", "M7", "treated", "train"): 12,
        ("kidney_02", "M8", "control", "test"): 2,
    }
    sheet.write_text("slide,animal\nkidney_01,M7\n")
    with pytest.raises(TrainingError, match=r"samples.csv has no row for .*kidney_02; add one"):
        find_examples([folder], model_mpp=2, tile_mpp=2)
    sheet.write_text("animal,group\nM7,control\n")
    with pytest.raises(TrainingError, match="has no column of image names"):
        find_examples([folder], model_mpp=2, tile_mpp=2)


def test_a_row_of_the_sample_sheet_is_of_one_slide(tmp_path: Path) -> None:
    """Images of one name in the folders of two animals were both of the first, or could be either."""
    for animal in "AB":
        write_pair(tmp_path, f"images/{animal}/s.png", f"masks/{animal}/s.png")
    sheet = tmp_path / "samples.csv"
    sheet.write_text("image,animal\ns.png,m1\n")
    with pytest.raises(TrainingError, match=r"fits 2 images \(A/s, B/s\); give each a row that names its folder"):
        find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    sheet.write_text("image,animal\nA/s.png,m1\nB/s.png,m2\n")
    assert [item.case for item in find_examples([tmp_path], model_mpp=1, tile_mpp=1)] == ["m1", "m2"]


def test_what_of_the_files_is_read_otherwise_is_said(tmp_path: Path) -> None:
    """Cells that mean nothing, and colours that a profile would change."""
    (tmp_path / "masks").mkdir()
    for name, profile in (("a", power_profile(1.0)), ("b", None)):
        Image.new("RGB", (64, 64), (90, 40, 120)).save(tmp_path / f"{name}.png", icc_profile=profile)
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "samples.csv").write_text("image,animal\na.png,NA\nb.png,m1\n")
    cells, colours = remarks_on_files(find_examples([tmp_path], model_mpp=1, tile_mpp=1), [tmp_path])
    assert cells.endswith("samples.csv has 1 cell with NA, read as empty")
    assert colours.endswith("of 1 image (a.png): not applied, colours are learned as they are stored")


def test_a_sample_sheet_however_it_is_spelled(tmp_path: Path) -> None:
    for name in "abcd":
        write_pair(tmp_path, f"images/{name}.png", f"masks/{name}.png")
    sheet = tmp_path / "samples.csv"
    sheet.write_text("Image,Slide,Split\na,S1,Val\nb,S1,val\nc,S2,train\nd,S3,\n")
    examples = find_examples([tmp_path], model_mpp=1, tile_mpp=1)
    assert [(e.slide, e.part) for e in examples] == [
        ("S1", "validation"),
        ("S1", "validation"),
        ("S2", "train"),
        ("S3", ""),
    ]
    sheet.write_text("image,split\na,later\nb,train\nc,train\nd,train\n")
    with pytest.raises(TrainingError, match=r"samples.csv says split 'later' of a; write train, validation or test"):
        find_examples([tmp_path], model_mpp=1, tile_mpp=1)


def test_mixed_scales_come_to_one(tmp_path: Path) -> None:
    """The same disc of 20 um at 0.5 and at 1 um per pixel has one size when both are read at 1 um."""
    write_pair(tmp_path, "images/fine.png", "masks/fine.png", disc=40, size=192)
    write_pair(tmp_path, "images/coarse.png", "masks/coarse.png", disc=20, size=96)
    for name, mpp in (("fine", 0.5), ("coarse", 1.0)):
        path = tmp_path / f"images/{name}.png"
        slides.write_pyramid(path.with_suffix(".tif"), np.asarray(Image.open(path)), mpp, kind="strips")
        path.unlink()
    coarse, fine = find_examples([tmp_path], model_mpp=1.0)
    assert (coarse.mpp, fine.mpp) == pytest.approx((1.0, 0.5))
    one, other = read_example(coarse, 1.0), read_example(fine, 1.0)
    assert one.label.shape == other.label.shape == (96, 96)
    assert other.label.sum() == pytest.approx(one.label.sum(), rel=0.02)


def test_folders_are_named_apart() -> None:
    assert names_of([Path("/a/train"), Path("/a/test")]) == ["train", "test"]
    assert names_of([Path("/a/x"), Path("/b/x"), Path("/b/y")]) == ["a/x", "b/x", "b/y"]
