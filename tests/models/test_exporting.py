"""Exported models: the same probabilities as the network that they come from, without glomseg and in it."""

import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tifffile
import torch
from PIL import Image
from support.oracle import CLASSES, save_oracle
from torch import Tensor

from glomseg.errors import ModelError, RunError
from glomseg.models.card import ModelCard
from glomseg.models.exporting import export_model
from glomseg.models.predict import Model, load_model
from glomseg.models.store import load_network, read_card, save_model, shipped_folder, verify_model
from glomseg.models.variable_unet import VariableUNet

SHIPPED = shipped_folder() / "pas-starter"
SAMPLE = Path(__file__).parents[2] / "glomseg/sample/kidney_biopsy.tif"
SIZES = ((1, 171, 171), (2, 96, 160), (3, 33, 1))


@dataclass(frozen=True)
class Exported:
    """What `glomseg models export` made of a model with mean and std, and the network as it was before."""

    folder: Path
    card: ModelCard
    net: VariableUNet
    printed: subprocess.CompletedProcess[str]

    def expected(self, images: Tensor) -> np.ndarray:
        mean, std = (torch.tensor(value)[:, None, None] for value in (self.card.mean, self.card.std))
        with torch.inference_mode():
            return torch.sigmoid(self.net((images - mean) / std)).numpy()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place = tmp_path_factory.mktemp("export")
    card = read_card(SHIPPED)
    net = load_network(SHIPPED, card)
    card = dataclasses.replace(card, name="mine", mean=(0.02, 0.01, 0.03), std=(1.05, 0.95, 1.0))
    save_model(place / "mine", card, net)
    command = [sys.executable, "-W", "default", "-m", "glomseg_cli.main", "models", "export", place / "mine"]
    printed = subprocess.run(
        [*map(str, command), "-o", str(place / "out")], capture_output=True, text=True, check=False, cwd=place
    )
    assert printed.returncode == 0, printed.stderr
    return Exported(place / "out", read_card(place / "mine"), net, printed)


def tissue() -> Image.Image:
    """A part of the sample that comes with glomseg, at about 3 um/px: kidney, PAS."""
    level = Image.fromarray(tifffile.imread(SAMPLE, key=1))
    return level.reduce(2).resize((811, 693)).crop((260, 60, 516, 316))


@pytest.fixture(params=["sample", "tile"])
def picture(request: pytest.FixtureRequest) -> Image.Image:
    """A part of the sample, and a tile as it came, of the data set that lies beside the repository."""
    if request.param == "sample":
        return tissue()
    tile = request.getfixturevalue("data") / "kidney/tiles/images/10003.png"
    return Image.open(tile).convert("RGB").reduce(4)


def batch(picture: Image.Image, count: int, height: int, width: int) -> Tensor:
    """Parts of the picture as the exported networks take them."""
    pixels = np.asarray(picture, dtype=np.float32) / 255
    parts = [np.roll(pixels, 40 * i, axis=0)[:height, :width] for i in range(count)]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("size", SIZES)
def test_onnx_gives_what_pytorch_gives(exported: Exported, picture: Image.Image, size: tuple[int, int, int]) -> None:
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx", providers=["CPUExecutionProvider"])
    images = batch(picture, *size)
    (probability,) = session.run(None, {"image": images.numpy()})
    assert probability.shape == (size[0], 1, *size[1:])
    assert probability.dtype == np.float32
    assert np.abs(probability - exported.expected(images)).max() < 1e-4


