"""State dicts of mmsegmentation 1.x, made here by the names and shapes of its code, come in whole or not at all."""

import importlib.util

import numpy as np
import pytest
import torch
from support.small_models import images
from torch.nn import functional as F

from glomseg.errors import ModelError
from glomseg.models.foreign import import_state_dict
from glomseg.models.mmseg import _reordered, read_mmseg, without_counterpart
from glomseg.models.predict import load_model
from glomseg.models.store import load_network, read_card

HOW = {"mpp": 0.5, "training_diameter_um": 75, "species": "mouse"}
WIDTHS = [32, 64, 128, 256]


def linear(name, given, made):
    return {f"{name}.weight": (made, given), f"{name}.bias": (made,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def conv_bn(name, given, made, size=1):
    running = {
        f"{name}.bn.running_mean": (made,),
        f"{name}.bn.running_var": (made,),
        f"{name}.bn.num_batches_tracked": (),
    }
    return {f"{name}.conv.weight": (made, given, size, size), **norm(f"{name}.bn", made), **running}


def attention(name, width):
    return {f"{name}.in_proj_weight": (3 * width, width), f"{name}.in_proj_bias": (3 * width,)} | linear(
        f"{name}.out_proj", width, width
    )


def swin(window=3, depths=(2, 1, 1, 1)):
    shapes = {"backbone.patch_embed.projection.weight": (32, 3, 4, 4), "backbone.patch_embed.projection.bias": (32,)}
    shapes |= norm("backbone.patch_embed.norm", 32)
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
        for block in range(depth):
            name = f"backbone.stages.{stage}.blocks.{block}"
            shapes |= norm(f"{name}.norm1", width) | norm(f"{name}.norm2", width)
            shapes[f"{name}.attn.w_msa.relative_position_bias_table"] = ((2 * window - 1) ** 2, width // 32)
            shapes[f"{name}.attn.w_msa.relative_position_index"] = (window**2, window**2)
            shapes |= linear(f"{name}.attn.w_msa.qkv", width, 3 * width) | linear(
                f"{name}.attn.w_msa.proj", width, width
            )
            shapes |= linear(f"{name}.ffn.layers.0.0", width, 4 * width) | linear(
                f"{name}.ffn.layers.1", 4 * width, width
            )
        if stage < 3:
            shapes |= norm(f"backbone.stages.{stage}.downsample.norm", 4 * width)
            shapes[f"backbone.stages.{stage}.downsample.reduction.weight"] = (2 * width, 4 * width)
        shapes |= norm(f"backbone.norm{stage}", width)
    return shapes


def convnext(depths=(1, 1, 2, 1)):
    shapes = {"backbone.downsample_layers.0.0.weight": (32, 3, 4, 4), "backbone.downsample_layers.0.0.bias": (32,)}
    shapes |= norm("backbone.downsample_layers.0.1", 32)
    for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True)):
        if stage:
            shapes |= norm(f"backbone.downsample_layers.{stage}.0", width // 2)
            shapes[f"backbone.downsample_layers.{stage}.1.weight"] = (width, width // 2, 2, 2)
            shapes[f"backbone.downsample_layers.{stage}.1.bias"] = (width,)
        for block in range(depth):
            name = f"backbone.stages.{stage}.{block}"
            shapes |= {f"{name}.gamma": (width,), f"{name}.depthwise_conv.weight": (width, 1, 7, 7)}
            shapes |= {f"{name}.depthwise_conv.bias": (width,)} | norm(f"{name}.norm", width)
            shapes |= linear(f"{name}.pointwise_conv1", width, 4 * width)
            shapes |= linear(f"{name}.pointwise_conv2", 4 * width, width)
        shapes |= norm(f"backbone.norm{stage}", width)
    return shapes


def uper_head(outputs=2, width=16):
    shapes = {"decode_head.conv_seg.weight": (outputs, width, 1, 1), "decode_head.conv_seg.bias": (outputs,)}
    for scale in range(4):
        shapes |= conv_bn(f"decode_head.psp_modules.{scale}.1", WIDTHS[-1], width)
    shapes |= conv_bn("decode_head.bottleneck", WIDTHS[-1] + 4 * width, width, 3)
    for stage in range(3):
        shapes |= conv_bn(f"decode_head.lateral_convs.{stage}", WIDTHS[stage], width)
        shapes |= conv_bn(f"decode_head.fpn_convs.{stage}", width, width, 3)
    shapes |= conv_bn("decode_head.fpn_bottleneck", 4 * width, width, 3)
    auxiliary = conv_bn("auxiliary_head.convs.0", WIDTHS[2], 8, 3)
    return (
        shapes
        | auxiliary
        | {"auxiliary_head.conv_seg.weight": (outputs, 8, 1, 1), "auxiliary_head.conv_seg.bias": (outputs,)}
    )


def mask2former_head(outputs=2, width=32, queries=7, pixel_layers=2, decoder_layers=3):
    pixel, queried = "decode_head.pixel_decoder", "decode_head.transformer_decoder"
    shapes = {}
    for level in range(3):
        shapes |= {f"{pixel}.input_convs.{level}.conv.weight": (width, WIDTHS[3 - level], 1, 1)}
        shapes |= {f"{pixel}.input_convs.{level}.conv.bias": (width,)} | norm(f"{pixel}.input_convs.{level}.gn", width)
    for layer in range(pixel_layers):
        name = f"{pixel}.encoder.layers.{layer}"
        shapes |= linear(f"{name}.self_attn.sampling_offsets", width, 8 * 3 * 4 * 2)
        shapes |= linear(f"{name}.self_attn.attention_weights", width, 8 * 3 * 4)
        shapes |= linear(f"{name}.self_attn.value_proj", width, width) | linear(
            f"{name}.self_attn.output_proj", width, width
        )
        shapes |= linear(f"{name}.ffn.layers.0.0", width, 4 * width) | linear(f"{name}.ffn.layers.1", 4 * width, width)
        shapes |= norm(f"{name}.norms.0", width) | norm(f"{name}.norms.1", width)
    shapes |= {
        f"{pixel}.level_encoding.weight": (3, width),
        f"{pixel}.lateral_convs.0.conv.weight": (width, WIDTHS[0], 1, 1),
    }
    shapes |= norm(f"{pixel}.lateral_convs.0.gn", width) | norm(f"{pixel}.output_convs.0.gn", width)
    shapes |= {f"{pixel}.output_convs.0.conv.weight": (width, width, 3, 3)}
    shapes |= {f"{pixel}.mask_feature.weight": (width, width, 1, 1), f"{pixel}.mask_feature.bias": (width,)}
    for layer in range(decoder_layers):
        name = f"{queried}.layers.{layer}"
        shapes |= attention(f"{name}.self_attn.attn", width) | attention(f"{name}.cross_attn.attn", width)
        shapes |= linear(f"{name}.ffn.layers.0.0", width, 8 * width) | linear(f"{name}.ffn.layers.1", 8 * width, width)
        for index in range(3):
            shapes |= norm(f"{name}.norms.{index}", width)
    shapes |= norm(f"{queried}.post_norm", width)
    shapes |= {f"decode_head.{name}.weight": (queries, width) for name in ("query_embed", "query_feat")}
    shapes |= {"decode_head.level_embed.weight": (3, width)} | linear("decode_head.cls_embed", width, outputs + 1)
    for index in (0, 2, 4):
        shapes |= linear(f"decode_head.mask_embed.{index}", width, width)
    return shapes


def segformer(outputs=2, width=16):
    shapes = {"decode_head.conv_seg.weight": (outputs, width, 1, 1), "decode_head.conv_seg.bias": (outputs,)}
    shapes |= conv_bn("decode_head.fusion_conv", 4 * width, width)
    widths, before = [8, 16, 40, 64], 3
    for stage, (wide, shrink) in enumerate(zip(widths, (8, 4, 2, 1), strict=True)):
        side = 7 if stage == 0 else 3
        name = f"backbone.layers.{stage}"
        shapes |= {f"{name}.0.projection.weight": (wide, before, side, side), f"{name}.0.projection.bias": (wide,)}
        shapes |= norm(f"{name}.0.norm", wide) | norm(f"{name}.2", wide)
        block = f"{name}.1.0"
        shapes |= norm(f"{block}.norm1", wide) | norm(f"{block}.norm2", wide) | attention(f"{block}.attn.attn", wide)
        if shrink > 1:
            shapes |= {f"{block}.attn.sr.weight": (wide, wide, shrink, shrink), f"{block}.attn.sr.bias": (wide,)}
            shapes |= norm(f"{block}.attn.norm", wide)
        for layer, shape in ((0, (4 * wide, wide, 1, 1)), (1, (4 * wide, 1, 3, 3)), (4, (wide, 4 * wide, 1, 1))):
            shapes |= {f"{block}.ffn.layers.{layer}.weight": shape, f"{block}.ffn.layers.{layer}.bias": shape[:1]}
        shapes |= conv_bn(f"decode_head.convs.{stage}", wide, width)
        before = wide
    return shapes


MADE = {
    "upernet": {**swin(), **uper_head()},
    "upernet convnext": {**convnext(), **uper_head()},
    "mask2former": {**swin(), **mask2former_head()},
    "segformer": segformer(),
}


def random(shapes):
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            value.abs_().add_(0.5)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(3)
    return state


def energy(values):
    return sum(float(value.double().square().sum()) for value in values)


@pytest.fixture
def written(tmp_path):
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")

    def write(state):
        torch.save({"meta": {"epoch": 3}, "state_dict": state}, tmp_path / "best.pth")
        return tmp_path / "best.pth"

    return write


@pytest.mark.parametrize("made", MADE)
def test_each_tensor_finds_its_place(made, written, tmp_path):
    state = random(MADE[made])
    architecture = made.split()[0]
    card = import_state_dict(written(state), tmp_path / "mine", architecture=architecture, **HOW)
    assert (card.architecture_args["background"], card.activation, card.num_classes) == (True, "softmax", 1)
    assert card.mean == (0.485, 0.456, 0.406)
    assert ("are left out" in card.description) == (architecture != "segformer")
    net = load_network(tmp_path / "mine", read_card(tmp_path / "mine"))
    unknown_there = {name for name in net.state_dict() if without_counterpart(name)}
    ours = [value for name, value in net.state_dict().items() if name not in unknown_there]
    theirs = [value for name, value in state.items() if not name.startswith("auxiliary_head.") and "index" not in name]
    assert energy(ours) == pytest.approx(energy(theirs), rel=1e-6)  # all of it, wherever it lies
    got = load_model(tmp_path / "mine").predict(images(1, 64, 64))
    assert got.shape == (1, 1, 64, 64)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("made", MADE)
def test_what_is_missing_or_too_much_is_refused_by_name(made, written, tmp_path):
    architecture = made.split()[0]
    for change in ("missing", "more"):
        state = random(MADE[made])
        if change == "missing":
            del state[next(name for name in state if "norm1" in name or ".gamma" in name)]
        else:
            state["decode_head.extra.weight"] = torch.zeros(3)
        with pytest.raises(ModelError, match=r"best\.pth: the weights are not those of this architecture") as error:
            import_state_dict(written(state), tmp_path / "mine", architecture=architecture, **HOW)
        assert "\n" not in str(error.value)
        assert not (tmp_path / "mine").exists()


def test_what_is_of_another_network_or_has_other_classes(written, tmp_path):
    path = written(random(MADE["segformer"]))
    with pytest.raises(ModelError, match=r"no 'backbone\.patch_embed\.projection\.weight' in it, so no upernet"):
        import_state_dict(path, tmp_path / "mine", architecture="upernet", **HOW)
    with pytest.raises(ModelError, match="has 2 outputs, and 3 classes are named"):
        import_state_dict(path, tmp_path / "mine", architecture="segformer", class_names=("A", "B", "C"), **HOW)
    card = import_state_dict(path, tmp_path / "mine", architecture="segformer", class_names=("A", "B"), **HOW)
    assert (card.architecture_args["background"], card.activation) == (False, "sigmoid")


def test_the_command_names_them(written, tmp_path, glomseg):
    path = written(random(MADE["segformer"]))
    how = ("--architecture", "segformer", "--model-mpp", 0.5, "-o", tmp_path / "mine")
    result = glomseg("models", "import", path, *how, "--class", "A", "--class", "B", "--class", "C")
    assert result.code == 1
    assert "3 classes are named (A, B, C); name as many in --class" in result.err
    assert glomseg("models", "import", path, *how).code == 0
    assert read_card(tmp_path / "mine").class_names == ("Glomerulus",)


def test_what_swin_merges_is_merged_alike():
    """Theirs cuts out 2x2 pixels with `Unfold`, ours by slices: the same numbers, in another order."""
    torch.manual_seed(0)
    x, weight = torch.rand(1, 5, 6, 4), torch.rand(10, 20)  # (N, C, H, W)
    norm_weight = torch.rand(20)
    theirs = F.unfold(x, kernel_size=2, stride=2).transpose(1, 2)
    expected = (F.layer_norm(theirs, (20,)) * norm_weight) @ weight.T
    points = x.permute(0, 2, 3, 1)
    ours = torch.cat([points[:, row::2, column::2] for column in range(2) for row in range(2)], dim=-1).flatten(1, 2)
    name = "backbone.stages.0.downsample."
    mine = F.layer_norm(ours, (20,)) * _reordered(f"{name}norm.weight", norm_weight)
    torch.testing.assert_close(mine @ _reordered(f"{name}reduction.weight", weight).T, expected)


def test_where_two_pixels_lie_to_each_other_is_told_alike():
    """The tables of relative positions are of one order: theirs by a sum of steps, ours by differences."""
    transformers = pytest.importorskip("transformers")
    window = 4
    steps = [torch.arange(0, step * window, step)[:window] for step in (2 * window - 1, 1)]
    flat = (steps[0][:, None] + steps[1][None, :]).reshape(1, -1)
    theirs = (flat + flat.T).flip(1)
    config = transformers.SwinConfig(embed_dim=32, depths=[1], num_heads=[1], window_size=window)
    block = transformers.SwinModel(config).encoder.layers[0].blocks[0]
    assert torch.equal(block.attention.relative_position_bias.relative_position_index, theirs.reshape(-1))


def test_sizes_by_name_are_told():
    """A Swin-B of window 12 is named as such, without its 300 MB."""
    base = {"backbone.patch_embed.projection.weight": torch.zeros(128, 3, 4, 4)}
    for stage, depth in enumerate((2, 2, 18, 2)):
        for block in range(depth):
            base[f"backbone.stages.{stage}.blocks.{block}.norm1.weight"] = torch.zeros(1)
    table = "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table"
    base |= {table: torch.zeros(23**2, 4), "decode_head.fpn_bottleneck.conv.weight": torch.zeros(512, 1, 3, 3)}
    base |= {"decode_head.conv_seg.weight": torch.zeros(2, 512, 1, 1)}
    arguments = read_mmseg("upernet", base, "x").arguments
    assert arguments == {"backbone": "swin-base", "window": 12, "decoder_width": 512}
