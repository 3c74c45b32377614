"""A model as ONNX, for programs that run without glomseg, and for glomseg itself where it should need no torch code.

The exported network takes RGB in 0..1 of any size, applies the card's mean and std itself, and gives probabilities.
It is float32 with its BatchNorms folded. Its folder is a model again: the card names the architecture `onnx`.
"""

import dataclasses
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.files import json_text, new_folder
from glomseg.models.card import CARD_NAME, FOREIGN_WEIGHTS, README_NAME, ModelCard
from glomseg.models.network import Network, activated
from glomseg.models.store import find_model, load_network, read_card

INPUT, OUTPUT, HOVER_OUTPUT, LOGITS = "image", "probability", "hover", "logits"
FILE = FOREIGN_WEIGHTS["onnx"]


class AnySizeNet(nn.Module):
    """A network that takes normalised pixels of any size, in terms that the exporter understands."""

    def __init__(self, net: Network) -> None:
        """Take a copy of `net`, folded, on the CPU."""
        super().__init__()
        self.net = net.for_export().cpu().float()
        self.stride = net.stride
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, 3, H, W) to what the network gives, (N, planes, H, W).

        It pads by edge pixels to the stride, without asking whether that is needed: a branch would be fixed by tracing.
        """
        height, width = image.shape[2], image.shape[3]
        down = (height + self.stride - 1) // self.stride * self.stride - height
        right = (width + self.stride - 1) // self.stride * self.stride - width
        values: Tensor = self.net(F.pad(image, (0, right, 0, down), mode="replicate"))
        return values[:, :, :height, :width]


class ExportedNet(AnySizeNet):
    """RGB (N, 3, H, W) in 0..1 to probabilities (N, num_classes, H, W).

    A network with the head `hover` gives places in objects (N, 2, H, W) as a second output.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, card: ModelCard, net: Network) -> None:
        """Take a copy of `net`, folded, on the CPU, with the card's mean, std and activation."""
        super().__init__(net)
        self.activation, self.classes, self.hover = card.activation, card.num_classes, card.hover
        self.register_buffer("mean", torch.tensor(card.mean or (0.0,) * 3)[:, None, None])
        self.register_buffer("std", torch.tensor(card.std or (1.0,) * 3)[:, None, None])

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:  # type: ignore[override]
        """Normalise, and give probabilities."""
        values = super().forward((image - self.mean) / self.std)
        if not self.hover:
            return activated(values, self.activation)
        return activated(values[:, : self.classes], self.activation), values[:, self.classes :].clamp(-1, 1)


def export_model(name: str | Path, output: Path) -> Path:
    """Write a model as new folder `output`: the network as ONNX, its card, a README; return the network's file.

    Raises ModelError for a model that is damaged or not ours, or where packages are missing, RunError where the folder
    is there already or cannot be written. It is whole or not there.
    """
    folder = find_model(name)
    card = read_card(folder)
    net = load_network(folder, card)
    if card.architecture in FOREIGN_WEIGHTS:
        raise ModelError(f"{card.name} is a network as {card.architecture} already; copy its folder {folder}")
    if net.export_problem:
        raise ModelError(
            f"{card.name} is a {card.architecture}, which ONNX cannot hold for pictures of any size: "
            f"{net.export_problem}; carry it as it is, with `glomseg models pack {card.name}`"
        )
    outputs = (OUTPUT, HOVER_OUTPUT) if card.hover else (OUTPUT,)
    data = _onnx(ExportedNet(card, net), outputs, card)
    exported = dataclasses.replace(
        card,
        architecture="onnx",
        architecture_args={"stride": net.stride, "probabilities": True},
        mean=None,
        std=None,
        weights_sha256=hashlib.sha256(data).hexdigest(),
    )
    with new_folder(output) as target:
        (target / FILE).write_bytes(data)
        (target / CARD_NAME).write_text(_card_text(exported), encoding="utf-8")
        (target / README_NAME).write_text(_readme(card, net.stride), encoding="utf-8")
    return output / FILE


