"""A model fitted to a laboratory in little time: better is kept, worse is not, and what chose the dials is said."""

import json
import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.kill import Killed, killed_at

from glomseg.errors import TrainingError
from glomseg.models.store import find_model, read_card, verify_model
from glomseg.runs.adapted_model import AdaptedTo, remember_model, remembered_model
from glomseg.training import adapt_model
from glomseg.training.adapt import Rehearsal, adapt, as_read, halved
from glomseg.training.blend import blended, choose_blend, crossed
from glomseg.training.config_file import read_config
from glomseg.training.data.find import find_examples
from glomseg.training.dials import ComparedObjects, at_dials, choose_dials
from glomseg.training.optimise import read_start
from glomseg.training.train_model import TrainOptions, train_model

SETTINGS = (
    "model.mpp=8", "data.crop_px=64", "data.margin_px=0", "optimiser.batch_size=4", "optimiser.learning_rate=8e-3",
    "data.workers=0", "optimiser.precision=32-true", "optimiser.ema_decay=0.8", "data.mining_every=0",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def some(threshold, objects, true, lost=0.0):
    """Outline objects of (confidence, IoU with what they match), each of 100 px."""
    confidence, iou = (np.array(values, float) for values in zip(*objects, strict=True))
    area = np.full(len(objects), 100.0)
    return ((ComparedObjects(threshold, confidence, iou, area, area * (iou > 0) - lost, true, 100.0 * true),),)


def test_the_sureness_leaves_out_what_is_wrong_and_no_more():
    image = some(0.5, [*[(0.96, 0.9)] * 9, (0.93, 0.7), *[(0.8, 0.0)] * 5, (0.7, 0.6)], true=12)
    chosen = choose_dials([image], (0.5,))
    assert chosen.sureness == 0.84  # the least of those that give the same
    assert (chosen.sure.objects.matched, chosen.sure.objects.predicted) == (10, 10)
    assert chosen.with_candidates.objects.matched == 11
    assert at_dials([image, image], 0.5, None).sure.objects.predicted == 32
    few = some(0.5, [(0.9, 0.9), (0.5, 0.0)], true=2)
    assert choose_dials([few], (0.5,)).sureness is None  # two objects choose nothing


def test_the_threshold_of_the_better_outlines_is_taken():
    images = [(*some(0.3, [(0.9, 0.8)] * 12, 12), *some(0.6, [(0.9, 0.8)] * 12, 12, lost=30.0))]
    assert choose_dials(images, (0.3, 0.6)).threshold == 0.3


@pytest.fixture(scope="module")
def start(fields, tmp_path_factory):
    """A model that has learned for a moment."""
    folder = tmp_path_factory.mktemp("models") / "start"
    options = TrainOptions(settings=(*SETTINGS, "data.samples_per_epoch=48"), epochs=1, tile_mpp=4, device="cpu")
    card = train_model([fields], folder, options).card
    seen = replace(card, look=read_card(find_model("pas-starter")).look)
    (folder / "card.json").write_text(seen.to_json(), encoding="utf-8")
    return folder


def settings(start, *more):
    return TrainOptions(recipe="retrain", settings=(*SETTINGS, *more), tile_mpp=4, device="cpu", start=start)


@pytest.fixture(scope="module")
def better(fields, start, tmp_path_factory):
    """That model adapted to the fields, and what was told of it."""
    told = []
    folder = tmp_path_factory.mktemp("adapted") / "lab"
    return train_model([fields], folder, settings(start, "minutes=0.4"), tell=told.append), told


@pytest.mark.slow
def test_a_better_model_is_kept_and_says_what_it_gained(better):
    result, told = better
    made, folder = result.adapted, result.output
    assert made.is_kept
    assert verify_model(folder) == result.card == read_card(folder)
    assert result.card.look is None  # the slides that it was adapted to are not doubted for the colours of before
    gain = made.adapted.left_out
    assert gain.new.sure.f1 > gain.old.sure.f1 + 0.1
    assert any("on reviewed images left out" in text and "gained" in text for text in told)
    assert any("on the starter's own tissue" in text for text in told)
    assert not any("slides only" in text for text in told)
    scores = json.loads((folder / "card.json").read_text())["scores"]["adapted"]
    assert scores["left_out"]["now"]["object_f1"] == pytest.approx(gain.new.sure.f1, abs=1e-3)
    assert {"object_f1", "precision", "recall_with_candidates"} <= scores["left_out"]["before"].keys()


@pytest.mark.slow
def test_a_worse_model_takes_no_other_s_place(fields, better, tmp_path):
    ruined = settings(better[0].output, "minutes=0.05", "optimiser.learning_rate=10")
    aside = tmp_path / "lab-not-better"
    shutil.copytree(better[0].output, aside)
    (aside / "adaptation.json").unlink()
    with pytest.raises(TrainingError, match="lab-not-better holds a model that no adaptation left there"):
        train_model([fields], tmp_path / "lab", ruined)
    assert verify_model(aside) == better[0].card
    shutil.rmtree(aside)
    result = train_model([fields], tmp_path / "lab", ruined)
    assert not result.adapted.is_kept
    assert not (tmp_path / "lab").exists()
    assert result.output == tmp_path / "lab-not-better"
    assert any("give `keep_anyway`" in text for text in result.remarks)
    assert not any("is replaced" in text for text in result.remarks)
    again = train_model([fields], tmp_path / "lab", ruined)
    assert any("no better either" in text and text.endswith("is replaced") for text in again.remarks)


@pytest.mark.slow
def test_the_same_steps_give_the_same_network(fields, start):
    net, card = read_start(start)
    size = card.architecture_args["patch_size"]
    config = read_config(recipe="retrain", words=[*SETTINGS, f"model.arguments={{patch_size={size}}}"])
    examples = find_examples([fields], model_mpp=8, tile_mpp=4)
    one, other = (adapt(examples[:8], net, as_read(card, config), config, steps=3) for _ in range(2))
    assert one.steps == other.steps == 3
    assert all(torch.equal(value, other.net.state_dict()[name]) for name, value in one.net.state_dict().items())
    assert one.starter.images == len(Rehearsal.of(card, config).check) == 12
    back = blended(net, one.net, 0.0).state_dict()
    assert all(torch.equal(back[name], value) for name, value in net.state_dict().items() if value.is_floating_point())
    left, right = halved(examples)
    assert not {item.slide for item in left} & {item.slide for item in right}
    with pytest.raises(TrainingError, match="review a second one"):
        halved([item for item in examples if item.slide == examples[0].slide])


def test_a_project_remembers_its_model(tmp_path):
    assert remembered_model(tmp_path) is None
    model = AdaptedTo(
        name="lab", folder="/models/lab", weights_sha256="0" * 64, at="2026-01-02T03:04:05", started_from="pas-starter",
        f1_before=0.5, f1_now=0.9,
    )  # fmt: skip
    (tmp_path / "glomseg").mkdir()
    remember_model(tmp_path, model)
    assert remembered_model(tmp_path) == model
    assert "object F1 0.50 before, 0.90 now" in str(model)
    (tmp_path / "glomseg/model.json").write_text("{")
    assert remembered_model(tmp_path) is None


def test_as_much_of_the_new_weights_is_kept_as_is_best_elsewhere():
    good, fair = ([(0.9, 0.9)] * count + [(0.9, 0.0)] * (12 - count) for count in (11, 7))
    after = {1.0: [[some(0.5, fair, 12)], [some(0.5, fair, 12)]], 0.5: [[some(0.5, good, 12)], [some(0.5, good, 12)]]}
    blend, dials = choose_blend(after, (0.5,))
    assert (blend, dials.sure.objects.matched) == (0.5, 22)
    assert choose_blend({1.0: after[0.5], 0.5: after[0.5]}, (0.5,))[0] == 1.0  # of equals the new
    after = {1.0: [[some(0.5, good, 12)], [some(0.5, fair, 12)]], 0.5: [[some(0.5, fair, 12)], [some(0.5, good, 12)]]}
    assert crossed(after, (0.5,)).sure.objects.matched == 14  # what suits one half is not what the other would choose


@pytest.mark.slow
def test_a_kill_while_it_is_written_is_no_dead_end(fields, start, better, tmp_path, monkeypatch):
    """At every operation on files: the same command goes on, or the model is whole."""
    monkeypatch.setattr(adapt_model, "adapt", lambda *args, **more: better[0].adapted.adapted)
    options = settings(start, "minutes=0.4")
    with killed_at(10**9) as count:
        train_model([fields], tmp_path / "whole", options)
    went_on = 0
    for number in range(count()):
        output = tmp_path / f"killed-{number}"
        with pytest.raises(Killed), killed_at(number):
            train_model([fields], output, options)
        with suppress(TrainingError):  # it holds a model already
            train_model([fields], output, options)
            went_on += 1
        verify_model(output)
        assert (output / "config.toml").read_bytes() == (tmp_path / "whole/config.toml").read_bytes()
        assert (output / "adaptation.json").is_file()
    assert went_on >= count() - 2  # the model is whole where only the lock is not taken away yet


@pytest.mark.slow
def test_what_a_person_put_beside_a_model_that_was_no_better_stays(fields, better, tmp_path):
    ruined = settings(better[0].output, "minutes=0.05", "optimiser.learning_rate=10")
    beside = tmp_path / "lab-not-better"
    train_model([fields], tmp_path / "lab", ruined)
    (beside / "notes.txt").write_text("mine")
    train_model([fields], tmp_path / "lab", ruined)
    verify_model(beside)
    assert (beside / "notes.txt").read_text() == "mine"
