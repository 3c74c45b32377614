"""Segment one slide in one tool's way, and print what it took as JSON; `peers.py` runs this in each environment.

    python benchmarks/peer_ways.py WAY SLIDE NETWORK [--mpp 1]

Nothing of glomseg is measured but in its own way: NETWORK is a traced network, RGB in 0..1 to probabilities.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

TILE, BATCH, THRESHOLD = 512, 8, 0.85
Tiles = list[tuple[int, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("slide", type=Path)
    parser.add_argument("network", type=Path)
    parser.add_argument("--mpp", type=float, default=1.0, help="um/px to read at")
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    prepare, work = WAYS[options.way]
    state = prepare(options)
    before = peak()
    start, cpu = time.perf_counter(), processor_time()
    area_px = work(options, state)
    print(
        json.dumps(
            {
                "wall": time.perf_counter() - start,
                "cpu": processor_time() - cpu,
                "memory_gb": (peak() - before) / 1e9,
                "outlined_mm2": area_px * options.mpp**2 / 1e6,
            }
        )
    )


def processor_time() -> float:
    """Return the CPU time of this process and of those that it has ended, in s."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak() -> int:
    """Return the largest memory that this process had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def load(options: argparse.Namespace) -> Any:
    """Load the network and run it once, as all ways may before their time counts."""
    network = torch.jit.load(str(options.network)).eval()
    with torch.inference_mode():
        network(torch.rand(1, 3, TILE, TILE))
    return network


@contextlib.contextmanager
def fast(network: Any) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Give the network in bfloat16 and channels-last, where a processor has that."""
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        yield lambda batch: network(batch.contiguous(memory_format=torch.channels_last)).float()


@contextlib.contextmanager
def plain(network: Any) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Give the network as it is."""
    with torch.inference_mode():
        yield network


class Read:
    """A slide of OpenSlide at the um/px that is asked for: from the next larger level, made smaller."""

    def __init__(self, options: argparse.Namespace) -> None:
        import openslide

        self.slide = openslide.OpenSlide(options.slide)
        self.factor = options.mpp / float(self.slide.properties["openslide.mpp-x"])
        self.level = self.slide.get_best_level_for_downsample(self.factor * 1.01)
        self.down = self.slide.level_downsamples[self.level]
        self.width, self.height = (int(side / self.factor) for side in self.slide.dimensions)

    def pixels(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return (height, width, 3) uint8 from (x, y), both at the um/px that is read."""
        share = self.factor / self.down
        origin = (round(x * self.factor), round(y * self.factor))
        region = self.slide.read_region(origin, self.level, (round(width * share), round(height * share)))
        return np.asarray(region.convert("RGB").resize((width, height)))

    def tissue(self) -> tuple[np.ndarray, float]:
        """Return where saturation is above Otsu's threshold on a small picture, and its px per px that is read."""
        from skimage.color import rgb2hsv
        from skimage.filters import threshold_otsu

        small = np.asarray(self.slide.get_thumbnail((1024, 1024)).convert("RGB"))
        saturation = rgb2hsv(small)[..., 1]
        return saturation > threshold_otsu(saturation), small.shape[1] / self.width

    def tiles(self, stride: int) -> Tiles:
        """Return the corners of the tiles that touch tissue."""
        mask, share = self.tissue()
        corners = []
        for y in range(0, self.height, stride):
            for x in range(0, self.width, stride):
                rows = slice(int(y * share), max(int((y + TILE) * share), int(y * share) + 1))
                columns = slice(int(x * share), max(int((x + TILE) * share), int(x * share) + 1))
                if mask[rows, columns].any():
                    corners.append((x, y))
        return corners


class TileSet(torch.utils.data.Dataset):
    """The tiles of a slide, opened anew in each process that reads."""

    def __init__(self, options: argparse.Namespace, corners: Tiles) -> None:
        self.options, self.corners, self.read = options, corners, None

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, int]:
        self.read = self.read or Read(self.options)
        x, y = self.corners[index]
        return torch.from_numpy(self.read.pixels(x, y, TILE, TILE).copy()), x, y


def loop(options: argparse.Namespace, network: Any, *, stride: int = TILE, quick: bool = False) -> int:
    """Read tiles in two processes, run the network, and average where they overlap."""
    read = Read(options)
    data = TileSet(options, read.tiles(stride))
    total = np.zeros((read.height + TILE, read.width + TILE), np.float32)
    count = np.zeros(total.shape, np.uint8)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, num_workers=2)
    with (fast if quick else plain)(network) as run:
        for batch, xs, ys in loader:
            values = run(batch.permute(0, 3, 1, 2).float() / 255)[:, 0].numpy()
            for value, x, y in zip(values, xs.tolist(), ys.tolist(), strict=True):
                total[y : y + TILE, x : x + TILE] += value
                count[y : y + TILE, x : x + TILE] += 1
    return int((total > THRESHOLD * np.maximum(count, 1)).sum())


