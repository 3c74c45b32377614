"""Average the weights of trainings that began with the same model: they read more slides than any of them.

python -m tools.starter.average ONE.safetensors TWO.safetensors --output MEAN.safetensors
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from glomseg.errors import ModelError
from glomseg.files import replacing


def averaged(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Return the mean of each tensor, whole numbers as in the first; raise ModelError where two are not alike."""
    states = []
    for path in paths:
        try:
            states.append(load_file(path))
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{path}: cannot be read as weights ({error}); give a .safetensors file") from error
    first = states[0]
    for path, state in zip(paths, states, strict=True):
        if {key: value.shape for key, value in state.items()} != {key: value.shape for key, value in first.items()}:
            raise ModelError(f"{path}: not the network of {paths[0]}; give weights that began with the same model")
    return {
        key: torch.stack([state[key] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for key, value in first.items()
    }


def main() -> None:
    """Average from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--output", "-o", type=Path, required=True)
    options = parser.parse_args()
    try:
        mean = averaged(options.weights)
    except ModelError as error:
        sys.exit(str(error))
    with replacing(options.output) as path:
        save_file(mean, path)


if __name__ == "__main__":
    main()
