"""A network computed on the CPU by OpenVINO or ONNX Runtime instead of torch, in float32, from its export as ONNX.

Each is looked at before it is used: it must give what torch gives to within `TOLERANCE`, on this machine.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glomseg import __version__
from glomseg.errors import ModelError, RunError
from glomseg.files import json_text, replacing
from glomseg.models.card import FOREIGN_WEIGHTS, ModelCard
from glomseg.models.exporting import logits_as_onnx
from glomseg.models.foreign_network import session_options
from glomseg.models.machine import Backend, state_folder
from glomseg.models.network import Network, activated

TOLERANCE = 1e-3
"""How far probabilities, and places in objects, may lie from those of torch in float32."""
EXTRAS = {"openvino": "openvino", "onnxruntime": "onnx"}
"""What computes -> the extra of glomseg that installs it."""
FOLDER = "engines"
KEPT = 8
"""So many exports are kept, those that were used last: each is as large as its weights."""

FloatPlanes = NDArray[np.float32]
Computing = Callable[[FloatPlanes], FloatPlanes]


class Engine(nn.Module):
    """A network that another library computes; it stands where the network does."""

    def __init__(self, backend: Backend, run: Computing) -> None:
        """Take what maps normalised pixels (N, 3, H, W) to what the network gives, (N, planes, H, W)."""
        super().__init__()
        self.backend: Backend = backend
        self._run = run

    def forward(self, x: Tensor) -> Tensor:
        """Compute; raises RuntimeError, as torch does."""
        return torch.from_numpy(self._run(x.float().contiguous().numpy()))


def open_engine(card: ModelCard, net: Network, backend: Backend) -> Engine:
    """Return what computes a network in place of torch; raise ModelError where it cannot, in one line that says why.

    The export takes seconds and is kept for the next time.
    """
    is_program = card.architecture in FOREIGN_WEIGHTS
    reason = net.export_problem or (f"it is a program as {card.architecture} already" if is_program else "")
    if reason:
        raise ModelError(f"`backend` {backend} cannot compute {card.name}, a {card.architecture}: {reason}; give torch")
    library = _library(backend)
    kept = _kept(card)
    if kept is not None and kept.is_file():
        with suppress(ModelError, OSError):  # damaged: it is made anew
            kept.touch()
            return _checked(card, net, backend, library, kept.read_bytes())
    program = logits_as_onnx(card, net)
    engine = _checked(card, net, backend, library, program)
    if kept is not None:
        _keep(kept, program)
    return engine


def is_installed(backend: Backend) -> bool:
    """Tell whether what computes is there."""
    return backend == "torch" or importlib.util.find_spec(backend) is not None


def _library(backend: Backend) -> Any:
    try:
        return importlib.import_module(backend)
    except ImportError as error:
        raise ModelError(
            f"`backend` {backend} needs {backend}, which is not installed or lacks {error.name or 'a part'}; "
            f"pip install 'glomseg[{EXTRAS[backend]},export]'"
        ) from error


def _checked(card: ModelCard, net: Network, backend: Backend, library: Any, program: bytes) -> Engine:
    """Start what computes, and compare it with torch; raises ModelError."""
    open_session = _openvino if backend == "openvino" else _onnxruntime
    try:
        engine = Engine(backend, open_session(library, program))
        apart = difference(card, net, engine)
    except Exception as error:  # onnxruntime's errors have no base but this
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"`backend` {backend} cannot compute {card.name} ({reason}); give torch") from error
    if not apart <= TOLERANCE:
        raise ModelError(
            f"`backend` {backend} gives {card.name} values that lie {apart:.2g} from those of torch, more than "
            f"{TOLERANCE:g}; give torch"
        )
    return engine


def difference(card: ModelCard, net: Network, engine: nn.Module) -> float:
    """Return how far what an engine gives of two small pictures lies from what the network gives, at most."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, 3 * net.stride + 5, 2 * net.stride + 3, generator=generator)
    with torch.inference_mode():
        mine, theirs = (_answer(card, part(pictures)) for part in (net, engine))
    return float((mine - theirs).abs().max())


def _answer(card: ModelCard, values: Tensor) -> Tensor:
    classes = card.num_classes
    return torch.cat([activated(values[:, :classes], card.activation), values[:, classes:].clamp(-1, 1)], dim=1)


def _openvino(library: Any, program: bytes) -> Computing:
    """Compile for this CPU; sizes stay free, and cores are left to whoever else has them."""
    core = library.Core()
    compiled = core.compile_model(
        core.read_model(program),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
            "ENABLE_CPU_PINNING": "NO",
        },
    )

    def run(pixels: FloatPlanes) -> FloatPlanes:
        values: FloatPlanes = compiled([pixels])[0]
        return values

    return run


def _onnxruntime(library: Any, program: bytes) -> Computing:
    session = library.InferenceSession(program, session_options(library), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pixels: FloatPlanes) -> FloatPlanes:
        try:
            values: FloatPlanes = session.run(None, {name: pixels})[0]
        except Exception as error:  # as above
            raise RuntimeError(str(error)) from error
        return values

    return run


def _kept(card: ModelCard) -> Path | None:
    """Tell where the export of a model is kept, by all that decides it."""
    folder = state_folder()
    if folder is None:
        return None
    arguments = dict(card.architecture_args)
    facts = [card.architecture, arguments, card.num_classes, card.heads, card.activation, card.weights_sha256]
    text = json_text([*facts, __version__, torch.__version__])
    return folder / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.onnx"


def _keep(path: Path, program: bytes) -> None:
    """Keep an export, and of all the last ones; where that cannot be, it is made anew the next time."""
    with suppress(RunError, OSError):
        with replacing(path) as temporary:
            temporary.write_bytes(program)
        for old in _by_age(list(path.parent.glob("[0-9a-f]*.onnx")))[:-KEPT]:
            old.unlink(missing_ok=True)


def _by_age(paths: Sequence[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime)
