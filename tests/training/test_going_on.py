"""What a training keeps, and what it says, where it stops, goes on or may not begin."""

import contextlib
import csv
import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.tissue import UM_PX

from glomseg.errors import TrainingError
from glomseg.models.card import ModelCard
from glomseg.models.store import save_model, verify_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.training.checkpoint import WRITTEN, clear_training
from glomseg.training.config_file import read_config, write_config
from glomseg.training.data.loading import Loader
from glomseg.training.data.training_data import read_data
from glomseg.training.train import prepare, run
from glomseg.training.train_model import TrainOptions, train_model
from glomseg.training.train_model import _config as settings_of
from glomseg_cli import training as view

TINY = (
    "epochs=2",
    "model.mpp=8",
    "data.crop_px=64",
    "data.margin_px=0",
    "data.samples_per_epoch=8",
    "data.mining_every=0",
    "data.workers=0",
    "optimiser.learning_rate=8e-3",
    "optimiser.precision=32-true",
    "optimiser.batch_size=4",
    "optimiser.ema_decay=0.5",
    "validation.thresholds=[0.5]",
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def training(folder, output, *words, mpp=UM_PX, licence="unstated", **more):
    config = read_config(words=(*TINY, *words))
    return prepare(read_data([folder], config, tile_mpp=mpp, licence=licence), output, config, device="cpu", **more)


def trained_in(*arguments, **more):
    return run(training(*arguments, **more))


def history(output):
    with (output / "history.csv").open() as file:
        return list(csv.DictReader(file))


def stop_in(epoch):
    def stop(progress):
        if progress.stage == "learning" and progress.epoch == epoch:
            raise KeyboardInterrupt

    return stop


def model_in(folder, **more):
    card = ModelCard(
        name="other", description="Nothing.", architecture_args={"patch_size": 256}, mpp=8.0,
        minimum_area_um2=1.0, species="human", training_diameter_um=200.0, **more,
    )  # fmt: skip
    return save_model(folder, card, VariableUNet(256))


@pytest.mark.slow
def test_it_does_not_stop_before_it_has_judged_again(fields, tmp_path):
    def raise_the_bar(progress):
        if progress.stage == "epoch" and progress.epoch == 2:
            made.state.best = (2.0, 2.0)

    made = training(fields, tmp_path, "epochs=9", "validation.every=2", "validation.patience=1")
    made.report = raise_the_bar
    run(made)
    assert [row["epoch"] for row in history(tmp_path) if row["val_object_f1"]] == ["2", "4"]
    assert len(history(tmp_path)) == 4


def test_a_threshold_that_is_named_stands(fields, tmp_path):
    card = trained_in(fields, tmp_path, "epochs=1", "validation.thresholds=[0.35]", "data.test_share=0.25")
    assert card.threshold == 0.35
    assert card.scores["validation"]["chose"] == "epoch"


def test_going_on_keeps_name_and_licence_and_takes_smaller_batches(fields, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained_in(fields, tmp_path, report=stop_in(1), name="mine", licence="CC BY 4.0")
    with pytest.raises(TrainingError, match="other data"):
        trained_in(fields, tmp_path, mpp=UM_PX * 1.1, resume=True)
    card = trained_in(fields, tmp_path, "optimiser.batch_size=2", resume=True)
    assert (card.name, card.training_data[0].licence) == ("mine", "CC BY 4.0")
    assert [row["step"] for row in history(tmp_path)] == ["2", "6"]
    assert read_config(file=tmp_path / "config.toml").optimiser.batch_size == 2


def test_an_image_or_label_of_the_same_length_is_other_data(fields, tmp_path):
    """As a tile is that was stained anew in its place; `fields` are PNGs, of which the last bytes change no pixel."""
    folder = shutil.copytree(fields, tmp_path / "fields")
    config = read_config(words=TINY)
    before = read_data([folder], config, tile_mpp=UM_PX)
    learned = {example.name for example in before.source.examples}
    paths = [
        path for path in sorted(folder.rglob("*.png")) if any(path.stem.startswith(Path(name).name) for name in learned)
    ]
    assert len(paths) == 2 * len(learned)
    for path in paths[:4]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"!")
        assert read_data([folder], config, tile_mpp=UM_PX).digest != before.digest
        path.write_bytes(content)
    assert read_data([folder], config, tile_mpp=UM_PX).digest == before.digest


def test_going_on_mends_a_model_that_was_cut_off(fields, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained_in(fields, tmp_path, report=stop_in(1))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({**state, "best": [2.0, 2.0]}, tmp_path / "state.pt")  # no later epoch is better
    (tmp_path / "weights.safetensors").write_bytes(b"of an epoch whose card was not written")
    assert trained_in(fields, tmp_path, resume=True).scores["best_epoch"] == 2
    verify_model(tmp_path)


def test_weights_that_are_not_finite_do_not_replace_good_ones(fields, tmp_path):
    def spoil(progress):
        if progress.stage == "learning" and progress.epoch == 1 and progress.done == progress.total:
            with torch.no_grad():  # the last step of an epoch: no loss tells
                made.learner.net.module.final.bias.fill_(float("inf"))

    made = training(fields, tmp_path, report=spoil)
    with pytest.raises(TrainingError, match=r"no longer finite; lower optimiser\.learning_rate"):
        run(made)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["epoch"] == 1
    verify_model(tmp_path)


def test_no_memory_for_a_batch(fields, tmp_path):
    def run_out(progress):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"cpu has no memory left for batches of 4; .*batch_size=2"):
        trained_in(fields, tmp_path, report=run_out)


def test_a_model_that_takes_other_colours(fields, tmp_path):
    model_in(tmp_path / "other", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    with pytest.raises(TrainingError, match="normalised"):
        training(fields, tmp_path / "out", start=tmp_path / "other")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_image_that_breaks_meanwhile_is_named_in_one_line(fields, tmp_path, workers):
    copied = shutil.copytree(fields, tmp_path / "fields")
    config = read_config(words=(*TINY, f"data.workers={workers}"))
    data = read_data([copied], config, tile_mpp=UM_PX)
    for path in (copied / "masks").iterdir():
        Image.new("L", (10, 10)).save(path)
    with pytest.raises(TrainingError, match=r"its label .* 10 x 10 px") as caught:
        list(Loader(data.source, config, torch.device("cpu")).batches(data.source.draws(0, ()), 4))
    assert "\n" not in str(caught.value)


def test_a_model_is_not_written_over(fields, tmp_path, glomseg):
    before = model_in(tmp_path)
    result = glomseg("train", fields, "-o", tmp_path, "--tile-mpp", UM_PX, "--quiet", "--start", tmp_path)
    assert result.code == 1
    assert "holds a model already, and no state to go on from; name another --output" in result.err
    assert verify_model(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [0, 1])
def test_what_an_interruption_says(fields, tmp_path, glomseg, monkeypatch, epoch):
    monkeypatch.setattr(view, "training_bars", lambda console: contextlib.nullcontext(stop_in(epoch)))
    words = [item for word in TINY for item in ("--set", word)]
    command = ("train", fields, "-o", tmp_path, "--tile-mpp", UM_PX, "--device", "cpu", *words)
    result = glomseg(*command)
    assert result.code == 130
    assert result.err.endswith(f"interrupted; after epoch {epoch}; the same command goes on from there\n")
    monkeypatch.undo()
    again = glomseg(*command)
    assert again.code == 0, again.err
    assert f"going on after epoch {epoch} of 2" in again.err
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2"]


@pytest.mark.slow
def test_a_full_disk_at_the_first_epoch_leaves_no_dead_end(fields, tmp_path, glomseg, full_disk):
    """The weights fit, the state of the first epoch does not: the same command goes on, --restart starts over."""
    words = [item for word in TINY for item in ("--set", word)]
    command = ("train", fields, "-o", tmp_path, "--tile-mpp", UM_PX, "--device", "cpu", "--quiet", *words)
    with full_disk(after_bytes=8_000_000):
        result = glomseg(*command)
    assert result.code == 1
    assert "free space" in result.err
    assert (tmp_path / "card.json").exists()
    assert glomseg(*command).code == 0
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2"]
    (tmp_path / "state.pt").unlink()
    refused = glomseg(*command)
    assert (refused.code, "--restart" in refused.err, len(refused.err.splitlines())) == (1, True, 1)
    assert glomseg(*command, "--restart").code == 0


def test_starting_over_leaves_alone_what_was_not_trained_there(fields, tmp_path, glomseg):
    before = model_in(tmp_path)
    result = glomseg("train", fields, "-o", tmp_path, "--tile-mpp", UM_PX, "--quiet", "--restart", "--device", "cpu")
    assert result.code == 1
    assert "not trained there; name another --output" in result.err
    assert verify_model(tmp_path) == before


def test_starting_over_takes_all_that_a_training_or_an_adaptation_left(tmp_path):
    """What an adaptation gained is not true of the model that is trained in its place."""
    model_in(tmp_path)
    for name in (*WRITTEN, "notes.txt", "corrections.csv"):
        (tmp_path / name).write_text("x")
    clear_training(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corrections.csv", "notes.txt"]
    assert "adaptation.json" in WRITTEN


def test_a_training_that_is_over_is_not_trained_again(fields, tmp_path):
    options = TrainOptions(settings=(*TINY, "epochs=1"), tile_mpp=UM_PX, device="cpu")
    first = train_model([fields], tmp_path, options)
    told = []
    again = train_model([fields], tmp_path, options, progress=told.append)
    assert again.card == first.card
    assert (again.epochs, first.epochs) == (1, 1)
    assert "learning" not in {progress.stage for progress in told}
    assert "going on after epoch 1 of 1" in again.remarks
    with pytest.raises(TrainingError, match="give one of them"):
        train_model([fields], tmp_path, dataclasses.replace(options, resume=True, restart=True))
    with pytest.raises(TrainingError, match=r"its training had seed 0, not 3; set it so, or name another `output`"):
        train_model([fields], tmp_path, dataclasses.replace(options, seed=3))


def test_the_same_command_goes_on_from_a_project(tmp_path):
    """The scale that a project's model brought is known again, also where the recipe is named."""
    under = {"model.arguments.patch_size": 1024, "model.mpp": 3.0, "model.species": "mouse"}
    first = read_config(recipe="glomseg", under=under)
    write_config(first, tmp_path / "config.toml")
    options = TrainOptions(recipe="glomseg")
    assert settings_of(tmp_path, options, "retrain", print, resume=True, from_project=True) == first
