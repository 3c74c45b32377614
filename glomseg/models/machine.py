"""What was measured of this machine: which way of computing a network is the fastest on its processor. Needs no torch.

It stands in machine.json in the folder that GLOMSEG_STATE names, else in `.glomseg` at home, which several machines may
share: each finds its own by the name of its processor.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glomseg.errors import ModelError
from glomseg.files import write_json
from glomseg.settings import limited, parse_json, plain, read_record

Backend = Literal["torch", "openvino", "onnxruntime"]
BackendChoice = Literal["auto", "torch", "openvino", "onnxruntime"]

STATE_VARIABLE = "GLOMSEG_STATE"
"""The folder for what glomseg keeps of this machine, where that is not `.glomseg` at home."""
NOTES = "machine.json"
MEASURE = "`glomseg doctor --benchmark`"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of computing a network on the CPU: what computes it, with numbers of which type."""

    backend: Backend = "torch"
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __str__(self) -> str:
        """Name it as a run's record does."""
        return f"{self.backend} {self.dtype}"


@dataclass(frozen=True, kw_only=True)
class FastestWay:
    """The way that was measured to be the fastest, by which model, with how many threads, and when.

    `times_faster` is how much faster than torch as it is without a measurement.
    """

    way: Way
    times_faster: float = limited(1.0, above=0)
    model: str = ""
    threads: int = 0
    measured: str = ""


@dataclass(frozen=True, kw_only=True)
class MachineNotes:
    """What machine.json holds: of each processor the fastest way of each architecture that was measured there."""

    format_version: int = FORMAT_VERSION
    processors: Mapping[str, Mapping[str, FastestWay]] = limited({})


def state_folder() -> Path | None:
    """Return the folder for what is kept of this machine; None for a user without a home."""
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    with suppress(RuntimeError):
        return Path.home() / ".glomseg"
    return None


def fastest_way(architecture: str) -> tuple[Way | None, str]:
    """Return the way that was measured to be the fastest of an architecture on this processor, and what to say of it.

    None where nothing was measured, or what was cannot be read, which is said then.
    """
    try:
        notes = read_notes()
    except ModelError as error:
        return None, f"{error}; torch computes until then"
    mine = notes.processors.get(processor_name())
    if mine is None and notes.processors:
        others = ", ".join(notes.processors)
        return None, (
            f"what is the fastest on this processor, {processor_name()}, was not measured, but on {others}; torch "
            f"computes, and {MEASURE} measures"
        )
    fastest = (mine or {}).get(architecture)
    return (None if fastest is None else fastest.way), ""


def read_notes() -> MachineNotes:
    """Read machine.json, nothing where there is none; raise ModelError, which says what mends it, for a damaged one."""
    folder = state_folder()
    if folder is None:
        return MachineNotes()
    path = folder / NOTES
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return MachineNotes()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); {MEASURE} writes it anew") from error
    try:
        table = parse_json(text, origin=str(path), error=ModelError)
        notes = read_record(MachineNotes, table, origin=str(path), error=ModelError, unknown="leave")
    except ModelError as error:
        reason = str(error).removeprefix(f"{path}: ").rpartition("; ")[0]
        raise ModelError(f"{path} is damaged ({reason}); {MEASURE} writes it anew") from error
    if notes.format_version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format {notes.format_version}, and this glomseg reads {FORMAT_VERSION}; {MEASURE} writes it "
            "anew"
        )
    return notes


def remember(architecture: str, fastest: FastestWay) -> tuple[Path, str]:
    """Keep what is the fastest of an architecture on this processor; return the file, and what was lost with a bad one.

    Raises ModelError where this user has no home, RunError where the file cannot be written.
    """
    folder, lost = state_folder(), ""
    if folder is None:
        raise ModelError(f"this user has no home folder to remember it in; set {STATE_VARIABLE}")
    try:
        notes = read_notes()
    except ModelError as error:
        notes, lost = MachineNotes(), str(error).partition("; ")[0]
    mine = {**notes.processors.get(processor_name(), {}), architecture: fastest}
    path = folder / NOTES
    write_json(path, plain(MachineNotes(processors={**notes.processors, processor_name(): mine})))
    return path, lost


def processor_name() -> str:
    """Name the processor as far as this system knows it, and the limit on its instructions where one is set."""
    limit = instruction_limit()
    return _model_name() + (f", limited to {limit}" if limit else "")


def instruction_limit() -> str:
    """Return the newest instructions that oneDNN, which computes for torch, is allowed; empty for all."""
    limit = (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").upper()
    return "" if limit in ("ALL", "DEFAULT") else limit


def _model_name() -> str:
    """Return the name that the processor gives itself; a virtual machine may shorten it, so that numbers follow it."""
    if platform.system() == "Darwin":
        import subprocess

        with suppress(OSError, subprocess.SubprocessError):
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                facts.setdefault(key.strip(), value.strip())
    if "model name" in facts:
        return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
    if "CPU part" in facts:
        return f"{platform.machine()} (implementer {facts.get('CPU implementer', '?')}, part {facts['CPU part']})"
    return platform.processor() or platform.machine() or "unknown"
