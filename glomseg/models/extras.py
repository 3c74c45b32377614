"""Libraries that only some networks need: imported when such a network is asked for, and kept off the network.

A library that is missing is one line with the remedy. Nothing is ever downloaded: weights come from folders.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
from typing import Any

import torch

from glomseg.errors import ModelError

EXTRAS = {"segmentation_models_pytorch": "smp", "transformers": "transformers"}
"""A library's module -> the extra of glomseg that installs it."""
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
_ABSENT = re.compile(r"operator torchvision::(\w+) does not exist")
_DEFINED: list[torch.library.Library] = []  # an operator is forgotten with its library


def library(module: str, wanted_by: str) -> Any:
    """Import a library of `EXTRAS`, offline; raise ModelError, which names `wanted_by`, where it is not installed."""
    for variable in OFFLINE:
        os.environ.setdefault(variable, "1")
    try:
        usable_torchvision()
        return importlib.import_module(module)
    except ImportError as error:
        extra = EXTRAS[module]
        raise ModelError(
            f"{wanted_by} needs {module.replace('_', '-')}, which is not installed or lacks {error.name or 'a part'}; "
            f"pip install 'glomseg[{extra}]'"
        ) from error


def is_installed(module: str) -> bool:
    """Tell whether a library is there, without importing it."""
    return importlib.util.find_spec(module) is not None


def usable_torchvision() -> None:
    """Import torchvision, if it is there, though it may be built for another torch.

    Its compiled operators are then missing, and it refuses to be imported for that alone, and with it each library that
    only draws or resizes with it. They are declared here, without a body: nothing of glomseg calls them.
    """
    if not is_installed("torchvision"):
        return
    for _ in range(50):
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            absent = _ABSENT.search(str(error))
            if absent is None:
                raise
            _DEFINED.append(torch.library.Library("torchvision", "FRAGMENT"))
            _DEFINED[-1].define(f"{absent[1]}(Tensor values) -> Tensor")
        else:
            return
