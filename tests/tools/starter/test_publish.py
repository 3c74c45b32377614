"""Publishing: the card holds what was measured, in the form of the shipped one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.oracle import save_oracle
from support.slides import DISC, disc_slide, draw

from glomseg.errors import GlomsegError
from glomseg.evaluation.verify_scores import stated_figures
from glomseg.models.card import Dial
from glomseg.models.store import find_model, read_card, verify_model
from tools.starter import publish as publish_module
from tools.starter.pictures import SETS
from tools.starter.publish import measure_composed, publish, read_sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures with their truth, one of tissue without any, and a file that names them."""
    root = tmp_path_factory.mktemp("sets")
    for number, name in enumerate(("one", "two")):
        image = root / f"pictures/{name}/{name}.tif"
        image.parent.mkdir(parents=True, exist_ok=True)
        slide = disc_slide(image, size=(512, 448), count=2, radius_um=25, seed=number, mpp=0.5)
        there = (draw((512, 448), slide.tissue, slide.discs) == DISC).all(axis=2)
        Image.fromarray(there * np.uint8(255)).save(image.with_name(f"{name}_mask.png"))
    disc_slide(root / "skin.tif", size=(512, 448), count=0, mpp=0.5)
    (root / "sets.toml").write_text(
        'description = "finds discs"\nchose = "Nothing was chosen."\n'
        '[[set]]\nname = "drawn, 2 pictures"\ndata = "pictures"\nspecies = "mouse"\n'
        '[[set.part]]\nname = "chose_nothing"\ndata = "two"\n'
        '[[organs]]\nname = "skin"\nslides = ["skin.tif"]\n'
    )
    return root


@pytest.mark.slow
def test_the_card_has_the_form_of_the_shipped_one(folder: Path, tmp_path: Path) -> None:
    model = save_oracle(tmp_path / "model", sureness=0.995, dials=(Dial(tta=True, sureness=0.9),))
    older = save_oracle(tmp_path / "older", threshold=0.9)
    card = publish(model, read_sets(folder / "sets.toml"), tmp_path / "out", before={"threshold 0.9": older})
    assert card == verify_model(tmp_path / "out")
    assert (card.name, card.description, card.sureness, card.dials) == (
        "pas-starter", "finds discs", 0.995, (Dial(tta=True, sureness=0.9),),
    )  # fmt: skip
    scores = json.loads(card.to_json())["scores"]
    assert scores["method"].endswith("Nothing was chosen.")
    row = scores["pictures"]["drawn, 2 pictures"]
    ours = row["these_weights"]
    assert (ours["glomeruli"], ours["pictures"], ours["matched_with_candidates"]) == (4, 2, 4)
    assert ours["matched"] <= ours["shown_with_candidates"] == 4
    assert "interval" not in ours  # two pictures carry none
    assert "lowest_and_highest_picture" in ours
    before = "weights_before, threshold 0.9"
    assert set(row) == {"these_weights", "chose_nothing", before, f"{before}, chose_nothing"}
    assert (row["chose_nothing"]["glomeruli"], row["chose_nothing"]["matched_with_candidates"]) == (2, 2)
    assert scores["other_organs"]["skin"]["read_as_mouse"]["false"] == 0
    assert set(scores["other_organs"]["skin"]) == {"read_as_human", "read_as_mouse", before}
    assert scores["other_organs"]["skin"]["read_as_human"]["tissue_mm2"] > 0
    shipped = read_card(find_model("pas-starter")).scores
    assert set(scores) - {"composed"} <= set(shipped)
    theirs = next(iter(shipped["pictures"].values()))["these_weights"]
    assert set(ours) - {"lowest_and_highest_picture"} <= set(theirs)
    stated = list(stated_figures(card.scores))
    assert [item.name for item in stated] == [
        "pictures: drawn, 2 pictures",
        "pictures: drawn, 2 pictures: chose_nothing",
    ]
    assert stated[0].figures["recall_with_candidates"] == 1


def test_composed_fields_that_are_not_measured_anew_stay(tmp_path: Path) -> None:
    """They are of the same weights, and were dropped without a word."""
    rows = {"human PAS": {"glomeruli": 2, "object_f1": 0.9}}
    model = save_oracle(tmp_path / "model", scores={"composed": rows, "validation": {}})
    (tmp_path / "sets.toml").write_text('description = "d"\n')
    card = publish(model, read_sets(tmp_path / "sets.toml"), tmp_path / "out")
    assert card.scores["composed"] == rows
    assert "validation" not in card.scores


def test_composed_fields_are_measured_by_species_and_stain(made_up: Path) -> None:
    from glomseg.models.predict import load_model

    told = measure_composed(load_model(find_model("pas-starter"), "cpu"), made_up, fields=2)
    shipped = read_card(find_model("pas-starter")).scores["composed"]
    assert set(told) == set(shipped)
    assert all(0 <= row["object_f1"] <= 1 for row in told.values())


def test_what_cannot_be_measured_is_refused(folder: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(folder, tmp_path / "sets"))
    (copied / "sets.toml").write_text('description = "d"\n[[organs]]\nname = "skin"\nslides = ["gone.tif"]\n')
    model = save_oracle(tmp_path / "model")
    with pytest.raises(GlomsegError, match=r"gone.tif"):
        publish(model, read_sets(copied / "sets.toml"), tmp_path / "out")
    (copied / "sets.toml").write_text('description = "d"\n[[organs]]\nname = "skin"\nslides = ["empty"]\n')
    (copied / "empty").mkdir()
    with pytest.raises(GlomsegError, match=r"skin: .*empty is empty"):  # and not no false object of it
        read_sets(copied / "sets.toml")
    (copied / "sets.toml").write_text('description = "d"\nsett = 1\n')
    with pytest.raises(GlomsegError, match="sett"):
        read_sets(copied / "sets.toml")


def test_the_sets_of_the_shipped_card_are_named_in_a_file() -> None:
    sets = read_sets(Path(publish_module.__file__).with_name("sets.toml"), Path("pictures"))
    card = read_card(find_model("pas-starter"))
    scores = card.scores
    assert (card.description, scores["measured_on"]) == (sets.description, sets.measured_on)
    assert scores["method"] == f"{publish_module.METHOD} {sets.chose}"
    assert [item.name for item in sets.pictures] == list(scores["pictures"])
    assert [item.name for item in sets.organs] == list(scores["other_organs"])
    assert {item.data.name for item in sets.pictures} == set(SETS)
    assert [item.species for item in sets.pictures] == [source.species for source in SETS.values()]
