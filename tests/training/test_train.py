"""Training on made-up tissue: it learns, it goes on where it stopped, and it stops where it must."""

import csv
import dataclasses
import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.tissue import UM_PX, field_of, write_fields

from glomseg.errors import ModelError, RunError, TrainingError
from glomseg.models.predict import load_model
from glomseg.models.store import verify_model
from glomseg.training.config import OptimiserConfig, TrainConfig
from glomseg.training.config_file import read_config
from glomseg.training.data.training_data import read_data
from glomseg.training.optimise import spread
from glomseg.training.pace import learning_rate_at
from glomseg.training.train import prepare, run

WORDS = (
    "model.mpp=8",
    "data.crop_px=64",
    "data.margin_px=0",
    "optimiser.batch_size=8",
    "optimiser.learning_rate=8e-3",
    "validation.thresholds=[0.5]",
    "data.workers=0",
    "optimiser.precision=32-true",
)
TINY = (
    *WORDS,
    "data.samples_per_epoch=8",
    "optimiser.batch_size=4",
    "epochs=3",
    "optimiser.ema_decay=0.5",
    "optimiser.learning_rate=1e-3",  # slow enough to go on seeing what nobody drew
    "data.mining_every=1",
    "data.mining_images=12",
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine two threads wait for each other
    yield
    torch.set_num_threads(threads)


def training(folder, output, words=TINY, report=lambda progress: None, **more):
    config = read_config(words=words)
    return prepare(read_data([folder], config, tile_mpp=UM_PX), output, config, device="cpu", report=report, **more)


def trained_in(*arguments, **more):
    return run(training(*arguments, **more))


@pytest.fixture(scope="module")
def trained(fields, tmp_path_factory):
    """A training that is long enough to learn, with what it told."""
    output = tmp_path_factory.mktemp("trained") / "mine"
    told = []
    words = (*WORDS, "data.samples_per_epoch=80", "epochs=5", "optimiser.ema_decay=0.8", "data.test_share=0.25")
    words += ("data.mining_every=2", "data.mining_images=6")
    card = trained_in(fields, output, words, told.append)
    return output, card, told


@pytest.fixture(scope="module")
def half_drawn(tmp_path_factory):
    """Fields on half of whose slides nobody drew the discs: a trained network finds hard negatives there."""
    return write_fields(tmp_path_factory.mktemp("half") / "fields", unlabelled=(1, 3, 5, 7))


@pytest.fixture(scope="module")
def uninterrupted(half_drawn, trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("uninterrupted") / "mine"
    trained_in(half_drawn, output, start=trained[0])
    return output


def history(output):
    with (output / "history.csv").open() as file:
        return list(csv.DictReader(file))


def state_of(output):
    return torch.load(output / "state.pt", weights_only=True)


def assert_equal_states(one, two):
    for key in ("net", "ema"):
        for name, value in one[key].items():
            assert torch.equal(value, two[key][name]), f"{key} {name}"
    for number, values in one["optimizer"]["state"].items():
        assert all(torch.equal(value, two["optimizer"]["state"][number][name]) for name, value in values.items())
    for key in ("epoch", "step", "best", "best_epoch", "hard", "batch_size"):
        assert one[key] == two[key], key
    for mine, theirs in zip(one["rows"], two["rows"], strict=True):
        assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}


def test_it_learns(trained):
    output, card, told = trained
    losses = [float(row["train_loss"]) for row in history(output)]
    assert losses[-1] < 0.75 * losses[0]
    assert card.scores["test"]["true_objects"] >= 4
    assert card.scores["test"]["object_f1"] >= 0.8, card.scores
    assert card.scores["validation"]["object_f1"] >= 0.8, card.scores
    assert {progress.stage for progress in told} == {"learning", "validating", "mining", "epoch"}


def test_what_it_leaves_behind(trained):
    output, card, _ = trained
    assert {path.name for path in output.iterdir()} == {
        "card.json",
        "weights.safetensors",
        "config.toml",
        "split.json",
        "survey.csv",
        "history.csv",
        "curves.png",
        "worst.png",
        "state.pt",
    }
    assert verify_model(output) == card
    config = read_config(file=output / "config.toml")
    assert (config.data.crop_px, config.epochs, config.optimiser.batch_size) == (64, 5, 8)
    assert set(config.__slots__) == set(tomllib.loads((output / "config.toml").read_text()))
    rows = history(output)
    assert [row["epoch"] for row in rows] == list("12345")
    best = max(rows, key=lambda row: (float(row["val_object_f1"]), float(row["val_dice"])))
    assert [row["epoch"] for row in rows if row["best"] == "1"][-1] == best["epoch"] == str(card.scores["best_epoch"])
    split = json.loads((output / "split.json").read_text())
    assert not set(split["train"]) & (set(split["validation"]) | set(split["test"]))
    with (output / "survey.csv").open() as file:
        surveyed = list(csv.DictReader(file))
    assert len(surveyed) == 24
    assert sum(row["positive"] == "1" for row in surveyed) == 16
    assert {(row["slide"], row["mpp"]) for row in surveyed if row["part"] == "test"} == {
        (slide, "4") for slide in split["test"]
    }
    assert card.training_data[0].name == "fields"
    assert card.training_data[0].licence == "unstated"
    with Image.open(output / "worst.png") as picture:
        assert min(picture.size) > 100


def test_the_model_finds_discs_where_it_is_told_to_look(trained):
    """What `--model` would do, on tissue that no part of the split holds."""
    output, card, _ = trained
    rng = np.random.default_rng(99)
    model = load_model(output)
    images = [field_of(rng, discs=2) for _ in range(3)]
    small = np.stack([np.asarray(Image.fromarray(image).resize((96, 96), Image.Resampling.BOX)) for image, _ in images])
    seen = model.predict(small)[:, 0] >= card.threshold * 255
    true = np.stack([mask[1::2, 1::2] for _, mask in images])
    assert 2 * (seen & true).sum() / (seen.sum() + true.sum()) > 0.8


@pytest.mark.slow
def test_resume_equals_an_uninterrupted_training(half_drawn, trained, uninterrupted, tmp_path):
    def stop(progress):
        if progress.stage == "learning" and progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained_in(half_drawn, tmp_path, report=stop, start=trained[0])
    assert len(history(tmp_path)) == 2
    verify_model(tmp_path)
    card = trained_in(half_drawn, tmp_path, resume=True)
    assert_equal_states(state_of(tmp_path), state_of(uninterrupted))
    assert state_of(tmp_path)["hard"], "the hard negatives were not tried"
    same = dataclasses.replace(load_model(uninterrupted).card, name=card.name)
    assert card == same


@pytest.mark.slow
def test_a_killed_training_goes_on(half_drawn, trained, uninterrupted, tmp_path):
    words = [item for word in TINY for item in ("--set", word)]
    command = [sys.executable, "-m", "glomseg_cli.main", "train", str(half_drawn), "-o", str(tmp_path / "out")]
    command += [*words, "--tile-mpp", str(UM_PX), "--device", "cpu", "--quiet"]
    command += ["--start", str(trained[0])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment)
    try:
        deadline = time.monotonic() + 300
        while not (tmp_path / "out/history.csv").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = len(history(tmp_path / "out"))
    assert before >= 1
    trained_in(half_drawn, tmp_path / "out", resume=True)
    assert_equal_states(state_of(tmp_path / "out"), state_of(uninterrupted))
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".safetensors" and path.name[0] != "."][
        1:
    ]


