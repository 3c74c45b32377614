"""State dicts of mmsegmentation 1.x, brought to our names and shapes: Mask2Former, SegFormer, UPerNet.

What is told from names and shapes alone: the size of the network, its classes, which names stand for which. Nothing of
the file's settings is read. Every tensor has its place, or the file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from glomseg.errors import ModelError
from glomseg.models import backbones, segformer

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and std of the colours that mmsegmentation's recipes bring pictures to."""
ARCHITECTURES = ("mask2former", "segformer", "upernet")

Rule = tuple[str, str]

SWIN: tuple[Rule, ...] = (
    (r"backbone\.patch_embed\.projection\.", "BACKBONE.swin.embeddings.patch_embeddings.projection."),
    (r"backbone\.patch_embed\.norm\.", "BACKBONE.swin.embeddings.norm."),
    (r"backbone\.stages\.(\d+)\.blocks\.(\d+)\.", r"BACKBONE.swin.encoder.layers.\1.blocks.\2."),
    (r"backbone\.stages\.(\d+)\.downsample\.", r"BACKBONE.swin.encoder.layers.\1.downsample."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.w_msa\.relative_position_bias_table", ".attention.relative_position_bias.relative_position_bias_table"),
    (r"\.attn\.w_msa\.proj\.", ".attention.o_proj."),
    (r"\.attn\.w_msa\.qkv\.(weight|bias)", r".attention.QKV_proj.\1"),
    (r"(BACKBONE.*)\.ffn\.layers\.0\.0\.", r"\1.mlp.fc1."),
    (r"(BACKBONE.*)\.ffn\.layers\.1\.", r"\1.mlp.fc2."),
)
CONVNEXT: tuple[Rule, ...] = (
    (r"backbone\.downsample_layers\.0\.0\.", "BACKBONE.embeddings.patch_embeddings."),
    (r"backbone\.downsample_layers\.0\.1\.", "BACKBONE.embeddings.layernorm."),
    (r"backbone\.downsample_layers\.(\d+)\.", r"BACKBONE.encoder.stages.\1.downsampling_layer."),
    (r"backbone\.stages\.(\d+)\.(\d+)\.", r"BACKBONE.encoder.stages.\1.layers.\2."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"(BACKBONE.*layers\.\d+)\.norm\.", r"\1.layernorm."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    (r"\.gamma$", ".layer_scale_parameter"),
)
STAGE_NORMS: tuple[Rule, ...] = tuple(
    (rf"backbone\.norm{stage}\.", f"BACKBONE.hidden_states_norms.stage{stage + 1}.") for stage in range(4)
)
UPERNET: tuple[Rule, ...] = (
    (r"\.bn\.", ".batch_norm."),
    (r"decode_head\.conv_seg\.", "decode_head.classifier."),
    (r"^decode_head\.", "net.decode_head."),
    (r"^BACKBONE\.", "net.backbone."),
)
SEGFORMER: tuple[Rule, ...] = (
    (r"backbone\.layers\.(\d+)\.0\.projection\.", r"net.encoder.stages.\1.patch_embeddings.proj."),
    (r"backbone\.layers\.(\d+)\.0\.norm\.", r"net.encoder.stages.\1.patch_embeddings.layer_norm."),
    (r"backbone\.layers\.(\d+)\.1\.(\d+)\.", r"net.encoder.stages.\1.blocks.\2."),
    (r"backbone\.layers\.(\d+)\.2\.", r"net.encoder.stages.\1.layer_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.attn\.in_proj_(weight|bias)", r".attention.QKV_proj.\1"),
    (r"\.attn\.attn\.out_proj\.", ".attention.o_proj."),
    (r"\.attn\.sr\.", ".attention.sequence_reduction.sequence_reduction."),
    (r"\.attn\.norm\.", ".attention.sequence_reduction.layer_norm."),
    (r"\.ffn\.layers\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.dwconv.dwconv."),
    (r"\.ffn\.layers\.4\.", ".mlp.fc2."),
    (r"decode_head\.convs\.(\d+)\.conv\.", r"net.decoder.projections.\1.0."),
    (r"decode_head\.convs\.(\d+)\.bn\.", r"net.decoder.projections.\1.1."),
    (r"decode_head\.fusion_conv\.conv\.", "net.decoder.fuse.0."),
    (r"decode_head\.fusion_conv\.bn\.", "net.decoder.fuse.1."),
    (r"decode_head\.conv_seg\.", "net.decoder.classifier."),
)
MASK2FORMER: tuple[Rule, ...] = (
    (r"^decode_head\.pixel_decoder\.", "PIXEL."),
    (r"^PIXEL\.input_convs\.(\d+)\.conv\.", r"PIXEL.input_projections.\1.0."),
    (r"^PIXEL\.input_convs\.(\d+)\.gn\.", r"PIXEL.input_projections.\1.1."),
    (r"^PIXEL\.lateral_convs\.0\.conv\.", "PIXEL.adapter_1.0."),
    (r"^PIXEL\.lateral_convs\.0\.gn\.", "PIXEL.adapter_1.1."),
    (r"^PIXEL\.output_convs\.0\.conv\.", "PIXEL.layer_1.0."),
    (r"^PIXEL\.output_convs\.0\.gn\.", "PIXEL.layer_1.1."),
    (r"^PIXEL\.mask_feature\.", "PIXEL.mask_projection."),
    (r"^PIXEL\.level_encoding\.weight", "PIXEL.level_embed"),
    (r"^(PIXEL\.encoder\.layers\.\d+)\.norms\.0\.", r"\1.self_attn_layer_norm."),
    (r"^(PIXEL\.encoder\.layers\.\d+)\.norms\.1\.", r"\1.final_layer_norm."),
    (r"^decode_head\.transformer_decoder\.", "QUERIES.decoder."),
    (r"^QUERIES\.decoder\.post_norm\.", "QUERIES.decoder.layernorm."),
    (r"^(QUERIES.*)\.self_attn\.attn\.in_proj_(weight|bias)", r"\1.self_attn.QKV_proj.\2"),
    (r"^(QUERIES.*)\.(self|cross)_attn\.attn\.", r"\1.\2_attn."),
    (r"^(QUERIES.*)\.norms\.0\.", r"\1.cross_attn_layer_norm."),
    (r"^(QUERIES.*)\.norms\.1\.", r"\1.self_attn_layer_norm."),
    (r"^(QUERIES.*)\.norms\.2\.", r"\1.final_layer_norm."),
    (r"^((?:PIXEL|QUERIES).*)\.ffn\.layers\.0\.0\.", r"\1.fc1."),
    (r"^((?:PIXEL|QUERIES).*)\.ffn\.layers\.1\.", r"\1.fc2."),
    (r"^decode_head\.query_embed\.", "QUERIES.queries_embedder."),
    (r"^decode_head\.query_feat\.", "QUERIES.queries_features."),
    (r"^decode_head\.level_embed\.", "QUERIES.level_embed."),
    (r"^decode_head\.cls_embed\.", "net.class_predictor."),
    (r"^decode_head\.mask_embed\.0\.", "QUERIES.decoder.mask_predictor.mask_embedder.0.0."),
    (r"^decode_head\.mask_embed\.2\.", "QUERIES.decoder.mask_predictor.mask_embedder.1.0."),
    (r"^decode_head\.mask_embed\.4\.", "QUERIES.decoder.mask_predictor.mask_embedder.2.0."),
    (r"^PIXEL\.", "net.model.pixel_level_module.decoder."),
    (r"^QUERIES\.", "net.model.transformer_module."),
    (r"^BACKBONE\.", "net.model.pixel_level_module.encoder."),
)


@dataclass(frozen=True, kw_only=True)
class MmsegWeights:
    """What a file holds: the arguments of our network, its tensors by our names, and the number of outputs.

    `left_out` counts tensors that only its training needed.
    """

    arguments: Mapping[str, Any]
    state: Mapping[str, Tensor]
    outputs: int
    left_out: int


def read_mmseg(architecture: str, state: Mapping[str, Tensor], origin: str) -> MmsegWeights:
    """Bring tensors to our names; raises ModelError, which names `origin`, where they are not of the architecture."""
    kept = {
        key: value
        for key, value in state.items()
        if not key.startswith(("auxiliary_head.", "data_preprocessor.")) and not key.endswith("relative_position_index")
    }
    try:
        if architecture == "segformer":
            arguments, rules, classes = _segformer(kept), SEGFORMER, "decode_head.conv_seg.weight"
        else:
            inner, of_backbone = _backbone(kept)
            if architecture == "upernet":
                arguments = {**inner, "decoder_width": len(kept["decode_head.fpn_bottleneck.conv.weight"])}
                rules, classes = (*of_backbone, *UPERNET), "decode_head.conv_seg.weight"
            else:
                arguments = {**inner, **_queries(kept)}
                rules, classes = (*of_backbone, *MASK2FORMER), "decode_head.cls_embed.weight"
        outputs = len(kept[classes]) - (architecture == "mask2former")  # the last class of a query is none
    except KeyError as error:
        raise ModelError(f"{origin}: no {error.args[0]!r} in it, so no {architecture} of mmsegmentation 1.x") from error
    left_out = len(state) - len(kept)
    return MmsegWeights(arguments=arguments, state=_renamed(kept, rules), outputs=outputs, left_out=left_out)


def _renamed(state: Mapping[str, Tensor], rules: tuple[Rule, ...]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        name, tensor = key, _reordered(key, value)
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if ".mlp.fc" in name and tensor.ndim == 4:  # a 1x1 convolution there, a layer of points here
            tensor = tensor[:, :, 0, 0]
        if ".QKV_proj." in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                result[name.replace("QKV", letter)] = part.clone()
        else:
            result[name] = tensor
    return result


def _reordered(key: str, value: Tensor) -> Tensor:
    """Bring the four pixels that Swin merges into our order: by columns first, and all channels of one together.

    mmsegmentation cuts them out with `Unfold`, which gives the four of a channel together, by rows.
    """
    if not re.search(r"\.downsample\.(reduction|norm)\.", key):
        return value
    by_row: Tensor = value.reshape(*value.shape[:-1], -1, 4)
    return by_row[..., [0, 2, 1, 3]].transpose(-1, -2).flatten(-2).contiguous()


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Return how many numbers stand where a pattern has its group."""
    return len({match[1] for key in state if (match := re.match(pattern, key))})


def _named(
    sizes: Mapping[str, tuple[int, tuple[int, ...]]], width: int, depths: tuple[int, ...], family: str, key: str
) -> dict[str, Any]:
    """Name a size, or describe it by what differs from the first of its family."""
    for name, size in sizes.items():
        if name.startswith(family) and size == (width, depths):
            return {key: name}
    first = next(name for name in sizes if name.startswith(family))
    return {key: first, "width": width, "depths": list(depths)}


def _backbone(state: Mapping[str, Tensor]) -> tuple[dict[str, Any], tuple[Rule, ...]]:
    """Tell the backbone and how it is renamed; raises KeyError for what is missing."""
    if "backbone.downsample_layers.0.0.weight" in state:
        width = len(state["backbone.downsample_layers.0.0.weight"])
        depths = tuple(_count(state, rf"backbone\.stages\.{stage}\.(\d+)\.") for stage in range(4))
        return _named(backbones.SIZES, width, depths, "convnext", "backbone"), (*STAGE_NORMS, *CONVNEXT)
    width = len(state["backbone.patch_embed.projection.weight"])
    depths = tuple(_count(state, rf"backbone\.stages\.{stage}\.blocks\.(\d+)\.") for stage in range(4))
    table = state["backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table"]
    window = (round(len(table) ** 0.5) + 1) // 2
    return {**_named(backbones.SIZES, width, depths, "swin", "backbone"), "window": window}, (*STAGE_NORMS, *SWIN)


def _queries(state: Mapping[str, Tensor]) -> dict[str, Any]:
    queries, width = state["decode_head.query_feat.weight"].shape
    return {
        "queries": int(queries),
        "decoder_width": int(width),
        "pixel_layers": _count(state, r"decode_head\.pixel_decoder\.encoder\.layers\.(\d+)\."),
        "decoder_layers": _count(state, r"decode_head\.transformer_decoder\.layers\.(\d+)\."),
    }


def _segformer(state: Mapping[str, Tensor]) -> dict[str, Any]:
    width = len(state["backbone.layers.0.0.projection.weight"])
    depths = tuple(_count(state, rf"backbone\.layers\.{stage}\.1\.(\d+)\.") for stage in range(4))
    decoder = len(state["decode_head.fusion_conv.conv.weight"])
    return {**_named(segformer.SIZES, width, depths, "b", "size"), "decoder": "conv", "decoder_width": decoder}


def without_counterpart(name: str) -> bool:
    """Tell whether a tensor of ours is one that mmsegmentation has none of: unused, or a constant of the loss."""
    return name.endswith((".swin.layernorm.weight", ".swin.layernorm.bias", "criterion.empty_weight"))
