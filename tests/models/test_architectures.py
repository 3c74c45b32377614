"""Every architecture of the registry: from its card, through its folder, to probabilities."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from support.architectures import SMALL, needed
from support.small_models import card, images
from torch import nn

from glomseg.errors import ModelError
from glomseg.models.exporting import export_model
from glomseg.models.extras import library
from glomseg.models.network import activated
from glomseg.models.networks import NETWORKS, build_network
from glomseg.models.places import places_in
from glomseg.models.pooling import BinnedMean
from glomseg.models.predict import Model, load_model
from glomseg.models.store import read_card, save_model, write_card

BORROWED = [name for name in SMALL if NETWORKS[name].needs]
WITH_HOVER = [name for name in SMALL if "hover" in NETWORKS[name].heads]


def made(name, **changes):
    needed(name)
    torch.manual_seed(0)
    mine = card(**{"architecture": name, "architecture_args": SMALL[name], **changes})
    return mine, build_network(mine).eval()


def test_every_network_that_learns_is_tried_here():
    assert {name for name, kind in NETWORKS.items() if kind.trainable} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_survives_its_folder_and_takes_any_size(name, tmp_path):
    mine, net = made(name)
    save_model(tmp_path / "model", mine, net)
    model = load_model(tmp_path / "model")
    pixels = images(2, 70, 101)
    got = model.predict(pixels)
    assert got.shape == (2, 1, 70, 101)
    assert (got == Model(mine, net, torch.device("cpu")).predict(pixels)).all()
    assert (model.predict(pixels[:1]) == got[:1]).all()  # whatever else is in the batch
    assert model.predict(images(1, 33, 1)).shape == (1, 1, 33, 1)
    with torch.device("meta"):
        assert build_network(mine).stride == net.stride  # as the settings of a training are looked at


@pytest.mark.parametrize("name", BORROWED)
def test_several_classes_exclude_each_other(name):
    several = {"num_classes": 2, "class_names": ("A", "B"), "class_colors": ((0, 200, 0), (200, 0, 0))}
    arguments = {**SMALL[name], "background": True}
    _, net = made(name, activation="softmax", architecture_args=arguments, **several)
    with torch.inference_mode():
        logits = net(torch.rand(1, 3, 40, 64))
        sums = activated(logits, "softmax").sum(dim=1)
    assert logits.shape == (1, 2, 40, 64)
    assert 0 < float(sums.min()) <= float(sums.max()) < 1


@pytest.mark.parametrize("name", WITH_HOVER)
def test_a_second_decoder_reads_the_same_encoder(name, tmp_path):
    mine, net = made(name, heads=("mask", "hover"))
    save_model(tmp_path / "model", mine, net)
    model = load_model(tmp_path / "model")
    assert model.predict_planes(images(1, 40, 56)).shape == (1, 3, 40, 56)


def test_one_without_a_second_decoder_says_who_has_one(monkeypatch):
    monkeypatch.setattr(NETWORKS["segformer"], "heads", frozenset({"mask"}))
    with pytest.raises(ModelError, match="segformer has no head hover; take one of variable-unet, smp-unet"):
        build_network(card(architecture="segformer", heads=("mask", "hover")))


def test_queries_that_are_classes_are_no_objects():
    with pytest.raises(ModelError, match="background=true a query is a class and no object"):
        made("mask2former", heads=("mask", "hover"), architecture_args={**SMALL["mask2former"], "background": True})


def outspoken(net, *, sure=False):
    """Let a Mask2Former that knows nothing say other things of other pixels, and not 1 of each; `sure` of its class."""
    if net.owns_loss:
        with torch.no_grad():
            net.net.class_predictor.bias[-1] += -6 if sure else 3
            list(net.net.model.transformer_module.decoder.mask_predictor.parameters())[-2].mul_(100)


@pytest.mark.slow
@pytest.mark.parametrize("name", BORROWED)
def test_the_exported_file_says_the_same(name, tmp_path):
    mine, net = made(name)
    outspoken(net)
    save_model(tmp_path / "model", replace(mine, mean=(0.5, 0.4, 0.5), std=(0.2, 0.2, 0.3)), net)
    export_model(tmp_path / "model", tmp_path / "out")
    ours, theirs = load_model(tmp_path / "model"), load_model(tmp_path / "out")
    for size in ((1, 171, 171), (2, 96, 160), (3, 33, 1)):
        if name == "mask2former":
            assert np.ptp(ours.predict(images(*size))) > 20
        apart = np.abs(ours.predict(images(*size)).astype(int) - theirs.predict(images(*size)).astype(int))
        assert apart.max() <= (1 if ours.dtype == torch.float32 else 6)


@pytest.mark.slow
def test_the_exported_file_has_the_queries_as_objects(tmp_path):
    """A pixel on the edge of a mask may be of another query there, where the two say the same to the last digit."""
    arguments = {**SMALL["mask2former"], "queries": 2}
    mine, net = made("mask2former", heads=("mask", "hover"), architecture_args=arguments)
    outspoken(net, sure=True)
    save_model(tmp_path / "model", mine, net)
    export_model(tmp_path / "model", tmp_path / "out")
    ours, theirs = load_model(tmp_path / "model"), load_model(tmp_path / "out")
    for size, has_objects in (((1, 171, 171), True), ((2, 96, 160), False)):
        here, there = (model.predict_planes(images(*size)).astype(int) for model in (ours, theirs))
        assert (np.ptp(here[:, 1:]) > 200) == has_objects
        assert (np.abs(there - here) > 2).mean() < 1e-3


def test_what_onnx_cannot_hold_is_refused_by_name_with_the_reason(tmp_path, glomseg, monkeypatch):
    save_model(tmp_path / "model", *made("mask2former"))
    monkeypatch.setattr(NETWORKS["mask2former"], "export_problem", "its deformable attention is bent")
    with pytest.raises(ModelError, match=r"mask2former, which ONNX cannot hold.*deformable attention.*models pack"):
        export_model(tmp_path / "model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    row = next(line for line in glomseg("models", "architectures").out.splitlines() if "mask2former" in line)
    assert "no ONNX: its deformable attention" in " ".join(row.split())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("smp-unet", {"encoder": "resnet3"}, r"no encoder 'resnet3'; there are resnet34"),
        ("smp-unet", {"encoder": "tu-nosuch"}, r"cannot have encoder 'tu-nosuch' \(Unknown model \(nosuch\)\)"),
        ("smp-unet", {"encoder": "tu-hf-hub:a/b"}, "not the name of an encoder"),
        ("smp-unet", {"encoder": "tu-swin_tiny_patch4_window7_224"}, "pictures of one size alone"),
        ("smp-unet++", {"encoder": "mit_b0"}, "UnetPlusPlus cannot have encoder 'mit_b0'"),
        ("segformer", {"size": "b9"}, "size is 'b9'"),
        ("upernet", {"depths": [1, 2]}, "the blocks of each of the four stages"),
        ("mask2former", {"backbone": "convnext-tiny"}, "a mask2former has a Swin"),
        ("mask2former", {"patch_size": 512}, "patch_size"),
    ],
)
def test_arguments_that_make_no_network(name, arguments, message):
    needed(name)
    with pytest.raises(ModelError, match=message):
        build_network(card(architecture=name, architecture_args=arguments))


@pytest.mark.parametrize(
    ("module", "extra"), [("transformers", "transformers"), ("segmentation_models_pytorch", "smp")]
)
def test_a_missing_library_is_one_line_with_the_remedy(module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=rf"mine needs .*pip install 'glomseg\[{extra}\]'$"):
        library(module, "mine")


def test_weights_of_another_size_do_not_fit(tmp_path):
    mine, net = made("segformer")
    save_model(tmp_path / "model", mine, net)
    wider = replace(read_card(tmp_path / "model"), architecture_args={**SMALL["segformer"], "width": 16})
    write_card(tmp_path / "model", wider)
    with pytest.raises(ModelError, match="the weights are not those of this architecture"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("name", BORROWED)
@pytest.mark.parametrize("prefix", ["", "module.backbone."])
def test_an_encoder_begins_with_weights_from_a_folder(name, prefix, tmp_path):
    _, theirs = made(name)
    torch.manual_seed(1)
    ours = build_network(card(architecture=name, architecture_args=SMALL[name]))
    state = theirs.encoder().state_dict()
    kept = {f"{prefix}{key}": value.clone() for key, value in state.items() if "hidden_states_norms" not in key}
    save_file({**kept, "head.weight": torch.zeros(3)}, tmp_path / "model.safetensors")
    said = ours.begin_with(tmp_path)
    assert f"begins with {len(kept)} of its {len(state)} tensors" in said
    assert ("random: " in said) == (len(kept) < len(state))
    got = ours.encoder().state_dict()
    assert all(torch.equal(got[key], state[key]) for key in state if "hidden_states_norms" not in key)


def test_weights_of_something_else_are_no_beginning(tmp_path):
    _, net = made("segformer")
    with pytest.raises(ModelError, match="no weights there; give a folder"):
        net.begin_with(tmp_path / "nothing")
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"0 of \d+ tensors fit the encoder"):
        net.begin_with(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="not a safetensors file"):
        net.begin_with(tmp_path)


@pytest.mark.parametrize("background", [False, True])
def test_mask2former_learns_one_mask_an_object_or_one_a_class(background):
    _, net = made("mask2former", architecture_args={**SMALL["mask2former"], "background": background})
    target = torch.zeros(1, 40, 48)
    target[:, 5:15, 5:15] = target[:, 20:35, 30:45] = 1
    valid = torch.ones(40, 48, dtype=torch.bool)
    valid[:, 40:] = False
    masks, kinds = net._true_masks(target, valid)
    sums = masks.sum(dim=(1, 2)).tolist()
    if background:
        assert kinds.tolist() == [0, 1]
        assert sums == [40 * 40 - 250, 250]
    else:
        assert kinds.tolist() == [0, 0]
        assert sorted(sums) == [100, 150]
    empty, none = net._true_masks(torch.zeros(1, 40, 48), ~valid & False)
    assert empty.shape == (0, 40, 48)
    assert not len(none)


def test_mask2former_learns_objects_that_touch_where_labels_tell_them_apart():
    """Pressed into each other, in any direction: each true mask is one of the numbered objects."""
    _, net = made("mask2former", heads=("mask", "hover"))
    y, x = np.mgrid[:96, :96]
    for angle in np.linspace(0, 6, 13):
        numbers = np.zeros((96, 96), np.int64)
        for number, (away, radius) in enumerate(((0, 20), (26, 17), (-27, 15)), start=1):
            inside = np.hypot(x - 48 - away * np.cos(angle), y - 48 - away * np.sin(angle)) < radius
            numbers[inside & (numbers == 0)] = number
        objects = torch.from_numpy(numbers)[None]
        target = torch.cat([(objects > 0).float()[:, None], places_in(objects)], dim=1)[0]
        masks, kinds = net._true_masks(target, torch.ones(96, 96, dtype=torch.bool))
        assert kinds.tolist() == [0, 0, 0]
        assert {tuple(np.unique(numbers[mask > 0])) for mask in masks.numpy()} == {(1,), (2,), (3,)}
        assert (masks.sum(dim=0) == (objects[0] > 0)).all()


def test_mask2former_learns_from_more_objects_than_it_has_queries():
    """Each query learns the one that it suits: none is taken for background because it comes last."""
    _, net = made("mask2former")
    target = torch.zeros(1, 1, 64, 64)
    target[..., ::16, ::16] = 1  # 16 objects, 2 queries
    counts = torch.ones(1, 1, 64, 64)
    masks, kinds = net._true_masks(target[0], counts[0, 0] > 0)
    assert (len(masks), len(kinds)) == (16, 16)
    assert torch.isfinite(net.own_loss(torch.rand(1, 3, 64, 64), target, counts))


def test_mask2former_learns_nothing_where_pixels_do_not_count():
    """What stands in the labels there, and what is seen there by the last layers, changes nothing."""
    _, net = made("mask2former")
    x, weights = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    weights[:, :, :, 32:] = 0
    target = torch.zeros(2, 1, 64, 64)
    target[:, :, 10:26, 4:20] = 1
    losses = []
    for there in (0.0, 1.0):
        target[:, :, :, 32:] = there
        torch.manual_seed(0)
        losses.append(net.own_loss(x, target, weights))
    assert torch.equal(*losses)
    assert torch.isfinite(losses[0])
    none = net.own_loss(x, target * 0, weights * 0)  # nothing counts, and nothing is there
    assert torch.isfinite(none)


def test_a_network_that_nobody_trained_before_has_no_such_part():
    _, net = made("variable-unet")
    with pytest.raises(ModelError, match="no part that others train"):
        net.begin_with(nn.Module)


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
def test_binned_means_are_those_of_torch(bins):
    for size in ((7, 11), (1, 2), (16, 5)):
        x = torch.rand(2, 3, *size)
        torch.testing.assert_close(BinnedMean(bins)(x), nn.AdaptiveAvgPool2d(bins)(x))
