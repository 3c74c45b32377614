"""Several models as one: the mean of their probabilities, and how much they agree on each object."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from support.oracle import oracle_card, oracle_net, save_oracle
from support.slides import Disc, disc_slide

import glomseg
from glomseg import SegmentOptions
from glomseg.errors import ModelError
from glomseg.models.ensemble import Ensemble, load_models
from glomseg.models.predict import Model, load_model
from glomseg.models.store import save_model
from glomseg.runs.run import load_run

PALE = (150, 86, 165)
"""Of a disc that the second model, which asks for more, does not see."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two oracles, the second with a higher threshold of its own."""
    folder = tmp_path_factory.mktemp("two")
    save_oracle(folder / "a")
    strict = oracle_net()
    with torch.no_grad():
        strict.final.bias[0] -= 4
    save_model(folder / "b", dataclasses.replace(oracle_card(), name="strict"), strict)
    return folder / "a", folder / "b"


def test_it_gives_the_mean_and_by_how_much_they_differ(folders: tuple[Path, Path]) -> None:
    pixels = np.random.default_rng(0).integers(60, 200, (2, 40, 56, 3), dtype=np.uint8)
    one, two = (load_model(folder).predict(pixels).astype(int) for folder in folders)
    both = load_models(folders)
    planes = both.predict_planes(pixels)
    assert both.extras == ("spread",)
    assert np.array_equal(planes[:, :1], (one + two + 1) // 2)
    assert np.array_equal(planes[:, 1:], np.abs(one - two))
    assert np.array_equal(both.predict(pixels), planes[:, :1])
    assert both.card.name == "oracle + strict"
    assert type(load_models(folders[:1])) is Model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mpp": 2.0}, "mpp is 1.0 and 2.0"),
        ({"class_names": ("Tubule",)}, "class_names is Glomerulus and Tubule"),
        ({"activation": "softmax"}, "activation"),
        ({"training_diameter_um": 200.0}, "training_diameter_um"),
    ],
)
def test_models_that_do_not_agree_are_refused_by_name(change: dict[str, object], said: str) -> None:
    cpu = torch.device("cpu")
    made = [Model(dataclasses.replace(oracle_card(), **changes), oracle_net(), cpu) for changes in ({}, change)]
    with pytest.raises(ModelError, match=f"oracle and oracle cannot predict together: {said}"):
        Ensemble(made)


def test_a_model_twice_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(ModelError, match="one twice"):
        load_models((folders[0], folders[0]))


def test_a_run_names_every_model_and_objects_say_how_far_they_agree(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    discs = [Disc(300, 300, 60, 60), Disc(700, 300, 60, 60, colour=PALE)]
    truth = disc_slide(tmp_path / "a.tif", discs=discs)
    options = SegmentOptions(model=folders, device="cpu", threshold=0.4, keep_probability=True)
    glomseg.segment_slides([truth.path], tmp_path / "out", options)
    parameters = load_run(tmp_path / "out").parameters
    cards = [load_model(folder).card for folder in folders]
    assert (parameters.model, parameters.model_sha256) == ("oracle", cards[0].weights_sha256)
    assert parameters.with_models == (f"strict {cards[1].weights_sha256}",)
    sure, doubtful = sorted(
        glomseg.read_geojson(tmp_path / "out" / "a.geojson"), key=lambda item: item.geometry.centroid.x
    )
    assert sure.measurements["Agreement"] > 0.95
    assert doubtful.measurements["Agreement"] < 0.5
    with (tmp_path / "out" / "glomeruli.csv").open(encoding="utf-8") as file:
        told = sorted(round(float(row["agreement"]), 2) for row in csv.DictReader(file))
    assert told == sorted(round(item.measurements["Agreement"], 2) for item in (sure, doubtful))


def test_one_model_says_nothing_of_agreement(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    truth = disc_slide(tmp_path / "a.tif", discs=[Disc(300, 300, 60, 60)])
    glomseg.segment_slides([truth.path], tmp_path / "out", SegmentOptions(model=folders[0], device="cpu"))
    (one,) = glomseg.read_geojson(tmp_path / "out" / "a.geojson")
    assert "Agreement" not in one.measurements
    parameters = load_run(tmp_path / "out").parameters
    assert (parameters.with_models, parameters.post, parameters.stitch, parameters.overlap) == ((), None, None, None)
