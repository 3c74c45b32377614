"""What eight-bit integers gain on a CPU, and what they cost: time, and the Dice of masks against torch in float32.

    python benchmarks/int8.py [--model NAME] [--pictures FOLDER ...] [--cpu-time] [--threads N]

The model's export is quantised by ONNX Runtime after training, its ranges taken from the upper half of the sample that
comes with glomseg: all of it, and all but its first and last convolution. OpenVINO computes it. Masks are compared at
the card's threshold, on the lower half and on the pictures of each folder, which must know their pixel size.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import openvino
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from glomseg.geometry import Box
from glomseg.models.device import limit_threads
from glomseg.models.engine import Engine, _openvino
from glomseg.models.exporting import logits_as_onnx
from glomseg.models.predict import Model
from glomseg.models.store import find_model, load_network, read_card
from glomseg.slides.find_slides import find_slides
from glomseg.slides.slide import open_slide

CPU = torch.device("cpu")
ROUNDS = 5
SIDE = 1088
BLOCK = 16


class Ranges(CalibrationDataReader):
    """Gives one picture, from which the ranges of all values are taken."""

    def __init__(self, name: str, pixels: np.ndarray) -> None:
        self._all = iter([{name: pixels}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._all, None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pas-starter")
    parser.add_argument("--pictures", nargs="*", type=Path, default=[], help="folders of pictures to compare on")
    parser.add_argument("--cpu-time", action="store_true", help="instead of wall time, right for one thread")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    options = parser.parse_args()
    if options.threads:
        limit_threads(options.threads)
    folder = find_model(options.model)
    card = read_card(folder)
    net = load_network(folder, card)
    plain = Model(card, net, CPU, torch.float32)
    sample = read(Path(str(resources.files("glomseg") / "sample/kidney_biopsy.tif")), card.mpp)
    half = sample.shape[1] // 2 // BLOCK * BLOCK
    models = {"torch float32": plain, "torch bfloat16": Model(card, net, CPU, torch.bfloat16)}
    for name, program in quantised(logits_as_onnx(card, net), plain, sample[:, :half]):
        models[name] = Model(card, net, CPU, engine=Engine("openvino", _openvino(openvino, program)))
    ratios = measure(models, time.process_time if options.cpu_time else time.perf_counter)
    sets = {"lower half of the sample": [sample[:, half : 2 * half]]}
    for pictures in options.pictures:
        sets[str(pictures)] = [read(slide.path, card.mpp) for slide in find_slides(pictures).slides]
    print(f"| way | time / torch float32 | {' | '.join(f'Dice, {name}' for name in sets)} |")
    print("|---|---" + "|---" * len(sets) + "|")
    for name, model in models.items():
        cells = [f"{dice(plain, model, pictures, card.threshold):.4f}" for pictures in sets.values()]
        print(f"| {name} | {ratios[name]:.2f} | {' | '.join(cells)} |", flush=True)


def read(path: Path, mpp: float) -> np.ndarray:
    """Read a picture (1, H, W, 3) at the model's mpp, cut to whole blocks."""
    with open_slide(path) as slide:
        pixels = slide.read(Box(0, 0, slide.width, slide.height), mpp)
    height, width = (side // BLOCK * BLOCK for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[None, :height, :width])


def quantised(program: bytes, plain: Model, pixels: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Yield the names and programs of what is computed in eight bits."""
    normalised = plain._normalised(torch.from_numpy(pixels).permute(0, 3, 1, 2)).contiguous().numpy()
    with TemporaryDirectory() as folder:
        given, simpler, made = (Path(folder) / f"{name}.onnx" for name in ("given", "simpler", "made"))
        given.write_bytes(program)
        quant_pre_process(str(given), str(simpler), skip_symbolic_shape=True)
        graph = onnx.load(str(simpler)).graph
        steps = [node.name for node in graph.node if node.op_type == "Conv"]
        for name, left in (("int8", []), ("int8 but for the first and the last", [steps[0], steps[-1]])):
            ranges = Ranges(graph.input[0].name, normalised)
            quantize_static(
                str(simpler),
                str(made),
                ranges,
                activation_type=QuantType.QUInt8,
                per_channel=True,
                nodes_to_exclude=left,
            )
            yield name, made.read_bytes()


def measure(models: dict[str, Model], clock) -> dict[str, float]:
    """Compute a tile by each in turn; return the median of each round's times over that of torch in float32."""
    tile = np.random.default_rng(0).integers(0, 255, (1, SIDE, SIDE, 3), np.uint8)
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS + 1):  # the first of them is not counted
        for name, model in models.items():
            begun = clock()
            model.predict(tile)
            taken[name].append(clock() - begun)
    plain = taken["torch float32"]
    return {
        name: statistics.median(one / two for one, two in zip(times[1:], plain[1:], strict=True))
        for name, times in taken.items()
    }


def dice(plain: Model, model: Model, pictures: list[np.ndarray], threshold: float) -> float:
    """Compare the masks of all pictures as one."""
    both = total = 0
    for pixels in pictures:
        one, other = (each.unrounded(pixels)[0, 0] > threshold for each in (plain, model))
        both, total = both + int((one & other).sum()), total + int(one.sum() + other.sum())
    return 2 * both / total if total else float("nan")


if __name__ == "__main__":
    main()
