"""Models as ONNX and TorchScript, for programs that run without glomseg.

The exported network takes RGB in 0..1 of any size, applies the card's mean and std itself, and gives probabilities.
It is float32 with its BatchNorms folded.
"""

import hashlib
import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glomseg.errors import ModelError
from glomseg.files import new_folder
from glomseg.models.card import CARD_NAME, README_NAME, ModelCard
from glomseg.models.network import Network
from glomseg.models.store import find_model, load_network, read_card

FILES = {"onnx": "model.onnx", "torchscript": "model.pt"}
INPUT, OUTPUT = "image", "probability"


class ExportedNet(nn.Module):
    """RGB (N, 3, H, W) in 0..1 to probabilities (N, num_classes, H, W), in terms that both exporters understand."""

    mean: Tensor  # TorchScript reads these, and cannot where annotations are kept as text
    std: Tensor

    def __init__(self, card: ModelCard, net: Network) -> None:
        """Take a copy of `net`, folded, on the CPU, with the card's mean and std."""
        super().__init__()
        self.net = net.folded().cpu().float()
        self.stride = net.stride
        self.register_buffer("mean", torch.tensor(card.mean or (0.0,) * 3)[:, None, None])
        self.register_buffer("std", torch.tensor(card.std or (1.0,) * 3)[:, None, None])
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Pad by edge pixels to the stride, without asking whether it is needed: a branch would be fixed by tracing."""
        height, width = image.shape[2], image.shape[3]
        down = (height + self.stride - 1) // self.stride * self.stride - height
        right = (width + self.stride - 1) // self.stride * self.stride - width
        padded = F.pad((image - self.mean) / self.std, (0, right, 0, down), mode="replicate")
        return torch.sigmoid(self.net(padded))[:, :, :height, :width]


def export_model(name: str | Path, output: Path, formats: Sequence[str] = tuple(FILES)) -> tuple[Path, ...]:
    """Write a model as new folder `output`: a file per format, the card, a README; return the files of the network.

    Raises ModelError for a model that is damaged or where a format needs packages that are missing, RunError where
    the folder is there already or cannot be written. It is whole or not there.
    """
    folder = find_model(name)
    card = read_card(folder)
    net = ExportedNet(card, load_network(folder, card))
    chosen = [kind for kind in FILES if kind in formats]
    with _quiet():
        content = {FILES[kind]: _EXPORTERS[kind](net, card) for kind in chosen}
    with new_folder(output) as target:
        for file, data in content.items():
            (target / file).write_bytes(data)
        (target / CARD_NAME).write_text(_card_text(card, net.stride, content), encoding="utf-8")
        (target / README_NAME).write_text(_readme(card, net.stride, chosen), encoding="utf-8")
    return tuple(output / file for file in content)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch says about its own exporters from the user, who can do nothing about it."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _onnx(net: ExportedNet, card: ModelCard) -> bytes:
    """Return an ONNX file with the card in its metadata, and without the exporter's notes of where the code lies."""
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ImportError:
        raise ModelError(
            "ONNX needs onnx and onnxscript, which are not installed; pip install 'glomseg[export]', "
            "or give --format torchscript"
        ) from None
    program: Any = torch.onnx.export(
        net,
        (torch.rand(2, 3, 3 * net.stride + 5, 2 * net.stride + 3),),  # no two sizes alike, none special: all stay free
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={"image": {0: "batch", 2: "height", 3: "width"}},
    )
    proto = program.model_proto
    graph = proto.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField("metadata_props")
    for dim, size in zip(graph.output[0].type.tensor_type.shape.dim[2:], ("height", "width"), strict=True):
        dim.dim_param = size  # the exporter's own words for it are a formula with the padding in it
    onnx.helper.set_model_props(proto, {CARD_NAME: card.to_json()})
    onnx.checker.check_model(proto)
    data: bytes = proto.SerializeToString()
    return data


