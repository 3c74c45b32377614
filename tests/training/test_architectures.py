"""Every architecture learns by the one loop, goes on where it stopped, and moves as the settings say."""

import contextlib
import tomllib
from dataclasses import replace

import pytest
import torch
from support.architectures import SMALL, WORDS, needed, words
from support.small_models import card
from support.tissue import UM_PX

from glomseg.errors import TrainingError
from glomseg.models.networks import NETWORKS, build_network
from glomseg.models.predict import load_model
from glomseg.models.store import save_model, verify_model
from glomseg.training.config import OptimiserConfig, TrainConfig
from glomseg.training.config_file import read_config
from glomseg.training.optimise import Learner
from glomseg.training.pace import learning_rate_at, parameter_groups
from glomseg.training.train_model import TrainOptions, train_model


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_training_that_stopped_ends_as_one_that_did_not(name, fields, tmp_path):
    needed(name)
    options = TrainOptions(settings=words(name), epochs=2, tile_mpp=UM_PX, device="cpu", seed=1)
    whole = train_model([fields], tmp_path / "whole", options)
    stopped = tmp_path / "stopped"

    def stop(progress):
        if progress.row is not None and progress.row.epoch == 1:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train_model([fields], stopped, options, progress=stop)
    assert (stopped / "state.pt").read_bytes() != (tmp_path / "whole/state.pt").read_bytes()
    gone_on = train_model([fields], stopped, replace(options, resume=True))
    assert gone_on.card.weights_sha256 == whole.card.weights_sha256
    assert verify_model(stopped).architecture == name
    assert load_model(stopped).predict(torch.zeros(1, 40, 40, 3, dtype=torch.uint8).numpy()).shape == (1, 1, 40, 40)
    assert any("random weights" in text for text in whole.remarks) == bool(NETWORKS[name].backbone)
    assert not any("random weights" in text for text in gone_on.remarks)


@pytest.mark.slow
def test_queries_learn_as_objects(fields, tmp_path):
    needed("mask2former")
    settings = (*words("mask2former"), 'model.heads=["mask","hover"]')
    made = train_model(
        [fields], tmp_path / "m", TrainOptions(settings=settings, epochs=2, tile_mpp=UM_PX, device="cpu")
    )
    assert made.card.hover
    assert load_model(tmp_path / "m").predict_planes(torch.zeros(1, 40, 40, 3, dtype=torch.uint8).numpy()).shape[1] == 3


def test_the_backbone_moves_slowly_and_norms_do_not_decay():
    needed("segformer")
    net = build_network(card(architecture="segformer", architecture_args=SMALL["segformer"]))
    groups = parameter_groups(net, OptimiserConfig(backbone_rate=0.1, decay_norms=False, weight_decay=0.05))
    assert sorted((group["share"], group["weight_decay"]) for group in groups) == [
        (0.1, 0.0), (0.1, 0.05), (1.0, 0.0), (1.0, 0.05),
    ]  # fmt: skip
    inner = {id(weight) for weight in net.encoder().parameters()}
    for group in groups:
        assert {id(weight) in inner for weight in group["params"]} == {group["share"] == 0.1}
        assert all(weight.ndim > 1 for weight in group["params"] if group["weight_decay"])
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))
    assert len(parameter_groups(net, OptimiserConfig())) == 1  # nothing asked for: as ever


@pytest.mark.parametrize(("schedule", "half"), [("linear", 0.5), ("poly", 0.5**0.9), ("constant", 1.0)])
def test_the_rate_falls_as_the_schedule_says(schedule, half):
    config = TrainConfig(optimiser=OptimiserConfig(schedule=schedule, warm_up=0, learning_rate=1.0))
    assert learning_rate_at(0.0, config) == 1.0
    assert learning_rate_at(0.5, config) == pytest.approx(half)
    assert learning_rate_at(1.0, config) == (1.0 if schedule == "constant" else 0.0)


def test_colours_are_normalised_as_the_card_says_in_training_too(tmp_path):
    words = ("model.mean=[0.5, 0.5, 0.5]", "model.std=[0.25, 0.25, 0.25]", "model.arguments.patch_size=256")
    config = read_config(words=words)
    mine = card(mean=(0.5,) * 3, std=(0.25,) * 3, architecture_args={"patch_size": 256})
    learner = Learner.of(config, mine, "cpu")
    seen = []
    learner.net.module.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    pixels = torch.full((2, 3, 32, 32), 0.75)
    learner.learn(pixels, torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32), rate=1e-3, clip_norm=1.0)
    assert torch.equal(seen[0], torch.ones(2, 3, 32, 32))
    assert tomllib.loads(config.to_toml())["model"]["mean"] == [0.5] * 3


def test_a_model_that_takes_normalised_colours_is_gone_on_with(fields, tmp_path):
    mine = card(mean=(0.6, 0.5, 0.6), std=(0.2, 0.2, 0.2), architecture_args={"patch_size": 256}, mpp=8.0)
    save_model(tmp_path / "mine", mine, build_network(mine))
    options = TrainOptions(settings=WORDS, epochs=1, tile_mpp=UM_PX, device="cpu", start=tmp_path / "mine")
    assert train_model([fields], tmp_path / "out", options).card.mean == mine.mean


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model.mean=[0.5, 0.5, 0.5]",), "give three each, or none"),
        (("model.architecture=unet",), "architecture 'unet' is unknown"),
        (("model.architecture=smp-unet", 'model.arguments={encoder = "resnet3"}'), "there are resnet34"),
    ],
)
def test_settings_that_make_no_network(words, message, fields, tmp_path):
    needed("smp-unet")
    with pytest.raises(TrainingError, match=message):
        train_model([fields], tmp_path / "out", TrainOptions(settings=(*WORDS, *words), tile_mpp=UM_PX))
