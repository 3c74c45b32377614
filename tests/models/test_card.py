"""Cards: every field has a type and bounds, and what is wrong is refused by name."""

import json
from pathlib import Path

import pytest
from support.small_models import card

from glomseg.errors import ModelError
from glomseg.evaluation.verify_scores import stated_figures
from glomseg.models.card import Dial, Look, ModelCard
from glomseg.models.store import read_card, shipped_folder


def test_card_round_trip():
    one = card(mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3), scores={"F1": 0.9}, minimum_solidity=0.8)
    assert ModelCard.from_json(one.to_json()) == one


def test_card_uses_wsinfer_names():
    data = json.loads(card().to_json())
    assert {"architecture", "num_classes", "patch_size_pixels", "spacing_um_px", "class_names"} <= set(data)


BAD = {
    "format_version": [2, "1", None, True],
    "name": ["", 3],
    "description": [None],
    "architecture": ["", 5],
    "architecture_args": [[], "512", None],
    "activation": ["relu", 1, None, "none"],
    "num_classes": [0, 2, 1.0, 10**9],
    "class_names": [[], ["a", "b"], "Glomerulus", [1], ["a" * 101], [""], ["Candidate"], ["Ignore*"]],
    "class_colors": [[[0, 0]], [[0, 0, 256]], [[0, 0, 0.5]], []],
    "patch_size_pixels": [0, 512.0, "512", 100_000],
    "halo_pixels": [-1, None, 10**6],
    "spacing_um_px": [0, -1, "3", None, True, 1e-9, 352.8, float("inf"), float("nan"), 10**400],
    "mean": [[0.5, 0.5], 0.5, [2, 0, 0], [0.5, 0.5, 0.5]],
    "std": [[0, 1, 1], [0.5, 0.5, 0.5], [1, 1, 1e-30]],
    "threshold": [1.1, -0.1, "0.5", 0, 1],
    "sureness": [-0.1, 1.1, "0.9", True],
    "look": [{}, {"stain": "PAS"}, {"stain": "PAS", "mean": [0, 0, 0, 0], "precision": [[1]], "limit": 1}],
    "dials": [{}, ["human"], [{"species": "dog"}], [{"tta": 1}], [{"sureness": 2}], [{"threshold": 0}]],
    "minimum_area_um2": [-1, None, 1e12],
    "minimum_solidity": [2],
    "species": ["", None],
    "training_diameter_um": [0, "200", 1e9],
    "training_data": [[{"name": "a"}], {}, ["a"], [{"name": "a", "licence": "", "source": "b"}]],
    "scores": [[], None],
    "weights_sha256": ["", "0" * 63, "Z" * 64, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_bad_card_field(name, value):
    data = json.loads(card().to_json()) | {name: value}
    with pytest.raises(ModelError) as error:
        ModelCard.from_json(json.dumps(data), "here/card.json")
    message = str(error.value)
    assert message.startswith("here/card.json: ")
    assert "\n" not in message


def test_a_card_as_an_editor_of_windows_saves_it_and_one_with_a_key_twice():
    text = card().to_json()
    assert ModelCard.from_json("\ufeff" + text) == card()
    with pytest.raises(ModelError, match="threshold stands there twice"):
        ModelCard.from_json(text.rstrip()[:-1] + ', "threshold": 0.9}')


def test_the_colours_of_a_card_need_no_method():
    looked = card(look=Look(stain="PAS", mean=(0, 0, 0, 0), precision=((1,) * 4,) * 4, limit=1))
    assert ModelCard.from_json(looked.to_json()) == looked


@pytest.mark.parametrize(
    ("slip", "meant"), [("mpp", "spacing_um_px"), ("surenes", "sureness"), ("activaton", "activation")]
)
def test_a_key_that_is_nearly_one_is_no_other_programs(slip, meant):
    data = json.loads(card().to_json()) | {slip: 0.5}
    if meant != "spacing_um_px":
        data.pop(meant, None)
    with pytest.raises(ModelError, match=f"{slip} is no key of a card; do you mean {meant}"):
        ModelCard.from_json(json.dumps(data))
    other = json.loads(card().to_json()) | {"transform": [], "smoothing": 3}
    assert ModelCard.from_json(json.dumps(other)) == card()


@pytest.mark.parametrize("name", sorted(BAD.keys() - {"activation", "sureness", "dials", "look"}))
def test_missing_card_field(name):
    data = json.loads(card().to_json())
    del data[name]
    with pytest.raises(ModelError, match=name):
        ModelCard.from_json(json.dumps(data))


def test_a_card_of_before_stays_as_it_is():
    """What came later is not written where it says nothing, so that a card and its sha256 in runs do not change."""
    data = json.loads(card().to_json())
    assert not {"activation", "sureness", "dials", "look"} & set(data)
    made = ModelCard.from_json(json.dumps(data))
    assert (made.activation, made.sureness, made.dials, made.look) == ("sigmoid", None, (), None)
    newer = card(activation="softmax", sureness=0.95, dials=(Dial(species="mouse", sureness=0.9),))
    assert ModelCard.from_json(newer.to_json()) == newer
    shipped = shipped_folder() / "pas-starter"
    kept = (shipped / "card.json").read_text(encoding="utf-8")
    assert read_card(shipped).to_json() == kept or "sureness" in kept


def test_the_first_dial_that_fits_decides_and_none_leaves_the_cards():
    dials = (
        Dial(species="mouse", tta=True, sureness=0.8),
        Dial(species="mouse", threshold=0.4),
        Dial(tta=True, sureness=0.9),
    )
    one = card(threshold=0.5, sureness=0.95, dials=dials)

    def of(species, tta):
        dial = one.dial(species, tta=tta)
        return dial.threshold, dial.sureness

    assert of(None, False) == of("human", False) == (0.5, 0.95)
    assert of("human", True) == (0.5, 0.9)
    assert of("mouse", False) == (0.4, 0.95)
    assert of("mouse", True) == (0.4, 0.8)


def test_a_dial_that_is_there_twice():
    dials = [{"tta": True, "sureness": 0.9}, {"tta": True, "threshold": 0.4}]
    assert ModelCard.from_json(json.dumps(json.loads(card().to_json()) | {"dials": dials}))
    again = [*dials, {"tta": True, "sureness": 0.5}]
    with pytest.raises(ModelError, match="sureness twice for the same species and flips"):
        ModelCard.from_json(json.dumps(json.loads(card().to_json()) | {"dials": again}))


def test_a_class_that_is_there_twice():
    data = json.loads(card().to_json()) | {
        "num_classes": 2,
        "class_names": ["a", "a"],
        "class_colors": [[0, 0, 0], [1, 1, 1]],
    }
    with pytest.raises(ModelError, match="a name twice"):
        ModelCard.from_json(json.dumps(data))


@pytest.mark.parametrize(("name", "sureness", "sets"), [("first", None, 3), ("with-sureness", 0.95, 25)])
def test_cards_that_shipped_before_are_read(name, sureness, sets):
    text = (Path(__file__).parent / f"cards/{name}.json").read_text(encoding="utf-8")
    made = ModelCard.from_json(text)
    assert (made.name, made.sureness, made.look) == ("pas-starter", sureness, None)
    assert made.to_json() == text
    assert len(list(stated_figures(made.scores))) == sets


def test_a_card_longer_than_any_card(folder):
    with (folder / "card.json").open("a") as file:
        file.write(" " * (1 << 20))
    with pytest.raises(ModelError, match="longer than"):
        read_card(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "7", "[" * 100_000, '{"format_version": ' + "1" * 10_000 + "}"]
)
def test_card_that_is_no_object(text):
    with pytest.raises(ModelError, match="JSON"):
        ModelCard.from_json(text)


def test_number_that_json_should_not_hold():
    text = card().to_json().replace('"threshold": 0.5', '"threshold": NaN')
    with pytest.raises(ModelError, match="threshold"):
        ModelCard.from_json(text)
