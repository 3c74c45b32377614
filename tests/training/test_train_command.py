"""`glomseg train` as a user types it, with each recipe on a tiny tree of its kind."""

import json
import shutil

import pytest
import torch
from PIL import Image
from support.architectures import SMALL as SMALL_NETWORKS
from support.tissue import UM_PX

from glomseg.models.store import verify_model
from glomseg.training.config_file import read_config

SMALL = ("--set", "epochs=1", "--set", "data.samples_per_epoch=4", "--set", "optimiser.batch_size=2", "--workers", "0")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_kpis(kpis_tree, tmp_path, glomseg):
    out = tmp_path / "mine"
    words = (
        "model.mpp=0.479",
        "data.crop_px=64",
        "data.margin_px=0",
        "model.arguments.patch_size=256",
        "validation.minimum_area_um2=20",
    )
    settings = [item for word in words for item in ("--set", word)]
    result = glomseg("train", kpis_tree, "--recipe", "kpis", "-o", out, *SMALL, *settings, "--device", "cpu")
    assert result.code == 0, result.err
    assert "24 images to learn from, 12 to choose by, 12 held out" in result.err
    assert "test: object F1" in result.err
    card = verify_model(out)
    assert (card.species, card.mpp, card.minimum_area_um2) == ("mouse", 0.479, 20)
    assert card.scores["test"]["images"] == 12
    split = json.loads((out / "split.json").read_text())
    assert split["by"] == "case"
    assert all("/train/" in f"/{name}" for names in split["train"].values() for name in names)
    again = glomseg("train", kpis_tree, "--recipe", "kpis", "-o", out)
    assert again.code == 1
    assert "its training had epochs 1, not 60" in again.err
    assert "--restart" in again.err
    assert len(again.err.strip().splitlines()) == 1


def test_kpis_reference(kpis_tree, tmp_path, glomseg):
    out = tmp_path / "reference"
    result = glomseg(
        "train", kpis_tree, "--recipe", "kpis-reference", "-o", out, "--epochs", "1", "--set", "data.crop_px=64",
        "--workers", "0", "--device", "cpu", "--quiet",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert (result.out, result.err) == ("", "")
    assert verify_model(out).architecture_args == {"patch_size": 256}
    state = torch.load(out / "state.pt", weights_only=True)
    assert (state["step"], state["batch_size"]) == (2, 16), "24 images in batches of 16"
    config = read_config(file=out / "config.toml")
    assert config == read_config(recipe="kpis-reference", words=["data.crop_px=64", "epochs=1", "data.workers=0"])


def test_the_starter_is_made_elsewhere(fields, tmp_path, glomseg):
    result = glomseg("train", fields, "--recipe", "pas-starter", "-o", tmp_path / "out")
    assert result.code == 1
    assert "tools/starter" in result.err
    assert "--start pas-starter" in result.err


def test_preview(fields, tmp_path, glomseg):
    result = glomseg("train", fields, "-o", tmp_path, "--preview", "--tile-mpp", UM_PX, "--set", "data.crop_px=64")
    assert result.code == 0, result.err
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]
    with Image.open(tmp_path / "preview.png") as picture:
        assert min(picture.size) > 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "epoch=3"], "do you mean epochs?"),
        (["--recipe", "best"], "no recipe 'best'"),
        (["--device", "toaster"], "toaster"),
        (["--resume"], "without --resume"),
        (["--config", "no.toml"], "no.toml"),
        (["--start", "nobody"], "no model 'nobody'"),
        (["--set", "optimiser.batch_size=1"], "BatchNorm"),
        (["--split", "no.json"], "no.json"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(fields, tmp_path, glomseg, arguments, message):
    result = glomseg("train", fields, "-o", tmp_path / "out", "--tile-mpp", UM_PX, "--quiet", *arguments)
    assert result.code == 1
    assert message in result.err
    assert len(result.err.strip().splitlines()) == 1, result.err


def test_former_names_are_taken_with_a_word(fields, tmp_path, glomseg):
    (tmp_path / "old.toml").write_text('crop_px = 64\nloss = "dice-focal"\nepochs = 1\n[augment]\nflip = false\n')
    result = glomseg(
        "train", fields, "-o", tmp_path / "out", "--mpp", UM_PX, "--config", tmp_path / "old.toml",
        "--set", "samples_per_epoch=4", "--set", "batch_size=2", "--set", "workers=0", "--set", "spacing_um_px=8",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    for remark in (
        "--mpp is --tile-mpp now",
        "samples_per_epoch is data.samples_per_epoch now",
        "loss (loss.kind now)",
    ):
        assert remark in result.err
    told = json.loads(result.out)
    assert (told["epochs"], told["scores"]["best_epoch"]) == (1, 1)
    config = read_config(file=tmp_path / "out/config.toml")
    assert (config.loss.kind, config.data.crop_px, config.model.mpp, config.augment.flip) == (
        "dice-focal",
        64,
        8,
        False,
    )


def test_data_that_are_none(fields, tmp_path, glomseg):
    (tmp_path / "empty").mkdir()
    result = glomseg("train", tmp_path / "empty", "-o", tmp_path / "out", "--quiet")
    assert result.code == 1
    assert "holds no images" in result.err
    broken = shutil.copytree(fields, tmp_path / "broken")
    first, second = sorted((broken / "masks").iterdir())[:2]
    first.unlink()
    Image.new("L", (10, 10)).save(second)
    result = glomseg("train", broken, "-o", tmp_path / "out", "--tile-mpp", UM_PX, "--quiet")
    assert result.code == 1
    assert first.name in result.err
    assert second.name in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mask2former", "segformer", "upernet"])
def test_recipes_of_the_published_networks(name, kpis_tree, tmp_path, glomseg):
    """Each as it is, but for the size of its network and crops."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    sizes = {key: value for key, value in SMALL_NETWORKS[name].items() if name != "upernet" or key != "window"}
    words = [f"model.arguments.{key}={value}" for key, value in sizes.items()]
    words += ["data.crop_px=64", "data.mining_images=1", "validation.minimum_area_um2=20", "validation.limit=2"]
    settings = [item for word in words for item in ("--set", word)]
    recipe = f"kpis-{name}"
    result = glomseg(
        "train", kpis_tree, "--recipe", recipe, "-o", tmp_path / "out", *SMALL, *settings, "--device", "cpu"
    )
    assert result.code == 0, result.err
    assert "nothing is downloaded" in result.err
    assert "model.pretrained" in result.err
    card = verify_model(tmp_path / "out")
    assert (card.architecture, card.mpp, card.mean) == (name, 0.2395, (0.485, 0.456, 0.406))
    published = read_config(recipe=recipe)
    assert published.optimiser.backbone_rate == 0.1
    assert not published.optimiser.decay_norms
