"""Mask2Former (Cheng et al. 2022) on Swin, out of transformers: queries, each a class and a mask.

A pixel's probability of a class is the sum over the queries of class times mask, as published (section 3.4 of Cheng et
al. 2021, "Per-pixel classification is not all you need"), over that of all classes where there is a background. It
learns by its own loss: each true mask is matched to one query, and masks are compared at points.

Its head `hover` needs no second decoder: queries are objects, and places in them are counted. So objects that touch
come apart as with any network of that head, and tiles fit together, of which each tells its own pixels.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.models.backbones import BackboneArguments
from glomseg.models.borrowed import BorrowedNetwork
from glomseg.models.card import Head
from glomseg.models.deformable import FreePixelDecoder, FreePositions
from glomseg.models.extras import library
from glomseg.models.places import places_in
from glomseg.models.queries import objects_of, told_apart
from glomseg.settings import limited

LIBRARY = "transformers"
_SMALLEST = 1e-6  # a probability of 0 has no logit
_NOWHERE = -20.0
"""Logit of each mask where a pixel does not count: sure and right, so that nothing is learned there."""


@dataclass(frozen=True, kw_only=True)
class Mask2FormerArguments(BackboneArguments):
    """The backbone's, and the size of the decoders.

    With `background` a true mask is all of a class in a picture, or all that is none, as in the published semantic
    models. Without, it is one object: what touches in the labels is one, but with the head `hover`, which is told of
    each object that labels number.
    """

    queries: int = limited(100, low=2, high=500)
    decoder_width: int = limited(256, low=32, high=1024)
    pixel_layers: int = limited(6, low=1, high=24)
    decoder_layers: int = limited(9, low=1, high=24)
    points: int = limited(12544, low=16, high=200_000)

    def __post_init__(self) -> None:
        """Check what holds between arguments; raises ValueError."""
        super().__post_init__()
        if not self.backbone.startswith("swin"):
            raise ValueError(f"backbone is {self.backbone!r}; a mask2former has a Swin")
        if self.decoder_width % 32:
            raise ValueError(f"decoder_width is {self.decoder_width}; give a multiple of 32")


class Mask2Former(BorrowedNetwork):
    """Mask2Former: masked attention of queries over a pixel decoder with deformable attention."""

    heads: ClassVar[frozenset[Head]] = frozenset({"mask", "hover"})
    needs = LIBRARY
    arguments = Mask2FormerArguments
    backbone = "net.model.pixel_level_module.encoder"
    single_precision = True  # where its deformable attention looks is told in fractions of a pixel
    owns_loss = True

    def built(self, name: str) -> nn.Module:
        """Build it with random weights; the loss has the published weights (class 2, mask 5, Dice 5, none 0.1)."""
        transformers: Any = library(LIBRARY, name)
        given: Mask2FormerArguments = self.given
        if self.hover and given.background:
            raise ModelError(
                f"{name}: with background=true a query is a class and no object, so that there is no head hover; leave "
                "one of them out"
            )
        width = given.decoder_width
        config = transformers.Mask2FormerConfig(
            backbone_config=given.config(transformers),
            feature_size=width,
            mask_feature_size=width,
            hidden_dim=width,
            encoder_feedforward_dim=4 * width,
            dim_feedforward=8 * width,
            encoder_layers=given.pixel_layers,
            decoder_layers=given.decoder_layers + 1,  # it counts the queries before the first layer
            num_queries=given.queries,
            num_labels=self.channels,
            train_num_points=given.points,
        )
        net: nn.Module = transformers.Mask2FormerForUniversalSegmentation(config)
        return net

    def values(self, x: Tensor) -> Tensor:
        """Return the sum over the queries of class times mask (N, channels, H, W), and the places in objects."""
        answer = self.net(x)
        logits = F.interpolate(answer.masks_queries_logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
        masks, kinds = logits.sigmoid(), answer.class_queries_logits.softmax(dim=-1)
        sums = torch.einsum("nqc,nqhw->nchw", kinds[..., :-1], masks)
        return torch.cat([sums, places_in(objects_of(masks, kinds), self.given.queries)], dim=1) if self.hover else sums

    def for_export(self) -> nn.Module:
        """Return a copy whose pixel decoder takes the sizes of its levels as numbers of the graph."""
        changed: Any = self.folded()
        pixels, transformer = changed.net.model.pixel_level_module, changed.net.model.transformer_module
        pixels.decoder = FreePixelDecoder(pixels.decoder)
        transformer.position_embedder = FreePositions(transformer.position_embedder)
        exportable: nn.Module = changed
        return exportable

    def logits(self, values: Tensor) -> Tensor:
        """Turn sums into logits of the classes: among all classes, or against what they leave."""
        if self.given.background:
            return (values[:, 1:] + _SMALLEST).log() - (values[:, :1] + _SMALLEST).log()
        if self.activation == "softmax":
            rest = (1 - values.sum(dim=1, keepdim=True)).clamp(min=_SMALLEST)
            return values.clamp(min=_SMALLEST).log() - rest.log()
        return values.clamp(_SMALLEST, 1 - _SMALLEST).logit()

    def own_loss(self, x: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """Return the published loss, summed over the layers of the decoder."""
        height, width = x.shape[-2:]
        net: Any = self.net
        answer = net(self.padded(x), output_auxiliary_logits=True)
        valid = weights.amin(dim=1) > 0
        masks, classes = [], []
        for target, counts in zip(targets, valid, strict=True):
            mask, kind = self._true_masks(target, counts)
            down, right = -height % self.stride, -width % self.stride
            masks.append(F.pad(mask, (0, right, 0, down)))
            classes.append(kind)
        nowhere = ~F.pad(valid, (0, -width % self.stride, 0, -height % self.stride))
        layers = [*answer.auxiliary_logits]
        last = {
            "masks_queries_logits": answer.masks_queries_logits,
            "class_queries_logits": answer.class_queries_logits,
        }
        if bool(nowhere.any()):
            size = answer.masks_queries_logits.shape[-2:]
            at = F.interpolate(nowhere[:, None].float(), size=size, mode="area") > 0
            for layer in (*layers, last):
                layer["masks_queries_logits"] = layer["masks_queries_logits"].masked_fill(at, _NOWHERE)
        loss: Tensor = net.get_loss(
            net.get_loss_dict(**last, mask_labels=masks, class_labels=classes, auxiliary_predictions=layers)
        )
        return loss

    def _true_masks(self, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return the true masks (M, H, W) of one picture and the class of each.

        `target` is (classes, H, W), or two more planes of places in objects.
        """
        classes = self.channels - self.given.background
        there, places = (target[:classes] >= 0.5) & valid, target[classes:]
        if self.given.background:
            parts = torch.cat([(valid & ~there.any(dim=0))[None], there])
            kinds = torch.nonzero(parts.flatten(1).any(dim=1))[:, 0]
            return parts[kinds].float(), kinds
        masks, kinds_of = [], []
        for kind, plane in enumerate(there.cpu().numpy()):
            numbers, count = told_apart(plane, places.cpu().numpy() if len(places) else None)
            masks += [numbers == number for number in range(1, count + 1)]
            kinds_of += [kind] * count
        if not masks:
            return target.new_zeros((0, *target.shape[1:])), torch.zeros(0, dtype=torch.long, device=target.device)
        stacked = torch.from_numpy(np.stack(masks)).to(target.device).float()
        return stacked, torch.tensor(kinds_of, device=target.device)
