"""The KPIs data by their real tree: nothing of the test part is opened before the choice is made."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import slides
from support.trees import write_kpis_patches

from glomseg.errors import TrainingError
from glomseg.training.data.find import find_examples
from glomseg.training.train_model import TrainOptions, train_model

NAMES = {"train": "KPIs24 Training Data", "validation": "KPIs24 Validation Data", "test": "KPIs24 Testing Data"}
SETTINGS = (
    "epochs=1", "model.mpp=0.479", "model.arguments.patch_size=256", "data.crop_px=64", "data.margin_px=0",
    "data.samples_per_epoch=4", "data.workers=0", "optimiser.batch_size=2", "validation.minimum_area_um2=20",
)  # fmt: skip
OPTIONS = TrainOptions(recipe="kpis", settings=SETTINGS, device="cpu")
opened: list[str] = []
watching: list[Path] = []


def _watch(event: str, arguments: tuple) -> None:
    if event == "open" and watching and str(arguments[0]).startswith(str(watching[0])):
        opened.append(str(arguments[0]))


sys.addaudithook(_watch)  # it cannot be taken away again, and does nothing while nothing is watched


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    watching.clear()
    opened.clear()


@pytest.fixture
def tree(tmp_path):
    """Task 1 as the challenge's zip files unpack."""
    plain = write_kpis_patches(tmp_path / "plain")
    for part, name in NAMES.items():
        place = tmp_path / "KPIs" / name / "Task1_patch_level" / part
        place.parent.mkdir(parents=True)
        shutil.move(plain / "Task1_patch_level" / part, place)
    return tmp_path / "KPIs"


@pytest.mark.slow
def test_the_test_part_is_opened_after_the_choice(tree, tmp_path):
    output = tmp_path / "out"
    watching.append(tree / NAMES["test"])
    seen = []

    def look(progress):
        card = output / "card.json"
        if "validation" not in (json.loads(card.read_text())["scores"] if card.exists() else {}):
            seen.append(len(opened))

    result = train_model([tree], output, OPTIONS, progress=look)
    assert max(seen) == 0, opened
    assert len(seen) > 5
    assert opened, "it is scored at last"
    assert result.card.scores["test"]["images"] == 12
    split = json.loads((output / "split.json").read_text())
    assert {name: sum(map(len, split[name].values())) for name in NAMES} == {"train": 24, "validation": 12, "test": 12}


@pytest.mark.slow
def test_a_test_part_that_is_broken_is_found_when_it_is_scored(tree, tmp_path):
    for path in (tree / NAMES["test"]).rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(TrainingError, match="whole but for its score on the test part") as caught:
        train_model([tree], tmp_path / "out", OPTIONS)
    assert "cannot open" in str(caught.value)
    card = json.loads((tmp_path / "out/card.json").read_text())
    assert "object_f1" in card["scores"]["validation"]
    assert "test" not in card["scores"]


@pytest.fixture
def tasks(tmp_path):
    """Task 2 in its real tree, sections of one animal among it, and a patch of one of its slides in Task 1."""
    root = tmp_path / "KPIs"
    for part, group, name in (
        ("train", "DN", "12_116"), ("train", "NEP25", "08_368_01"), ("train", "NEP25", "08_368_02"),
        ("validation", "DN", "12_117"), ("test", "DN", "12_118"),
    ):  # fmt: skip
        folder = root / NAMES[part] / "Task2_WSI_level" / group
        folder.mkdir(parents=True, exist_ok=True)
        made = slides.disc_slide(folder / f"{name}_wsi.tiff", size=(1200, 800), mpp=0.5, radius_um=40, count=4)
        painted = slides.draw((made.width, made.height), (0, 0, 0, 0), made.discs)
        inside = (painted == slides.DISC).all(axis=2, keepdims=True)
        slides.write_pyramid(folder / f"{name}_mask.tiff", np.repeat(inside, 3, axis=2).astype(np.uint8) * 255, 0.5)
    return root