def test_resume_with_something_else(half_drawn, trained, uninterrupted, tmp_path):
    with pytest.raises(TrainingError, match=r"its training had loss\.a 0\.6, not 0\.5; set it so"):
        trained_in(half_drawn, uninterrupted, (*TINY, "loss.a=0.5"), resume=True)
    with pytest.raises(TrainingError, match="no training to go on with"):
        trained_in(half_drawn, tmp_path / "empty", resume=True)
    other = shutil.copytree(half_drawn, tmp_path / "fields")
    for part in ("images", "masks"):
        next((other / part).iterdir()).unlink()
    for path in (other / "masks").iterdir():
        if not (other / "images" / path.name).exists():
            path.unlink()
    for path in (other / "images").iterdir():
        if not (other / "masks" / path.name).exists():
            path.unlink()
    with pytest.raises(TrainingError, match="other data"):
        trained_in(other, uninterrupted, resume=True)
    damaged = shutil.copytree(uninterrupted, tmp_path / "damaged")
    (damaged / "state.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="cannot be read"):
        trained_in(half_drawn, damaged, resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_good(fields, tmp_path):
    made = training(fields, tmp_path, (*TINY, "data.mining_every=0"))

    def spoil(progress):
        if progress.stage == "epoch" and progress.epoch == 1:
            with torch.no_grad():
                made.learner.net.module.final.bias.fill_(float("nan"))

    made.report = spoil
    with pytest.raises(TrainingError, match=r"the loss is nan in the batch of fields/.*slide \d") as caught:
        run(made)
    assert str(tmp_path) in str(caught.value)
    assert len(history(tmp_path)) == 1
    verify_model(tmp_path)
    assert state_of(tmp_path)["epoch"] == 1


def test_a_full_disk_leaves_the_files_of_the_epoch_before(fields, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress):
        if progress.stage == "epoch":  # from here on, nothing as large as the weights can be written
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))

    try:
        with pytest.raises(RunError, match=r"cannot write .*free space"):
            trained_in(fields, tmp_path, (*TINY, "data.mining_every=0"), fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert state_of(tmp_path)["epoch"] == 1
    verify_model(tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_model_to_start_from(fields, trained, tmp_path):
    output, _, _ = trained
    card = trained_in(fields, tmp_path / "more", (*TINY, "epochs=1", "optimiser.learning_rate=1e-5"), start=output)
    assert card.scores["validation"]["object_f1"] >= 0.8
    assert "started from mine" in card.description
    with pytest.raises(
        TrainingError, match=r"another network than the settings make \(variable-unet, patch_size 1024, 1 classes\)"
    ):
        training(fields, tmp_path, (*TINY, "model.arguments.patch_size=1024"), start=output)
    with pytest.raises(ModelError, match="no model"):
        training(fields, tmp_path, start="nobody's")


def test_no_glomerulus_to_choose_by(fields, tmp_path):
    copied = shutil.copytree(fields, tmp_path / "fields")
    for path in (copied / "masks").iterdir():
        Image.new("L", (192, 192)).save(path)
    with pytest.raises(TrainingError, match="glomerul"):
        trained_in(copied, tmp_path / "out")


def test_it_stops_where_nothing_gets_better(fields, tmp_path):
    def raise_the_bar(progress):
        if progress.stage == "learning" and progress.epoch == 1:
            made.state.best = (2.0, 2.0)  # nothing is better than that

    made = training(fields, tmp_path, (*TINY, "data.mining_every=0", "validation.patience=2", "epochs=9"))
    made.report = raise_the_bar
    assert run(made).scores["best_epoch"] == 1
    assert [row["best"] for row in history(tmp_path)] == ["1", "0", "0"]


def test_learning_rate():
    config = TrainConfig(optimiser=OptimiserConfig(learning_rate=1.0, warm_up=0.1))
    rates = [learning_rate_at(share, config) for share in np.linspace(0, 1, 101)]
    assert rates[0] == pytest.approx(0.02)
    assert max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) == 10
    assert rates[-1] == pytest.approx(0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert learning_rate_at(0.7, TrainConfig(optimiser=OptimiserConfig(learning_rate=1.0, schedule="constant"))) == 1.0


def test_spread():
    assert spread(5, 0) == spread(5, 9) == [0, 1, 2, 3, 4]
    assert spread(100, 4) == [12, 37, 62, 87]


@pytest.mark.slow
def test_two_processes_train_as_one(fields, tmp_path):
    words = [item for word in (*TINY, "epochs=2") for item in ("--set", word)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["glomseg_cli.main", "train", str(fields), "-o", str(tmp_path / "out"), *words]
    command += ["--tile-mpp", str(UM_PX), "--device", "cpu", "--quiet"]
    result = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert state_of(tmp_path / "out")["devices"] == 2
    assert [row["step"] for row in history(tmp_path / "out")] == ["1", "2"]
    verify_model(Path(tmp_path / "out"))
