"""What each network costs, and what it learns in the same small training: one Markdown table.

    python benchmarks/architectures.py [--tiles FOLDER] [--train NAME ...] [--steps 160] [--threads 1]

Each row is a process of its own: parameters; CPU time of a forward pass of 512 px (float32, the median of three) over
that of variable-unet of 512 in the same process; and the memory that building and running it took at the peak.

Each network, or those named with `--train` (`variable-unet`, or `smp-unet:1` for the second of its sizes), then learns
from random weights, all from the same samples in the same order, and is scored on slides that none of them saw: Dice,
object F1, PQ (IoU 0.5), all pixels and objects added up, and how many predicted objects cover several true ones. The
learning rate is ten times that of the paper (`PAPERS`), which begins with a trained encoder: so SegFormer's authors
have it for what begins at random.
Tiles are those in `../shared/data/kidney/tiles` beside the repository, each a slide of its own, or `--tiles FOLDER`
with `--tile-mpp`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDE = 512
TILES = Path(__file__).parents[1] / "../shared/data/kidney/tiles"
BATCH = 4
SETTINGS = (
    "model.mpp=3",
    "data.crop_px=96",
    "data.margin_px=16",
    "data.mining_every=0",
    "data.workers=0",
    "data.validation_share=0.15",
    "data.test_share=0.25",
    f"optimiser.batch_size={BATCH}",
    "optimiser.precision=auto",
    "optimiser.ema_decay=0.97",
    "optimiser.warm_up=0.1",
    "validation.every=1000",
    "validation.thresholds=[0.3, 0.5, 0.7]",
    "validation.patience=0",
)
PAPERS = {
    "variable-unet": 1e-4,  # the reference project
    "smp-unet": 1e-4,  # U-Nets: GLOMNET (Moreau et al. 2024)
    "smp-unet++": 1e-4,
    "smp-deeplabv3+": 1e-4,  # as the U-Nets: its own is of another optimiser
    "smp-segformer": 6e-5,  # Xie et al. 2021
    "segformer": 6e-5,
    "smp-upernet": 1e-4,  # ConvNeXt (Liu et al. 2022)
    "upernet": 6e-5,  # Swin (Liu et al. 2021)
    "mask2former": 1e-4,  # Cheng et al. 2022, Cap 2025
}
"""Published learning rates of Adam and AdamW, by family."""
FASTER = 10
HEADER = (
    "| network | arguments | parameters | cost | peak memory | trained | Dice | object F1 | PQ | merged |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, default=TILES)
    parser.add_argument("--tile-mpp", type=float, default=0.5)
    parser.add_argument("--train", nargs="*", metavar="NAME", help="networks that learn [all]")
    parser.add_argument("--steps", type=int, default=160, help="of a training; a multiple of four")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where networks learn; what they cost is measured on the CPU")
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row is not None:
        print(json.dumps(row(options.row, options)))
        return
    from glomseg.models.architectures import VARIANTS

    if unknown := set(options.train or ()) - {name for index in range(len(VARIANTS)) for name in names_of(index)}:
        parser.error(f"--train names {', '.join(sorted(unknown))}, which no network is called")
    failed = []
    print("\n".join(HEADER), flush=True)
    for index in range(len(VARIANTS)):
        command = [sys.executable, __file__, "--row", str(index), *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"| {VARIANTS[index].architecture} | {VARIANTS[index].told} | {done.stderr.strip().splitlines()[-1]} |"
            )
            failed.append(VARIANTS[index].architecture)
            continue
        print(line(json.loads(done.stdout.splitlines()[-1])), flush=True)
    if failed:
        sys.exit(f"failed, see their rows: {', '.join(failed)}")


def names_of(index: int) -> set[str]:
    """Return what a network may be called: smp-unet:1 is the second of its sizes, smp-unet the first."""
    from glomseg.models.architectures import VARIANTS

    name = VARIANTS[index].architecture
    size = sum(other.architecture == name for other in VARIANTS[:index])
    return {f"{name}:{size}"} | ({name} if size == 0 else set())


def line(made: dict) -> str:
    cells = [made["network"], made["arguments"], f"{made['parameters'] / 1e6:.2f} M", f"{made['cost']:.1f}"]
    cells.append(f"{made['memory_mb'] / 1e3:.1f} GB")
    if "dice" in made:
        cells += [f"{made['steps']} steps at {made['rate']:.0e}, {made['seconds']:.0f} s".replace("e-0", "e-")]
        cells += [f"{made[key]:.2f}" for key in ("dice", "f1", "pq")] + [f"{made['merged']} of {made['true']}"]
    else:
        cells += [made.get("problem", ""), *[""] * 4]
    return f"| {' | '.join(cells)} |"


def row(index: int, options: argparse.Namespace) -> dict:
    import torch

    from glomseg.models.architectures import VARIANTS, count_parameters, untrained_card
    from glomseg.models.networks import build_network

    torch.set_num_threads(options.threads)
    variant = VARIANTS[index]
    parameters = count_parameters(variant)  # and its library is imported, before memory is looked at
    reference = build_network(untrained_card(VARIANTS[0])).eval()
    before = resident_mb()
    net = build_network(untrained_card(variant)).eval()
    ratios = []
    with torch.inference_mode():
        x = torch.rand(1, 3, SIDE, SIDE)
        for _ in range(4):
            ratios.append(seconds(net, x) / seconds(reference, x))
    made = {
        "network": variant.architecture,
        "arguments": variant.told,
        "parameters": parameters,
        "cost": statistics.median(ratios[1:]),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before,
    }
    if options.train is None or names_of(index) & set(options.train):
        made |= trained(variant, options)
    return made


def seconds(net, x) -> float:
    """CPU time, which what else runs on the machine changes little."""
    began = time.process_time()
    net(x)
    return time.process_time() - began


def resident_mb() -> float:
    with Path("/proc/self/status").open(encoding="ascii") as file:
        return next(int(text.split()[1]) / 1e3 for text in file if text.startswith("VmRSS"))


def trained(variant, options: argparse.Namespace) -> dict:
    """Train and score a network; the time is CPU time, also where a GPU learns."""
    from glomseg.errors import TrainingError
    from glomseg.models.predict import load_model
    from glomseg.training.config_file import read_config
    from glomseg.training.data.training_data import read_data
    from glomseg.training.train import prepare, run

    epochs, rate = 4, rate_of(variant)
    words = [
        *SETTINGS,
        f"data.samples_per_epoch={options.steps * BATCH // epochs}",
        f"optimiser.learning_rate={rate}",
        f"model.architecture={variant.architecture}",
        *(f"model.arguments.{key}={json.dumps(value)}" for key, value in variant.arguments.items()),
    ]
    config = read_config(words=words, over={"epochs": epochs})
    data = read_data([options.tiles], config, tile_mpp=options.tile_mpp)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        training = prepare(data, Path(folder) / "model", config, device=options.device)
        try:
            run(training)
        except TrainingError as error:
            return {"problem": str(error).partition(";")[0]}
        spent = time.process_time() - began
        return scores(load_model(Path(folder) / "model", device=options.device), data.test) | {
            "steps": training.state.step,
            "rate": rate,
            "seconds": spent,
        }


def rate_of(variant) -> float:
    convnext = str(variant.arguments.get("backbone", "")).startswith("convnext")
    return FASTER * (PAPERS["smp-upernet"] if convnext else PAPERS[variant.architecture])


def scores(model, images) -> dict:
    from glomseg.evaluation.matching import match, merges, overlaps
    from glomseg.evaluation.metrics import ObjectScore, PixelScore, object_score, pixel_score
    from glomseg.labelled.masks import outline
    from glomseg.training.validate import outlines_at, probability_of

    objects, pixels, merged = ObjectScore(), PixelScore(), 0
    for index in range(len(images)):
        labelled = images.read(index)
        probability = probability_of(model, labelled)
        ((predicted, _, _),) = outlines_at(model, probability, (model.card.threshold,))
        true = outline(labelled.label == 1)[0]
        met = overlaps(predicted, true)
        objects += object_score(met, match(met))
        pixels += pixel_score(predicted, true, met)
        merged += len(merges(met))
    return {"dice": pixels.dice, "f1": objects.f1, "pq": objects.pq, "merged": merged, "true": objects.true}


if __name__ == "__main__":
    main()