def monai(options: argparse.Namespace, network: Any, *, overlap: float, batch: int = 1, quick: bool = False) -> int:
    """Read the whole slide into memory, and slide a window over it."""
    from monai.inferers import sliding_window_inference

    read = Read(options)
    image = torch.from_numpy(read.pixels(0, 0, read.width, read.height).copy()).permute(2, 0, 1)[None].float() / 255
    with (fast if quick else plain)(network) as run:
        values = sliding_window_inference(image, TILE, batch, run, overlap=overlap)
    return int((values[0, 0] > THRESHOLD).sum())


def tiatoolbox(
    options: argparse.Namespace, network: Any, *, sides: tuple[int, int], stride: int, quick: bool = False
) -> int:
    """Run its engine over the slide with its own tissue mask, and count what its probabilities hold."""
    from tiatoolbox.models.engine.io_config import IOSegmentorConfig
    from tiatoolbox.models.engine.semantic_segmentor import SemanticSegmentor
    from tiatoolbox.models.models_abc import ModelABC

    class Wrapped(ModelABC):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)

        @staticmethod
        def infer_batch(model: Any, batch_data: torch.Tensor, *, device: str) -> np.ndarray:
            margin = (sides[0] - sides[1]) // 2
            with (fast if quick else plain)(model) as run:
                values = run(batch_data.permute(0, 3, 1, 2).float() / 255)
            values = torch.cat([1 - values, values], 1)[:, :, margin : margin + sides[1], margin : margin + sides[1]]
            return values.permute(0, 2, 3, 1).numpy()

    resolution = [{"units": "mpp", "resolution": options.mpp}]
    config = IOSegmentorConfig(
        input_resolutions=resolution,
        output_resolutions=resolution,
        patch_input_shape=(sides[0],) * 2,
        patch_output_shape=(sides[1],) * 2,
        stride_shape=(stride, stride),
        save_resolution=resolution[0],
    )
    with tempfile.TemporaryDirectory() as scratch:
        engine = SemanticSegmentor(model=Wrapped(), batch_size=BATCH, num_workers=0, verbose=False)
        output = engine.run(
            [options.slide],
            patch_mode=False,
            ioconfig=config,
            save_dir=Path(scratch) / "out",
            output_type="zarr",
            return_probabilities=True,
            wsireader_kwargs={"mpp": pixel_size(options)},
            device="cpu",
        )
        return counted(output)


def pixel_size(options: argparse.Namespace) -> tuple[float, float]:
    """Return the slide's um/px, which that engine does not read from this file."""
    read = Read(options)
    return options.mpp / read.factor, options.mpp / read.factor


def counted(output: Any) -> int:
    """Count the pixels that the engine's file says are above the threshold."""
    import zarr

    (path,) = output.values() if isinstance(output, dict) else (output,)
    group = zarr.open(path, mode="r")
    values = np.asarray(group["probabilities"])
    return int((values[..., 1] > THRESHOLD).sum())


def tiatoolbox_ready(options: argparse.Namespace) -> Any:
    """Import the engine before time counts; torchvision's compiled part may be one for another torch."""
    sys.path.append(str(Path(__file__).parents[1]))  # this checkout, for what needs torch alone
    from glomseg.models.extras import usable_torchvision

    usable_torchvision()
    from tiatoolbox.models.engine import semantic_segmentor  # noqa: F401

    return load(options)


def glomseg_model(options: argparse.Namespace) -> Any:
    """Load the starter, to read at the um/px that is asked for."""
    from dataclasses import replace

    from glomseg.models.predict import load_model

    model = load_model("pas-starter", "cpu")
    model.card = replace(model.card, mpp=options.mpp)
    model.predict(np.zeros((1, TILE, TILE, 3), np.uint8))
    return model


def glomseg(options: argparse.Namespace, model: Any) -> int:
    """Run the library's own pipeline, outlines included."""
    from glomseg.segment.pipeline import SegmentSettings, segment_slide
    from glomseg.slides.slide import open_slide

    with open_slide(options.slide) as slide:
        result = segment_slide(slide, model, SegmentSettings())
        width, height = slide.pixel_size
    return round(sum(one.geometry.area for one in result.glomeruli) * width * height / options.mpp**2)


def monai_ready(options: argparse.Namespace) -> Any:
    import monai.inferers  # noqa: F401

    return load(options)


Work = Callable[[argparse.Namespace, Any], int]
WAYS: dict[str, tuple[Callable[[argparse.Namespace], Any], Work]] = {
    "glomseg": (glomseg_model, glomseg),
    "loop": (load, loop),
    "loop-equal": (load, lambda options, network: loop(options, network, quick=True)),
    "winner": (load, lambda options, network: loop(options, network, stride=TILE // 2)),
    "monai": (monai_ready, lambda options, network: monai(options, network, overlap=0.25)),
    "monai-tuned": (
        monai_ready,
        lambda options, network: monai(options, network, overlap=0.125, batch=BATCH, quick=True),
    ),
    "monai-equal": (monai_ready, lambda options, network: monai(options, network, overlap=0, batch=BATCH, quick=True)),
    "tiatoolbox": (
        tiatoolbox_ready,
        lambda options, network: tiatoolbox(options, network, sides=(1024, 512), stride=256),
    ),
    "tiatoolbox-equal": (
        tiatoolbox_ready,
        lambda options, network: tiatoolbox(options, network, sides=(TILE, TILE), stride=TILE, quick=True),
    ),
}


if __name__ == "__main__":
    main()