def logits_as_onnx(card: ModelCard, net: Network) -> bytes:
    """Return a network as ONNX that maps what it takes itself to what it gives itself, at any size.

    Raises ModelError where packages are missing. The network must be no program itself, and have no `export_problem`.
    """
    return _onnx(AnySizeNet(net), (LOGITS,), card)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch says about its own exporters from the user, who can do nothing about it."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _onnx(net: AnySizeNet, outputs: Sequence[str], card: ModelCard) -> bytes:
    """Return an ONNX file with the card in its metadata, and without the exporter's notes of where the code lies."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError:
        raise ModelError(
            "ONNX needs onnx and onnxscript, which are not installed; pip install 'glomseg[export]'"
        ) from None
    with _quiet():
        program: Any = torch.onnx.export(
            net,
            (torch.rand(2, 3, 3 * net.stride + 5, 2 * net.stride + 3),),  # no two sizes alike, none special: all free
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=list(outputs),
            dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
        )
    proto = program.model_proto
    graph = proto.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("metadata_props")
    for output in graph.output:
        for dim, size in zip(output.type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
            dim.dim_param = size  # the exporter's own words for it are a formula with the padding in it
    onnx.helper.set_model_props(proto, {CARD_NAME: card.to_json()})
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def _card_text(card: ModelCard) -> str:
    """Return the card with a part that says how to use the file beside it."""
    export = {
        "input": {
            "name": INPUT,
            "shape": ["batch", 3, "height", "width"],
            "type": "float32",
            "content": f"RGB, 0..1, at {card.mpp:g} um/px; mean and std are applied inside",
            "padding": "none needed: any height and width; padded inside by edge pixels",
        },
        "output": {
            "name": OUTPUT,
            "shape": ["batch", card.num_classes, "height", "width"],
            "type": "float32",
            "content": f"probability of {', '.join(card.class_names)}, 0..1; the activation is applied inside",
        },
    }
    if card.hover:
        export["hover"] = {
            "name": HOVER_OUTPUT,
            "shape": ["batch", 2, "height", "width"],
            "type": "float32",
            "content": "how far right, and how far down in its object a pixel lies, -1..1, meaningful inside objects",
        }
    return json_text({**json.loads(card.to_json()), "export": export}) + "\n"


_README = """\
# {name}, exported by glomseg

{description}

- **Input** `{input}`: RGB, float32, 0..1, (batch, 3, height, width), at {spacing:g} um per pixel for {species}; for
  glomeruli of another size, scale so that they are as large in pixels: {spacing:g} um x (diameter / {diameter:g} um).
  Any height and width: what is not a multiple of {stride} is padded inside and cut off again.
- **Output** `{output}`: the probability of {classes}, float32, 0..1, (batch, {count}, height, width).
  A pixel counts from {threshold:g}; objects below {area:g} um2 or of solidity below {solidity:g} are dropped.
{hover}- **Tiles** of a slide should overlap: glomseg reads {halo} px around each {patch} px tile and cuts them off.
- `card.json` says what the model learned from and what was measured; the card of the model itself is inside the file.
- glomseg takes this folder as a model: `--model FOLDER` (`pip install 'glomseg[onnx]'`).

```python
import numpy as np, onnxruntime
from PIL import Image
rgb = np.asarray(Image.open("tile.png").convert("RGB"), dtype=np.float32) / 255
net = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
probability = net.run(None, {{"{input}": rgb.transpose(2, 0, 1)[None]}})[0]
Image.fromarray(probability[0, 0] >= {threshold:g}).save("mask.png")
```
"""
_HOVER = """\
- **Output** `hover`: how far right, and how far down in its object each pixel lies, -1..1, float32, (batch, 2, height,
  width), meaningful inside objects; where two objects touch it jumps from 1 to -1.
"""


def _readme(card: ModelCard, stride: int) -> str:
    return _README.format(
        name=card.name,
        description=card.description,
        input=INPUT,
        output=OUTPUT,
        spacing=card.mpp,
        species=card.species,
        diameter=card.training_diameter_um,
        stride=stride,
        classes=", ".join(card.class_names),
        hover=_HOVER if card.hover else "",
        count=card.num_classes,
        threshold=card.threshold,
        area=card.minimum_area_um2,
        solidity=card.minimum_solidity,
        halo=card.halo_pixels,
        patch=card.patch_size_pixels,
    )