def test_slides_of_task_2_keep_their_part_and_animal(tasks):
    for path in (tasks / NAMES["test"]).rglob("*.tiff"):
        path.write_bytes(b"not to be opened")
    examples = find_examples([tasks], model_mpp=1.0, hold_out=True)
    parts = {(item.slide, item.case, item.part) for item in examples}
    assert parts == {
        ("DN/12_116", "DN/12_116", "train"),
        ("NEP25/08_368_01", "NEP25/08_368", "train"),
        ("NEP25/08_368_02", "NEP25/08_368", "train"),
        ("DN/12_117", "DN/12_117", "validation"),
        ("DN/12_118", "DN/12_118", "test"),
    }
    assert all(bool(item.mpp) == (item.part != "test") for item in examples)
    single = find_examples([tasks / NAMES["test"]], model_mpp=1.0, hold_out=True)
    assert {item.part for item in single} == {"test"}, "also where that folder alone is given"


@pytest.mark.slow
def test_a_training_on_slides_opens_the_test_part_after_the_choice(tasks, tmp_path):
    """With damaged slides there the model is chosen and written, and only its score on that part is missing."""
    for path in (tasks / NAMES["test"]).rglob("*.tiff"):
        path.write_bytes(b"not to be opened")
    options = TrainOptions(recipe="kpis", settings=(*SETTINGS, "model.mpp=1"), device="cpu")
    with pytest.raises(TrainingError, match="whole but for its score on the test part"):
        train_model([tasks], tmp_path / "out", options)
    scores = json.loads((tmp_path / "out/card.json").read_text())["scores"]
    assert "object_f1" in scores["validation"]
    assert "test" not in scores


@pytest.mark.slow
def test_the_same_tissue_twice_is_said(tasks, tmp_path):
    case = tasks / NAMES["train"] / "Task1_patch_level/train/DN/12_116"
    rng = np.random.default_rng(0)
    for name, pixels in (
        ("img/12_116_0_0_0_img.png", rng.integers(150, 255, (256, 256, 3))),
        ("mask/12_116_0_0_0_mask.png", np.pad(np.full((80, 80), 255), 88)),
    ):
        (case / name).parent.mkdir(parents=True)
        Image.fromarray(pixels.astype(np.uint8)).save(case / name)
    settings = (*SETTINGS, "model.mpp=1", "data.test_share=0")
    options = TrainOptions(recipe="kpis", settings=settings, device="cpu")
    result = train_model([tasks], tmp_path / "out", options)
    assert any("the same tissue counts twice" in line and "DN/12_116" in line for line in result.remarks)
    assert any(line.startswith("labels read as: 5 masks, black and white") for line in result.remarks), result.remarks
    assert result.card.scores["test"]["true_objects"] == 4
    again = train_model([tasks], tmp_path / "out", options)
    assert again.card == result.card


def test_the_reference_refuses_slides_and_says_what_it_does_not_repeat(tasks, tree, tmp_path):
    options = TrainOptions(recipe="kpis-reference", device="cpu")
    told = []
    with pytest.raises(TrainingError, match=r"is a slide, and data\.sample is whole.* no slides; give .*Task 1"):
        train_model([tasks], tmp_path / "out", options, tell=told.append)
    assert any("does not repeat its batches of one" in line for line in told)
    other = next((tree / NAMES["train"]).rglob("*_1_*_img.jpg"))
    for path in (other, Path(str(other).replace("img", "mask"))):
        with Image.open(path) as image:
            image.crop((0, 0, 256, 128)).save(path)
    small = tmp_path / "small" / "train"
    shutil.copytree(other.parents[1], small / "DN" / other.parents[1].name)
    flat = TrainOptions(
        recipe="kpis-reference", device="cpu", settings=("data.validation_share=0", "data.test_share=0")
    )
    with pytest.raises(TrainingError, match=r"would be read at .* square patches of one size and no slides"):
        train_model([small], tmp_path / "out", flat)
