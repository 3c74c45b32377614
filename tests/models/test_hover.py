"""The head that tells apart objects which touch: beside the mask, saved, exported, and turned with the image."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from support.small_models import card, images

from glomseg.errors import ModelError
from glomseg.models.exporting import export_model
from glomseg.models.networks import build_network
from glomseg.models.planes import hover_of
from glomseg.models.predict import Model, load_model
from glomseg.models.store import read_card, save_model
from glomseg.models.variable_unet import VariableUNet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two classes with the head, whose places are not all the same."""
    torch.manual_seed(3)
    net = VariableUNet(256, 2, hover=True)
    net(torch.rand(4, 3, 32, 32))
    with torch.no_grad():
        net.hover.final.weight.mul_(20)
    names, colours = ("Glomerulus", "Sclerotic"), ((0, 200, 0), (200, 0, 0))
    made = card(num_classes=2, class_names=names, class_colors=colours, heads=("mask", "hover"), activation="softmax")
    folder = tmp_path_factory.mktemp("hover") / "hover"
    save_model(folder, made, net.eval())
    return folder


def test_a_network_without_the_head_is_what_it_was() -> None:
    assert not [key for key in VariableUNet(256).state_dict() if "hover" in key]
    assert '"heads"' not in card().to_json()
    assert read_card(Path(__file__).parents[2] / "models" / "pas-starter").heads == ("mask",)


def test_the_mask_is_the_same_with_and_without_the_head() -> None:
    torch.manual_seed(0)
    plain, both = VariableUNet(256).eval(), VariableUNet(256, hover=True).eval()
    both.load_state_dict(plain.state_dict(), strict=False)
    x = torch.rand(1, 3, 40, 50)
    with torch.inference_mode():
        assert torch.equal(plain(x)[:, 0], both(x)[:, 0])
        assert both(x).shape == (1, 3, 40, 50)


def test_it_is_saved_and_loaded_and_gives_the_planes_after_the_classes(folder: Path) -> None:
    model = load_model(folder)
    assert model.extras == ("hover_x", "hover_y")
    planes = model.predict_planes(images())
    assert planes.shape == (2, 4, 48, 32)
    assert np.array_equal(model.predict(images()), planes[:, :2])
    places = hover_of(planes[:, 2:])
    assert places.min() >= -1
    assert places.max() <= 1
    assert np.ptp(places) > 0.2
    assert planes[:, 2:].min() > 0  # 0 stands for what was never predicted


def test_flips_turn_the_places_too(folder: Path) -> None:
    """What averages over flips gives of a mirrored image the mirrored places, with their signs."""
    model, pictures = load_model(folder), images()
    straight = hover_of(model.predict_planes(pictures, tta=True)[:, 2:])
    mirrored = hover_of(model.predict_planes(np.ascontiguousarray(pictures[:, :, ::-1]), tta=True)[:, 2:])
    assert np.abs(mirrored[:, 0, :, ::-1] + straight[:, 0]).max() < 0.05
    assert np.abs(mirrored[:, 1, :, ::-1] - straight[:, 1]).max() < 0.05


def test_scales_are_averaged_over(net: VariableUNet) -> None:
    model, pictures = Model(card(), net, CPU), images(1, 64, 64)
    plain, averaged = model.predict(pictures), model.predict(pictures, scales=(0.75, 1.25))
    assert averaged.shape == plain.shape
    assert np.abs(averaged.astype(int) - plain).max() > 0
    assert np.array_equal(model.predict(pictures, scales=()), plain)


@pytest.mark.slow
def test_the_export_has_two_outputs_and_is_a_model(folder: Path, tmp_path: Path) -> None:
    export_model(folder, tmp_path / "out")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx", providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape) for one in session.get_outputs()] == [
        ("probability", ["batch", 2, "height", "width"]),
        ("hover", ["batch", 2, "height", "width"]),
    ]
    here, there = load_model(folder), load_model(tmp_path / "out")
    assert there.card.heads == ("mask", "hover")
    apart = np.abs(here.predict_planes(images()).astype(int) - there.predict_planes(images()))
    assert apart.max() <= (1 if here.dtype == torch.float32 else 6)
    assert "Output** `hover`" in (tmp_path / "out" / "README.md").read_text()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="heads is"):
        card(heads=("hover",))
    with pytest.raises(ModelError, match="weights are not those"):
        build_network(card(heads=("mask", "hover"))).take_weights(VariableUNet(256).state_dict(), Path("weights"))
