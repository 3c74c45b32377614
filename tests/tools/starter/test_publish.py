"""Publishing: the card holds the scores of the weights that were measured."""

import dataclasses

import numpy as np
import pytest
import torch

from glomseg.models.predict import Model, load_model
from glomseg.models.store import save_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.training.data.examples import Labelled
from tools.starter.aidpath import read_tiles
from tools.starter.composed import tile_at
from tools.starter.publish import PostProcessing, card_of, measure, without_slivers


class Oracle(Model):
    """A model that sees purple."""

    def predict_planes(self, images, *, tta=False, scales=()):
        return np.where(images[..., 1] < 115, 255, 0).astype(np.uint8)[:, None]


@pytest.fixture(scope="module")
def oracle():
    card = card_of({}, PostProcessing(minimum_area_um2=500.0), trained_on_all=False)
    return Oracle(dataclasses.replace(card, threshold=0.5), VariableUNet(512).eval(), torch.device("cpu"))


@pytest.mark.parametrize("soft", [False, True])
def test_an_oracle_scores_one(made_up, oracle, soft):
    tiles = read_tiles(made_up / "tiles")
    images = [tile_at(tile, 3.0, soft=soft) for tile in tiles]
    assert images[0].image.shape == (85, 85, 3)
    result, tissue_mm2 = measure(oracle, images, 3.0)
    assert (result.objects.matched, result.objects.predicted, result.objects.true) == (10, 10, 10)
    assert result.pixels.dice > 0.9
    tissue = sum((~t.label).sum() for t in tiles) * 0.25 / 1e6
    assert 0.8 * tissue < tissue_mm2 < tissue


def test_slivers_are_not_asked_for():
    label = np.zeros((40, 40), np.uint8)
    label[5:25, 5:25] = 1
    label[30:40, 38:40] = 1
    valid = np.ones((40, 40), bool)
    asked = without_slivers(Labelled(np.zeros((40, 40, 3), np.uint8), label, valid), 50)
    assert asked.label.sum() == 400
    assert (~asked.valid).sum() == 20


def test_card_is_valid_and_says_what_was_measured(tmp_path):
    net = VariableUNet(512).eval()
    for on_all in (False, True):
        made = card_of({"tiles": {"object_f1": 0.5}}, PostProcessing(), trained_on_all=on_all)
        save_model(tmp_path / str(on_all), made, net)
        loaded = load_model(tmp_path / str(on_all))
        assert isinstance(loaded, Model)
        assert loaded.device == torch.device("cpu")
        assert ("all data" in loaded.card.scores["measured_on"]) == on_all
