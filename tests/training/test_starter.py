"""Publishing: the card holds the scores of the weights that were measured."""

import numpy as np
import pytest
import torch

from glomseg.model import Model, load_model, save_model
from glomseg.training.aidpath import read_tiles
from glomseg.training.starter import PostProcessing, card_of, measure, tile_samples
from glomseg.unet import VariableUNet


class Oracle:
    """A model that sees purple."""

    def predict(self, images):
        return np.where(images[..., 1] < 115, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("soft", [False, True])
def test_an_oracle_scores_one(made_up, soft):
    tiles = read_tiles(made_up / "tiles")
    samples = tile_samples(tiles, um_px=3.0, soft=soft)
    assert samples[0].image.shape == (85, 85, 3)
    result, tissue_mm2 = measure(Oracle(), samples, 3.0, PostProcessing(minimum_area_um2=500.0))
    assert (result.matched, result.false, result.missed) == (10, 0, 0)
    assert result.dice > 0.9
    tissue = sum((~t.label).sum() for t in tiles) * 0.25 / 1e6
    assert 0.8 * tissue < tissue_mm2 < tissue


def test_card_is_valid_and_says_what_was_measured(tmp_path):
    net = VariableUNet(512).eval()
    for on_all in (False, True):
        made = card_of({"tiles": {"object_f1": 0.5}}, PostProcessing(), trained_on_all=on_all)
        save_model(tmp_path / str(on_all), made, net)
        loaded = load_model(tmp_path / str(on_all))
        assert isinstance(loaded, Model)
        assert loaded.device == torch.device("cpu")
        assert ("all data" in loaded.card.scores["measured_on"]) == on_all