def _torchscript(net: ExportedNet, card: ModelCard) -> bytes:
    """Return a TorchScript file with the card as an extra file, and without torch's notes of where the code lies."""
    saved = io.BytesIO(torch.jit.script(net).save_to_buffer(_extra_files={CARD_NAME: card.to_json()}))
    stripped = io.BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(stripped, "w") as target:
        for info in source.infolist():
            if not info.filename.endswith(".debug_pkl"):
                target.writestr(info, source.read(info))
    return stripped.getvalue()


_EXPORTERS: dict[str, Callable[[ExportedNet, ModelCard], bytes]] = {"onnx": _onnx, "torchscript": _torchscript}


def _card_text(card: ModelCard, stride: int, content: dict[str, bytes]) -> str:
    """Return the card with a part that says how to use the files beside it."""
    export = {
        "input": {
            "name": INPUT,
            "shape": ["batch", 3, "height", "width"],
            "type": "float32",
            "content": f"RGB, 0..1, at {card.mpp:g} um/px; mean and std are applied inside",
            "padding": f"none needed: any height and width; padded inside to a multiple of {stride} by edge pixels",
        },
        "output": {
            "name": OUTPUT,
            "shape": ["batch", card.num_classes, "height", "width"],
            "type": "float32",
            "content": f"probability of {', '.join(card.class_names)}, 0..1; a sigmoid is applied inside",
        },
        "sha256": {file: hashlib.sha256(data).hexdigest() for file, data in content.items()},
    }
    return json.dumps({**json.loads(card.to_json()), "export": export}, indent=2, ensure_ascii=False) + "\n"


_README = """\
# {name}, exported by glomseg

{description}

- **Input** `{input}`: RGB, float32, 0..1, (batch, 3, height, width), at {spacing:g} um per pixel for {species}; for
  glomeruli of another size, scale so that they are as large in pixels: {spacing:g} um x (diameter / {diameter:g} um).
  Any height and width: what is not a multiple of {stride} is padded inside and cut off again.
- **Output** `{output}`: the probability of {classes}, float32, 0..1, (batch, {count}, height, width).
  A pixel counts from {threshold:g}; objects below {area:g} um2 or of solidity below {solidity:g} are dropped.
- **Tiles** of a slide should overlap: glomseg reads {halo} px around each {patch} px tile and cuts them off.
- `card.json` says what the model learned from and what was measured; the same card is inside each file.
"""

_EXAMPLES = {
    "onnx": """
## ONNX

```python
import numpy as np, onnxruntime
from PIL import Image
rgb = np.asarray(Image.open("tile.png").convert("RGB"), dtype=np.float32) / 255
net = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
probability = net.run(None, {{"{input}": rgb.transpose(2, 0, 1)[None]}})[0]
Image.fromarray(probability[0, 0] >= {threshold:g}).save("mask.png")
```
""",
    "torchscript": """
## TorchScript

PyTorch still loads TorchScript but no longer develops it; for something new, take ONNX.

```python
import numpy as np, torch
from PIL import Image
rgb = np.asarray(Image.open("tile.png").convert("RGB"), dtype=np.float32) / 255
net = torch.jit.load("model.pt")
probability = net(torch.from_numpy(rgb.transpose(2, 0, 1)[None])).numpy()
Image.fromarray(probability[0, 0] >= {threshold:g}).save("mask.png")
```
""",
}


def _readme(card: ModelCard, stride: int, formats: Sequence[str]) -> str:
    text = _README + "".join(_EXAMPLES[kind] for kind in formats)
    return text.format(
        name=card.name,
        description=card.description,
        input=INPUT,
        output=OUTPUT,
        spacing=card.mpp,
        species=card.species,
        diameter=card.training_diameter_um,
        stride=stride,
        classes=", ".join(card.class_names),
        count=card.num_classes,
        threshold=card.threshold,
        area=card.minimum_area_um2,
        solidity=card.minimum_solidity,
        halo=card.halo_pixels,
        patch=card.patch_size_pixels,
    )
