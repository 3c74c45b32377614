"""What a training keeps, and what it says, where it stops, goes on or may not begin."""

import contextlib
import csv
import shutil

import pytest
import torch
from PIL import Image
from support.tissue import UM_PX

from glomseg.errors import TrainingError
from glomseg.models.card import ModelCard
from glomseg.models.store import save_model, verify_model
from glomseg.models.variable_unet import VariableUNet
from glomseg.training.config import read_config, write_config
from glomseg.training.data.loading import Loader
from glomseg.training.data.training_data import read_data
from glomseg.training.train import Training
from glomseg_cli import training as command

TINY = (
    "spacing_um_px=8", "crop_px=64", "margin_px=0", "learning_rate=8e-3", "thresholds=[0.5]", "workers=0",
    "precision=32-true", "samples_per_epoch=8", "batch_size=4", "epochs=2", "ema_decay=0.5", "mining_every=0",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def training(folder, output, *words, mpp=UM_PX, licence="unstated", **more):
    config = read_config(words=(*TINY, *words))
    return Training(read_data([folder], config, mpp=mpp, licence=licence), output, config, device="cpu", **more)


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


def test_it_does_not_stop_before_it_has_judged_again(fields, tmp_path):
    def raise_the_bar(progress):
        if progress.stage == "epoch" and progress.epoch == 2:
            made.best = (2.0, 2.0)

    made = training(fields, tmp_path, "epochs=9", "validate_every=2", "patience=1")
    made.report = raise_the_bar
    made.run()
    assert [row["epoch"] for row in history(tmp_path) if row["val_object_f1"]] == ["2", "4"]
    assert len(history(tmp_path)) == 4


def test_a_threshold_that_is_named_stands(fields, tmp_path):
    card = training(fields, tmp_path, "epochs=1", "thresholds=[0.35]", "test_share=0.25").run()
    assert card.threshold == 0.35
    assert card.scores["validation"]["chose"] == "epoch"


def test_going_on_keeps_name_and_licence_and_takes_smaller_batches(fields, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training(fields, tmp_path, report=stop_in(1), name="mine", licence="CC BY 4.0").run()
    with pytest.raises(TrainingError, match="other data"):
        training(fields, tmp_path, mpp=UM_PX * 1.1).run(resume=True)
    card = training(fields, tmp_path, "batch_size=2").run(resume=True)
    assert (card.name, card.training_data[0].licence) == ("mine", "CC BY 4.0")
    assert [row["step"] for row in history(tmp_path)] == ["2", "6"]
    assert read_config(file=tmp_path / "config.toml").batch_size == 2


def test_going_on_mends_a_model_that_was_cut_off(fields, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        training(fields, tmp_path, report=stop_in(1)).run()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({**state, "best": [2.0, 2.0]}, tmp_path / "state.pt")  # no later epoch is better
    (tmp_path / "weights.safetensors").write_bytes(b"of an epoch whose card was not written")
    assert training(fields, tmp_path).run(resume=True).scores["best_epoch"] == 2
    verify_model(tmp_path)


def test_weights_that_are_not_finite_do_not_replace_good_ones(fields, tmp_path):
    def spoil(progress):
        if progress.stage == "learning" and progress.epoch == 1 and progress.done == progress.total:
            with torch.no_grad():  # the last step of an epoch: no loss tells
                made.net.module.final.bias.fill_(float("inf"))

    made = training(fields, tmp_path, report=spoil)
    with pytest.raises(TrainingError, match="no longer finite; lower learning_rate"):
        made.run()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["epoch"] == 1
    verify_model(tmp_path)


def test_no_memory_for_a_batch(fields, tmp_path):
    def run_out(progress):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=r"cpu has no memory left for batches of 4; .*batch_size=2"):
        training(fields, tmp_path, report=run_out).run()


def test_a_model_that_takes_other_colours(fields, tmp_path):
    model_in(tmp_path / "other", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    with pytest.raises(TrainingError, match="normalised"):
        training(fields, tmp_path / "out", start=tmp_path / "other")


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_image_that_breaks_meanwhile_is_named_in_one_line(fields, tmp_path, workers):
    copied = shutil.copytree(fields, tmp_path / "fields")
    config = read_config(words=(*TINY, f"workers={workers}"))
    data = read_data([copied], config, mpp=UM_PX)
    for path in (copied / "masks").iterdir():
        Image.new("L", (10, 10)).save(path)
    with pytest.raises(TrainingError, match=r"its label .* 10 x 10 px") as caught:
        list(Loader(data.source, config, torch.device("cpu")).batches(data.source.draws(0, ()), 4))
    assert "\n" not in str(caught.value)


def test_a_model_is_not_written_over(fields, tmp_path, glomseg):
    before = model_in(tmp_path)
    result = glomseg("train", fields, "-o", tmp_path, "--mpp", UM_PX, "--quiet", "--start", tmp_path)
    assert result.code == 1
    assert "holds a model already; name another --output" in result.err
    assert verify_model(tmp_path) == before


@pytest.mark.parametrize(("epoch", "remedy"), [(0, "give the same command again"), (1, "with --resume goes on")])
def test_what_an_interruption_says(fields, tmp_path, glomseg, monkeypatch, epoch, remedy):
    monkeypatch.setattr(command, "_bars", lambda console, config: contextlib.nullcontext(stop_in(epoch)))
    words = [item for word in TINY for item in ("--set", word)]
    result = glomseg("train", fields, "-o", tmp_path, "--mpp", UM_PX, "--device", "cpu", *words)
    assert result.code == 1
    assert f"interrupted after epoch {epoch}; " in result.err
    assert remedy in result.err
    assert (tmp_path / "state.pt").exists() == bool(epoch)


def test_the_same_command_goes_on_from_a_project(tmp_path):
    """The scale that a project's model brought is known again, also where the recipe is named."""
    first = read_config(recipe="glomseg", under={"patch_size": 1024, "spacing_um_px": 3.0, "species": "mouse"})
    write_config(first, tmp_path / "config.toml")
    how = dict.fromkeys(("species", "epochs", "seed", "by", "file", "start", "workers"))
    how |= {"recipe": "glomseg", "resume": True, "words": (), "project": "P"}
    assert command._config(tmp_path, how) == first
