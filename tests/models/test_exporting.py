"""Exported models: the same probabilities as the network that they come from, without glomseg."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tifffile
import torch
from PIL import Image
from torch import Tensor

from glomseg.errors import ModelError, RunError
from glomseg.models.card import ModelCard
from glomseg.models.exporting import export_model
from glomseg.models.store import load_network, read_card, save_model, shipped_folder
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


@pytest.mark.parametrize("size", SIZES)
def test_torchscript_gives_what_pytorch_gives(
    exported: Exported, picture: Image.Image, size: tuple[int, int, int]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        net = torch.jit.load(exported.folder / "model.pt")
    images = batch(picture, *size)
    expected = exported.expected(images)
    for _ in range(3):  # TorchScript compiles for what it has seen: the later calls run other code than the first
        assert np.abs(net(images).numpy() - expected).max() < 1e-4


def test_the_comparison_is_of_answers_that_differ(exported: Exported) -> None:
    """The network is sure of both, here and there, so that equal maps mean something."""
    probability = exported.expected(batch(tissue(), 1, 256, 256))
    assert probability.min() < 0.05
    assert probability.max() > 0.9


def test_nothing_but_the_result_is_printed(exported: Exported) -> None:
    assert exported.printed.stderr == ""
    lines = exported.printed.stdout.splitlines()
    assert [Path(line.split(": ")[0]).name for line in lines] == ["model.onnx", "model.pt"]


def test_the_folder_holds_the_model_its_card_and_a_readme(exported: Exported) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        "README.md",
        "card.json",
        "model.onnx",
        "model.pt",
    ]
    assert read_card(exported.folder) == exported.card
    part = json.loads((exported.folder / "card.json").read_text())["export"]
    assert part["input"]["shape"] == ["batch", 3, "height", "width"]
    assert "3 um/px" in part["input"]["content"]
    for name, digest in part["sha256"].items():
        assert hashlib.sha256((exported.folder / name).read_bytes()).hexdigest() == digest


def test_each_file_says_alone_what_it_takes_and_carries_the_card(exported: Exported) -> None:
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.shape) == ("image", ["batch", 3, "height", "width"])
    assert (given.name, given.shape) == ("probability", ["batch", 1, "height", "width"])
    extra = {"card.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(exported.folder / "model.pt", _extra_files=extra)
    for text in (session.get_modelmeta().custom_metadata_map["card.json"], extra["card.json"]):
        assert ModelCard.from_json(text if isinstance(text, str) else text.decode()) == exported.card


def test_no_batch_norm_is_left_and_no_path_of_this_machine(exported: Exported) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert str(Path(__file__).parents[2]).encode() not in (exported.folder / "model.onnx").read_bytes()
    with zipfile.ZipFile(exported.folder / "model.pt") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.parametrize("example", [0, 1], ids=["onnx", "torchscript"])
def test_the_examples_of_the_readme_run_as_they_stand(exported: Exported, tmp_path: Path, example: int) -> None:
    code = (exported.folder / "README.md").read_text().split("```python\n")[1 + example].split("```")[0]
    for name in ("model.onnx", "model.pt"):
        (tmp_path / name).symlink_to(exported.folder / name)
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
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = glomseg("models", "export", "pas-starter", "-o", tmp_path / "out", "--format", "torchscript")
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "card.json", "model.pt"]
    assert "onnx" not in (tmp_path / "out" / "README.md").read_text().split("## TorchScript")[0].lower()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    for target in (tmp_path / "out", tmp_path / "out" / "mine"):
        with pytest.raises(RunError, match="exists already"):
            export_model("pas-starter", target, ["torchscript"])
    assert (tmp_path / "out" / "mine").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert export_model("pas-starter", tmp_path / "empty", ["torchscript"]) == (tmp_path / "empty" / "model.pt",)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "out"]


def test_a_full_disk_and_a_damaged_model_leave_nothing(tmp_path: Path, full_disk, unwritable: Path) -> None:
    with full_disk(after_bytes=1_000_000), pytest.raises(RunError, match="free space"):
        export_model("pas-starter", tmp_path / "out", ["torchscript"])
    with pytest.raises(RunError, match="below"):
        export_model("pas-starter", unwritable, ["torchscript"])
    save_model(tmp_path / "model", read_card(SHIPPED), load_network(SHIPPED, read_card(SHIPPED)))
    (tmp_path / "model" / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="sha256"):
        export_model(tmp_path / "model", tmp_path / "out", ["torchscript"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model"]
