"""VariableUNet: sizes, names and shapes are those of the reference project."""

import pytest
import torch

from glomseg.errors import ModelError
from glomseg.models.variable_unet import VariableUNet, base_width, fold_batch_norm, patch_size_of

PARAMETERS = {256: 682_529, 512: 682_529, 1024: 2_723_905, 2048: 10_883_201}


def reference_names() -> set[str]:
    """The reference's state-dict names, written out from its description."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = set()
    for block in ("enc1", "enc2", "enc3", "enc4", "dec1", "dec2", "dec3", "dec4"):
        for i in (0, 3):
            names |= {f"{block}.double_conv.{i}.{k}" for k in ("weight", "bias")}
            names |= {f"{block}.double_conv.{i + 1}.{k}" for k in norm}
    for d in (1, 2, 4):
        names |= {f"bottleneck.dilated{d}.{k}" for k in ("weight", "bias")}
        names |= {f"bottleneck.bn{d}.{k}" for k in norm}
    names |= {f"up{i}.{k}" for i in (1, 2, 3, 4) for k in ("weight", "bias")}
    return names | {"final.weight", "final.bias"}


@pytest.mark.parametrize(("patch_size", "count"), PARAMETERS.items())
def test_parameter_count(patch_size, count):
    assert sum(p.numel() for p in VariableUNet(patch_size).parameters()) == count


def test_names_are_those_of_the_reference():
    assert set(VariableUNet(512).state_dict()) == reference_names()


def test_bottleneck_splits_unevenly():
    bottleneck = VariableUNet(512).bottleneck
    assert [m.out_channels for m in (bottleneck.dilated1, bottleneck.dilated2, bottleneck.dilated4)] == [42, 42, 44]
    assert [m.dilation[0] for m in (bottleneck.dilated1, bottleneck.dilated2, bottleneck.dilated4)] == [1, 2, 4]


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 33), (64, 48), (100, 31)])
def test_any_size(size):
    with torch.inference_mode():
        assert VariableUNet(256).eval()(torch.rand(2, 3, *size)).shape == (2, 1, *size)


def test_a_size_on_the_stride_is_not_padded():
    net = VariableUNet(256).eval()
    image = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        edge = torch.nn.functional.pad(image[..., :27], (0, 5, 0, 0), mode="replicate")
        assert torch.equal(net(image[..., :27]), net(edge)[..., :27])


@pytest.mark.parametrize("patch_size", [0, 255, 250, 264 + 1])
def test_bad_patch_sizes(patch_size):
    with pytest.raises(ModelError, match=str(patch_size)):
        base_width(patch_size)


@pytest.mark.parametrize(("patch_size", "told"), [(256, 256), (512, 256), (1024, 1024), (2048, 2048)])
def test_the_smallest_patch_size_of_a_network_is_deduced(patch_size, told):
    """256 and 512 have one network; the weights do not say which."""
    assert patch_size_of(VariableUNet(patch_size).state_dict()) == told


def test_folding_batch_norm_changes_nothing():
    torch.manual_seed(0)
    net = VariableUNet(512)
    for _ in range(3):
        net(torch.rand(4, 3, 32, 32))  # statistics that are not 0 and 1
    net.eval()
    x = torch.rand(2, 3, 48, 32)
    with torch.inference_mode():
        assert torch.allclose(fold_batch_norm(net)(x), net(x), atol=1e-4)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()), "the original stays as it was"
