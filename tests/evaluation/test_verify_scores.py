"""The figures of a card measured again, and what candidates would add."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracle import save_oracle
from support.slides import DISC, disc_slide, draw

from glomseg.evaluation.verify_scores import stated_figures
from glomseg.models.store import find_model, read_card

COUNTS = {"images": 1, "true_objects": 2, "matched": 2}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate(("a/s1", "b/s2")):
        image = root / f"{name}.tif"
        image.parent.mkdir()
        slide = disc_slide(image, size=(512, 448), count=2, radius_um=25, seed=number, mpp=0.5)
        there = (draw((512, 448), slide.tissue, slide.discs) == DISC).all(axis=2)
        Image.fromarray(there * np.uint8(255)).save(root / f"{name}_mask.png")
    return root


def model(folder: Path, *, f1: float = 1.0, split: bool = True, **card: object) -> Path:
    scores = {"measured_on": "these weights", "test": {**COUNTS, "object_f1": f1, "recall": f1}}
    save_oracle(folder, scores=scores, **card)
    if split:
        parts = {"train": {"x": ["tiles/a/s1"]}, "validation": {}, "test": {"y": ["tiles/b/s2"]}}
        (folder / "split.json").write_text(json.dumps({"by": "slide", "seed": 0, **parts}))
    return folder


def test_the_figures_of_the_cards_own_test_part_come_out_again(labelled: Path, tmp_path: Path, glomseg) -> None:
    made = model(tmp_path / "model")
    result = glomseg("models", "verify", made, "--scores", labelled, "--device", "cpu")
    assert result.code == 0, result.err
    assert "part test: 1 of 2 images" in result.err
    assert result.err.count("part test") == 1
    assert "the images of 'test' in the card, by the model's own split; its figures come out again" in result.out
    assert "card: test" in result.out
    assert f"measured: {labelled}, part test" in result.out


def test_a_card_that_says_more_than_comes_out_is_told(labelled: Path, tmp_path: Path, glomseg) -> None:
    made = model(tmp_path / "model", f1=0.5)
    result = glomseg("models", "verify", made, "--scores", labelled, "--device", "cpu", "--json")
    assert result.code == 1
    said = json.loads(result.out)
    assert (said["repeated"], said["same"], said["part"]) == (False, "test", "test")
    assert said["measured"]["object_f1"] == 1
    assert said["card"]["test"]["object_f1"] == 0.5


def test_other_data_are_said_to_be_other(labelled: Path, tmp_path: Path, glomseg) -> None:
    made = model(tmp_path / "model", f1=0.5, split=False)
    result = glomseg("models", "verify", made, "--scores", labelled, "--device", "cpu", "-o", tmp_path / "kept")
    assert result.code == 0, result.err
    assert "these are other data than the card's, which was measured on test: figures that differ" in result.out
    assert (tmp_path / "kept/metrics.json").is_file()
    one = tmp_path / "one"
    shutil.copytree(labelled / "b", one)
    alike = glomseg("models", "verify", made, "--scores", one, "--device", "cpu")
    assert "as many images and glomeruli as 'test' in the card, and so probably those" in alike.out
    assert glomseg("models", "verify", made, "--part", "test").code == 2


@pytest.mark.slow
def test_only_all_of_the_cards_own_images_judge_it(labelled: Path, tmp_path: Path, glomseg) -> None:
    """Neither the test part of other data, by their sheet, nor one image of seven says that the card is wrong."""
    foreign = model(tmp_path / "foreign", f1=0.5, split=False)
    sheet = tmp_path / "samples.csv"
    sheet.write_text("image,split\ns1,test\ns2,test\n")
    command = ("models", "verify", foreign, "--scores", labelled, "--device", "cpu", "--part", "test")
    other = glomseg(*command, "--samples", sheet)
    assert other.code == 0, other.out
    assert "these are other data than the card's" in other.out
    made = model(tmp_path / "model", f1=0.5)
    card = json.loads((made / "card.json").read_text())
    card["scores"]["test"]["images"] = 7
    (made / "card.json").write_text(json.dumps(card))
    fewer = glomseg("models", "verify", made, "--scores", labelled, "--device", "cpu")
    assert fewer.code == 0, fewer.out
    assert "of the model's own part 'test', but the card's figures are not of just these" in fewer.out


def test_a_card_is_read_whatever_its_form() -> None:
    """That of the shipped model counts pictures and false ones, and says how the weights before it did."""
    scores = {
        "method": "m",
        "validation": {"images": 3, "object_f1": 0.8, "true_objects": 9, "chose": "weights"},
        "pictures": {
            "X": {
                "these_weights": {"glomeruli": 10, "pictures": 4, "matched": 6, "false": 2, "object_f1": 0.67,
                                  "matched_with_candidates": 8},
                "weights_before, 0.5": {"matched": 1, "object_f1": 0.1},
            }
        },
    }  # fmt: skip
    found = {item.name: dict(item.figures) for item in stated_figures(scores)}
    assert found == {
        "validation": {"images": 3, "object_f1": 0.8, "true_objects": 9},
        "pictures: X": {"true_objects": 10, "images": 4, "object_f1": 0.67, "recall": 0.6, "precision": 0.75,
                        "recall_with_candidates": 0.8},
    }  # fmt: skip
    shipped = list(stated_figures(read_card(find_model("pas-starter")).scores))
    assert len(shipped) > 5
    assert not any("before" in item.name for item in shipped)


def test_recall_with_candidates_and_precision_of_what_is_sure(labelled: Path, tmp_path: Path, glomseg) -> None:
    """Nothing is as sure as 0.99 but discs with few mixed pixels: the others are candidates, and right."""
    made = model(tmp_path / "model", split=False, sureness=0.995)
    out = tmp_path / "out"
    result = glomseg("evaluate", "--model", made, labelled, "-o", out, "--device", "cpu", "--no-pictures")
    assert result.code == 0, result.err
    said = json.loads((out / "metrics.json").read_text())["candidates"]
    sure = said["sure"]["matched"]
    assert said["candidates"] == 4 - sure > 0
    assert said["recall_of_sure"] == sure / 4
    assert said["recall_with_candidates"] == 1
    assert f"with {4 - sure} candidates recall 1.000 (4 of 4), pooled over 2 images" in result.out
    again = glomseg("evaluate", out / "predictions", labelled, "-o", tmp_path / "again", "--no-pictures")
    assert f"with {4 - sure} candidates recall 1.000 (4 of 4)" in again.out
    for path in (out / "predictions/candidates").iterdir():
        path.unlink()
    gone = glomseg("evaluate", out / "predictions", labelled, "-o", tmp_path / "gone", "--no-pictures")
    assert "whose run kept no candidates" in gone.out


def test_a_model_that_sets_nothing_aside_says_nothing_of_candidates(labelled: Path, tmp_path: Path, glomseg) -> None:
    made = model(tmp_path / "model", split=False)
    result = glomseg("evaluate", "--model", made, labelled, "-o", tmp_path / "out", "--device", "cpu", "--no-pictures")
    assert result.code == 0, result.err
    assert "candidates" not in result.out
    assert "candidates" not in json.loads((tmp_path / "out/metrics.json").read_text())