@pytest.mark.parametrize("size", [(2, 64, 96), (1, 33, 17)])
def test_the_folder_is_a_model_that_predicts_the_same(
    exported: Exported, picture: Image.Image, size: tuple[int, int, int]
) -> None:
    pixels = (batch(picture, *size).permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    here, there = Model(exported.card, exported.net, torch.device("cpu")), load_model(exported.folder)
    assert there.stride == here.stride
    assert np.abs(there.predict(pixels).astype(int) - here.predict(pixels)).max() <= (
        1 if here.dtype == torch.float32 else 4
    )


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_classes_are_exported_with_their_activation(tmp_path: Path, activation: str) -> None:
    save_oracle(tmp_path / "three", activation=activation, **CLASSES)
    export_model(tmp_path / "three", tmp_path / "out")
    here, there = load_model(tmp_path / "three"), load_model(tmp_path / "out")
    assert (there.card.activation, there.card.class_names) == (activation, here.card.class_names)
    pixels = np.random.default_rng(0).integers(60, 200, (2, 40, 56, 3), dtype=np.uint8)
    apart = np.abs(there.predict(pixels).astype(int) - here.predict(pixels))  # steep logits: bfloat16 shows
    assert apart.max() <= (1 if here.dtype == torch.float32 else 12)
    assert apart.mean() < 1
    with pytest.raises(ModelError, match="copy its folder"):
        export_model(tmp_path / "out", tmp_path / "again")


def test_the_comparison_is_of_answers_that_differ(exported: Exported) -> None:
    """The network is sure of both, here and there, so that equal maps mean something."""
    probability = exported.expected(batch(tissue(), 1, 256, 256))
    assert probability.min() < 0.05
    assert probability.max() > 0.9


def test_nothing_but_the_result_is_printed(exported: Exported) -> None:
    assert exported.printed.stderr == ""
    lines = exported.printed.stdout.splitlines()
    assert [Path(line.split(": ")[0]).name for line in lines] == ["model.onnx"]


def test_the_folder_holds_the_model_its_card_and_a_readme(exported: Exported) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == ["README.md", "card.json", "model.onnx"]
    made = verify_model(exported.folder)
    assert (made.architecture, made.mean, made.std) == ("onnx", None, None)
    assert (made.name, made.mpp, made.training_data) == (
        exported.card.name,
        exported.card.mpp,
        exported.card.training_data,
    )
    part = json.loads((exported.folder / "card.json").read_text())["export"]
    assert part["input"]["shape"] == ["batch", 3, "height", "width"]
    assert "3 um/px" in part["input"]["content"]


def test_the_file_says_alone_what_it_takes_and_carries_the_card(exported: Exported) -> None:
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape) == ("image", ["batch", 3, "height", "width"])
    assert (given.name, given.shape) == ("probability", ["batch", 1, "height", "width"])
    assert ModelCard.from_json(session.get_modelmeta().custom_metadata_map["card.json"]) == exported.card


def test_no_batch_norm_is_left_and_no_path_of_this_machine(exported: Exported) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert str(Path(__file__).parents[2]).encode() not in (exported.folder / "model.onnx").read_bytes()


def test_the_example_of_the_readme_runs_as_it_stands(exported: Exported, tmp_path: Path) -> None:
    code = (exported.folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    (tmp_path / "model.onnx").symlink_to(exported.folder / "model.onnx")
    tissue().crop((0, 0, 250, 101)).save(tmp_path / "tile.png")
    code += "\nimport sys\nassert not any(name.startswith('glomseg') for name in sys.modules)\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mask = np.asarray(Image.open(tmp_path / "mask.png"))
    expected = exported.expected(batch(tissue(), 1, 101, 250))[0, 0]
    sure = np.abs(expected - exported.card.threshold) > 1e-4
    assert mask.shape == (101, 250)
    assert np.array_equal(mask[sure], (expected >= exported.card.threshold)[sure])


def test_without_the_packages_for_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, glomseg) -> None:
    for package in ("onnx", "onnxscript"):
        with monkeypatch.context() as hidden:
            hidden.setitem(sys.modules, package, None)
            refused = glomseg("models", "export", "pas-starter", "-o", tmp_path / "out")
            assert refused.code == 1
            assert "pip install 'glomseg[export]'" in refused.err
            assert len(refused.err.splitlines()) == 1
            assert not (tmp_path / "out").exists()


def test_torchscript_is_no_longer_written(tmp_path: Path, glomseg) -> None:
    refused = glomseg("models", "export", "pas-starter", "-o", tmp_path / "out", "--format", "torchscript")
    assert refused.code == 1
    assert "take ONNX" in refused.err


@pytest.mark.slow
def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    for target in (tmp_path / "out", tmp_path / "out" / "mine"):
        with pytest.raises(RunError, match="exists already"):
            export_model("pas-starter", target)
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export_model("pas-starter", tmp_path / "empty") == tmp_path / "empty" / "model.onnx"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "out"]


@pytest.mark.slow
def test_a_full_disk_and_a_damaged_model_leave_nothing(tmp_path: Path, full_disk, unwritable: Path) -> None:
    with full_disk(after_bytes=1_000_000), pytest.raises(RunError, match="free space"):
        export_model("pas-starter", tmp_path / "out")
    with pytest.raises(RunError, match="below"):
        export_model("pas-starter", unwritable)
    save_model(tmp_path / "model", read_card(SHIPPED), load_network(SHIPPED, read_card(SHIPPED)))
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="sha256"):
        export_model(tmp_path / "model", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]
