"""Train a network on images composed of the AIDPATH data, as the starter model was.

    python -m tools.starter.train DATA --output OUTPUT [--set epochs=2] [--resume] [--device cpu]
    python -m tools.starter.train DATA --output OUTPUT --organs ORGANS --start pas-starter

DATA holds `tiles/` and `crops/` (see aidpath.py); the settings are those of pas-starter.toml beside this file. OUTPUT
becomes a model's folder. With ORGANS (see organs.py) images are composed for all stains and for rodents; with a model
to start from the settings are those of go-on.toml. Needs a checkout of glomseg; run it from its root.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from glomseg.errors import GlomsegError
from glomseg.training.config_file import read_config
from glomseg.training.train import TrainProgress, prepare, run
from tools.starter.composed import data_of

SETTINGS = Path(__file__).with_name("pas-starter.toml")
GO_ON = Path(__file__).with_name("go-on.toml")


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--organs", type=Path, help="tissue of other organs; also: compose for all stains")
    parser.add_argument("--start", help="a model to go on from")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    try:
        config = read_config(file=GO_ON if options.start else SETTINGS, words=options.set)
        data = data_of(options.data, config, organs=options.organs)
        training = prepare(
            data,
            options.output,
            config,
            device=options.device,
            start=options.start,
            resume=options.resume,
            report=tell,
        )
        card = run(training)
    except GlomsegError as error:
        sys.exit(f"{error}")
    print(card.scores)


def tell(progress: TrainProgress) -> None:
    """Print a line an epoch."""
    if progress.row is not None:
        values = dataclasses.asdict(progress.row).items()
        print(", ".join(f"{name} {value:.4g}" for name, value in values if value is not None), flush=True)


if __name__ == "__main__":
    main()
